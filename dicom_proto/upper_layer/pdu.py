"""The seven PDUs of the upper layer: records and their codec (PS3.8 9.3).

Stable.

All integers of PDUs are unsigned and big-endian. A record can hold whatever a peer sent; :func:`encode_pdu` insists on
what the standard allows to be sent, and :func:`decode_pdu` accepts what it asks a receiver to accept: reserved bytes
are never looked at, and items that are unknown, or belong to another PDU, are skipped.
"""

import struct
from collections.abc import Callable, Iterator
from enum import IntEnum
from itertools import pairwise
from typing import Final, TypeAlias, TypeVar, assert_never

from attrs import evolve, field, frozen

from dicom_proto.buffers import Buffer
from dicom_proto.errors import AbortReason, LocalProtocolError, PDUError
from dicom_proto.limits import DEFAULT_TOLERANCE, Tolerance
from dicom_proto.names import APPLICATION_CONTEXT_NAME, check_context_id, decode_ae_title, encode_ae_title
from dicom_proto.upper_layer.items import (
    ContextResult,
    ItemError,
    ItemType,
    ProposedContext,
    UserInformation,
    as_member,
    check_integer,
    check_octets,
    decode_context_result,
    decode_proposed_context,
    decode_uid,
    encode_context_result,
    encode_proposed_context,
    encode_uid_item,
    second_item,
    split_items,
)
from dicom_proto.upper_layer.reasons import (
    REJECT_REASONS,
    AbortSource,
    RejectResult,
    RejectSource,
    describe_reason,
    describe_result,
    describe_source,
)
from dicom_proto.upper_layer.remembered import Remembered
from dicom_proto.upper_layer.user_information import decode_user_information, encode_user_information

__all__ = [
    "DATA_HEADER",
    "HEADER",
    "HEADER_LENGTH",
    "MCH_COMMAND",
    "MCH_LAST",
    "PDU",
    "PDV",
    "PDV_HEADER",
    "PDV_HEADER_LENGTH",
    "AAbort",
    "AAssociateAC",
    "AAssociateRJ",
    "AAssociateRQ",
    "AReleaseRP",
    "AReleaseRQ",
    "PDUType",
    "PDataTF",
    "decode_pdu",
    "encode_pdu",
    "pack_header",
    "pack_pdv_header",
    "unpack_header",
    "unpack_pdv_header",
]

HEADER_LENGTH: Final = 6  # type, reserved, length (4)
PDV_HEADER_LENGTH: Final = 6  # length (4), presentation context ID, message control header
MCH_COMMAND: Final = 0x01  # bits of the message control header (PS3.8 E.2); the others are never tested
MCH_LAST: Final = 0x02

_P_DATA_TF: Final = 0x04
HEADER: Final = struct.Struct(">BxI")  # of every PDU: type and length of what follows
PDV_HEADER: Final = struct.Struct(">IBB")
DATA_HEADER: Final = struct.Struct(">BxIIBB")  # of a P-DATA-TF and of the one PDV in it
_ASSOCIATE: Final = struct.Struct(">H2x64s")  # protocol version; titles and reserved bytes; items follow
_REJECT: Final = struct.Struct(">xBBB")
_ABORT: Final = struct.Struct(">xxBB")


class PDUType(IntEnum):
    """First byte of a PDU (PS3.8 9.3.1)."""

    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = _P_DATA_TF
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07


@frozen(kw_only=True)
class AAssociateRQ:
    """A-ASSOCIATE-RQ (01H, PS3.8 9.3.2)."""

    called_ae_title: str
    calling_ae_title: str
    presentation_contexts: tuple[ProposedContext, ...]
    user_information: UserInformation
    application_context_name: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = 1
    # The 64 bytes from offset 10 as they were received (both titles, 32 reserved): an A-ASSOCIATE-AC sends them back.
    echo: bytes = field(default=b"", eq=False, repr=False)
    # Of one that was received, what was tolerated in it: the field of Tolerance, and what it was in words.
    tolerated: tuple[tuple[str, str], ...] = field(default=(), eq=False, repr=False)


@frozen(kw_only=True)
class AAssociateAC:
    """A-ASSOCIATE-AC (02H, PS3.8 9.3.3)."""

    context_results: tuple[ContextResult, ...]
    user_information: UserInformation
    application_context_name: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = 1
    echo: bytes = field(default=bytes(64), eq=False, repr=False)  # reserved bytes 10 to 73: those of the request
    tolerated: tuple[tuple[str, str], ...] = field(default=(), eq=False, repr=False)  # in it, or by it

    @property
    def result(self) -> int:
        """What is said by a rejection's result, as users of pynetdicom know it: 0, accepted (PS3.8 7.1.1.7)."""
        return 0


@frozen
class AAssociateRJ:
    """A-ASSOCIATE-RJ (03H, PS3.8 9.3.4); values that the standard does not list stay plain integers."""

    result: int
    source: int
    reason: int

    @property
    def result_source(self) -> int:
        """The source, as users of pynetdicom know it."""
        return self.source

    @property
    def diagnostic(self) -> int:
        """The reason, as users of pynetdicom know it."""
        return self.reason

    @property
    def result_str(self) -> str:
        """The result in words."""
        return describe_result(self.result)

    @property
    def source_str(self) -> str:
        """Who rejected it, in words."""
        return describe_source(self.source)

    @property
    def reason_str(self) -> str:
        """The reason in words."""
        return describe_reason(self.source, self.reason)


@frozen
class PDV:
    """One presentation data value item (PS3.8 9.3.5.1, Annex E); ``data`` is the fragment without its header."""

    context_id: int
    command: bool
    last: bool
    data: bytes


@frozen
class PDataTF:
    """P-DATA-TF (04H, PS3.8 9.3.5)."""

    pdvs: tuple[PDV, ...]


@frozen
class AReleaseRQ:
    """A-RELEASE-RQ (05H, PS3.8 9.3.6)."""


@frozen
class AReleaseRP:
    """A-RELEASE-RP (06H, PS3.8 9.3.7)."""


@frozen
class AAbort:
    """A-ABORT (07H, PS3.8 9.3.8); ``source`` 0 is the UL service-user, 2 the service-provider."""

    source: int
    reason: int = 0


PDU: TypeAlias = AAssociateRQ | AAssociateAC | AAssociateRJ | PDataTF | AReleaseRQ | AReleaseRP | AAbort


def pack_header(pdu_type: int, length: int) -> bytes:
    """Return the 6 bytes that begin a PDU; ``length`` counts the bytes behind them.

    Raises
    ------
    LocalProtocolError
        If the length field (4 bytes) cannot hold the length.
    """
    if length > 0xFFFFFFFF:
        raise LocalProtocolError(f"a PDU cannot have a length of {length} bytes, its length field has 4")
    return HEADER.pack(pdu_type, length)


def unpack_header(data: Buffer, offset: int = 0) -> tuple[int, int]:
    """Read type and length from the first 6 bytes of a PDU, which begins at ``offset``; neither is judged."""
    header: tuple[int, int] = HEADER.unpack_from(data, offset)
    return header


def pack_pdv_header(context_id: int, control: int, length: int) -> bytes:
    """Return the 12 bytes that go before a fragment of ``length`` bytes in a P-DATA-TF that holds nothing else.

    ``control`` is the message control header: :data:`MCH_COMMAND` and :data:`MCH_LAST`, or 0. Nothing is checked here.
    """
    return DATA_HEADER.pack(_P_DATA_TF, length + PDV_HEADER_LENGTH, length + 2, context_id, control)


def unpack_pdv_header(data: Buffer, remaining: int, offset: int = 0) -> tuple[int, int, int]:
    """Read the header of a PDV, 6 bytes from ``offset``; ``remaining`` bytes of the P-DATA-TF begin there.

    Returns
    -------
    tuple of int, int, int
        Length of the fragment, which may be 0 (PS3.8 E.2), presentation context ID, and message control header.

    Raises
    ------
    PDUError
        If there is no room for the header, the PDV length is less than 2, or it runs past the end (PS3.8 9.3.5.1).
    """
    if remaining < PDV_HEADER_LENGTH:
        raise ItemError(offset, f"{remaining} bytes where a presentation data value item has at least 6")
    length, context_id, control = PDV_HEADER.unpack_from(data, offset)
    if not 2 <= length <= remaining - 4:
        raise ItemError(offset, f"PDV length {length} with {remaining - 4} bytes left in the P-DATA-TF")
    return length - 2, context_id, control


def encode_pdu(pdu: PDU) -> bytes:
    """Encode a whole PDU.

    Nothing leaves that PS3.8 does not allow to be sent. The ``echo`` of a request is not used. A P-DATA-TF may hold
    several fragments as long as they are, in order, of one message (Annex E).

    Raises
    ------
    LocalProtocolError
        If a field has a value that the standard does not allow; :class:`InvalidNameError` if that is an AE title, a UID
        or a presentation context ID.
    """
    match pdu:
        case AAssociateRQ() | AAssociateAC():
            known = _ENCODED.get(id(pdu))
            if known is not None:
                return known[1]
            encoded = _encode_associate_rq(pdu) if isinstance(pdu, AAssociateRQ) else _encode_associate_ac(pdu)
            if not _has_identity(pdu):
                _ENCODED.keep(id(pdu), (pdu, encoded), len(encoded))
            return encoded
        case AAssociateRJ():
            return _encode_associate_rj(pdu)
        case PDataTF():
            return _encode_p_data(pdu)
        case AReleaseRQ():
            return pack_header(PDUType.A_RELEASE_RQ, 4) + bytes(4)
        case AReleaseRP():
            return pack_header(PDUType.A_RELEASE_RP, 4) + bytes(4)
        case AAbort():
            return _encode_abort(pdu)
        case _:
            assert_never(pdu)


def decode_pdu(pdu_type: int, body: Buffer, *, tolerance: Tolerance = DEFAULT_TOLERANCE) -> PDU:
    """Decode the body of a PDU: all that follows its header of 6 bytes.

    Names and numbers are kept as they are, valid or not, for negotiation to judge: protocol version, AE titles, UIDs,
    even context IDs, results, sources and reasons. Numbers that the standard lists become members of their
    enumerations.

    Parameters
    ----------
    pdu_type : int
        First byte of the PDU.
    body : Buffer
        As many bytes as the length field of the header says. Nothing of it is referred to by the record.
    tolerance : Tolerance
        Which breaches of the letter of the standard are accepted.

    Raises
    ------
    PDUError
        If the type is unknown; if a length does not fit what encloses it; if what must occur is absent or what may
        occur once occurs twice; if two presentation contexts have the same ID; or for what is not tolerated. Offsets in
        its message count from the first byte of the PDU.
    """
    decode = _DECODERS.get(pdu_type)
    if decode is None:
        raise PDUError(f"PDU of unknown type {pdu_type:02X}H", abort_reason=AbortReason.UNRECOGNIZED_PDU)
    raw = bytes(body)
    key = (pdu_type, raw, id(tolerance))
    known = _DECODED.get(key)
    if known is not None:
        return known[1]
    try:
        pdu = decode(raw, tolerance)
    except ItemError as error:
        name = PDUType(pdu_type).name.replace("_", "-")
        raise PDUError(
            f"{name}, offset {HEADER_LENGTH + error.offset}: {error}", abort_reason=error.abort_reason
        ) from None
    if isinstance(pdu, AAssociateRQ | AAssociateAC):
        pdu = evolve(pdu, tolerated=tuple(_tolerated(decode, raw, tolerance, pdu)))
        if not _has_identity(pdu):
            _DECODED.keep(key, (tolerance, pdu), len(raw))
    return pdu


_OF_ASSOCIATE: Final = (
    *("padded_uids", "even_context_ids", "missing_transfer_syntax"),
    *("blank_ae_titles", "missing_sub_items", "repeated_sub_items"),
)


def _tolerated(
    decode: Callable[[bytes, Tolerance], PDU], raw: bytes, tolerance: Tolerance, pdu: PDU
) -> Iterator[tuple[str, str]]:
    """Yield what is tolerated in an A-ASSOCIATE-RQ or -AC: without that it would be read otherwise, or not at all."""
    if _decode_or_not(decode, raw, evolve(tolerance, **dict.fromkeys(_OF_ASSOCIATE, False))) == pdu:
        return
    for name in _OF_ASSOCIATE:
        otherwise = _decode_or_not(decode, raw, evolve(tolerance, **{name: False}))
        if otherwise != pdu:
            yield name, str(otherwise) if isinstance(otherwise, ItemError) else "a UID with padding"


def _decode_or_not(decode: Callable[[bytes, Tolerance], PDU], raw: bytes, tolerance: Tolerance) -> PDU | ItemError:
    try:
        return decode(raw, tolerance)
    except ItemError as error:
        return error


_ENCODED: Final[Remembered[tuple[PDU, bytes]]] = Remembered()
_DECODED: Final[Remembered[tuple[Tolerance, PDU]]] = Remembered()


def _has_identity(pdu: AAssociateRQ | AAssociateAC) -> bool:
    """Tell whether a PDU says who the user is, or answers that."""
    information = pdu.user_information
    return information.identity is not None or information.identity_response is not None


def _encode_associate(
    pdu_type: PDUType, pdu: AAssociateRQ | AAssociateAC, titles: bytes, contexts: list[bytes], information: bytes
) -> bytes:
    """Put an A-ASSOCIATE-RQ or -AC together; ``titles`` is what stands at the offsets 10 to 73."""
    version = check_integer(pdu.protocol_version, "protocol version", 0, 0xFFFF)
    if not version & 1:
        raise LocalProtocolError(f"protocol version {version:04X}H does not have bit 0 set (PS3.8 9.3.2)")
    application_context = encode_uid_item(ItemType.APPLICATION_CONTEXT, pdu.application_context_name)
    body = b"".join([_ASSOCIATE.pack(version, titles), application_context, *contexts, information])
    return pack_header(pdu_type, len(body)) + body


def _check_contexts(contexts: tuple[ProposedContext, ...] | tuple[ContextResult, ...]) -> None:
    """See that there are presentation contexts, each with an ID of its own (PS3.8 7.1.1.13)."""
    if not contexts:
        raise LocalProtocolError("an association has at least one presentation context (PS3.8 7.1.1.13)")
    if len({context.context_id for context in contexts}) < len(contexts):
        raise LocalProtocolError("two presentation contexts have the same ID (PS3.8 7.1.1.13)")


def _encode_associate_rq(pdu: AAssociateRQ) -> bytes:
    _check_contexts(pdu.presentation_contexts)
    return _encode_associate(
        PDUType.A_ASSOCIATE_RQ,
        pdu,
        encode_ae_title(pdu.called_ae_title) + encode_ae_title(pdu.calling_ae_title),
        [encode_proposed_context(context) for context in pdu.presentation_contexts],
        encode_user_information(pdu.user_information, request=True),
    )


def _encode_associate_ac(pdu: AAssociateAC) -> bytes:
    if len(check_octets(pdu.echo, "echo of the request", 64)) != 64:
        raise LocalProtocolError("an A-ASSOCIATE-AC sends back 64 bytes of the request, not fewer (PS3.8 9.3.3)")
    _check_contexts(pdu.context_results)
    return _encode_associate(
        PDUType.A_ASSOCIATE_AC,
        pdu,
        pdu.echo,
        [encode_context_result(context) for context in pdu.context_results],
        encode_user_information(pdu.user_information, request=False),
    )


def _encode_associate_rj(pdu: AAssociateRJ) -> bytes:
    try:
        result, source = RejectResult(pdu.result), RejectSource(pdu.source)
        reason = REJECT_REASONS[source](pdu.reason)
    except ValueError as error:
        raise LocalProtocolError(f"A-ASSOCIATE-RJ: {error} (PS3.8 9.3.4)") from None
    return pack_header(PDUType.A_ASSOCIATE_RJ, 4) + _REJECT.pack(result, source, reason)


def _encode_abort(pdu: AAbort) -> bytes:
    try:
        source, reason = AbortSource(pdu.source), AbortReason(pdu.reason)
    except ValueError as error:
        raise LocalProtocolError(f"A-ABORT: {error} (PS3.8 9.3.8)") from None
    if source is AbortSource.SERVICE_USER and reason:
        raise LocalProtocolError("an A-ABORT whose source is the service-user has the reason 0 (PS3.8 9.3.8)")
    return pack_header(PDUType.A_ABORT, 4) + _ABORT.pack(source, reason)


def _encode_p_data(pdu: PDataTF) -> bytes:
    if not pdu.pdvs:
        raise LocalProtocolError("a P-DATA-TF has at least one presentation data value item (PS3.8 9.3.5)")
    for pdv in pdu.pdvs:
        check_context_id(pdv.context_id)
        if not check_octets(pdv.data, "fragment", 0xFFFFFFFF) or len(pdv.data) % 2:
            raise LocalProtocolError("a fragment has an even number of bytes, and at least two (PS3.8 E.1)")
    for before, after in pairwise(pdu.pdvs):
        ended = before.last and not before.command
        if ended or after.context_id != before.context_id or after.command != (before.command and not before.last):
            raise LocalProtocolError("a P-DATA-TF has fragments of one message, in their order (PS3.8 Annex E)")
    parts = [pack_header(PDUType.P_DATA_TF, sum(PDV_HEADER_LENGTH + len(pdv.data) for pdv in pdu.pdvs))]
    for pdv in pdu.pdvs:
        control = (MCH_COMMAND if pdv.command else 0) | (MCH_LAST if pdv.last else 0)
        parts += (PDV_HEADER.pack(2 + len(pdv.data), pdv.context_id, control), pdv.data)
    return b"".join(parts)


_Context = TypeVar("_Context", ProposedContext, ContextResult)


def _decode_items(
    body: bytes,
    tolerance: Tolerance,
    context_type: ItemType,
    decode_context: Callable[[bytes, Tolerance], _Context],
) -> tuple[str, tuple[_Context, ...], UserInformation]:
    """Decode the items of an A-ASSOCIATE-RQ or -AC, whatever their order."""
    name: str | None = None
    contexts: dict[int, _Context] = {}
    information: UserInformation | None = None
    for item_type, start, value in split_items(body, _ASSOCIATE.size):
        try:
            if item_type == context_type:
                context = decode_context(value, tolerance)
                if context.context_id in contexts:
                    raise ItemError(0, f"a second presentation context with the ID {context.context_id}")
                contexts[context.context_id] = context
            elif item_type == ItemType.APPLICATION_CONTEXT:
                if name is not None:
                    raise second_item(item_type, 0)
                name = decode_uid(value, tolerance.padded_uids)
            elif item_type == ItemType.USER_INFORMATION:
                if information is not None:
                    raise second_item(item_type, 0)
                request = context_type == ItemType.PROPOSED_CONTEXT
                information = decode_user_information(value, tolerance, request=request)
        except ItemError as error:
            error.offset += start
            raise
    if name is None:
        raise ItemError(len(body), "the PDU ends without an application context item (10H)")
    if information is None:
        raise ItemError(len(body), "the PDU ends without a user information item (50H)")
    return name, tuple(contexts.values()), information


def _unpack_associate(body: bytes) -> tuple[int, bytes]:
    """Read what stands before the items: protocol version, and the bytes at the offsets 10 to 73."""
    if len(body) < _ASSOCIATE.size:
        raise ItemError(0, f"{len(body)} bytes where the fixed fields have {_ASSOCIATE.size}")
    version, titles = _ASSOCIATE.unpack_from(body)
    return version, titles


def _decode_associate_rq(body: bytes, tolerance: Tolerance) -> AAssociateRQ:
    version, titles = _unpack_associate(body)
    called, calling = decode_ae_title(titles[:16]), decode_ae_title(titles[16:32])
    if not (called and calling) and not tolerance.blank_ae_titles:
        raise ItemError(20 if called else 4, "AE title of spaces only")
    name, contexts, information = _decode_items(body, tolerance, ItemType.PROPOSED_CONTEXT, decode_proposed_context)
    if not contexts:
        raise ItemError(len(body), "the PDU ends without a presentation context item (20H)")
    return AAssociateRQ(
        called_ae_title=called,
        calling_ae_title=calling,
        presentation_contexts=contexts,
        user_information=information,
        application_context_name=name,
        protocol_version=version,
        echo=titles,
    )


def _decode_associate_ac(body: bytes, tolerance: Tolerance) -> AAssociateAC:
    """Decode an A-ASSOCIATE-AC; contexts that it does not answer, be it all of them, count as rejected."""
    version, echo = _unpack_associate(body)
    name, contexts, information = _decode_items(body, tolerance, ItemType.CONTEXT_RESULT, decode_context_result)
    return AAssociateAC(
        context_results=contexts,
        user_information=information,
        application_context_name=name,
        protocol_version=version,
        echo=echo,
    )


def _check_fixed(body: bytes, tolerance: Tolerance) -> None:
    """See that the body of a PDU whose length is fixed has its 4 bytes."""
    if len(body) < 4 or (len(body) > 4 and not tolerance.long_fixed_pdus):
        raise ItemError(0, f"{len(body)} bytes where the PDU has 4")


def _decode_associate_rj(body: bytes, tolerance: Tolerance) -> AAssociateRJ:
    _check_fixed(body, tolerance)
    result, source, reason = _REJECT.unpack_from(body)
    reasons = REJECT_REASONS.get(source)
    return AAssociateRJ(
        as_member(RejectResult, result),
        as_member(RejectSource, source),
        reason if reasons is None else as_member(reasons, reason),
    )


def _decode_p_data(body: bytes, _tolerance: Tolerance) -> PDataTF:
    pdvs: list[PDV] = []
    at = 0
    while at < len(body) or not pdvs:
        length, context_id, control = unpack_pdv_header(body, len(body) - at, at)
        at += PDV_HEADER_LENGTH
        data = body[at : at + length]
        at += length
        pdvs.append(PDV(context_id, bool(control & MCH_COMMAND), bool(control & MCH_LAST), data))
    return PDataTF(tuple(pdvs))


def _decode_release_rq(body: bytes, tolerance: Tolerance) -> AReleaseRQ:
    _check_fixed(body, tolerance)
    return AReleaseRQ()


def _decode_release_rp(body: bytes, tolerance: Tolerance) -> AReleaseRP:
    _check_fixed(body, tolerance)
    return AReleaseRP()


def _decode_abort(body: bytes, tolerance: Tolerance) -> AAbort:
    """Decode an A-ABORT; its reason means something only if the service-provider is its source."""
    _check_fixed(body, tolerance)
    source, reason = _ABORT.unpack_from(body)
    return AAbort(
        as_member(AbortSource, source),
        as_member(AbortReason, reason) if source == AbortSource.SERVICE_PROVIDER else reason,
    )


_DECODERS: Final[dict[int, Callable[[bytes, Tolerance], PDU]]] = {
    PDUType.A_ASSOCIATE_RQ: _decode_associate_rq,
    PDUType.A_ASSOCIATE_AC: _decode_associate_ac,
    PDUType.A_ASSOCIATE_RJ: _decode_associate_rj,
    PDUType.P_DATA_TF: _decode_p_data,
    PDUType.A_RELEASE_RQ: _decode_release_rq,
    PDUType.A_RELEASE_RP: _decode_release_rp,
    PDUType.A_ABORT: _decode_abort,
}
