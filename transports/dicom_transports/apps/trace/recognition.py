"""Whether the first bytes of a connection are DICOM, on whatever port (PS3.8 9.3.1).

May change.
"""

import struct
from enum import Enum, auto
from typing import Final

from dicom_proto.limits import DEFAULT_LIMITS
from dicom_proto.upper_layer.items import ItemType
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDUType, unpack_header

__all__ = ["LONGEST_HEAD", "Content", "recognize"]

LONGEST_HEAD: Final = 75  # up to the type of the first item of an A-ASSOCIATE-RQ
_SHORTEST_ASSOCIATE: Final = 68
_ITEMS: Final = frozenset({ItemType.APPLICATION_CONTEXT, 0x20, 0x21, ItemType.USER_INFORMATION})
_ASSOCIATE: Final = frozenset({int(PDUType.A_ASSOCIATE_RQ), int(PDUType.A_ASSOCIATE_AC)})
_TYPES: Final = frozenset(map(int, PDUType))
_PDV: Final = struct.Struct(">IBB")


class Content(Enum):
    """What a connection carries."""

    UNKNOWN = auto()  # more bytes will tell
    DICOM = auto()
    TLS = auto()
    OTHER = auto()


def recognize(head: bytes, *, is_first: bool) -> Content:
    """Tell what begins with some bytes.

    Parameters
    ----------
    head : bytes
        The first bytes, ``LONGEST_HEAD`` of them or what there is so far.
    is_first : bool
        Whether they are the first of the connection, with which only an A-ASSOCIATE-RQ can begin.
    """
    if head[:2] == b"\x16\x03" and (len(head) < 3 or head[2] <= 4):  # a TLS record with a handshake in it
        return Content.TLS if len(head) >= 3 else Content.UNKNOWN
    if not head:
        return Content.UNKNOWN
    if head[0] not in _TYPES or (is_first and head[0] != PDUType.A_ASSOCIATE_RQ) or head[1:2] not in (b"", b"\0"):
        return Content.OTHER
    if len(head) < HEADER_LENGTH:
        return Content.UNKNOWN
    pdu_type, length = unpack_header(head)
    if pdu_type in _ASSOCIATE:
        return _judge_associate(head, length)
    if pdu_type == PDUType.P_DATA_TF:
        return _judge_data(head, length)
    return Content.DICOM if length == 4 else Content.OTHER


def _judge_associate(head: bytes, length: int) -> Content:
    if not _SHORTEST_ASSOCIATE <= length <= DEFAULT_LIMITS.associate_length:
        return Content.OTHER
    if len(head) < LONGEST_HEAD:
        return Content.UNKNOWN
    return Content.DICOM if head[LONGEST_HEAD - 1] in _ITEMS else Content.OTHER


def _judge_data(head: bytes, length: int) -> Content:
    if len(head) < HEADER_LENGTH + _PDV.size:
        return Content.UNKNOWN
    pdv_length, context_id, control = _PDV.unpack_from(head, HEADER_LENGTH)
    return Content.DICOM if 2 <= pdv_length <= length - 4 and context_id % 2 and control <= 3 else Content.OTHER
