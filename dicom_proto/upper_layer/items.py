"""The items of A-ASSOCIATE PDUs: the records of all, and the codec of presentation contexts (PS3.8 9.3.2, 9.3.3).

Stable.

A record can hold whatever a peer sent; only the functions that encode it insist on what the standard allows. All
integers are unsigned and big-endian. Each function that decodes is given the value of one item, which is what follows
its header of 4 bytes, and tells where in that value an error is; whoever cut the value out adds where it began.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from typing import Final, TypeVar

from attrs import field, frozen

from dicom_proto.errors import AbortReason, LocalProtocolError, PDUError
from dicom_proto.limits import Tolerance
from dicom_proto.names import check_context_id, check_uid

__all__ = [
    "CommonExtendedNegotiation",
    "ContextResult",
    "ExtendedNegotiation",
    "ItemError",
    "ItemType",
    "OperationsWindow",
    "PresentationContextResult",
    "ProposedContext",
    "RoleSelection",
    "UserIdentity",
    "UserIdentityType",
    "UserInformation",
    "as_member",
    "check_integer",
    "check_octets",
    "decode_context_result",
    "decode_proposed_context",
    "decode_uid",
    "encode_context_result",
    "encode_item",
    "encode_proposed_context",
    "encode_uid_item",
    "second_item",
    "split_items",
]


class ItemType(IntEnum):
    """First byte of an item or sub-item (PS3.8 9.3.2, 9.3.3, D.1; PS3.7 D.3.3)."""

    APPLICATION_CONTEXT = 0x10
    PROPOSED_CONTEXT = 0x20
    CONTEXT_RESULT = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    OPERATIONS_WINDOW = 0x53
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55
    EXTENDED_NEGOTIATION = 0x56
    COMMON_EXTENDED_NEGOTIATION = 0x57
    USER_IDENTITY = 0x58
    USER_IDENTITY_RESPONSE = 0x59


class PresentationContextResult(IntEnum):
    """Result/reason of a presentation context (PS3.8 9.3.3.2, Table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


class UserIdentityType(IntEnum):
    """What the primary field of a user identity holds (PS3.7 D.3.3.7.1)."""

    USERNAME = 1
    USERNAME_AND_PASSCODE = 2
    KERBEROS = 3
    SAML = 4
    JSON_WEB_TOKEN = 5


class ItemError(PDUError):
    """An item cannot be decoded.

    Attributes
    ----------
    offset : int
        Where, in bytes from the start of what was being decoded.
    """

    def __init__(
        self, offset: int, message: str, *, abort_reason: AbortReason = AbortReason.INVALID_PDU_PARAMETER_VALUE
    ) -> None:
        super().__init__(message, abort_reason=abort_reason)
        self.offset = offset


@frozen
class ProposedContext:
    """Presentation context item of an A-ASSOCIATE-RQ (20H, PS3.8 9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@frozen
class ContextResult:
    """Presentation context item of an A-ASSOCIATE-AC (21H, PS3.8 9.3.3.2); ``result`` 0 is acceptance.

    ``transfer_syntax`` means something only with result 0; it may be absent otherwise.
    """

    context_id: int
    result: int
    transfer_syntax: str | None = None


@frozen
class OperationsWindow:
    """Asynchronous Operations Window sub-item (53H, PS3.7 D.3.3.3); 0 = unlimited, 1 = synchronous."""

    invoked: int
    performed: int


@frozen
class RoleSelection:
    """SCP/SCU Role Selection sub-item (54H, PS3.7 D.3.3.4); both roles are those of the association-requestor."""

    sop_class_uid: str
    scu: bool
    scp: bool

    @property
    def scu_role(self) -> bool:
        """The same as ``scu``, as users of pynetdicom know it."""
        return self.scu

    @property
    def scp_role(self) -> bool:
        """The same as ``scp``, as users of pynetdicom know it."""
        return self.scp


@frozen
class ExtendedNegotiation:
    """SOP Class Extended Negotiation sub-item (56H, PS3.7 D.3.3.5)."""

    sop_class_uid: str
    information: bytes


@frozen
class CommonExtendedNegotiation:
    """SOP Class Common Extended Negotiation sub-item (57H, PS3.7 D.3.3.6); A-ASSOCIATE-RQ only."""

    sop_class_uid: str
    service_class_uid: str
    related_general_sop_class_uids: tuple[str, ...] = ()

    @property
    def related_general_sop_class_identification(self) -> list[str]:
        """The same as ``related_general_sop_class_uids``, as users of pynetdicom know it."""
        return list(self.related_general_sop_class_uids)


@frozen
class UserIdentity:
    """User Identity sub-item of an A-ASSOCIATE-RQ (58H, PS3.7 D.3.3.7.1).

    ``identity_type`` is 1 username, 2 username and passcode, 3 Kerberos, 4 SAML, 5 JSON Web Token; the fields are never
    shown in a ``repr``.
    """

    identity_type: int
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)
    positive_response_requested: bool = False

    @property
    def user_identity_type(self) -> int:
        """The same as ``identity_type``, as users of pynetdicom know it."""
        return self.identity_type

    @property
    def primary_field(self) -> bytes:
        """The same as ``primary``, as users of pynetdicom know it."""
        return self.primary

    @property
    def secondary_field(self) -> bytes:
        """The same as ``secondary``, as users of pynetdicom know it."""
        return self.secondary


@frozen(kw_only=True)
class UserInformation:
    """User Information item (50H, PS3.8 9.3.2.3) with all its sub-items; an absent sub-item is ``None`` or empty.

    ``maximum_length`` and ``implementation_class_uid`` are mandatory when sent; ``None`` is what a peer left out.
    """

    maximum_length: int | None
    implementation_class_uid: str | None
    implementation_version_name: str | None = None
    operations_window: OperationsWindow | None = None
    roles: tuple[RoleSelection, ...] = ()
    extended: tuple[ExtendedNegotiation, ...] = ()
    common_extended: tuple[CommonExtendedNegotiation, ...] = ()  # RQ only
    identity: UserIdentity | None = None  # RQ only
    identity_response: bytes | None = field(default=None, repr=False)  # AC only (59H)


_Member = TypeVar("_Member", bound=IntEnum)

_ITEM_HEADER: Final = struct.Struct(">BxH")  # type, reserved, length of the value
_LAST_RESULT: Final = max(PresentationContextResult)

# The same transfer syntaxes are proposed again and again, so what they decode to, and what UIDs encode to, is
# remembered: so many of them and, because a peer chooses what there is to decode, none from an item longer than this.
_REMEMBERED_COUNT: Final = 1024
_REMEMBERED_LENGTH: Final = 512


def check_integer(value: object, what: str, low: int, high: int) -> int:
    """Return a number that lies in a range, both ends included; raise :class:`LocalProtocolError` for any other."""
    if not isinstance(value, int) or not low <= value <= high:
        raise LocalProtocolError(f"{what} {value!r} is not an integer from {low} to {high}")
    return value


def check_octets(value: object, what: str, most: int = 0xFFFF) -> bytes:
    """Return bytes that are not too long; raise :class:`LocalProtocolError`, not showing them, for anything else."""
    if not isinstance(value, bytes) or len(value) > most:
        raise LocalProtocolError(f"the {what} is not bytes, or has more than {most} of them")
    return value


def encode_item(item_type: ItemType, value: bytes) -> bytes:
    """Put its header before the value of an item; raise :class:`LocalProtocolError` if that is too long."""
    if len(value) > 0xFFFF:
        raise LocalProtocolError(f"item {item_type:02X}H has {len(value)} bytes, an item holds no more than 65535")
    return _ITEM_HEADER.pack(item_type, len(value)) + value


@lru_cache(maxsize=_REMEMBERED_COUNT)
def encode_uid_item(item_type: ItemType, uid: str) -> bytes:
    """Encode an item whose value is a UID: 10H, 30H, 40H or 52H (PS3.8 9.3.2.1, Annex F)."""
    return encode_item(item_type, check_uid(uid).encode("ascii"))


def split_items(data: bytes, start: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """Cut bytes that are items and nothing else, from ``start`` to their end.

    Yields
    ------
    tuple of int, int, bytes
        Type of the item, offset of its value in ``data``, and the value. The type is not judged: a receiver skips items
        that it does not know (PS3.8 9.3.1, D.2).

    Raises
    ------
    ItemError
        If the last item is cut short or runs past the end.
    """
    end = len(data)
    while start < end:
        value = start + _ITEM_HEADER.size
        if value > end:
            raise ItemError(start, f"{end - start} bytes are left, too few for the header of an item")
        item_type, length = _ITEM_HEADER.unpack_from(data, start)
        stop = value + length
        if stop > end:
            raise ItemError(start, f"item {item_type:02X}H of {length} bytes runs {stop - end} past what encloses it")
        yield item_type, value, data[value:stop]
        start = stop


def as_member(members: type[_Member], value: int) -> _Member | int:
    """Return a received number as a member of an enumeration, or as it is where the standard does not list it."""
    try:
        return members(value)
    except ValueError:
        return value


_PADDING: Final = "\0 "


def decode_uid(value: bytes, padded: bool) -> str:
    """Decode a UID, whether it is a valid one or not; ``padded`` drops NULs and spaces at its end; never fails."""
    uid = value.decode("latin-1")
    return uid.rstrip(_PADDING) if padded else uid


def second_item(item_type: int, start: int) -> ItemError:
    """Return the error of an item that occurs twice although it may occur once; ``start`` is where its value begins.

    Receivers disagree whether the first or the last of them counts, so whichever was chosen might not be what the peer
    goes by: a maximum length, or who the user is.
    """
    return ItemError(
        start - _ITEM_HEADER.size, f"a second item {item_type:02X}H", abort_reason=AbortReason.UNEXPECTED_PDU_PARAMETER
    )


def encode_proposed_context(context: ProposedContext) -> bytes:
    """Encode an item 20H.

    Raises
    ------
    LocalProtocolError
        If the ID is not odd, there is no transfer syntax, or a UID is not one (PS3.8 9.3.2.2).
    """
    return encode_item(
        ItemType.PROPOSED_CONTEXT,
        bytes((check_context_id(context.context_id), 0, 0, 0))
        + encode_uid_item(ItemType.ABSTRACT_SYNTAX, context.abstract_syntax)
        + _encode_transfer_syntaxes(tuple(context.transfer_syntaxes)),
    )


@lru_cache(maxsize=_REMEMBERED_COUNT)
def _encode_transfer_syntaxes(transfer_syntaxes: tuple[str, ...]) -> bytes:
    if not transfer_syntaxes:
        raise LocalProtocolError("a presentation context proposes no transfer syntax (PS3.8 9.3.2.2)")
    return b"".join([encode_uid_item(ItemType.TRANSFER_SYNTAX, uid) for uid in transfer_syntaxes])


def encode_context_result(context: ContextResult) -> bytes:
    """Encode an item 21H; a rejected context without a transfer syntax gets an empty sub-item 40H.

    An even or zero ID may be rejected, because a peer may have proposed it, but not accepted.

    Raises
    ------
    LocalProtocolError
        If the ID or the result is out of range, an accepted context has no transfer syntax, or that is not a UID
        (PS3.8 9.3.3.2).
    """
    result = check_integer(context.result, "presentation context result", 0, _LAST_RESULT)
    context_id = check_integer(context.context_id, "presentation context ID", 0, 255)
    if result == PresentationContextResult.ACCEPTANCE:
        check_context_id(context_id)
        if context.transfer_syntax is None:
            raise LocalProtocolError(f"presentation context {context_id} is accepted without a transfer syntax")
    if context.transfer_syntax is None:
        transfer_syntax = encode_item(ItemType.TRANSFER_SYNTAX, b"")
    else:
        transfer_syntax = encode_uid_item(ItemType.TRANSFER_SYNTAX, context.transfer_syntax)
    return encode_item(ItemType.CONTEXT_RESULT, bytes((context_id, 0, result, 0)) + transfer_syntax)


def _decode_context_id(value: bytes, tolerance: Tolerance) -> int:
    """Read the ID of a presentation context item and see that the 4 bytes which it begins are there."""
    if len(value) < 4:
        raise ItemError(0, f"presentation context item of {len(value)} bytes, the shortest has 4")
    context_id = value[0]
    if context_id % 2 == 0 and not tolerance.even_context_ids:
        raise ItemError(0, f"presentation context ID {context_id} is not odd")
    return context_id


def _decode_syntaxes(value: bytes, padded: bool, is_rest: bool) -> tuple[str | None, tuple[str, ...]]:
    """Decode sub-items of an item 20H: all of them, or the rest behind its abstract syntax."""
    abstract_syntax = None
    transfer_syntaxes = []
    for item_type, start, uid in split_items(value):
        if item_type == ItemType.TRANSFER_SYNTAX:
            transfer_syntaxes.append(decode_uid(uid, padded))
        elif item_type == ItemType.ABSTRACT_SYNTAX:
            if is_rest or abstract_syntax is not None:
                raise second_item(item_type, start)
            abstract_syntax = decode_uid(uid, padded)
    return abstract_syntax, tuple(transfer_syntaxes)


_remembered_syntaxes = lru_cache(maxsize=_REMEMBERED_COUNT)(_decode_syntaxes)


def decode_proposed_context(value: bytes, tolerance: Tolerance) -> ProposedContext:
    """Decode the value of an item 20H (PS3.8 9.3.2.2).

    Raises
    ------
    ItemError
        If a length is wrong, there is not exactly one abstract syntax, there is no transfer syntax, or the ID is even
        and that is not tolerated.
    """
    context_id = _decode_context_id(value, tolerance)
    padded = tolerance.padded_uids
    start, first = 4, None
    if value[4:5] == b"\x30":  # the abstract syntax comes first; what is behind it, many contexts have in common
        stop = 8 + int.from_bytes(value[6:8], "big")
        if stop <= len(value):
            start, first = stop, decode_uid(value[8:stop], padded)
    decode = _remembered_syntaxes if len(value) - start <= _REMEMBERED_LENGTH else _decode_syntaxes
    try:
        other, transfer_syntaxes = decode(value[start:], padded, first is not None)
    except ItemError as error:
        error.offset += start
        raise
    abstract_syntax = other if first is None else first
    if abstract_syntax is None:
        raise ItemError(4, "presentation context without an abstract syntax (30H)")
    if not transfer_syntaxes:
        raise ItemError(4, "presentation context without a transfer syntax (40H)")
    return ProposedContext(context_id, abstract_syntax, transfer_syntaxes)


def decode_context_result(value: bytes, tolerance: Tolerance) -> ContextResult:
    """Decode the value of an item 21H (PS3.8 9.3.3.2).

    Raises
    ------
    ItemError
        If a length is wrong; if the ID is even and that is not tolerated; if the transfer syntax is absent or empty in
        an accepted context, or in a rejected one where that is not tolerated; if an accepted context has two.
    """
    context_id = _decode_context_id(value, tolerance)
    result = as_member(PresentationContextResult, value[2])
    found = [(start, uid) for item_type, start, uid in split_items(value, 4) if item_type == ItemType.TRANSFER_SYNTAX]
    accepted = result == PresentationContextResult.ACCEPTANCE
    if accepted and len(found) > 1:
        raise second_item(ItemType.TRANSFER_SYNTAX, found[1][0])
    transfer_syntax = decode_uid(found[0][1], tolerance.padded_uids) if found else ""
    is_blank = not transfer_syntax.rstrip(_PADDING)  # padding alone is no transfer syntax, tolerated or not
    if is_blank and (accepted or not tolerance.missing_transfer_syntax):
        raise ItemError(4, f"presentation context {context_id} with result {int(result)} has no transfer syntax")
    return ContextResult(context_id, result, transfer_syntax or None)
