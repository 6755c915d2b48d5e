"""Programs written for pynetdicom, its own applications among them, run unchanged on this stack."""

import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.interop.peers import HOST, Argument, Peer, execute, free_port, serve

MODULE = "dicom_transports.compat.pynetdicom"
PAGE = Path(__file__).parents[2] / "docs" / "compat.md"
CT_FILE = Path(str(get_testdata_file("CT_small.dcm", download=False)))
MR_FILE = Path(str(get_testdata_file("MR_small.dcm", download=False)))
PROGRAM = """
import sys
from pynetdicom import AE, Association, _config, debug_logger, evt
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dimse_messages import C_ECHO_RSP
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE, A_RELEASE
from pynetdicom.sop_class import CTImageStorage, Verification, _STORAGE_CLASSES, uid_to_service_class
from pynetdicom.service_class import StorageServiceClass

seen = []

def echo(event):
    assert isinstance(event.request, C_ECHO) and not isinstance(event.request, C_STORE)
    assert isinstance(event.event, evt.InterventionEvent) and isinstance(event.assoc, Association)
    return 0x0000

def store(event):
    seen.append(event.dataset_path.read_bytes()[128:132])
    return 0x0000

def noted(event, kind, name):
    seen.append(isinstance(getattr(event, name), kind))

_config.STORE_RECV_CHUNKED_DATASET = True
ae = AE()
ae.add_supported_context(Verification)
ae.add_supported_context(CTImageStorage)
handlers = [(evt.EVT_C_ECHO, echo), (evt.EVT_C_STORE, store)]
scp = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
ae.requested_contexts = ae.supported_contexts
watched = [(evt.EVT_DIMSE_RECV, noted, [C_ECHO_RSP, "message"]), (evt.EVT_PDU_SENT, noted, [P_DATA_TF, "pdu"])]
assoc = ae.associate(*scp.server_address, evt_handlers=watched)
assert assoc in ae.active_associations and len(ae.active_associations) == 2
print(assoc.send_c_echo().Status, ae.ae_title, ae.maximum_pdu_size)
assoc.unbind(evt.EVT_DIMSE_RECV, noted)
assoc.unbind(evt.EVT_PDU_SENT, noted)
print(assoc.send_c_store(sys.argv[1]).Status)
assoc.release()
scp.shutdown()
print(seen[-2:])
print(uid_to_service_class(_STORAGE_CLASSES["CTImageStorage"]) is StorageServiceClass, CTImageStorage.service_class)
"""


def compat(*arguments: Argument) -> list[str]:
    return [sys.executable, "-m", MODULE, *map(str, arguments)]


def test_a_program_runs_unchanged(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    printed = execute(compat(program, CT_FILE)).check().output.splitlines()
    assert printed[:2] == ["0 PYNETDICOM 16382", "0"]
    assert printed[2] == "[True, b'DICM']"
    assert printed[3] == "True <class 'dicom_transports.compat.pynetdicom.service_class.StorageServiceClass'>"


def test_a_module_runs_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import sys, pynetdicom\nprint(pynetdicom.__name__, sys.argv[1:])\n")
    assert execute(compat("-m", "mine", "5"), cwd=tmp_path).check().output == f"{MODULE} ['5']\n"


def test_it_says_how_it_is_called() -> None:
    assert "PROGRAM.py" in execute(compat()).check().output


def test_the_examples_of_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    ((program, printed),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert execute([sys.executable, "-c", program]).check().output == printed


def test_it_does_not_replace_what_is_imported_already() -> None:
    finished = execute([sys.executable, "-c", f"import pynetdicom\nimport {MODULE}"])
    assert finished.returncode == 1
    assert "ImportError: pynetdicom is imported already" in finished.output


LOOK = f"""
import ast, importlib.machinery, pathlib
import {MODULE}
import pynetdicom

theirs = pathlib.Path(importlib.machinery.PathFinder.find_spec("pynetdicom").origin).parent
modules = "__init__ events status sop_class service_class utils dsutils presentation _config"
for name in modules.split():
    tree = ast.parse((theirs / f"{{name}}.py").read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    names += [node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and name == "_config"]
    names += [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) and name == "__init__"
              and (node.module or "").startswith("pynetdicom") for alias in node.names if alias.name != "events"]
    module = pynetdicom if name == "__init__" else getattr(pynetdicom, name)
    missing = [name for name in names if not name.startswith("_") and not hasattr(module, name)]
    print(name, len(names) > 2, *missing)
"""


def test_each_public_function_and_class_of_these_modules_is_there() -> None:
    lines = execute([sys.executable, "-c", LOOK]).check().output.splitlines()
    different = {line for line in lines if not line.endswith(" True")}
    # Nobody triggers a handler but the stack, and ApplicationEntity is the package's AE.
    assert different == {
        "__init__ True ApplicationEntity",
        "events True get_default_handler trigger",
        "service_class True attempt",
    }, lines


# --- its applications -------------------------------------------------------------------------------------------------


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[Peer]:
    port = free_port()
    (tmp_path / "stored").mkdir()
    with serve(compat("storescp", port, "-od", tmp_path / "stored", "-ba", HOST), port) as peer:
        yield peer


def test_echo() -> None:
    port = free_port()
    with serve(compat("echoscp", port, "-ba", HOST), port):
        finished = execute(compat("echoscu", HOST, port, "-d")).check()
    assert "D: " in finished.output


def test_store(storescp: Peer, tmp_path: Path) -> None:
    execute(compat("storescu", HOST, storescp.port, CT_FILE)).check()
    (stored,) = (tmp_path / "stored").iterdir()
    assert dcmread(stored).SOPInstanceUID == dcmread(CT_FILE).SOPInstanceUID


@pytest.mark.skipif(find_spec("sqlalchemy") is None, reason="qrscp keeps its index with SQLAlchemy")
def test_archive(storescp: Peer, tmp_path: Path) -> None:
    """An archive, its index, and who queries it, gets from it and has it move objects to a storage SCP."""
    port = free_port()
    config = tmp_path / "config.ini"
    config.write_text(
        f"[DEFAULT]\nae_title: QRSCP\nport: {port}\nmax_pdu: 16382\nacse_timeout: 30\ndimse_timeout: 30\n"
        f"network_timeout: 30\nbind_address: {HOST}\ninstance_location: {tmp_path / 'instances'}\n"
        f"database_location: {tmp_path / 'index.sqlite'}\n\n"
        f"[STORESCP]\naddress: {HOST}\nport: {storescp.port}\n"
    )
    uids = {dcmread(path).SOPInstanceUID for path in (CT_FILE, MR_FILE)}
    keys = ["-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=*", "-k", "PatientName="]
    patients = [str(dcmread(path).PatientID) for path in (CT_FILE, MR_FILE)]
    with serve(compat("qrscp", "-c", config), port):
        for path in (CT_FILE, MR_FILE):
            execute(compat("storescu", HOST, port, path, "-aec", "QRSCP")).check()
        found = execute(compat("findscu", HOST, port, "-P", *keys, "-v", "-w"), cwd=tmp_path).check()
        assert {str(dcmread(path, force=True).PatientID) for path in tmp_path.glob("rsp*.dcm")} == set(patients), found
        (tmp_path / "got").mkdir()
        for patient in patients:
            wanted = ["-k", "QueryRetrieveLevel=PATIENT", "-k", f"PatientID={patient}"]
            execute(compat("getscu", HOST, port, "-P", *wanted, "-od", tmp_path / "got")).check()
            execute(compat("movescu", HOST, port, "-P", *wanted, "-aem", "STORESCP")).check()
    for place in ("got", "stored"):
        assert {dcmread(path).SOPInstanceUID for path in (tmp_path / place).iterdir()} == uids
