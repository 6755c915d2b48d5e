"""Valid PDUs, command sets and names: what fuzzers begin with, and what mutations are made of.

May change.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import fields

from dicom_proto.dimse.command_set import AE, AT, INSTANCE_UI, LO, UI, US, ValueRepresentation
from dicom_proto.dimse.messages import MESSAGES, DataSet, Message, Response, encode_message
from dicom_proto.errors import LocalProtocolError
from dicom_proto.limits import Tolerance
from dicom_proto.names import APPLICATION_CONTEXT_NAME
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    ItemType,
    OperationsWindow,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from dicom_proto.upper_layer.pdu import (
    PDU,
    PDV,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    PDUType,
    encode_pdu,
)

__all__ = [
    "COMMANDS",
    "COMMITMENT",
    "CT",
    "EXPLICIT",
    "FIND",
    "FULL_OFFER",
    "GET",
    "IMPLICIT",
    "MOVE",
    "MR",
    "PARTIAL_ANSWER",
    "PDUS",
    "PLAIN_OFFER",
    "STATUSES",
    "STORAGE_SERVICE",
    "STRICT",
    "TOKENS",
    "UIDS",
    "VERIFICATION",
    "dictionary",
]

STRICT: Final = Tolerance(**dict.fromkeys((field.name for field in fields(Tolerance)), False))

VERIFICATION: Final = "1.2.840.10008.1.1"
CT: Final = "1.2.840.10008.5.1.4.1.1.2"
MR: Final = "1.2.840.10008.5.1.4.1.1.4"
FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
COMMITMENT: Final = "1.2.840.10008.1.20.1"
STORAGE_SERVICE: Final = "1.2.840.10008.4.2"
IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
UIDS: Final = (VERIFICATION, CT, MR, FIND, MOVE, GET, COMMITMENT, STORAGE_SERVICE, IMPLICIT, EXPLICIT, "1.2.3")

# One status of each category, those that some message has a condition for, and one that no standard has.
STATUSES: Final = (0x0000, 0x0001, 0x0105, 0x0110, 0x0115, 0x0121, 0x0210, 0xA700, 0xB000, 0xC001, 0xFE00, 0xFF00, 0x7)

PLAIN_OFFER: Final = AAssociateRQ(
    called_ae_title="CALLED",
    calling_ae_title="CALLING",
    presentation_contexts=(ProposedContext(1, VERIFICATION, (IMPLICIT,)),),
    user_information=UserInformation(maximum_length=0, implementation_class_uid="1.2.3"),
)
FULL_OFFER: Final = AAssociateRQ(
    called_ae_title="ANY-SCP",
    calling_ae_title="ECHOSCU",
    presentation_contexts=tuple(
        ProposedContext(2 * index + 1, uid, (EXPLICIT, IMPLICIT))
        for index, uid in enumerate((VERIFICATION, CT, FIND, GET, MOVE, COMMITMENT))
    ),
    user_information=UserInformation(
        maximum_length=4096,
        implementation_class_uid="1.2.3.4",
        implementation_version_name="TEST",
        operations_window=OperationsWindow(3, 2),
        roles=(RoleSelection(CT, scu=True, scp=True), RoleSelection(COMMITMENT, scu=False, scp=True)),
        extended=(ExtendedNegotiation(CT, b"\2\0\3\0\1\0"), ExtendedNegotiation(FIND, b"\1\1\1")),
        common_extended=(CommonExtendedNegotiation(CT, STORAGE_SERVICE, (MR, CT)),),
        identity=UserIdentity(2, b"user", b"pass", positive_response_requested=True),
    ),
)
_PLAIN_ANSWER: Final = AAssociateAC(
    context_results=(ContextResult(1, 0, IMPLICIT),),
    user_information=UserInformation(maximum_length=16384, implementation_class_uid="1.2.3"),
    echo=bytes(64),
)
_FULL_ANSWER: Final = AAssociateAC(
    context_results=tuple(ContextResult(number, 0, IMPLICIT) for number in (1, 3, 5, 7, 9, 11)),
    user_information=UserInformation(
        maximum_length=64,
        implementation_class_uid="1.2.3.5",
        implementation_version_name="ACCEPTOR",
        operations_window=OperationsWindow(2, 1),
        roles=(RoleSelection(CT, scu=True, scp=True), RoleSelection(COMMITMENT, scu=False, scp=False)),
        extended=(ExtendedNegotiation(CT, b"\2\0\1\0\0\0"),),
        identity_response=b"",
    ),
    echo=b"ANY-SCP".ljust(16) + b"ECHOSCU".ljust(16) + bytes(32),
)
PARTIAL_ANSWER: Final = AAssociateAC(
    context_results=(ContextResult(1, 4), ContextResult(3, 0, EXPLICIT), ContextResult(5, 3, IMPLICIT)),
    user_information=UserInformation(maximum_length=0, implementation_class_uid="1.2.3"),
    echo=bytes(64),
)

_VALUES: Final[dict[ValueRepresentation, Any]] = {
    AE: "STORESCP",
    AT: (0x0020000D, 0x00100020),
    LO: "no such object",
    UI: CT,
    INSTANCE_UI: CT,
    US: 1,
}


def _examples(cls: type[Message]) -> Iterator[bytes]:
    """Encode a kind of message: with what is mandatory, with all that may go with it; a response with each status."""
    for status in STATUSES if issubclass(cls, Response) else (0,):
        for usages in ("M", "MU", "MUC"):
            values = {
                row.attribute: _VALUES.get(row.vr, 1)
                for row in cls.elements
                if row.usage in usages and row.attribute not in ("status", "message_id_being_responded_to")
            }
            if issubclass(cls, Response):
                values |= {"status": status, "message_id_being_responded_to": 1}
            elif "message_id_being_responded_to" in {row.attribute for row in cls.elements}:
                values["message_id_being_responded_to"] = 1
            for has_data_set in {cls.data_set is DataSet.ALWAYS, cls.data_set is not DataSet.NEVER}:
                try:
                    yield encode_message(cls(**values), has_data_set=has_data_set)
                except LocalProtocolError:  # the status does not go with these fields
                    continue


COMMANDS: Final[dict[str, tuple[bytes, ...]]] = {
    cls.name.lower(): tuple(dict.fromkeys(_examples(cls))) for cls in MESSAGES.values()
}
"""Command sets of each message by its name, the plainest first."""

_ECHO: Final = COMMANDS["c-echo-rq"][0]
_STORE: Final = COMMANDS["c-store-rq"][0]

_RECORDS: Final[Mapping[str, PDU]] = {
    "associate-rq": PLAIN_OFFER,
    "associate-rq-full": FULL_OFFER,
    "associate-ac": _PLAIN_ANSWER,
    "associate-ac-full": _FULL_ANSWER,
    "associate-ac-partial": PARTIAL_ANSWER,
    "associate-rj": AAssociateRJ(1, 1, 7),
    "associate-rj-transient": AAssociateRJ(2, 3, 2),
    "release-rq": AReleaseRQ(),
    "release-rp": AReleaseRP(),
    "abort-user": AAbort(0),
    "abort-provider": AAbort(2, 6),
    "p-data-echo-rq": PDataTF((PDV(1, True, True, _ECHO),)),
    "p-data-echo-rsp": PDataTF((PDV(1, True, True, COMMANDS["c-echo-rsp"][0]),)),
    "p-data-store-rq": PDataTF((PDV(3, True, True, _STORE),)),
    "p-data-store-and-data": PDataTF((PDV(3, True, True, _STORE), PDV(3, False, True, bytes(16)))),
    "p-data-three-fragments": PDataTF(tuple(PDV(3, False, at == 2, bytes(4)) for at in range(3))),
    "p-data-begun": PDataTF((PDV(3, False, False, bytes(8)),)),
    "p-data-ended": PDataTF((PDV(3, False, True, bytes(2)),)),
    "p-data-command-begun": PDataTF((PDV(1, True, False, _ECHO[:12]),)),
    "p-data-command-ended": PDataTF((PDV(1, True, True, _ECHO[12:]),)),
}

PDUS: Final = {name: encode_pdu(pdu) for name, pdu in _RECORDS.items()}
"""Valid PDUs of all kinds, by what they are."""

TOKENS: Final[tuple[bytes, ...]] = (
    *(uid.encode() for uid in (*UIDS, APPLICATION_CONTEXT_NAME)),
    *(bytes((kind, 0, 0, 0, 0, 4)) for kind in PDUType),
    *(bytes((kind, 0, 0, 4)) for kind in ItemType),
    *(command_field.to_bytes(2, "little") for command_field in MESSAGES),
    *(bytes((0, 0)) + tag.to_bytes(2, "little") for tag in (0, 2, 0x100, 0x110, 0x120, 0x800, 0x900, 0x1000)),
    b"\1\1",
)
"""Short strings that mean something; the fuzzer's dictionary."""


def dictionary() -> str:
    """Return :data:`TOKENS` as a dictionary that AFL++ and libFuzzer read: a line each, with a name."""
    lines = [
        f'token_{number}="' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for number, token in enumerate(TOKENS)
    ]
    return "".join(lines)
