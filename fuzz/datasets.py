"""Harness: data sets and the heads of files (``dicom_proto.encoding.datasets``).

The input is a byte that says what the rest is: a data set in one of several transfer syntaxes, or a file.

* Nothing but ``DataSetError`` is raised for a data set of a peer, read to its last item, and there is no warning. It
  says little, however long the input is. Nothing but ``LocalProtocolError`` is raised for what cannot be sent, or for a
  file that is none.
* What is decoded can be encoded or is refused; what was encoded decodes, and is encoded to the same bytes again.
* A few elements are read of each data set that can be decoded.
* What the head of a file says does not depend on how much of the file is read at a time.
"""

import zlib
from collections.abc import Mapping
from random import Random
from struct import pack
from typing import Final

from pydicom.dataset import Dataset

from dicom_proto.encoding.datasets import (
    FileMeta,
    NeedBytes,
    decode,
    encode,
    file_preamble_and_meta,
    read_file_meta,
    read_text,
)
from dicom_proto.errors import DataSetError, LocalProtocolError
from dicom_proto.limits import DEFAULT_LIMITS, Limits
from dicom_proto.testing.mutators import mutate_bytes
from dicom_proto.testing.samples import CT, EXPLICIT, IMPLICIT
from fuzz.pdu import check_error

__all__ = ["check", "mutate", "seeds"]

_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_RLE: Final = "1.2.840.10008.1.2.5"
_SYNTAXES: Final = (IMPLICIT, EXPLICIT, _BIG_ENDIAN, _DEFLATED, _RLE)
_AS_IT_IS: Final = 0x20  # what is to be deflated is deflated already
_BOUNDED: Final = 0x40  # with small bounds
_FILE: Final = 0x80

_MOST: Final = 1 << 20
_BOUNDS: Final = Limits(inflated_data_set=256, data_set_depth=2, data_set_elements=20)
_TEXTS: Final = (0x00080016, 0x00080018, 0x0020000D)
_LONGEST_TEXT: Final = 1024

_ITEM: Final = b"\xfe\xff\x00\xe0"
_SEQUENCE: Final = b"\x40\x00\x30\xa7"  # Content Sequence
_TOKENS: Final = (
    _ITEM + b"\xff" * 4,
    _ITEM + bytes(4),
    b"\xfe\xff\x0d\xe0" + bytes(4),
    b"\xfe\xff\xdd\xe0" + bytes(4),
    _SEQUENCE + b"SQ\0\0" + b"\xff" * 4,
    _SEQUENCE + b"UN\0\0" + b"\xff" * 4,
    _SEQUENCE + b"\xff" * 4,
    b"\xe0\x7f\x10\0OB\0\0" + b"\xff" * 4,
    b"\x09\0\x01\x10UN\0\0" + b"\xff" * 4,
    b"\x09\0\x01\x10" + b"\xff" * 4,
    b"\x08\0\x18\0" + b"\xff" * 4,
    b"\x08\0\x05\0CS\x0a\0ISO_IR 192",
    b"\x08\0\x05\0CS\x0e\0\\ISO 2022 IR 87",
    b"\x08\0\0\0UL\x04\0\x10\0\0\0",
    b"\x28\0\x03\1US\2\0\1\0",
    b"\x28\0\6\1SS\2\0\xff\xff",
    b"\x28\0\2\x30US\6\0\0\1\0\0\x10\0",
    b"\x08\0\x18\0UI\x06\x001.2.3\0",
    *(vr + b"\0\0" for vr in (b"OB", b"UT", b"SV", b"AT", b"DS", b"PN", b"UR", b"ZZ")),
)


def check(data: bytes) -> None:
    """Decode a data set, encode what came of it, and decode that; or read the head of a file."""
    flags, data = data[:1] or b"\0", data[1:]
    if flags[0] & _FILE:
        _check_file(data)
    else:
        _check_data_set(flags[0], data)


def _check_data_set(flags: int, data: bytes) -> None:
    transfer_syntax = _SYNTAXES[flags % 0x20 % len(_SYNTAXES)]
    if transfer_syntax == _DEFLATED and not flags & _AS_IT_IS:
        data = _deflated(data)
    found = _decode(data, transfer_syntax, _BOUNDS if flags & _BOUNDED else DEFAULT_LIMITS)
    texts = _read_text(data, transfer_syntax)
    if found is None:
        return
    assert texts is not None, "it can be decoded, and not read"
    for other in (transfer_syntax, EXPLICIT, _BIG_ENDIAN):
        _check_round_trip(found, other)
    _encode(found, IMPLICIT)  # from which nobody can tell any more which VRs there were


def _deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def _decode(data: bytes, transfer_syntax: str, limits: Limits) -> Dataset | None:
    try:
        _read(decode(data, transfer_syntax, limits=limits))
    except DataSetError as error:
        check_error(error)
    try:
        return decode(data, transfer_syntax, limits=limits)
    except DataSetError as error:
        check_error(error)
        return None


def _read(found: Dataset) -> None:
    """Read all values, and all items."""
    for element in found:
        if element.VR == "SQ":
            for item in element.value:
                _read(item)


def _read_text(data: bytes, transfer_syntax: str) -> dict[int, str] | None:
    try:
        texts = read_text(data, transfer_syntax, _TEXTS)
    except DataSetError as error:
        check_error(error)
        return {} if "has" in str(error) else None  # it is too long: that is no matter for the other
    assert all(len(text) <= _LONGEST_TEXT for text in texts.values()), "a long text is read"
    return texts


def _check_round_trip(found: Dataset, transfer_syntax: str) -> None:
    encoded = _encode(found, transfer_syntax)
    if encoded is not None:
        again = decode(encoded, transfer_syntax)
        assert encode(again, transfer_syntax) == encoded, "one data set was encoded in two ways"


def _encode(found: Dataset, transfer_syntax: str) -> bytes | None:
    try:
        return encode(found, transfer_syntax)
    except LocalProtocolError:
        return None


def _check_file(data: bytes) -> None:
    assert _read_whole(data) == _read_in_steps(data), "it makes a difference how much is read at a time"


def _read_whole(data: bytes) -> FileMeta | None:
    try:
        meta = read_file_meta(data, complete=True)
    except LocalProtocolError:
        return None
    assert isinstance(meta, FileMeta), "there is no more to be read"
    assert meta.data_offset <= len(data), "the data set starts behind the end"
    return meta


def _read_in_steps(data: bytes) -> FileMeta | None:
    count = 1
    while True:
        prefix = data[:count]
        try:
            meta = read_file_meta(prefix, complete=count >= len(data))
        except LocalProtocolError:
            return None
        if isinstance(meta, FileMeta):
            return meta
        assert isinstance(meta, NeedBytes)
        assert len(prefix) < meta.count <= _MOST, "it asks for what it has, or too much"
        count = meta.count


# --- mutations --------------------------------------------------------------------------------------------------------


def mutate(data: bytes, random: Random) -> bytes:
    """Change what it is, some bytes, or put in, repeat or take out what looks like an element."""
    flags, data = data[:1] or b"\0", data[1:]
    if random.randrange(12) == 0:
        flags = bytes((random.randrange(256),))
    at = random.randrange(len(data) + 1)
    match random.randrange(6):
        case 0 | 1:
            token = random.choice(_TOKENS)
            data = data[:at] + token + data[at + random.choice((0, len(token))) :]
        case 2:
            data = data[:at] + _element(data[at : at + random.randrange(64)], random) + data[at:]
        case 3:
            stop = at + random.randrange(32)
            data = data[:at] + random.choice((b"", data[at:stop] * 2)) + data[stop:]
        case _:
            data = mutate_bytes(data, random)
    return flags + data


def _element(value: bytes, random: Random) -> bytes:
    """Return an element, a sequence or an item with a value in it."""
    tag = random.choice((_ITEM, _SEQUENCE, *(token[:4] for token in _TOKENS)))
    vr = random.choice((b"", b"SQ\0\0", b"OB\0\0", b"LO", b"UN\0\0"))
    return tag + vr + pack("<H" if vr == b"LO" else "<L", len(value)) + value


# --- seeds ------------------------------------------------------------------------------------------------------------


def _sample() -> Dataset:
    """Return a data set with a bit of everything."""
    sample = Dataset()
    sample.SpecificCharacterSet = "ISO_IR 192"
    sample.SOPClassUID, sample.SOPInstanceUID = CT, "1.2.3.4"
    sample.PatientName = "Ä^B"
    sample.SliceThickness = "1.5"
    sample.StudyInstanceUID = "1.2.3"
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "1", "one"
    inner.ContentSequence = [Dataset(), Dataset()]
    sample.ContentSequence = [inner]
    sample.Rows = sample.Columns = 1
    sample.BitsAllocated, sample.PixelRepresentation = 16, 0
    sample.SmallestImagePixelValue = 1
    sample.add_new(0x00091001, "UN", b"private")
    sample.add_new(0x00090010, "LO", "CREATOR")
    sample.add_new(0x7FE00010, "OW", b"\1\2")
    return sample


def seeds() -> Mapping[str, bytes]:
    """Return a data set in each transfer syntax, some that are broken, and files."""
    found = {"empty": b"", "nothing": b"\1"}
    sample = _sample()
    plain = {uid: encode(sample, uid) for uid in _SYNTAXES[:3]}
    for number, name in enumerate(("implicit", "explicit", "big-endian")):
        found[name] = bytes((number,)) + plain[_SYNTAXES[number]]
        found[f"{name}-bounded"] = bytes((number | _BOUNDED,)) + plain[_SYNTAXES[number]]
        found[f"{name}-cut"] = bytes((number,)) + plain[_SYNTAXES[number]][:-1]
    found["deflated"] = b"\3" + plain[EXPLICIT]
    found["deflated-bounded"] = bytes((3 | _BOUNDED,)) + plain[EXPLICIT]
    found["deflated-as-it-is"] = bytes((3 | _AS_IT_IS,)) + _deflated(plain[EXPLICIT])
    found["implicit-as-explicit"] = b"\1" + plain[IMPLICIT]
    fragments = _ITEM + bytes(4) + _ITEM + b"\4\0\0\0abcd" + _TOKENS[3]
    found["encapsulated"] = b"\4" + plain[EXPLICIT][:-14] + _TOKENS[7] + fragments
    found["other-encapsulated"] = b"\4" + plain[EXPLICIT][:-14] + b"\x09\0\x01\x10" + _TOKENS[7][4:] + fragments
    found["icon-encapsulated"] = b"\4" + _TOKENS[4] + _TOKENS[0] + _TOKENS[7] + fragments + _TOKENS[2] + _TOKENS[3]
    nested = _TOKENS[4] + _TOKENS[0]
    found["nested"] = b"\1" + nested * 3 + (_TOKENS[2] + _TOKENS[3]) * 3
    found["nested-too-deep"] = b"\1" + nested * 40
    found["unknown-sequence"] = b"\1" + _TOKENS[8] + _TOKENS[1] + _TOKENS[3]
    for name, start in (("sequence-without-vr", _TOKENS[9]), ("uid-of-undefined-length", _TOKENS[10])):
        found[name] = b"\1" + b"\x08\0\x05\0CS\0\0" + start + _TOKENS[3]
    for uid in (*_SYNTAXES[:2], _DEFLATED):
        head = file_preamble_and_meta(CT, "1.2.3.4", uid, source_ae_title="STORESCU")
        found[f"file-{uid}"] = bytes((_FILE,)) + head + (_deflated(plain[EXPLICIT]) if uid == _DEFLATED else plain[uid])
        found[f"bare-{uid}"] = bytes((_FILE,)) + head[132:] + plain.get(uid, b"")
    found["no-meta"] = bytes((_FILE,)) + plain[EXPLICIT]
    return found
