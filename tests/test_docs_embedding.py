"""The drivers of docs/embedding.md are short, do more than the page shows, and a user's own are typed."""

import ast
import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from dicom_proto import ApplicationEntity, evt
from dicom_proto.errors import NotEstablishedError
from dicom_proto.sop_class import PatientRootQueryRetrieveInformationModelFind as Find
from dicom_proto.sop_class import Verification
from dicom_proto.testing import network as network_module
from dicom_proto.testing.network import Network
from dicom_proto.upper_layer.failures import AssociationRejected
from tests.test_docs import EMBEDDING, read

ROOT = Path(__file__).parent.parent
ADDRESS = ("scp", 104)
LONGEST = 60
DRIVERS = ["StreamAssociation", "AnyioAssociation", "TwistedAssociation"]


def lines_of(code: str) -> int:
    """Count the lines that are neither blank nor imports."""
    imports = {
        line
        for node in ast.parse(code).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return sum(bool(line.strip()) and number not in imports for number, line in enumerate(code.splitlines(), 1))


@pytest.mark.parametrize("driver", DRIVERS)
def test_drivers_are_short(driver: str) -> None:
    (code,) = [example.code for example in read(EMBEDDING) if f"class {driver}(" in example.code]
    (body,) = [node for node in ast.parse(code).body if isinstance(node, ast.ClassDef) and node.name == driver]
    assert lines_of(ast.unparse(body)) <= LONGEST


def test_the_driver_in_memory_is_short() -> None:
    text = Path(network_module.__file__).read_text(encoding="utf-8")
    driver = text.partition("# --- the driver")[2].partition("# --- end of the driver")[0]
    assert sum(bool(line.strip()) and '"""' not in line for line in driver.splitlines()[1:]) <= LONGEST + 10


def entity() -> ApplicationEntity:
    ae = ApplicationEntity("AE")
    for sop_class in (Verification, Find):
        ae.add_requested_context(sop_class)
        ae.add_supported_context(sop_class)
    return ae


NOTIFICATIONS = [
    getattr(evt, f"EVT_{name}")
    for name in ("CONN_OPEN", "REQUESTED", "ACCEPTED", "ESTABLISHED", "REJECTED", "RELEASED", "ABORTED", "CONN_CLOSE")
]


def noting(events: list[str]) -> list[Any]:
    return [(kind, lambda event: events.append(event.name.removeprefix("EVT_"))) for kind in NOTIFICATIONS]


def test_each_side_is_told_of_its_life_once() -> None:
    network, near, far = Network(delay=0.1), list[str](), list[str]()
    network.listen(ADDRESS, entity(), noting(far))
    with network.associate(entity(), ADDRESS, noting(near)) as assoc:
        assert assoc.send_c_echo().Status == 0x0000
    network.run_until(lambda: not network.associations)
    assert near == ["CONN_OPEN", "REQUESTED", "ACCEPTED", "ESTABLISHED", "RELEASED", "CONN_CLOSE"]
    assert far == ["CONN_OPEN", "REQUESTED", "ACCEPTED", "ESTABLISHED", "RELEASED", "CONN_CLOSE"]


def test_rejection_and_nobody() -> None:
    network, scp = Network(), entity()
    scp.require_called_aet = True
    network.listen(ADDRESS, scp)
    with pytest.raises(AssociationRejected, match="called AE title not recognized"):
        network.associate(entity(), ADDRESS, ae_title="OTHER").__enter__()
    nobody = network.associate(entity(), ("nobody", 104))
    with pytest.raises(OSError, match="nobody listens"):
        nobody.__enter__()
    with pytest.raises(NotEstablishedError):
        nobody.send_c_echo()


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page has before it runs an event loop."""
    namespace: dict[str, Any] = {"__name__": "embedding"}
    for example in read(EMBEDDING):
        if "asyncio.run(" in example.code:
            break
        if "AE(" not in example.code:
            example.run(str(EMBEDDING), namespace)
    return namespace


async def _matches(_: Any) -> Any:
    while True:
        yield 0xFF00, query()


def _failing(_: Any) -> Any:
    yield 0xFF00, query()
    raise ValueError("it cannot be found")


async def _listing(_: Any) -> Any:
    return [(0xFF00, query())]


def query() -> Dataset:
    made = Dataset()
    made.QueryRetrieveLevel, made.PatientID = "PATIENT", "4711"
    return made


@pytest.mark.parametrize(
    ("handler", "most", "statuses"),
    [(_listing, 9, [0xFF00, 0x0000]), (_failing, 9, [0xFF00, 0xC311]), (_matches, 3, [0xFF00] * 3)],
)
def test_queries_over_streams(
    page: dict[str, Any], handler: Callable[..., Any], most: int, statuses: list[int]
) -> None:
    async def talk() -> list[int]:
        found: list[int] = []
        async with await page["serve"](entity(), ("127.0.0.1", 0), [(evt.EVT_C_FIND, handler)]) as server:
            address = server.sockets[0].getsockname()
            scu = await page["connect"](entity(), address, entity().offer("SCP"))
            async for status, _ in scu.send_c_find(query(), Find):
                found.append(status.Status)
                if len(found) == most:
                    break
            await scu.release()
            assert scu.is_released
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        return found

    assert asyncio.run(talk()) == statuses


USER = '''
"""A user's program."""

from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset

from dicom_proto import ApplicationEntity, CalledVerbs, EntityAssociation, evt
from dicom_proto.testing.network import MemoryAssociation, Network


class Counting(MemoryAssociation):
    turns = 0

    def turn(self) -> bool:
        self.turns += 1
        return super().turn()


class CountingNetwork(Network):
    def make_association(self, entity: ApplicationEntity, handlers: Iterable[Any], reception: Any = None) -> Counting:
        return Counting(self, entity, handlers, reception)


class Own(EntityAssociation, CalledVerbs):
    def run(self, program: Any, *, invokes: bool = False) -> Any:
        raise NotImplementedError

    def iterate(self, begin: Any, *, invokes: bool = False) -> Any:
        raise NotImplementedError


def ask(network: Network, entity: ApplicationEntity) -> list[Dataset]:
    network.listen(("scp", 104), entity, [(evt.EVT_C_ECHO, lambda event: 0)])
    with network.associate(entity, ("scp", 104)) as assoc:
        status: Dataset = assoc.send_c_echo(msg_id=7)
        return [status, *(found for found, _ in assoc.send_c_find(Dataset(), "1.2.3"))]


def wrong(assoc: Own) -> None:
    assoc.send_c_echo("seven")  # type: ignore[arg-type]
'''


def test_a_users_program_is_typed(tmp_path: Path) -> None:
    program = tmp_path / "users_program.py"
    program.write_text(USER, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(program)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "No module named mypy" in finished.stderr:
        pytest.skip("mypy is not installed")
    assert finished.returncode == 0, finished.stdout
