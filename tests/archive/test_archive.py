"""An archive behind a server of each adapter: stored, found, fetched, and what a kill leaves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy.exc import OperationalError

from dicom_proto.sop_class import (
    CTImageStorage,
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
from dicom_transports._archive.index.checking import Difference
from dicom_transports.archive import Archive, Duplicates
from dicom_transports.blocking import AE, SOPClassExtendedNegotiation, build_role, evt
from tests.archive.objects import image, query
from tests.contract.adapters import make_ae

STUDIES, PATIENTS = StudyRootQueryRetrieveInformationModelFind, PatientRootQueryRetrieveInformationModelFind
GET, MOVE = StudyRootQueryRetrieveInformationModelGet, StudyRootQueryRetrieveInformationModelMove
EVERYTHING = [image("1.1.1", StudyDate="20200101"), image("1.1.2", StudyDate="20200101"), image("2.1.1")]


@contextmanager
def served(archive: Archive) -> Iterator[Any]:
    """Serve an archive; give what dials it."""
    ae = make_ae("ARCHIVE")
    ae.supported_contexts = archive.supported_contexts
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=archive.handlers)
    try:
        yield server
    finally:
        server.shutdown()


def dial(server: Any, *, handlers: Any = (), items: Any = ()) -> Any:
    ae = AE("SCU")
    for uid in (STUDIES, PATIENTS, GET, MOVE, CTImageStorage):
        ae.add_requested_context(uid)
    roles = [build_role(CTImageStorage, scu_role=True, scp_role=True)]
    host, port = server.address
    return ae.associate(host, port, ae_title="ARCHIVE", ext_neg=[*roles, *items], evt_handlers=list(handlers))


def store(server: Any, *datasets: Dataset) -> list[int]:
    with dial(server) as association:
        return [association.send_c_store(dataset).Status for dataset in datasets]


def ask(association: Any, identifier: Dataset, model: str = STUDIES) -> list[tuple[int, Any]]:
    return [(status.Status, found) for status, found in association.send_c_find(identifier, model)]


@pytest.mark.usefixtures("adapter")
def test_stored_found_and_fetched(tmp_path: Path) -> None:
    """An object comes back bit for bit, from a C-GET and a C-MOVE, after the server has been started anew."""
    kept: list[bytes] = []

    def keep(event: Any) -> int:
        kept.append(event.encoded_dataset(include_meta=False))
        return 0

    with Archive(tmp_path) as archive, served(archive) as server:
        assert store(server, *EVERYTHING) == [0, 0, 0]
    viewer = make_ae("VIEWER")
    viewer.add_supported_context(CTImageStorage)
    listening = viewer.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    where = {"VIEWER": listening.address}
    with Archive(tmp_path, destinations=where) as archive, served(archive) as server:  # noqa: SIM117 - too long
        with dial(server, handlers=[(evt.EVT_C_STORE, keep)]) as association:
            asked = query("STUDY", PatientID="P1", StudyInstanceUID="", NumberOfStudyRelatedInstances="")
            *matches, last = ask(association, asked)
            assert [
                (status, found.StudyInstanceUID, found.NumberOfStudyRelatedInstances) for status, found in matches
            ] == [(0xFF00, "1.2.1.1", 2)]
            assert (matches[0][1].RetrieveAETitle, matches[0][1].InstanceAvailability) == ("ARCHIVE", "ONLINE")
            assert last == (0, None)
            wanted = query("STUDY", StudyInstanceUID="1.2.1.1")
            assert [status.Status for status, _ in association.send_c_get(wanted, GET)] == [0xFF00, 0xFF00, 0]
            assert [status.Status for status, _ in association.send_c_move(wanted, "VIEWER", MOVE)][-1] == 0
            assert [status.Status for status, _ in association.send_c_move(wanted, "NOBODY", MOVE)] == [0xA801]
    listening.shutdown()
    stored = [archive.files / one for one in ("1.2.1.1/1.2.1.1.1/1.2.1.1.1.1.dcm", "1.2.1.1/1.2.1.1.1/1.2.1.1.1.2.dcm")]
    assert sorted(kept) == sorted([_data_set(path) for path in stored] * 2)


def _data_set(path: Path) -> bytes:
    from dicom_transports._files.reading import read_object  # noqa: PLC0415

    return bytes(read_object(path).data_set)


@pytest.mark.usefixtures("adapter")
def test_bad_identifiers_cost_no_more_than_an_answer(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive, served(archive) as server:
        store(server, EVERYTHING[0])
        with dial(server) as association:
            for identifier in (Dataset(), query("WARD"), query("SERIES", SeriesInstanceUID="")):
                identifier.PatientID = ""
                (only,) = association.send_c_find(identifier, STUDIES)
                assert (only[0].Status, len(only[0].ErrorComment) <= 64) == (0xA900, True)
            for model, send in ((GET, association.send_c_get), (MOVE, association.send_c_move)):
                arguments = (query("STUDY"), model) if model == GET else (query("STUDY"), "SCU", model)
                assert next(iter(send(*arguments)))[0].Status in {0xA900, 0xA801}
            assert [status for status, _ in ask(association, query("STUDY", WindowCenter=""))] == [0xFF01, 0]
            assert len(ask(association, query("STUDY", StudyInstanceUID=""))) == 2


def test_relational_queries_are_negotiated(tmp_path: Path) -> None:
    """PS3.4 C.5.1.1.1."""
    with Archive(tmp_path) as archive, served(archive) as server:
        store(server, *EVERYTHING)
        relational = SOPClassExtendedNegotiation()
        relational.sop_class_uid, relational.service_class_application_information = STUDIES, b"\x01\x00"
        asked = query("IMAGE", PatientName="name1*", SOPInstanceUID="")
        with dial(server, items=[relational]) as association:
            assert [status for status, _ in ask(association, asked)] == [0xFF00, 0xFF00, 0]
        with dial(server) as association:
            assert [status for status, _ in ask(association, asked)] == [0xA900]


def test_names_and_sequences_of_answers(tmp_path: Path) -> None:
    """An answer is in the character set of the request where that has all of it, sequences included."""
    code = Dataset()
    code.CodeMeaning = "Schädel"
    made = image("1.1.1", SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen", ProcedureCodeSequence=[code])
    with Archive(tmp_path) as archive, served(archive) as server:
        store(server, made)
        with dial(server) as association:
            for sets in ("ISO_IR 100", "ISO_IR 192"):
                asked = query("STUDY", SpecificCharacterSet=sets, PatientName="müller*")
                ((_, found), _) = ask(association, asked)
                assert (found.PatientName, found.SpecificCharacterSet) == ("Müller^Jürgen", sets)
                asked.ProcedureCodeSequence = [Dataset()]
                ((_, found), _) = ask(association, asked)
                assert (found.PatientName, found.SpecificCharacterSet) == ("Müller^Jürgen", sets)
                assert found.ProcedureCodeSequence[0].CodeMeaning == "Schädel"


def test_duplicates(tmp_path: Path) -> None:
    """The same instance again, with other bytes, or of another study: index and file agree."""
    cases: list[tuple[Duplicates, str]] = [("replace", "second"), ("ignore", "first")]
    for duplicates, wanted in cases:
        with Archive(tmp_path / duplicates, duplicates=duplicates) as archive, served(archive) as server:
            first = image("1.1.1", SeriesDescription="first")
            second = image("1.1.1", SeriesDescription="second")
            moved = image("1.1.1", StudyInstanceUID="1.2.77", SeriesInstanceUID="1.2.78", SeriesDescription="moved")
            assert store(server, first, second) == [0, 0]
            assert [dcmread(path).SeriesDescription for path in archive.files.rglob("*.dcm")] == [wanted]
            assert archive.verify() == []
            assert store(server, moved) == [0]
            assert archive.verify() == []
            assert [dcmread(path).SeriesDescription for path in archive.files.rglob("*.dcm")] == [
                "moved" if duplicates == "replace" else "first"
            ]


def test_an_object_without_a_place_is_refused(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive, served(archive) as server:
        lacking = image()
        del lacking.StudyInstanceUID
        assert store(server, lacking, image("2.1.1")) == [0xC000, 0]
        assert archive.verify() == []


def test_what_could_not_be_indexed_is_when_the_archive_is_opened_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A700H is answered, but the file is there, and may have taken the place of another one."""

    def fail(*_: Any) -> None:
        raise OperationalError("INSERT", None, Exception("disk I/O error"))

    with Archive(tmp_path) as archive, served(archive) as server:
        assert store(server, image("1.1.1", SeriesDescription="first")) == [0]
        with monkeypatch.context() as patched:
            patched.setattr("dicom_transports._archive.index.storing.Writer.add", fail)
            assert store(server, image("1.1.1", SeriesDescription="second"), image("1.1.2")) == [0xA700, 0xA700]
        assert {one.kind for one in archive.verify()} == {"other bytes", "no row"}
    with Archive(tmp_path) as archive:
        assert archive.verify() == []
    assert not list((tmp_path / "running").iterdir())


# --- index and files --------------------------------------------------------------------------------------------------


def test_differences_are_found_and_mended(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive, served(archive) as server:
        store(server, *EVERYTHING)
        changed, gone, new = (archive.files / one for one in ("1.2.1.1/1.2.1.1.1/1.2.1.1.1.1.dcm",
            "1.2.1.1/1.2.1.1.1/1.2.1.1.1.2.dcm", "1.2.2.1/1.2.2.1.1/1.2.2.1.1.9.dcm"))  # fmt: skip
        changed.write_bytes(changed.read_bytes()[:-1] + b"X")
        gone.unlink()
        image("2.1.9").save_as(new, enforce_file_format=True)
        names = [path.relative_to(archive.files).as_posix() for path in (changed, gone, new)]
        kinds = ("other bytes", "no file", "no row")
        assert archive.verify() == [Difference(kind, name) for kind, name in zip(kinds, names, strict=True)]  # type: ignore[arg-type]
        told: list[tuple[int, int]] = []
        assert archive.reindex(lambda done, of: told.append((done, of))) == 3
        assert told[-1] == (3, 3)
        assert archive.verify() == []


KILLED = """
import os, sys
from pathlib import Path
from dicom_transports.archive import Archive
from dicom_transports._archive.index.checking import Checker
from tests.archive.objects import image, written

archive = Archive(sys.argv[1])
Checker.mark_leaving(archive._checker, [1])
written(archive.files, image("2.1.1"))
os._exit(9)
"""


def test_after_a_kill_index_and_files_are_in_step(tmp_path: Path) -> None:
    """What was in a file and not in the index yet, and what was being removed."""
    with Archive(tmp_path) as archive, served(archive) as server:
        store(server, *EVERYTHING[:2])
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    root = Path(__file__).parents[2]
    assert subprocess.run(command, check=False, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}).returncode == 9
    assert len(list((tmp_path / "running").iterdir())) == 1
    with Archive(tmp_path) as again:
        assert again.verify() == []
        assert sorted(path.name for path in again.files.rglob("*.dcm")) == ["1.2.1.1.1.2.dcm", "1.2.2.1.1.1.dcm"]
        assert len(list((tmp_path / "running").iterdir())) == 1
    assert not list((tmp_path / "running").iterdir())
