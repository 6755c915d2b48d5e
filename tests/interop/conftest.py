"""Every test in this folder talks to a real program: ``-m "not interop"`` leaves them out.

Tests marked with ``exchange(peer, services, ours=role)`` fill a matrix, which the run prints at its end.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.interop.libraries import OURS, Library, Sides

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
                item.user_properties += [
                    ("exchange", (peer, service, mark.kwargs["ours"])) for service in services.split()
                ]


@pytest.fixture
def theirs() -> Library:
    pynetdicom: Any = pytest.importorskip("pynetdicom", reason="peer not installed: pynetdicom")
    items: Any = pytest.importorskip("pynetdicom.pdu_primitives")
    return Library(pynetdicom.AE, pynetdicom.evt, pynetdicom.build_role, items)


@pytest.fixture(params=[pytest.param("SCU", id="our-scu"), pytest.param("SCP", id="our-scp")])
def sides(request: pytest.FixtureRequest, theirs: Library) -> Sides:
    """The libraries of the SCU and of the SCP; a test marked with ``between`` fills the matrix for both."""
    for mark in request.node.iter_markers("between"):
        request.node.user_properties += [
            ("exchange", ("pynetdicom", service, request.param)) for service in mark.args[0].split()
        ]
    return (OURS, theirs) if request.param == "SCU" else (theirs, OURS)


def matrix(reports: dict[str, list[Any]]) -> list[list[str]]:
    """Rows of service, our role, and for each peer whether all its tests passed; the first row is the heading."""
    cells: dict[tuple[str, str, str], str] = {}
    for outcome in ("skipped", "passed", "failed"):  # a failure outweighs the rest
        for report in reports.get(outcome, []):
            for name, value in getattr(report, "user_properties", ()):
                if name == "exchange" and (report.when == "call" or outcome != "passed"):
                    cells[value] = SYMBOLS[outcome]
    peers = sorted({peer for peer, _, _ in cells})
    lines = sorted({(service, role) for _, service, role in cells})
    return [
        ["service", "our role", *peers],
        *([service, role, *(cells.get((peer, service, role), "") for peer in peers)] for service, role in lines),
    ]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the matrix as a Markdown table."""
    rows = matrix(terminalreporter.stats)
    if len(rows) == 1:
        return
    terminalreporter.section("interoperability: service, our role, peer")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        terminalreporter.write_line(f"| {' | '.join(map(str.ljust, row, widths))} |")
        if number == 0:
            terminalreporter.write_line(f"| {' | '.join('-' * width for width in widths)} |")
