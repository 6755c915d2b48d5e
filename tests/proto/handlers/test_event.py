"""What handlers get."""

import copy
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from dicom_proto.dimse.messages import (
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CStoreRQ,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Request,
)
from dicom_proto.encoding.datasets import decode, encode
from dicom_proto.errors import DataSetError, InvalidNameError, LocalProtocolError
from dicom_proto.handlers.event import Event, MessageView, RequestEvent
from dicom_proto.handlers.kinds import EVT_C_STORE, EVT_CONN_OPEN
from dicom_proto.upper_layer.negotiation import AcceptedContext
from tests.proto.programs.script import CT, EXPLICIT, IMPLICIT, STUDY_FIND, STUDY_GET, STUDY_MOVE, data_set, dataset_of
from tests.proto.rows import for_each

BOX, INSTANCE = "1.2.840.10008.5.1.1.2", "1.2.3"
DATASET = dataset_of(PatientID="1")
ENCODED = data_set(EXPLICIT, PatientID="1")
STORE = CStoreRQ(message_id=3, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
REQUESTED: dict[str, Any] = {"message_id": 3, "requested_sop_class_uid": BOX, "requested_sop_instance_uid": INSTANCE}
AFFECTED: dict[str, Any] = {"message_id": 3, "affected_sop_class_uid": BOX, "affected_sop_instance_uid": INSTANCE}
FIND = CFindRQ(message_id=3, affected_sop_class_uid=STUDY_FIND)
GET = CGetRQ(message_id=3, affected_sop_class_uid=STUDY_GET)
MOVE = CMoveRQ(message_id=3, affected_sop_class_uid=STUDY_MOVE, move_destination="THERE")
N_GET = NGetRQ(**REQUESTED, attribute_identifier_list=(0x00100010, 0x00100020))
N_SET = NSetRQ(**REQUESTED)
N_ACTION = NActionRQ(**REQUESTED, action_type_id=7)
N_CREATE = NCreateRQ(**AFFECTED)
N_EVENT_REPORT = NEventReportRQ(**AFFECTED, event_type_id=9)
REQUESTS: list[Request] = [
    CEchoRQ(message_id=3),
    STORE,
    FIND,
    GET,
    MOVE,
    N_GET,
    N_SET,
    N_ACTION,
    N_CREATE,
    N_EVENT_REPORT,
]


def event(request: Request, data: bytes | None = ENCODED, *, is_cancelled: bool = False) -> RequestEvent:
    return RequestEvent(
        EVT_C_STORE,
        "the association",
        request=request,
        data=data,
        context=AcceptedContext(5, CT, EXPLICIT),
        is_cancelled=lambda: is_cancelled,
        get_source=lambda: "SOURCE",
    )


def test_an_event_has_a_name_and_whatever_there_is_to_say() -> None:
    here = Event(EVT_CONN_OPEN, "the association", address=("host", 104))
    assert (here.event, here.name, here.description) == (EVT_CONN_OPEN, "EVT_CONN_OPEN", "Connection opened")
    assert (here.assoc, here.timestamp) == ("the association", None)
    assert here.address == ("host", 104)  # type: ignore[attr-defined]


def test_every_request_has_a_context_and_an_id() -> None:
    here = event(STORE)
    assert here.context == (5, CT, EXPLICIT)
    assert here.context.abstract_syntax.name == "CT Image Storage"
    assert (here.message_id, here.is_cancelled, event(FIND, is_cancelled=True).is_cancelled) == (3, False, True)


DATA_SETS: dict[str, list[Request]] = {
    "dataset": [STORE],
    "identifier": [FIND, GET, MOVE],
    "attribute_list": [N_CREATE, N_SET],
    "modification_list": [N_SET],
    "action_information": [N_ACTION],
    "event_information": [N_EVENT_REPORT],
}
OTHERS: dict[str, tuple[Request, Any]] = {
    "action_type": (N_ACTION, 7),
    "event_type": (N_EVENT_REPORT, 9),
    "attribute_identifiers": (N_GET, [Tag("PatientName"), Tag("PatientID")]),
    "move_destination": (MOVE, "THERE"),
}


@for_each("attribute", DATA_SETS)
def test_data_sets_have_the_names_of_the_service(attribute: str) -> None:
    for request in REQUESTS:
        if request not in DATA_SETS[attribute]:
            with pytest.raises(AttributeError, match=f"{request.name} has no {attribute}"):
                getattr(event(request), attribute)
            continue
        here = event(request)
        assert getattr(here, attribute) == DATASET
        assert getattr(here, attribute) is getattr(here, attribute)  # decoded once
        if request is not STORE:
            assert getattr(event(request, None), attribute) == Dataset()
        with pytest.raises(DataSetError):
            getattr(event(request, b"\x10\x00\x10\x00PN\xff\xffab"), attribute)


@for_each("attribute", OTHERS)
def test_other_parameters(attribute: str) -> None:
    owner, value = OTHERS[attribute]
    assert getattr(event(owner), attribute) == value
    with pytest.raises(AttributeError, match=attribute):
        getattr(event(STORE), attribute)


def test_what_is_handed_out_and_not_decoded_is_looked_at_once() -> None:
    seen: list[Any] = []

    def looked() -> RequestEvent:
        here = event(STORE)
        here.look_at = lambda *what: seen.append(what)
        return here

    here = looked()
    assert here.encoded_dataset(include_meta=False) == here.encoded_dataset(include_meta=False)
    assert seen == [(ENCODED, EXPLICIT)]
    here = looked()
    assert here.dataset == DATASET  # it is looked at when it is decoded
    assert here.encoded_dataset(include_meta=False) == ENCODED
    assert len(seen) == 1


def test_the_command_set_of_a_message() -> None:
    assert [(element.keyword, element.value) for element in event(N_GET).request.command_set] == [
        ("RequestedSOPClassUID", BOX),
        ("CommandField", 0x0110),
        ("MessageID", 3),
        ("CommandDataSetType", 0x0001),
        ("RequestedSOPInstanceUID", INSTANCE),
        ("AttributeIdentifierList", [0x00100010, 0x00100020]),
    ]
    assert "MoveOriginatorMessageID" not in event(STORE).request.command_set
    assert MessageView(N_GET, None).command_set.CommandDataSetType == 0x0101


def test_no_attribute_identifiers_are_all() -> None:
    assert event(NGetRQ(**REQUESTED)).attribute_identifiers == []


def test_what_is_stored_can_become_a_file() -> None:
    here = event(STORE)
    assert here.file_meta.MediaStorageSOPClassUID == CT
    assert here.file_meta.TransferSyntaxUID == EXPLICIT
    assert here.file_meta.SourceApplicationEntityTitle == "SOURCE"
    assert here.dataset.file_meta == here.file_meta
    content = here.encoded_dataset()
    assert content[128:132] == b"DICM"
    assert content.endswith(ENCODED)
    assert decode(here.encoded_dataset(include_meta=False), EXPLICIT) == DATASET
    assert here.encoded_dataset() == here.file_head() + ENCODED
    other = encode(DATASET, IMPLICIT)  # in a context for explicit VR
    here = event(here.message, other)
    assert here.encoded_dataset() == here.file_head(other) + other
    assert here.file_meta.TransferSyntaxUID == IMPLICIT
    assert here.source_ae_title == "SOURCE"


def test_what_goes_into_a_sink_is_not_in_the_event() -> None:
    here = event(STORE, None)
    assert here.file_head() == event(STORE).file_head()
    assert here.file_meta.MediaStorageSOPClassUID == CT
    with pytest.raises(LocalProtocolError, match=r"no event\.dataset: .* goes into the sink"):
        _ = here.dataset
    with pytest.raises(LocalProtocolError, match=r"no event\.encoded_dataset"):
        here.encoded_dataset()


def test_only_what_is_stored_can() -> None:
    for attribute in ("file_meta", "dataset"):
        with pytest.raises(AttributeError):
            getattr(event(FIND), attribute)
    with pytest.raises(AttributeError):
        event(FIND).encoded_dataset(include_meta=False)
    with pytest.raises(AttributeError):
        event(FIND).file_head()


@for_each("uid", ["1.2.03.4", "LOCALIZER1.2.3", "1." * 40 + "1", "..", "an object"])
def test_an_object_has_the_name_that_it_has(uid: str) -> None:
    """PS3.5 9.1 binds who makes a UID; pynetdicom#88, horos#83. What files are called is not for its maker to say."""
    here = event(CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid=uid))
    assert here.dataset == DATASET
    assert here.dataset.file_meta.MediaStorageSOPInstanceUID == uid
    assert here.file_meta.MediaStorageSOPInstanceUID == uid


@for_each("uid", ["1.2\n3", "../../1.2"])
def test_a_name_that_is_none_or_a_path_does_not_get_into_a_file(uid: str) -> None:
    here = event(CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid=uid))
    assert here.dataset == DATASET
    assert not hasattr(here.dataset, "file_meta")
    for attribute in ("file_meta", "file_head", "encoded_dataset"):
        with pytest.raises(InvalidNameError) as caught:
            getattr(here, attribute)()
        assert "1.2" not in str(caught.value)


def test_a_message_under_its_keywords() -> None:
    view = event(N_GET).request
    assert (view.msg_type, view.MessageID, view.RequestedSOPClassUID) == ("N-GET-RQ", 3, UID(BOX))
    assert view.RequestedSOPClassUID.name == "Basic Film Box SOP Class"
    assert view.AttributeIdentifierList == [Tag("PatientName"), Tag("PatientID")]
    assert event(NCreateRQ(affected_sop_class_uid=BOX)).request.AffectedSOPInstanceUID is None
    assert "N-GET-RQ id=3" in repr(view)
    for keyword in ("Priority", "PatientName", "message_id"):
        with pytest.raises(AttributeError, match=keyword):
            getattr(view, keyword)


def test_a_uid_that_is_none_is_shown_as_it_came() -> None:
    view = MessageView(CStoreRQ(affected_sop_class_uid="1.02", affected_sop_instance_uid="x"), None)
    assert (view.AffectedSOPClassUID, view.AffectedSOPInstanceUID) == ("1.02", "x")


def test_a_message_can_be_copied() -> None:
    view = MessageView(STORE, b"ab")
    assert copy.deepcopy(view).MessageID == copy.copy(view).MessageID == 3


def test_the_encoded_data_set_of_a_message() -> None:
    data = event(STORE).request.data_set
    assert data is not None
    assert data.read() == ENCODED
    assert event(STORE, None).request.data_set is None


@for_each(
    ("request_", "name"),
    [
        (STORE, "DataSet"),
        (FIND, "Identifier"),
        (GET, "Identifier"),
        (MOVE, "Identifier"),
        (N_EVENT_REPORT, "EventInformation"),
        (N_SET, "ModificationList"),
        (N_ACTION, "ActionInformation"),
        (N_CREATE, "AttributeList"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_encoded_data_set_under_its_own_name(request_: Request, name: str) -> None:
    assert getattr(event(request_).request, name).getvalue() == ENCODED
    with pytest.raises(AttributeError, match=name):
        getattr(event(NDeleteRQ(**REQUESTED)).request, name)


@for_each(
    ("request_", "names"),
    [
        (STORE, "Status ErrorComment MessageIDBeingRespondedTo"),
        (MOVE, "NumberOfFailedSuboperations"),
        (N_SET, "AffectedSOPClassUID AffectedSOPInstanceUID AttributeList ErrorID"),
        (N_GET, "AffectedSOPInstanceUID AttributeList"),
        (N_ACTION, "ActionReply"),
        (N_EVENT_REPORT, "EventReply"),
    ],
)
def test_what_only_the_response_has_is_none(request_: Request, names: str) -> None:
    for name in names.split():
        assert getattr(event(request_).request, name) is None
    with pytest.raises(AttributeError, match="MessageID"):
        _ = MessageView(request_.response(message_id_being_responded_to=1, status=0), None).MessageID


def test_the_chunks_of_an_object() -> None:
    """Those that the service hands in, for a handler that was bound for them alone."""
    without, with_them = event(STORE, None), event(STORE, None)
    pieces = iter([b"ab"])
    with_them.pieces = lambda: pieces
    assert with_them.chunks() is pieces
    with pytest.raises(LocalProtocolError, match="bind the handler of EVT_C_STORE as chunked"):
        without.chunks()
