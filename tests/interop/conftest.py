"""Every test in this folder talks to a real program: ``-m "not interop"`` leaves them out.

Tests marked with ``exchange(peer, services, ours=role)`` fill a matrix, which the run prints at its end. Each runs with
every adapter, in a loop of its own.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from tests.contract.adapters import ADAPTERS, Adapter, use
from tests.interop.libraries import OURS, Library, Sides, wait_for_reactors

SYMBOLS = {"passed": "yes", "failed": "NO", "skipped": "-"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "exchange(peer, services, ours): what a test shows to work, and in which role")
    config.addinivalue_line("markers", "between(services): the same, for both roles and pynetdicom")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("interop")
            for mark in item.iter_markers("exchange"):
                peer, services = mark.args
                note(item, peer, services, mark.kwargs["ours"])


def note(item: Any, peer: str, services: str, role: str) -> None:
    """Let a test fill the matrix, for the adapter that it runs with."""
    adapter = item.callspec.params["adapter"]
    item.user_properties += [("exchange", ((peer, service, role), adapter)) for service in services.split()]


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    with use(request.param) as adapter:
        yield adapter


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Library:
    pynetdicom: Any = pytest.importorskip("pynetdicom", reason="peer not installed: pynetdicom")
    items: Any = pytest.importorskip("pynetdicom.pdu_primitives")
    server = pynetdicom.transport.AssociationServer
    # It looks that often whether it has been shut down.
    monkeypatch.setattr(server, "serve_forever", partialmethod(server.serve_forever, poll_interval=0.02))
    wait_for_reactors(pynetdicom.association.Association, monkeypatch)
    return Library(pynetdicom.AE, pynetdicom.evt, pynetdicom.build_role, items)


@pytest.fixture(params=[pytest.param("SCU", id="our-scu"), pytest.param("SCP", id="our-scp")])
def sides(request: pytest.FixtureRequest, theirs: Library) -> Sides:
    """The libraries of the SCU and of the SCP; a test marked with ``between`` fills the matrix for both."""
    for mark in request.node.iter_markers("between"):
        note(request.node, "pynetdicom", mark.args[0], request.param)
    return (OURS, theirs) if request.param == "SCU" else (theirs, OURS)


def matrix(reports: dict[str, list[Any]]) -> list[list[str]]:
    """Rows of service, our role, and for each peer whether all its tests passed; the first row is the heading."""
    cells: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for outcome in ("skipped", "passed", "failed"):  # a failure outweighs the rest
        for report in reports.get(outcome, []):
            for name, value in getattr(report, "user_properties", ()):
                if name == "exchange" and (report.when == "call" or outcome != "passed"):
                    exchange, adapter = value
                    cells[exchange][adapter] = SYMBOLS[outcome]
    peers = sorted({peer for peer, _, _ in cells})
    lines = sorted({(service, role) for _, service, role in cells})
    return [
        ["service", "our role", *peers],
        *([service, role, *(cell(cells.get((peer, service, role), {})) for peer in peers)] for service, role in lines),
    ]


def cell(outcomes: dict[str, str]) -> str:
    """What came of an exchange: one word if that is the same for all adapters."""
    if outcomes.keys() == ADAPTERS.keys() and len(set(outcomes.values())) == 1:
        return outcomes[next(iter(ADAPTERS))]
    return ", ".join(f"{adapter} {outcomes[adapter]}" for adapter in ADAPTERS if adapter in outcomes)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the matrix as a Markdown table."""
    rows = matrix(terminalreporter.stats)
    if len(rows) == 1:
        return
    terminalreporter.section("interoperability: service, our role, peer")
    terminalreporter.write_line(f"With the adapters {', '.join(ADAPTERS)}, unless a cell names them one by one.\n")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        terminalreporter.write_line(f"| {' | '.join(map(str.ljust, row, widths))} |")
        if number == 0:
            terminalreporter.write_line(f"| {' | '.join('-' * width for width in widths)} |")
