"""Objects that are received into files, over loopback: what is there afterwards, whatever went wrong."""

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_proto.dimse.messages import CStoreRQ
from dicom_proto.encoding.datasets import encode, file_preamble_and_meta
from dicom_proto.errors import InvalidSettingError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.sinks import Refused, Sink, Streamed
from dicom_proto.sop_class import CTImageStorage
from dicom_proto.testing.pair import offer
from dicom_transports._files import reading as _files
from dicom_transports._files.reading import read_object
from dicom_transports.blocking import evt
from dicom_transports.storage import GroupCommit, store_in_file, store_to, sweep
from tests.contract.adapters import WAIT, Peer
from tests.contract.entities import CT_ROLES, GET, MOVE, dataset, dial, entity, serving
from tests.contract.storing import DEFLATED, EXPLICIT, IMPLICIT, ct, files, scp, scu, sending, stored
from tests.proto.dimse.pairs import fragments, p_data, raw

pytestmark = pytest.mark.usefixtures("adapter")

BY_STUDY = "{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm"
SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000


class Moment:
    """Something that another thread waits for."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> None:
        self._event.set()

    def wait(self) -> None:
        assert self._event.wait(WAIT)


class Watched(Sink):
    """Another sink, whose end can be waited for, and that can be made to fail."""

    def __init__(self, sink: Sink, *, fail: Callable[[int], None] = lambda _: None) -> None:
        self._sink = sink
        self._fail = fail
        self.has_begun, self.is_discarded = Moment(), Moment()

    def open(self, event: RequestEvent) -> Any:
        return _Watched(self, self._sink.open(event), self._fail)


class _Watched:
    def __init__(self, watched: Watched, receiving: Any, fail: Callable[[int], None]) -> None:
        self._watched = watched
        self._receiving = receiving
        self._fail = fail
        self._length = 0
        self.finish = receiving.finish

    def write(self, data: Any) -> None:
        self._length += len(data)
        self._fail(self._length)
        self._receiving.write(data)
        self._watched.has_begun()

    def discard(self) -> None:
        self._receiving.discard()
        self._watched.is_discarded()


# --- what is stored ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["each", "none", GroupCommit()])
@pytest.mark.parametrize("size", [0, 100, 3_000_000])
def test_an_object_becomes_a_file(tmp_path: Path, durability: Any, size: int) -> None:
    image = ct(size=size)
    with sending(store_to(tmp_path / "new" / "archive", durability=durability)) as association:
        assert association.send_c_store(image).Status == SUCCESS
    assert files(tmp_path) == ["new/archive/1.2.3.1.dcm"]
    found = dcmread(tmp_path / "new" / "archive" / "1.2.3.1.dcm")
    assert found == image
    assert found.preamble == bytes(128)
    assert found.file_meta.MediaStorageSOPInstanceUID == "1.2.3.1"
    assert found.file_meta.TransferSyntaxUID in {IMPLICIT, EXPLICIT}
    assert found.file_meta.SourceApplicationEntityTitle == "SENDER"


def test_pieces_of_any_size_end_up_in_order(tmp_path: Path) -> None:
    data = encode(ct(), IMPLICIT) + b"\xe0\x7f\x10\x00" + (1 << 20).to_bytes(4, "little") + os.urandom(1 << 20)
    requestor = scu(IMPLICIT)
    acceptor = scp()
    acceptor.maximum_pdu_size = 128
    with (
        serving((evt.EVT_C_STORE, store_to(tmp_path)), ae=acceptor) as server,
        dial(server, ae=requestor) as association,
    ):
        assert association.send_c_store(stored(data)).Status == SUCCESS
    assert (tmp_path / "1.2.3.1.dcm").read_bytes().endswith(data)


RETRIEVED = {"1.2.3.1.dcm": encode(ct(1), IMPLICIT), "1.2.3.2.dcm": encode(ct(2, size=3_000_000), IMPLICIT)}
WANTED = dataset(QueryRetrieveLevel="PATIENT", PatientID="P1")


def retrieved(_event: Any) -> Any:
    yield len(RETRIEVED)
    for name, data in RETRIEVED.items():
        uid = name.removesuffix(".dcm")
        yield 0xFF00, file_preamble_and_meta(CTImageStorage, uid, IMPLICIT) + data


def data_sets(directory: Path) -> dict[str, bytes]:
    return {name: bytes(read_object(directory / name).data_set) for name in files(directory)}


@pytest.mark.parametrize("durability", ["each", GroupCommit(seconds=3600)])
def test_objects_come_by_c_get_as_well(tmp_path: Path, durability: Any) -> None:
    archive = entity("ARCHIVE", CTImageStorage, GET)
    sink: Any = store_to(tmp_path, durability=durability)
    with (
        serving((evt.EVT_C_GET, retrieved), ae=archive) as server,
        dial(server, (evt.EVT_C_STORE, sink), ae=archive, ext_neg=[CT_ROLES]) as association,
    ):
        *_, (status, _) = association.send_c_get(WANTED, GET)
    assert (status.Status, status.NumberOfCompletedSuboperations) == (SUCCESS, 2)
    assert data_sets(tmp_path) == RETRIEVED


def test_objects_come_by_c_move_as_well(tmp_path: Path) -> None:
    archive = entity("ARCHIVE", CTImageStorage, MOVE)
    with serving((evt.EVT_C_STORE, store_to(tmp_path)), ae=scp()) as destination:

        def move(event: Any) -> Any:
            yield destination.address if event.move_destination == "STORE" else (None, None)
            yield from retrieved(event)

        with serving((evt.EVT_C_MOVE, move), ae=archive) as server, dial(server, ae=archive) as association:
            *_, (status, _) = association.send_c_move(WANTED, "STORE", MOVE)
    assert (status.Status, status.NumberOfCompletedSuboperations) == (SUCCESS, 2)
    assert data_sets(tmp_path) == RETRIEVED


def test_a_retrieval_goes_on_behind_an_object_that_cannot_be_stored(tmp_path: Path) -> None:
    archive = entity("ARCHIVE", CTImageStorage, GET)
    (tmp_path / "1.2.3.1.dcm").mkdir()
    with (
        serving((evt.EVT_C_GET, retrieved), ae=archive) as server,
        dial(server, (evt.EVT_C_STORE, store_to(tmp_path)), ae=archive, ext_neg=[CT_ROLES]) as association,
    ):
        *_, (status, failed) = association.send_c_get(WANTED, GET)
    assert (status.Status, status.NumberOfFailedSuboperations) == (0xB000, 1)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == "1.2.3.1"
    assert data_sets(tmp_path) == {"1.2.3.2.dcm": RETRIEVED["1.2.3.2.dcm"]}


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT, DEFLATED])
def test_files_are_named_after_what_is_in_them(tmp_path: Path, transfer_syntax: str) -> None:
    name = "{CallingAETitle}/{Modality}-{PatientID}/{StudyInstanceUID}/{SOPClassUID}/x {SOPInstanceUID}.dcm.part"
    data = encode(ct(Modality="CT", size=100_000), transfer_syntax)
    with sending(store_to(tmp_path, name), transfer_syntax) as association:
        assert association.send_c_store(stored(data, transfer_syntax)).Status == SUCCESS
    assert files(tmp_path) == [f"SENDER/CT-P1/1.9/{CTImageStorage}/x_1.2.3.1.dcm.part"]


HOSTILE = ["../../x", "..", ".", "/etc/passwd", "a\0b", "Jürgen 日本", "", "9" * 300, "~", "a" * 64, "C:\\x"]


@pytest.mark.parametrize("patient", HOSTILE)
def test_hostile_values_stay_below_the_directory(tmp_path: Path, patient: str) -> None:
    directory = tmp_path / "a" / "b" / "archive"
    value = patient.encode()
    value += b" " * (len(value) % 2)
    image = encode(ct(), IMPLICIT)
    element = b"\x10\x00\x20\x00" + (2).to_bytes(4, "little") + b"P1"
    data = image.replace(element, element[:4] + len(value).to_bytes(4, "little") + value)
    with sending(store_to(directory, BY_STUDY), IMPLICIT) as association:
        assert association.send_c_store(stored(data)).Status == SUCCESS
    (found,) = files(tmp_path)
    parts = Path(found).parts
    assert (parts[:3], parts[4:], len(parts)) == (("a", "b", "archive"), ("1.9", "1.2.3.1.dcm"), 6)
    assert len(parts[3]) <= 64
    assert parts[3].isascii()
    assert not parts[3].startswith(".")
    assert (tmp_path / found).read_bytes().endswith(data)


def test_elements_that_are_missing_have_a_name(tmp_path: Path) -> None:
    image = dataset(SOPClassUID=CTImageStorage, SOPInstanceUID="1.2.3.1")
    with sending(store_to(tmp_path, BY_STUDY)) as association:
        assert association.send_c_store(image).Status == SUCCESS
    assert files(tmp_path) == ["_/_/1.2.3.1.dcm"]


@pytest.mark.parametrize("uid", ["../../x", "1.2/3.4", "a\\b.c.d"])
def test_a_sop_instance_uid_that_is_none_is_refused(tmp_path: Path, uid: str) -> None:
    with serving((evt.EVT_C_STORE, store_to(tmp_path)), ae=scp()) as server, Peer.dial(server.address) as peer:
        peer.send(offer(CTImageStorage))
        peer.get()
        request = CStoreRQ(message_id=1, affected_sop_class_uid=CTImageStorage, affected_sop_instance_uid="1.2.3.4")
        peer.send(raw(request, b"ab").replace(b"1.2.3.4", uid.encode()))
        ((_, _, command),) = peer.get_data()
    assert b"\0\0\0\x09\2\0\0\0\x17\1" in command
    assert files(tmp_path) == []


IRREGULAR = ["1.2.a:b", "1.2.a_b", "1.2.a b", "1.2.A_B", "-1.2.a", "_1.2.a", "nul", "_nul", "1.2.", "1.2_"]


@pytest.mark.parametrize("duplicates", ["replace", "ignore", "keep"])
def test_irregular_uids_never_share_a_file(tmp_path: Path, duplicates: Any) -> None:
    """Nor do those that are what another one's file is called; a regular one is a name as it is (PS3.5 9.1)."""
    sink = store_to(tmp_path, duplicates=duplicates)
    sent: dict[str, bytes] = {}
    with serving((evt.EVT_C_STORE, sink), ae=scp()) as server, Peer.dial(server.address) as peer:
        peer.send(offer(CTImageStorage))
        peer.get()

        def store(uid: str) -> None:
            request = CStoreRQ(message_id=1, affected_sop_class_uid=CTImageStorage, affected_sop_instance_uid=uid)
            data = b"\x08\0\x05\0\n\0\0\0ISO_IR 100" + b"\x10\0\x20\0\x02\0\0\0" + b"%02d" % len(sent)
            peer.send(raw(request, data))
            ((_, _, command),) = peer.get_data()
            assert b"\0\0\0\x09\2\0\0\0\0\0" in command
            sent[uid] = data

        for uid in IRREGULAR:
            store(uid)
        for name in [name.removesuffix(".dcm") for name in files(tmp_path)]:
            store(name)
        store("1.02.3")
    names = files(tmp_path)
    assert len({name.lower() for name in names}) == len(sent) == 2 * len(IRREGULAR) + 1
    assert sorted((tmp_path / name).read_bytes()[-2:] for name in names) == sorted(data[-2:] for data in sent.values())
    assert "1.02.3.dcm" in names


# --- duplicates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("duplicates", "patients"), [("replace", ["B"]), ("ignore", ["A"]), ("keep", ["A", "B"])])
def test_duplicates(tmp_path: Path, duplicates: Any, patients: list[str]) -> None:
    told: list[Path] = []
    sink = store_to(tmp_path, "{SOPInstanceUID}", duplicates=duplicates, on_stored=lambda path, _: told.append(path))
    with sending(sink) as association:
        for patient in "AB":
            assert association.send_c_store(ct(PatientID=patient)).Status == SUCCESS
    assert sorted(dcmread(path).PatientID for path in tmp_path.iterdir()) == patients
    assert "1.2.3.1" in files(tmp_path)
    assert all(name.startswith("1.2.3.1") for name in files(tmp_path))
    assert set(told) == set(tmp_path.iterdir())


# --- who is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "status"), [(None, SUCCESS), (0xB000, 0xB000), ("nonsense", 0xC002)])
def test_whoever_wants_to_know_is_told(tmp_path: Path, answer: Any, status: int) -> None:
    told: list[Any] = []

    def on_stored(path: Path, event: Any) -> Any:
        told.append((path, dcmread(path).PatientID, event.request.AffectedSOPInstanceUID, event.timestamp is not None))
        return answer

    with sending(store_to(tmp_path, on_stored=on_stored)) as association:
        assert association.send_c_store(ct()).Status == status
    assert told == [(tmp_path / "1.2.3.1.dcm", "P1", "1.2.3.1", True)]


def test_the_file_stays_if_whoever_is_told_fails(tmp_path: Path) -> None:
    def on_stored(_path: Path, _event: Any) -> None:
        raise ZeroDivisionError

    with sending(store_to(tmp_path, on_stored=on_stored)) as association:
        assert association.send_c_store(ct()).Status == 0xC211
    assert files(tmp_path) == ["1.2.3.1.dcm"]


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "same.dcm",
        "/{SOPInstanceUID}",
        "{PatientID}//{SOPInstanceUID}",
        "{SOPInstanceUID}/",
        "{}.dcm",
        "{0}",
        "{PatientID",
        "{PatientID!r}",
        "{Rows:4}",
        "{Rows}",
        "{PixelData}",
        "{Nonsense}",
        "{TransferSyntaxUID}",
        "{SOPInstanceUID.__class__}",
    ],
)
def test_templates_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSettingError):
        store_to(tmp_path, name)


def test_policies_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match="replace, ignore, keep"):
        store_to(tmp_path, duplicates="rename")  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError, match="refuse, keep"):
        store_to(tmp_path, mismatches="ignore")  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError, match="each, none"):
        store_to(tmp_path, durability="often")  # type: ignore[arg-type]


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        store_to(tmp_path / "file" / "archive")


# --- when it goes wrong -----------------------------------------------------------------------------------------------


def test_a_full_disk_costs_one_object() -> None:
    sink = store_in_file(lambda _: open("/dev/full", "wb", buffering=0), lambda *_: SUCCESS)  # noqa: SIM115, PTH123
    with sending(sink) as association:
        for _ in range(3):
            assert association.send_c_store(ct(size=3_000_000)).Status == OUT_OF_RESOURCES


@pytest.mark.parametrize("at", [1, 2_000_000])
def test_a_disk_that_becomes_full_leaves_no_file(tmp_path: Path, at: int) -> None:
    def fail(length: int) -> None:
        if at <= length <= at + 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    sink = Watched(store_to(tmp_path), fail=fail)
    with sending(sink) as association:
        assert association.send_c_store(ct(1, size=20_000_000)).Status == OUT_OF_RESOURCES
        sink.is_discarded.wait()
        assert files(tmp_path) == []
        sink._fail = lambda _: None  # noqa: SLF001 - there is room again
        assert association.send_c_store(ct(2, size=3_000_000)).Status == SUCCESS
    assert files(tmp_path) == ["1.2.3.2.dcm"]


@pytest.mark.parametrize("call", ["fsync", "writev", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("durability", ["each", GroupCommit()])
def test_whatever_fails_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, durability: Any
) -> None:
    def fail(*_arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    with sending(store_to(tmp_path, durability=durability)) as association:
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            assert association.send_c_store(ct(1)).Status == OUT_OF_RESOURCES
        assert files(tmp_path) == []
        assert association.send_c_store(ct(2)).Status == SUCCESS


def test_a_directory_that_is_read_only(tmp_path: Path) -> None:
    sink = store_to(tmp_path / "archive")
    with sending(sink) as association:
        if os.access(tmp_path, os.W_OK) and os.geteuid() == 0:  # whom nothing is read-only for
            (tmp_path / "archive").rmdir()
        else:
            (tmp_path / "archive").chmod(0o500)
        assert association.send_c_store(ct()).Status == OUT_OF_RESOURCES
    assert files(tmp_path) == []


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with sending(store_to(tmp_path, "{SOPInstanceUID}" + "x" * 300)) as association:
        assert association.send_c_store(ct()).Status == OUT_OF_RESOURCES
    assert files(tmp_path) == []


@pytest.mark.parametrize("duplicates", ["replace", "ignore", "keep"])
@pytest.mark.parametrize(("name", "second"), [(BY_STUDY, "P2/1.9/1.2.3.1.dcm"), ("{PatientID}/{Modality}", "P2/_")])
def test_a_file_where_a_directory_has_to_be(tmp_path: Path, duplicates: Any, name: str, second: str) -> None:
    (tmp_path / "P1").touch()
    with sending(store_to(tmp_path, name, duplicates=duplicates)) as association:
        assert association.send_c_store(ct()).Status == OUT_OF_RESOURCES
        assert association.send_c_store(ct(PatientID="P2")).Status == SUCCESS
    assert files(tmp_path) == ["P1", second]


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, DEFLATED])
def test_a_data_set_that_is_none_cannot_be_named(tmp_path: Path, transfer_syntax: str) -> None:
    with sending(store_to(tmp_path, BY_STUDY), transfer_syntax) as association:
        assert (
            association.send_c_store(stored(b"\x08\0\x60\0" + b"\xff" * 100, transfer_syntax)).Status
            == CANNOT_UNDERSTAND
        )
    assert files(tmp_path) == []


def beginning(address: tuple[str, int]) -> Peer:
    """A peer that has sent half of an object."""
    peer = Peer.dial(address)
    peer.send(offer(CTImageStorage))
    peer.get()
    request = CStoreRQ(message_id=1, affected_sop_class_uid=CTImageStorage, affected_sop_instance_uid="1.2.3.1")
    command, (context, _, data) = fragments(request, encode(ct(size=2000), IMPLICIT))
    peer.send(p_data(command), p_data((context, 0, data)))  # and it is not the last
    return peer


@pytest.mark.parametrize("way", ["closed", "reset", "shut down"])
def test_half_an_object_leaves_no_file(tmp_path: Path, way: str) -> None:
    sink = Watched(store_to(tmp_path))
    with serving((evt.EVT_C_STORE, sink), ae=scp()) as server, beginning(server.address) as peer:
        sink.has_begun.wait()
        assert len(files(tmp_path)) == 1
        if way == "shut down":
            server.shutdown()
        else:
            peer.vanish(reset=way == "reset")
        sink.is_discarded.wait()
    assert files(tmp_path) == []


# --- what is left behind ----------------------------------------------------------------------------------------------


def test_what_the_dead_leave_behind_is_removed_and_nothing_else(tmp_path: Path) -> None:
    stale = tmp_path / ".incoming-0123456789abcdef"
    stale.write_bytes(b"half of it")
    (tmp_path / ".incoming-directory").mkdir()
    (tmp_path / ".incoming-link").symlink_to(tmp_path / "1.2.3.dcm")
    (tmp_path / "1.2.3.dcm").write_bytes(b"all of it")
    with _files.IncomingFile(tmp_path) as alive:
        alive.write(b"half of it")
        assert sweep(tmp_path) == [stale]
        assert sweep(tmp_path) == []
        alive.commit(tmp_path / "object")
    assert files(tmp_path) == [".incoming-link", "1.2.3.dcm", "object"]


def test_storing_begins_with_a_sweep(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".incoming-1").touch()
    store_to(tmp_path)
    assert files(tmp_path) == []
    assert "1 temporary files have been removed" in caplog.text
    assert str(tmp_path) not in caplog.text  # names of directories may be those of patients


def test_a_file_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    swept: list[Path] = []

    def late(file: Any, how: int) -> None:
        if not swept:
            swept.append(Path(file.name))
            swept[0].unlink()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with _files.IncomingFile(tmp_path) as file:
        file.write(b"all of it")
        file.commit(tmp_path / "object")
    assert len(swept) == 1
    assert files(tmp_path) == ["object"]


def test_a_file_system_without_locks_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_file: Any, _how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", fail)
    with sending(store_to(tmp_path)) as association:
        assert association.send_c_store(ct()).Status == SUCCESS
    (tmp_path / ".incoming-1").touch()
    assert sweep(tmp_path) == []


# --- files of the user, and streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [None, 7])
def test_a_file_of_the_user_is_filled(start: int | None) -> None:
    seen: list[Any] = []

    def get_file(_event: Any) -> Any:
        file = BytesIO(b"before ")
        file.seek(7)
        return file if start is None else (file, 0)

    def then(event: Any, file: BytesIO) -> Any:
        seen.append((event.request.AffectedSOPInstanceUID, file.tell()))
        file.seek(7)
        seen.append(dcmread(file).PatientID)
        return 0xB000

    with sending(store_in_file(get_file, then)) as association:
        assert association.send_c_store(ct(size=1_000_000)).Status == 0xB000
    assert seen == [("1.2.3.1", 7 if start is None else 0), "P1"]


def test_a_file_of_the_user_is_closed(tmp_path: Path) -> None:
    opened: list[Any] = []

    def get_file(event: Any) -> Any:
        opened.append((tmp_path / str(event.request.AffectedSOPInstanceUID)).open("xb"))
        return opened[-1]

    with sending(store_in_file(get_file)) as association:
        assert association.send_c_store(ct()).Status == SUCCESS
        assert association.send_c_store(ct()).Status == OUT_OF_RESOURCES  # it is there already
    assert [file.closed for file in opened] == [True]
    assert dcmread(tmp_path / "1.2.3.1").PatientID == "P1"


def test_then_may_say_nothing() -> None:
    with sending(store_in_file(lambda _: BytesIO(), lambda *_: None)) as association:
        assert association.send_c_store(ct()).Status == SUCCESS


class Trickle:
    """A file that takes little at a time, and does not always say how much."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.closed = False

    def write(self, data: memoryview) -> int | None:
        if len(data) < 5:
            self.data += data
            return None
        self.data += data[:5]
        return 5

    def close(self) -> None:
        self.closed = True


def test_a_file_of_the_user_may_take_little_at_a_time() -> None:
    file = Trickle()
    with sending(store_in_file(lambda _: file)) as association:
        assert association.send_c_store(ct(size=1000)).Status == SUCCESS
    assert dcmread(BytesIO(bytes(file.data))).PatientID == "P1"
    assert file.closed


def test_a_stream() -> None:
    lengths: list[int] = []

    def take(_event: Any, most: int) -> Any:
        length = 0
        while (piece := (yield)) is not None:
            length += len(piece)
            if length > most:
                return 0xA700
        lengths.append(length)
        return 0x0000

    handler = (evt.EVT_C_STORE, Streamed(take), [1_000_000])
    with serving(handler, ae=scp()) as server, dial(server, ae=scu()) as association:
        assert association.send_c_store(ct(size=500_000)).Status == SUCCESS
        assert association.send_c_store(ct(size=5_000_000)).Status == OUT_OF_RESOURCES
        assert association.send_c_store(ct(size=500_000)).Status == SUCCESS
    assert len(lengths) == 2
    assert min(lengths) > 500_000


def test_an_object_that_is_not_wanted_is_read_and_dropped() -> None:
    class Known(Sink):
        def open(self, event: RequestEvent) -> Any:  # noqa: ARG002 - it knows them all
            raise Refused(SUCCESS)

    with sending(Known()) as association:
        assert association.send_c_store(ct(size=5_000_000)).Status == SUCCESS
        assert association.send_c_store(ct(size=10)).Status == SUCCESS
