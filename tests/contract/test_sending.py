"""Objects that are sent: from files and whatever else, one by one and many, over associations that may be lost."""

import asyncio
import gc
import gzip
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import aclosing
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
import trio
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from dicom_proto.encoding.datasets import encode, file_preamble_and_meta
from dicom_proto.errors import InvalidSettingError, LocalProtocolError, NoContextError
from dicom_proto.handlers.sinks import Streamed
from dicom_proto.offers.items import UserIdentityNegotiation
from dicom_proto.programs.effects import END
from dicom_proto.services.storage.pipeline import NotStored
from dicom_proto.sop_class import CTImageStorage, MRImageStorage
from dicom_proto.upper_layer.failures import AssociationAborted
from dicom_transports import asyncio as over_asyncio
from dicom_transports import trio as over_trio
from dicom_transports._files.reading import UnreadableFileError, as_storable, read_object
from dicom_transports.blocking import AE, AssociationServer, evt
from tests.contract.adapters import WAIT, make_ae
from tests.contract.entities import Happened, dataset, dial, serving

IMPLICIT, EXPLICIT, RLE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
DEFLATED = "1.2.840.10008.1.2.1.99"
SUCCESS = 0x0000
LONG = 100_000  # bytes, which are mapped


def image(number: int = 1, size: int = 0, sop_class: str = CTImageStorage) -> Dataset:
    made = dataset(SOPClassUID=sop_class, SOPInstanceUID=f"1.2.3.{number}", PatientID="P1")
    if size:
        made.add_new("PixelData", "OW", bytes(size))
    return made


def compressed() -> Dataset:
    """An image of 2 x 2 pixels: 1, 2, 3, 4."""
    made = image()
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.Rows = made.Columns = 2
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelRepresentation = 0
    head = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    made.add_new("PixelData", "OB", encapsulate([head + bytes([3, 1, 2, 3, 4, 0])]))
    made.file_meta = file_meta(RLE)
    return made


def file_meta(transfer_syntax: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.3.1")
    return meta


def content(what: Dataset, transfer_syntax: str = EXPLICIT) -> bytes:
    head = file_preamble_and_meta(what.SOPClassUID, what.SOPInstanceUID, transfer_syntax)
    return head + encode(what, transfer_syntax)


def write(directory: Path, number: int = 1, size: int = 0, sop_class: str = CTImageStorage) -> Path:
    path = directory / f"{number}.dcm"
    path.write_bytes(content(image(number, size, sop_class)))
    return path


class Store:
    """A handler that keeps what it gets, and can be told to end the association instead."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.uids: list[str] = []
        self.associations: set[Any] = set()
        self.windows: list[Any] = []
        self.aborts: list[str] = []

    def __call__(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in self.aborts:
            self.aborts.remove(uid)
            event.assoc.abort()
            return SUCCESS
        self.uids.append(uid)
        self.data.append(event.encoded_dataset(include_meta=False))
        self.associations.add(event.assoc.remote["port"])
        return SUCCESS


def scp(*transfer_syntaxes: str, sop_classes: tuple[str, ...] = (CTImageStorage,)) -> AE:
    ae = make_ae("STORE")
    for uid in sop_classes:
        ae.add_supported_context(uid, list(transfer_syntaxes) or [EXPLICIT, IMPLICIT])
    ae.maximum_operations_performed = 8
    return ae


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def server(adapter: Any, store: Store) -> Iterator[AssociationServer]:  # noqa: ARG001 - it is in use
    with serving((evt.EVT_C_STORE, store), ae=scp()) as server:
        yield server


def outcome(results: Any) -> list[Any]:
    """For each result its status, or the type of the failure."""
    return [type(status.failure) if isinstance(status, NotStored) else status.Status for _, status in results]


# --- what can be sent -------------------------------------------------------------------------------------------------


def in_a_temporary_file(directory: Path, size: int) -> Any:
    file = (directory / "other").open("w+b")
    file.write(b"before" + content(image(size=size)))
    file.seek(6)
    return file


def in_a_compressed_file(directory: Path, size: int) -> Any:
    with gzip.open(directory / "file.gz", "wb") as file:
        file.write(content(image(size=size)))
    return gzip.open(directory / "file.gz")


KINDS: dict[str, Callable[[Path, int], Any]] = {
    "str": lambda directory, size: str(write(directory, size=size)),
    "path": lambda directory, size: write(directory, size=size),
    "data set": lambda _, size: image(size=size),
    "content": lambda _, size: content(image(size=size)),
    "file": lambda directory, size: write(directory, size=size).open("rb"),
    "raw file": lambda directory, size: write(directory, size=size).open("rb", buffering=0),
    "temporary file": in_a_temporary_file,
    "compressed file": in_a_compressed_file,
    "bytes": lambda _, size: BytesIO(content(image(size=size))),
    "meta": lambda _, size: (file_meta(EXPLICIT), encode(image(size=size), EXPLICIT)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, LONG])
def test_whatever_holds_an_object(
    server: AssociationServer, store: Store, kind: str, size: int, tmp_path: Path
) -> None:
    what = KINDS[kind](tmp_path, size)
    ae = make_ae()
    ae.add_requested_context(CTImageStorage, EXPLICIT)
    with dial(server, ae=ae) as association:
        assert association.send_c_store(what).Status == SUCCESS
        [(item, status)] = association.send_c_stores([what])
        assert (item is what, status.Status) == (True, SUCCESS)
    assert outcome(make_ae().send_c_stores(*server.address, [what])) == [SUCCESS]
    assert store.data == [encode(image(size=size), EXPLICIT)] * 3
    if hasattr(what, "close"):
        what.close()


def test_a_deflated_file_that_lacks_its_padding() -> None:
    path = Path(str(get_testdata_file("image_dfl.dcm", download=False)))
    data = bytes(read_object(path).data_set)
    assert len(data) % 2
    store, ae = Store(), make_ae()
    uid = "1.2.840.10008.5.1.4.1.1.7"
    ae.add_requested_context(uid, DEFLATED)
    with (
        serving((evt.EVT_C_STORE, store), ae=scp(DEFLATED, sop_classes=(uid,))) as server,
        dial(server, ae=ae) as association,
    ):
        assert association.send_c_store(path).Status == SUCCESS
        assert [status.Status for _, status in association.send_c_stores([path])] == [SUCCESS]
    assert store.data == [data + b"\0"] * 2


def test_a_file_with_a_long_head(tmp_path: Path) -> None:
    head = file_preamble_and_meta(CTImageStorage, "1.2.3.1", EXPLICIT)
    private = b"\2\0\2\1OB\0\0" + (6000).to_bytes(4, "little") + bytes(6000)
    path = tmp_path / "long"
    path.write_bytes(head + private + encode(image(), EXPLICIT))
    assert bytes(as_storable(path).data) == encode(image(), EXPLICIT)


def closed(directory: Path) -> Any:
    with write(directory).open("rb") as file:
        return file


class Nothing:
    """A stream that has nothing now."""

    def read(self, _size: int) -> None:
        return None


BAD: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "missing": (lambda directory: directory / "none", FileNotFoundError, "No such file"),
    "directory": (lambda directory: directory, IsADirectoryError, "Is a directory"),
    "empty": (lambda directory: KINDS["path"](directory, 0), UnreadableFileError, "a file cannot be read: it is empty"),
    "other": (lambda _: Path(__file__), UnreadableFileError, "a file cannot be read: this is no"),
    "text": (lambda _: StringIO("text"), UnreadableFileError, "cannot be read: it was not opened as a binary"),
    "closed": (closed, UnreadableFileError, "cannot be read: .*closed"),
    "bytes": (lambda _: BytesIO(b"no file"), UnreadableFileError, "cannot be read: this is no"),
    "nothing": (lambda _: Nothing(), UnreadableFileError, "cannot be read: .*NoneType"),
    "number": (lambda _: 5, InvalidSettingError, "int cannot be stored"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_read(server: AssociationServer, kind: str, tmp_path: Path) -> None:
    make, error, words = BAD[kind]
    what = make(tmp_path)
    if kind == "empty":
        what.write_bytes(b"")
    ae = make_ae()
    ae.add_requested_context(CTImageStorage)
    with dial(server, ae=ae) as association:
        with pytest.raises(error, match=words):
            association.send_c_store(what)
        (_, one), (_, two) = association.send_c_stores([what, image()])
    assert outcome([(what, one), (what, two)]) == [error, SUCCESS]
    assert outcome(make_ae().send_c_stores(*server.address, [what, image()])) == [error, SUCCESS]


@pytest.mark.usefixtures("adapter")
def test_compressed_objects(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "rle.dcm"
    path.write_bytes(content(compressed(), RLE))
    with serving((evt.EVT_C_STORE, store), ae=scp(IMPLICIT)) as server:
        ae = make_ae()
        ae.add_requested_context(CTImageStorage)
        with dial(server, ae=ae) as association:
            with pytest.raises(
                NoContextError, match=r"SOP Instance 1.2.3.1 in RLE Lossless .* is Implicit .*could be decompressed"
            ):
                association.send_c_store(path)
            assert association.send_c_store(path, decompress=True).Status == SUCCESS
            assert outcome(association.send_c_stores([path, compressed()])) == [NoContextError] * 2
            assert outcome(association.send_c_stores([path, compressed()], decompress=True)) == [SUCCESS] * 2
        [(_, status)] = make_ae().send_c_stores(*server.address, [path])
        assert "SOP Instance 1.2.3.1 in RLE Lossless" in str(status.failure)
        assert outcome(make_ae().send_c_stores(*server.address, [path], decompress=True)) == [SUCCESS]
    assert len(store.data) == 4
    assert all(data.endswith(bytes([1, 2, 3, 4])) for data in store.data)


# --- many -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 4, 0])
def test_many(server: AssociationServer, store: Store, window: int, tmp_path: Path) -> None:
    seen: list[int] = []
    accepted = Happened()
    items = [write(tmp_path, number, LONG if number % 3 else 0) for number in range(20)]
    results = list(
        make_ae("SENDER").send_c_stores(
            *server.address,
            iter(items),
            "STORE",
            window=window,
            ext_neg=[UserIdentityNegotiation(user_identity_type=1, primary_field=b"me")],
            evt_handlers=[(evt.EVT_ACCEPTED, accepted)],
            on_progress=lambda objects, _: seen.append(objects),
        )
    )
    assert sorted(item for item, _ in results) == sorted(items)
    assert outcome(results) == [SUCCESS] * 20
    assert seen == list(range(1, 21))
    assert sorted(store.data) == sorted(encode(image(n, LONG if n % 3 else 0), EXPLICIT) for n in range(20))
    [event] = accepted.events
    assert event.assoc.peer.connection.invoked_window == {1: 1, 4: 4, 0: 8}[window]


@pytest.mark.usefixtures("adapter")
def test_more_contexts_than_fit(store: Store) -> None:
    uids = [f"1.2.3.{number}" for number in range(70)]
    with serving((evt.EVT_C_STORE, store), ae=scp(sop_classes=tuple(uids))) as server:
        items = [image(number, sop_class=uid) for number, uid in enumerate(uids)]
        assert outcome(make_ae().send_c_stores(*server.address, items)) == [SUCCESS] * 70
    assert len(store.associations) == 2


def test_what_has_no_answer_is_sent_again(server: AssociationServer, store: Store, tmp_path: Path) -> None:
    store.aborts = ["1.2.3.1", "1.2.3.3", "1.2.3.3"]
    items = [write(tmp_path, number, LONG) for number in range(5)]
    results = list(make_ae().send_c_stores(*server.address, items, retry_delay=0.01))
    assert outcome(results) == [SUCCESS] * 5
    assert [item for item, _ in results] == items
    assert store.uids == [f"1.2.3.{number}" for number in range(5)]
    assert len(store.associations) == 3


def test_one_that_cannot_be_stored_is_given_up(server: AssociationServer, store: Store) -> None:
    store.aborts = ["1.2.3.1"] * 2
    results = list(make_ae().send_c_stores(*server.address, map(image, range(3)), retries=1, retry_delay=0.01))
    assert outcome(results) == [SUCCESS, AssociationAborted, SUCCESS]
    assert not store.aborts


@pytest.mark.usefixtures("adapter")
def test_nobody_listens() -> None:
    with serving(ae=scp()) as server:
        address = server.address
    results = list(make_ae().send_c_stores(*address, [image(1), image(2)], retries=1, retry_delay=0.01))
    assert outcome(results) == [ConnectionRefusedError] * 2


def test_nobody_wants_the_rest(server: AssociationServer, store: Store) -> None:
    aborted = Happened()
    server.bind(evt.EVT_ABORTED, aborted)
    results = make_ae().send_c_stores(*server.address, map(image, range(100)))
    next(iter(results))
    results.close()  # type: ignore[attr-defined]
    aborted.wait("ABORTED")
    assert list(results) == []
    assert len(store.uids) < 10


def test_what_is_wrong_with_the_request_is_raised(server: AssociationServer) -> None:
    with pytest.raises(LocalProtocolError):
        list(make_ae().send_c_stores(*server.address, [image()], "a title that is too long"))
    with pytest.raises(InvalidSettingError):
        make_ae().send_c_stores(*server.address, [image()], window=-1)


async def _images() -> Any:
    for number in range(3):
        yield image(number)


def test_from_an_async_iterable(server: AssociationServer) -> None:
    ae: Any = make_ae()
    ae.add_requested_context(CTImageStorage)
    with dial(server, ae=ae) as association:
        for send in (
            lambda: association.send_c_stores(_images()),
            lambda: ae.send_c_stores(*server.address, _images()),
        ):
            if isinstance(ae, AE):
                with pytest.raises(InvalidSettingError, match="event loop"):
                    list(send())
            else:
                assert outcome(send()) == [SUCCESS] * 3


# --- resources --------------------------------------------------------------------------------------------------------


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
def test_no_descriptor_is_left(server: AssociationServer, tmp_path: Path) -> None:
    taken = write(tmp_path, 1, LONG)
    refused = write(tmp_path, 2, LONG, MRImageStorage)
    ae = make_ae()
    before = open_descriptors()
    results = list(ae.send_c_stores(*server.address, [*[refused] * 5000, *[taken] * 200], window=4))
    assert [outcome(results).count(what) for what in (NoContextError, SUCCESS)] == [5000, 200]
    for _ in range(200):
        if open_descriptors() <= before + 2:  # the server may be closing its end still
            break
        threading.Event().wait(0.01)
    assert open_descriptors() <= before + 2


def peak() -> int:
    """The most memory that this process has had, in KiB, files that it has mapped included."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def take(_: Any) -> Any:
    while (yield) is not None:
        pass
    return SUCCESS


@pytest.mark.usefixtures("adapter")
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured in /proc")
def test_a_long_file_takes_no_memory(tmp_path: Path) -> None:
    path = write(tmp_path, 1, 2)
    size = 64 << 20
    head = path.read_bytes()[:-6] + size.to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    with serving((evt.EVT_C_STORE, Streamed(take)), ae=scp()) as server:
        reset_peak()
        before = peak()
        tracemalloc.start()
        try:
            assert outcome(make_ae().send_c_stores(*server.address, [path])) == [SUCCESS]
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()
        assert peak() - before < 32 << 10


def test_a_mapping_lives_as_long_as_its_views(tmp_path: Path) -> None:
    path = write(tmp_path, 1, LONG)
    stored = as_storable(path)
    view = memoryview(stored.data)[-10:]
    del stored
    gc.collect()
    path.unlink()
    assert bytes(view) == bytes(10)
    with pytest.raises(FileNotFoundError):
        read_object(path)


# --- cancelled in the middle ------------------------------------------------------------------------------------------


class Slow(Store):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun, self.may_answer = threading.Event(), threading.Event()

    def __call__(self, event: Any) -> int:
        self.has_begun.set()
        assert self.may_answer.wait(WAIT)
        return super().__call__(event)


def test_results_that_are_waited_for_again_trio() -> None:
    slow = Slow()

    async def send(address: tuple[str, int]) -> None:
        results = over_trio.AE().send_c_stores(*address, [image(1), image(2)])
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(anext, results)
                await trio.to_thread.run_sync(slow.has_begun.wait)
                scope.cancel()
        slow.may_answer.set()
        assert outcome([sent async for sent in results]) == [SUCCESS] * 2
        async for _ in over_trio.AE().send_c_stores(*address, [image(3), image(4)]):
            break
        rest = over_trio.AE().send_c_stores(*address, [image(5), image(6)])
        assert outcome([await anext(rest)]) == [SUCCESS]
        async with aclosing(rest):  # type: ignore[type-var]
            pass
        assert [sent async for sent in rest] == []

    with serving((evt.EVT_C_STORE, slow), ae=scp()) as server:
        trio.run(send, server.address)
    assert slow.uids[:2] == ["1.2.3.1", "1.2.3.2"]


def test_results_that_are_waited_for_again_asyncio() -> None:
    slow = Slow()

    async def send(address: tuple[str, int]) -> None:
        results = over_asyncio.AE().send_c_stores(*address, [image(1), image(2)])
        task = asyncio.ensure_future(anext(results, END))
        await asyncio.to_thread(slow.has_begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        slow.may_answer.set()
        assert outcome([sent async for sent in results]) == [SUCCESS] * 2
        async for _ in over_asyncio.AE().send_c_stores(*address, [image(3), image(4)]):
            break

    with serving((evt.EVT_C_STORE, slow), ae=scp()) as server:
        asyncio.run(send(server.address))
    assert slow.uids[:2] == ["1.2.3.1", "1.2.3.2"]
