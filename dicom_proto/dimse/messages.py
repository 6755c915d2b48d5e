"""The 23 DIMSE messages, as a table that reads like those of PS3.7 9.3 and 10.3.

Stable.

Each class is one command. Its fields are the rows of the standard's table, named after the DICOM keyword in snake
case, in the order of their tags. A row says mandatory (M), optional (U, user option) or conditional (C), the element
number in group 0000, the value representation and, if it is conditional, the statuses that it goes with. Encoding,
decoding, checks and documentation derive from these rows; nothing is said about a field a second time. A response
stands before its request, which names it.

Error Comment, Error ID and Offending Element may go with any status: PS3.7 Annex C names them for some, and what they
say beside another one misleads nobody.

Three elements are never fields: Command Group Length is computed, Command Field is the class, and Command Data Set
Type, which says whether a data set follows, is an argument of :func:`encode_message` and a result of
:func:`decode_message`.

What is sent is checked strictly against the table. What a peer sent is refused only if it cannot be understood: a
mandatory field is absent or empty, or a number or tag has the wrong length. Tolerated, and left to whoever uses the
message, are conditional fields with a status they do not go with, or missing with one that needs them; a data set
that breaks the rule of the message; values out of range (an unknown priority stays a plain integer); UIDs and text of
any content, UIDs longer than 64 characters among them; optional fields without a value; and elements that belong to
other messages.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dicom_proto.dimse.codec import decode_message, encode_message
from dicom_proto.dimse.command_set import AE, AT, INSTANCE_UI, LO, UI, US
from dicom_proto.dimse.declaration import (
    CANCEL,
    FAILURE,
    PENDING,
    PERFORMED,
    PRIORITY,
    REGISTRY,
    SUCCESS,
    WARNING,
    Condition,
    DataSet,
    Message,
    Priority,
    Request,
    Response,
    codes,
    conditional,
    dimse_message,
    mandatory,
    optional,
)
from dicom_proto.errors import LocalProtocolError

__all__ = [
    "KEYWORDS",
    "MESSAGES",
    "CCancelRQ",
    "CEchoRQ",
    "CEchoRSP",
    "CFindRQ",
    "CFindRSP",
    "CGetRQ",
    "CGetRSP",
    "CMoveRQ",
    "CMoveRSP",
    "CStoreRQ",
    "CStoreRSP",
    "CompositeResponse",
    "DataSet",
    "Message",
    "NActionRQ",
    "NActionRSP",
    "NCreateRQ",
    "NCreateRSP",
    "NDeleteRQ",
    "NDeleteRSP",
    "NEventReportRQ",
    "NEventReportRSP",
    "NGetRQ",
    "NGetRSP",
    "NSetRQ",
    "NSetRSP",
    "NormalizedResponse",
    "Priority",
    "Request",
    "Response",
    "RetrieveResponse",
    "decode_message",
    "encode_message",
]


@dimse_message
class CompositeResponse(Response):
    """What the responses of C-STORE, C-FIND, C-GET and C-MOVE have in common (PS3.7 Annex C)."""

    offending_element: tuple[int, ...] | None = conditional(0x0901, AT, Condition())  # with any status: see above
    error_comment: str | None = conditional(0x0902, LO, Condition())


@dimse_message
class RetrieveResponse(CompositeResponse):
    """What the responses of C-GET and C-MOVE have in common: counters of sub-operations (PS3.4 C.4.2.1, C.4.3.1).

    Their data set is the list of failed SOP Instances: it follows a final response if there are any. A number of failed
    sub-operations that is ``None``, as it may be in a final response, leaves that to the caller.
    """

    data_set = DataSet.OPTIONAL
    data_set_condition = Condition(only_with=CANCEL | WARNING | FAILURE)

    number_of_remaining_suboperations: int | None = conditional(
        0x1020, US, Condition(only_with=PENDING | CANCEL, required_with=PENDING)
    )
    number_of_completed_suboperations: int | None = conditional(0x1021, US, Condition(required_with=PENDING))
    number_of_failed_suboperations: int | None = conditional(0x1022, US, Condition(required_with=PENDING))
    number_of_warning_suboperations: int | None = conditional(0x1023, US, Condition(required_with=PENDING))

    def check(self, *, has_data_set: bool) -> None:
        """Check as for every response, and the data set against the number of failed sub-operations."""
        super().check(has_data_set=has_data_set)
        failed = self.number_of_failed_suboperations
        if self.status not in PENDING and failed is not None and has_data_set != bool(failed):
            raise LocalProtocolError(
                f"{self.name}: {failed!r} sub-operations failed, and a list of them follows if any did"
            )


@dimse_message
class NormalizedResponse(Response):
    """What the responses of all DIMSE-N services have in common (PS3.7 Annex C)."""

    error_comment: str | None = conditional(0x0902, LO, Condition())  # with any status: see above
    error_id: int | None = conditional(0x0903, US, Condition())


_OFFENDING_ATTRIBUTES = Condition(only_with=codes(0x0105, 0x0107, 0x0120))
_REPLY = Condition(only_with=PERFORMED | codes(0x0115))  # with 0115H: the values that are out of range
_ATTRIBUTE_LIST = Condition(only_with=PERFORMED | codes(0x0106, 0x0121))  # used, or offending, values


@dimse_message
class CStoreRSP(CompositeResponse):
    """C-STORE-RSP (PS3.7 Table 9.3-2)."""

    command_field = 0x8001

    affected_sop_instance_uid: str | None = optional(0x1000, INSTANCE_UI)


@dimse_message
class CStoreRQ(Request):
    """C-STORE-RQ: store the SOP Instance that follows (PS3.7 Table 9.3-1)."""

    command_field = 0x0001
    response = CStoreRSP
    data_set = DataSet.ALWAYS

    affected_sop_class_uid: str = mandatory(0x0002, UI)
    priority: int = mandatory(0x0700, PRIORITY, default=Priority.MEDIUM)
    affected_sop_instance_uid: str = mandatory(0x1000, INSTANCE_UI)
    move_originator_application_entity_title: str | None = optional(0x1030, AE)
    move_originator_message_id: int | None = optional(0x1031, US)


@dimse_message
class CFindRSP(CompositeResponse):
    """C-FIND-RSP (PS3.7 Table 9.3-4); the Identifier of a match follows a Pending response."""

    command_field = 0x8020
    data_set = DataSet.OPTIONAL
    data_set_condition = Condition(only_with=PENDING, required_with=PENDING)


@dimse_message
class CFindRQ(Request):
    """C-FIND-RQ: find what matches the Identifier that follows (PS3.7 Table 9.3-3)."""

    command_field = 0x0020
    response = CFindRSP
    data_set = DataSet.ALWAYS

    affected_sop_class_uid: str = mandatory(0x0002, UI)
    priority: int = mandatory(0x0700, PRIORITY, default=Priority.MEDIUM)


@dimse_message
class CGetRSP(RetrieveResponse):
    """C-GET-RSP (PS3.7 Table 9.3-7)."""

    command_field = 0x8010


@dimse_message
class CGetRQ(Request):
    """C-GET-RQ: store what the Identifier that follows names, on this association (PS3.7 Table 9.3-6)."""

    command_field = 0x0010
    response = CGetRSP
    data_set = DataSet.ALWAYS

    affected_sop_class_uid: str = mandatory(0x0002, UI)
    priority: int = mandatory(0x0700, PRIORITY, default=Priority.MEDIUM)


@dimse_message
class CMoveRSP(RetrieveResponse):
    """C-MOVE-RSP (PS3.7 Table 9.3-10)."""

    command_field = 0x8021


@dimse_message
class CMoveRQ(Request):
    """C-MOVE-RQ: store what the Identifier that follows names at another AE (PS3.7 Table 9.3-9)."""

    command_field = 0x0021
    response = CMoveRSP
    data_set = DataSet.ALWAYS

    affected_sop_class_uid: str = mandatory(0x0002, UI)
    move_destination: str = mandatory(0x0600, AE)
    priority: int = mandatory(0x0700, PRIORITY, default=Priority.MEDIUM)


@dimse_message
class CEchoRSP(Response):
    """C-ECHO-RSP (PS3.7 Table 9.3-13)."""

    command_field = 0x8030

    error_comment: str | None = conditional(0x0902, LO, Condition())  # any: see above


@dimse_message
class CEchoRQ(Request):
    """C-ECHO-RQ: verify communication (PS3.7 Table 9.3-12)."""

    command_field = 0x0030
    response = CEchoRSP

    affected_sop_class_uid: str = mandatory(0x0002, UI, default="1.2.840.10008.1.1")  # Verification SOP Class


@dimse_message
class CCancelRQ(Message):
    """C-CANCEL-RQ: end a C-FIND, C-GET or C-MOVE (PS3.7 Tables 9.3-5, 9.3-8, 9.3-11).

    It is no :class:`Request`: it has no id of its own, and nothing answers it but the operation that it ends.
    """

    command_field = 0x0FFF

    message_id_being_responded_to: int = mandatory(0x0120, US)


@dimse_message
class NEventReportRSP(NormalizedResponse):
    """N-EVENT-REPORT-RSP (PS3.7 Table 10.3-2); an Event Reply may follow."""

    command_field = 0x8100
    data_set = DataSet.OPTIONAL
    data_set_condition = _REPLY

    affected_sop_instance_uid: str | None = optional(0x1000, INSTANCE_UI)
    event_type_id: int | None = conditional(
        0x1002, US, Condition(only_with=PERFORMED | codes(0x0113, 0x0114, 0x0115), required_with_data_set=True)
    )


@dimse_message
class NEventReportRQ(Request):
    """N-EVENT-REPORT-RQ: an event about a SOP Instance; Event Information may follow (PS3.7 Table 10.3-1)."""

    command_field = 0x0100
    response = NEventReportRSP
    data_set = DataSet.OPTIONAL

    affected_sop_class_uid: str = mandatory(0x0002, UI)
    affected_sop_instance_uid: str = mandatory(0x1000, INSTANCE_UI)
    event_type_id: int = mandatory(0x1002, US)


@dimse_message
class NGetRSP(NormalizedResponse):
    """N-GET-RSP (PS3.7 Table 10.3-4); the Attribute List follows."""

    command_field = 0x8110
    data_set = DataSet.OPTIONAL
    data_set_condition = Condition(only_with=PERFORMED, required_with=SUCCESS)

    affected_sop_instance_uid: str | None = optional(0x1000, INSTANCE_UI)
    attribute_identifier_list: tuple[int, ...] | None = conditional(0x1005, AT, _OFFENDING_ATTRIBUTES)


@dimse_message
class NGetRQ(Request):
    """N-GET-RQ: read attributes of a SOP Instance, all of them if none are named (PS3.7 Table 10.3-3)."""

    command_field = 0x0110
    response = NGetRSP

    requested_sop_class_uid: str = mandatory(0x0003, UI)
    requested_sop_instance_uid: str = mandatory(0x1001, INSTANCE_UI)
    attribute_identifier_list: tuple[int, ...] | None = optional(0x1005, AT)


@dimse_message
class NSetRSP(NormalizedResponse):
    """N-SET-RSP (PS3.7 Table 10.3-6); an Attribute List may follow."""

    command_field = 0x8120
    data_set = DataSet.OPTIONAL
    data_set_condition = _ATTRIBUTE_LIST

    affected_sop_instance_uid: str | None = optional(0x1000, INSTANCE_UI)
    attribute_identifier_list: tuple[int, ...] | None = conditional(0x1005, AT, _OFFENDING_ATTRIBUTES)


@dimse_message
class NSetRQ(Request):
    """N-SET-RQ: change attributes of a SOP Instance; the Modification List follows (PS3.7 Table 10.3-5)."""

    command_field = 0x0120
    response = NSetRSP
    data_set = DataSet.ALWAYS

    requested_sop_class_uid: str = mandatory(0x0003, UI)
    requested_sop_instance_uid: str = mandatory(0x1001, INSTANCE_UI)


@dimse_message
class NActionRSP(NormalizedResponse):
    """N-ACTION-RSP (PS3.7 Table 10.3-8); an Action Reply may follow."""

    command_field = 0x8130
    data_set = DataSet.OPTIONAL
    data_set_condition = _REPLY

    affected_sop_instance_uid: str | None = optional(0x1000, INSTANCE_UI)
    action_type_id: int | None = conditional(
        0x1008,
        US,
        Condition(only_with=PERFORMED | codes(0x0114, 0x0115, 0x0123), required_with_data_set=True),
    )


@dimse_message
class NActionRQ(Request):
    """N-ACTION-RQ: perform an action on a SOP Instance; Action Information may follow (PS3.7 Table 10.3-7)."""

    command_field = 0x0130
    response = NActionRSP
    data_set = DataSet.OPTIONAL

    requested_sop_class_uid: str = mandatory(0x0003, UI)
    requested_sop_instance_uid: str = mandatory(0x1001, INSTANCE_UI)
    action_type_id: int = mandatory(0x1008, US)


@dimse_message
class NCreateRSP(NormalizedResponse):
    """N-CREATE-RSP (PS3.7 Table 10.3-10); an Attribute List may follow.

    The UID of the created SOP Instance is required with Success if the request had none; the response alone cannot
    tell.
    """

    command_field = 0x8140
    data_set = DataSet.OPTIONAL
    data_set_condition = _ATTRIBUTE_LIST

    affected_sop_instance_uid: str | None = conditional(
        0x1000, INSTANCE_UI, Condition(only_with=PERFORMED | codes(0x0110, 0x0111, 0x0117))
    )
    attribute_identifier_list: tuple[int, ...] | None = conditional(0x1005, AT, _OFFENDING_ATTRIBUTES)


@dimse_message
class NCreateRQ(Request):
    """N-CREATE-RQ: create a SOP Instance; an Attribute List may follow (PS3.7 Table 10.3-9)."""

    command_field = 0x0140
    response = NCreateRSP
    data_set = DataSet.OPTIONAL

    affected_sop_class_uid: str = mandatory(0x0002, UI)
    affected_sop_instance_uid: str | None = optional(0x1000, UI)  # absent: the performer assigns one


@dimse_message
class NDeleteRSP(NormalizedResponse):
    """N-DELETE-RSP (PS3.7 Table 10.3-12)."""

    command_field = 0x8150

    affected_sop_instance_uid: str | None = optional(0x1000, INSTANCE_UI)


@dimse_message
class NDeleteRQ(Request):
    """N-DELETE-RQ: delete a SOP Instance (PS3.7 Table 10.3-11)."""

    command_field = 0x0150
    response = NDeleteRSP

    requested_sop_class_uid: str = mandatory(0x0003, UI)
    requested_sop_instance_uid: str = mandatory(0x1001, INSTANCE_UI)


MESSAGES: Final[Mapping[int, type[Message]]] = MappingProxyType(REGISTRY)  # by command field
KEYWORDS: Final[Mapping[str, str]] = MappingProxyType(  # DICOM keyword to attribute name
    {element.keyword: element.attribute for cls in MESSAGES.values() for element in cls.elements}
)
