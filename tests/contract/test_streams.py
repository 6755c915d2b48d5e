"""Objects that are read while they are sent: from what is no plain file, or while they are converted."""

import gzip
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.encoding.datasets import decode, encode, file_preamble_and_meta, read_file_meta
from dicom_proto.encoding.inflating import deflate
from dicom_proto.encoding.sources import ReadOnceError
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.sinks import Streamed, Taking
from dicom_proto.sop_class import CTImageStorage
from dicom_transports._files.reading import UnreadableFileError
from dicom_transports.blocking import evt
from tests.contract.adapters import make_ae
from tests.contract.entities import dial, serving
from tests.contract.storing import DEFLATED, EXPLICIT, IMPLICIT, ct

pytestmark = pytest.mark.usefixtures("adapter")

BIG = "1.2.840.10008.1.2.2"
SIZE = 3 << 20
DATA = encode(ct(size=SIZE), EXPLICIT)


def head(transfer_syntax: str = EXPLICIT, uid: str = "1.2.3.1") -> bytes:
    return file_preamble_and_meta(CTImageStorage, uid, transfer_syntax)


def pieces(content: bytes, length: int = 50_000) -> Iterator[bytes]:
    for at in range(0, len(content), length):
        yield content[at : at + length]


class Body:
    """What comes over a network: it is read once, and does not say how long it is."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def read(self, count: int) -> bytes:
        at, self._at = self._at, self._at + min(count, 1 << 14)
        return self._content[at : self._at]


class Untrue(Body):
    """The same, of something that says it could be read again."""

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, _to: int) -> None:
        raise OSError("it cannot")


def packed(content: bytes, directory: Path) -> Any:
    with gzip.open(directory / "packed.gz", "wb", compresslevel=1) as file:
        file.write(content)
    return gzip.open(directory / "packed.gz")


def meta() -> Any:
    return read_file_meta(head() + DATA[:4096])


KINDS: dict[str, Callable[[Path], Any]] = {
    "compressed": lambda directory: packed(head() + DATA, directory),
    "generator": lambda _: pieces(head() + DATA),
    "views": lambda _: map(memoryview, pieces(head() + DATA)),
    "body": lambda _: Body(head() + DATA),
    "untrue": lambda _: Untrue(head() + DATA),
    "data set": lambda _: (meta(), pieces(DATA)),
    "short": lambda _: pieces(head() + encode(ct(), EXPLICIT)),
}


class Received:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def __call__(self, event: Any) -> int:
        self.data.append(event.encoded_dataset(include_meta=False))
        return 0


def scp(*transfer_syntaxes: str) -> Any:
    ae = make_ae("STORE")
    ae.add_supported_context(CTImageStorage, list(transfer_syntaxes) or [EXPLICIT])
    return ae


def scu(*transfer_syntaxes: str) -> Any:
    ae = make_ae("SENDER")
    for uid in transfer_syntaxes or (EXPLICIT,):
        ae.add_requested_context(CTImageStorage, [uid])
    return ae


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file(kind: str, tmp_path: Path) -> None:
    received, make = Received(), KINDS[kind]
    with serving((evt.EVT_C_STORE, received), ae=scp()) as server:
        with dial(server, ae=scu()) as association:
            assert association.send_c_store(make(tmp_path)).Status == 0
            progress: list[tuple[int, int]] = []
            item = make(tmp_path)
            [(found, status)] = association.send_c_stores(
                [item],
                on_progress=lambda *numbers: progress.append(numbers),
            )
            assert (found is item, status.Status) == (True, 0)
        [(_, status)] = make_ae().send_c_stores(*server.address, [make(tmp_path)])
        assert status.Status == 0
    expected = encode(ct(), EXPLICIT) if kind == "short" else DATA
    assert received.data == [expected] * 3
    assert progress == [(1, len(expected))]


def test_a_file_object_is_left_where_it_stood(tmp_path: Path) -> None:
    received = Received()
    with (
        packed(b"before" + head() + DATA, tmp_path) as file,
        serving((evt.EVT_C_STORE, received), ae=scp()) as server,
        dial(server, ae=scu()) as association,
    ):
        file.seek(6)
        for _ in range(2):
            assert association.send_c_store(file).Status == 0
            assert file.tell() == 6
    assert received.data == [DATA] * 2


def test_it_is_read_no_faster_than_it_is_sent() -> None:
    block, count = bytes(1 << 18), 160
    lengths = [0, 0]  # what has been asked for, and received
    ahead = []

    def generate() -> Iterator[bytes]:
        yield head() + DATA[:-SIZE]  # behind which everything is Pixel Data, whatever its length says
        for _ in range(count):
            lengths[0] += len(block)
            ahead.append(lengths[0] - lengths[1])
            yield block

    def take(_event: Any) -> Taking:
        while (piece := (yield)) is not None:
            lengths[1] += len(piece)
        return 0

    with serving((evt.EVT_C_STORE, Streamed(take)), ae=scp()) as server, dial(server, ae=scu()) as association:
        assert association.send_c_store(generate()).Status == 0
    assert lengths[0] == len(block) * count
    assert max(ahead) < 24 << 20  # what both sides and the system keep


@pytest.mark.parametrize("accepted", [IMPLICIT, BIG, DEFLATED])
def test_it_is_converted_if_it_has_to_be(accepted: str, tmp_path: Path) -> None:
    """Bit for bit as it would be if it had been decoded: a file, and what becomes a temporary one first."""
    path = tmp_path / "PATIENT.dcm"
    path.write_bytes(head() + DATA)
    received = Received()
    with (
        serving((evt.EVT_C_STORE, received), ae=scp(accepted)) as server,
        dial(server, ae=scu(accepted)) as association,
    ):
        for what in (path, pieces(head() + DATA), head() + DATA):
            assert association.send_c_store(what).Status == 0
    assert received.data == [encode(decode(DATA, EXPLICIT), accepted)] * 3


def test_what_is_of_odd_length() -> None:
    """The elements of what is in memory can be padded; of what is being sent, only what was deflated."""
    odd = DATA + b"\xfc\xff\xfc\xffOB\0\0\1\0\0\0\0"
    stream = deflate(DATA) + b"\0"
    received = Received()
    with serving((evt.EVT_C_STORE, received), ae=scp(EXPLICIT, DEFLATED)) as server:
        with dial(server, ae=scu(DEFLATED)) as association:
            assert association.send_c_store(Body(head(DEFLATED) + stream)).Status == 0
        association = dial(server, ae=scu())
        with pytest.raises(LocalProtocolError, match="even and not empty"):
            association.send_c_store(pieces(head() + odd))
        association.join()
        assert association.is_aborted
    assert received.data == [stream + b"\0"]


class PatientError(Exception):
    """What a user's iterator raises."""


def failing(error: Exception) -> Iterator[bytes]:
    yield from pieces(head(uid="1.2.3.9") + DATA[: 1 << 20])
    raise error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (PatientError("PATIENT^NAME"), UnreadableFileError, "PatientError was raised"),
        (EOFError("it has ended early"), UnreadableFileError, "it has ended early"),
        (OSError(5, "Input/output error", "PATIENT"), OSError, "Input/output error"),
    ],
    ids=["any", "end", "system"],
)
def test_what_cannot_be_read_to_its_end(error: Exception, kind: type[Exception], words: str) -> None:
    """The association is given up, for half an object cannot be taken back; the others go over another one."""
    received = Received()
    with serving((evt.EVT_C_STORE, received), ae=scp()) as server:
        association = dial(server, ae=scu())
        with pytest.raises(kind, match=words) as caught:
            association.send_c_store(failing(error))
        assert "PATIENT" not in str(caught.value)
        association.join()
        assert association.is_aborted
        results = list(make_ae().send_c_stores(*server.address, [failing(error), ct(), ct()], retry_delay=0))
    (_, failed), *others = results
    assert (type(failed.failure), failed.was_begun) == (type(caught.value), True)
    assert words in str(failed.failure)
    assert [status.Status for _, status in others] == [0, 0]
    assert len(received.data) == 2


def test_what_is_read_once_is_not_sent_again(tmp_path: Path) -> None:
    """Its result says so; what can be read again is."""
    aborted = threading.Event()
    received = Received()

    def store(event: Any) -> int:
        status = received(event)
        if len(received.data[-1]) == len(DATA) and not aborted.is_set():
            aborted.set()
            event.assoc.abort()
        return status

    once, again = pieces(head() + DATA), packed(head() + DATA, tmp_path)
    with serving((evt.EVT_C_STORE, store), ae=scp()) as server:
        (_, sent), (item, status) = make_ae().send_c_stores(*server.address, [ct(), once], retry_delay=0)
        if item is not once:
            sent, status = status, sent
        assert (sent.Status, status.was_begun) == (0, True)
        assert isinstance(status.failure, ReadOnceError)
        assert "cannot be sent again (" in str(status.failure)
        assert status.failure.__cause__ is not None
        aborted.clear()
        [(_, status)] = make_ae().send_c_stores(*server.address, [again], retry_delay=0)
        assert status.Status == 0
    again.close()
