"""What users get: statuses as data sets, replies, results one after the other, and what there is when none came."""

import pickle
from collections.abc import Iterator
from copy import copy, deepcopy
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.application.results import (
    Results,
    code_to_status,
    forgiving,
    next_result,
    read_reply,
    status_of,
)
from dicom_proto.dimse.events import DataChunk, ResponseReceived
from dicom_proto.dimse.messages import CCancelRQ, CFindRSP, CGetRSP, CMoveRSP, NCreateRSP, NEventReportRSP, NGetRSP
from dicom_proto.encoding.datasets import decode
from dicom_proto.errors import InvalidSettingError
from dicom_proto.handlers.kinds import EVT_C_FIND
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Receive
from dicom_proto.programs.invoking import Invoking, Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.services.query import find_scu
from dicom_proto.testing.network import Network
from dicom_proto.testing.pair import sent
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from tests.proto.dimse.pairs import raw
from tests.proto.programs.script import (
    CT,
    IMPLICIT,
    PENDING,
    STUDY_FIND,
    STUDY_GET,
    Script,
    connected,
    data_set,
    dataset_of,
    offer_of,
)

ABORTED = AssociationAborted(AbortOrigin.PEER_USER, 0, None)
QUERY = dataset_of(QueryRetrieveLevel="STUDY", PatientID="*")
NOTHING = Dataset()
NONE_FAILED = dataset_of(FailedSOPInstanceUIDList="")


def querying(*, is_strict: bool = False) -> Invoking:
    """A C-FIND of a peer that says nothing."""
    peer = Peer(connected(offer_of(STUDY_FIND))[0], Handlers())
    peer.is_strict = is_strict
    return find_scu(peer, QUERY, STUDY_FIND)


def play(program: Any, response: Any, data: bytes | None = None) -> Any:
    """Give a program a response to request 1; return its result."""
    script: Script[Any] = Script(program)
    script.expect(Receive)
    received = ResponseReceived(message_id=1, context_id=1, response=response, has_data=data is not None)
    if data is None:
        return script.end(received)
    script.expect(Receive, received)
    return script.end(DataChunk(message_id=1, invoked=True, data=data, last=True))


# --- statuses ---------------------------------------------------------------------------------------------------------


def test_a_status_is_a_data_set_of_command_elements() -> None:
    response = CGetRSP(
        message_id_being_responded_to=1,
        status=0xB000,
        affected_sop_class_uid=STUDY_GET,
        offending_element=(0x00100010, 0x00100020),
        error_comment="why",
        number_of_failed_suboperations=0,
    )
    status = status_of(response)
    assert status == dataset_of(
        Status=0xB000,
        OffendingElement=[0x00100010, 0x00100020],
        ErrorComment="why",
        NumberOfFailedSuboperations=0,
    )


def test_what_a_service_tells_is_news() -> None:
    created = NCreateRSP(
        message_id_being_responded_to=1, status=0, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2"
    )
    assert status_of(created) == dataset_of(Status=0, AffectedSOPInstanceUID="1.2")
    assert isinstance(status_of(created).AffectedSOPInstanceUID, UID)
    reported = NEventReportRSP(message_id_being_responded_to=1, status=0, affected_sop_class_uid=CT, event_type_id=2)
    assert status_of(reported) == dataset_of(Status=0, AffectedSOPClassUID=CT, EventTypeID=2)


def test_what_a_peer_says_against_the_rules_warns_nobody() -> None:
    response = NCreateRSP(message_id_being_responded_to=1, status=0x0110, affected_sop_instance_uid="no UID" * 30)
    assert status_of(response).AffectedSOPInstanceUID == "no UID" * 30


@pytest.mark.parametrize("tags", [None, (0x00100010,)])
def test_a_status_belongs_to_who_got_it(tags: tuple[int, ...] | None) -> None:
    response = CFindRSP(message_id_being_responded_to=1, status=0xA900, offending_element=tags, error_comment="why")
    expected, status = status_of(response), status_of(response)
    status.Status, status.ErrorComment = 0x0000, "because"
    status["Status"].VR = "UL"
    if tags:
        status.OffendingElement = 0x00200010
    assert status != expected
    assert status_of(response) == expected


def test_a_status_is_an_ordinary_data_set() -> None:
    response = CFindRSP(message_id_being_responded_to=1, status=0xA900, error_comment="why")
    status, ordinary = status_of(response), dataset_of(Status=0xA900, ErrorComment="why")
    assert vars(status).keys() == vars(ordinary).keys()
    for other in (ordinary, copy(status), deepcopy(status), pickle.loads(pickle.dumps(status))):
        assert (other, repr(other), list(other)) == (status, repr(status), list(status))
    status.private_block(0x0009, "OWN", create=True).add_new(0x01, "SH", "mine")
    status.PatientName = "A^B"
    del status.Status
    assert status_of(response) == ordinary
    with pytest.raises(KeyError):
        status_of(response).private_block(0x0009, "OWN")


def test_a_status_as_a_data_set() -> None:
    status = code_to_status(0xA700)
    assert [(element.keyword, element.value) for element in status] == [("Status", 0xA700)]
    assert type(status.Status) is int


@pytest.mark.parametrize("code", [-1, 0x10000, "0", None])
def test_what_is_no_status(code: object) -> None:
    with pytest.raises(InvalidSettingError, match="not a status"):
        code_to_status(code)


# --- replies ----------------------------------------------------------------------------------------------------------


def test_a_reply_has_a_status_and_perhaps_a_data_set() -> None:
    context = querying().context
    response = CFindRSP(message_id_being_responded_to=1, status=PENDING)
    reply = Reply(response, data_set(PatientID="1"), context)
    assert read_reply(reply, if_damaged=None, decode=decode) == (
        dataset_of(Status=PENDING),
        dataset_of(PatientID="1"),
    )
    assert read_reply(Reply(response, None, context), if_damaged=0x0110, decode=decode) == (
        dataset_of(Status=PENDING),
        None,
    )
    assert read_reply(None, if_damaged=0x0110, decode=decode) == (NOTHING, None)


def test_a_reply_that_cannot_be_decoded_may_be_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    response = NGetRSP(message_id_being_responded_to=1, status=0)
    for transfer_syntax, data in ((IMPLICIT, b"?"), ("1.2.3", b"??")):
        near, _ = connected(offer_of((STUDY_FIND, transfer_syntax)))
        reply = Reply(response, data, near.contexts[1])
        assert read_reply(reply, if_damaged=0x0110, decode=decode) == (dataset_of(Status=0x0110), None)
        assert read_reply(reply, if_damaged=None, decode=decode) == (dataset_of(Status=0), None)
    assert caplog.text.count("N-GET-RSP cannot be decoded") == 4


def test_an_identifier_that_cannot_be_decoded_is_none(caplog: pytest.LogCaptureFixture) -> None:
    invoking = querying()
    response = CFindRSP(message_id_being_responded_to=1, status=PENDING)
    assert play(next_result(invoking), response, b"?") == (dataset_of(Status=PENDING), None)
    assert "C-FIND-RSP cannot be decoded" in caplog.text
    assert not invoking.is_over


# --- when there is none -----------------------------------------------------------------------------------------------


def test_what_there_is_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer(connected(offer_of(STUDY_FIND))[0], Handlers())
    script = Script(forgiving(peer, querying().reply(), lambda: "nothing"))
    script.expect(Receive)
    assert script.fail_at_last(ABORTED) == "nothing"
    assert "no response has arrived: association ended by the peer's UL service-user" in caplog.text
    script = Script(forgiving(peer, querying().reply(), lambda: "nothing"))
    script.expect(Receive)
    with pytest.raises(ZeroDivisionError):
        script.fail_at_last(ZeroDivisionError())


def test_no_response_is_the_last_of_a_query() -> None:
    invoking = querying()
    script = Script(next_result(invoking))
    script.expect(Receive)
    assert script.fail_at_last(ABORTED) == (NOTHING, None)
    assert Script(next_result(invoking)).end() is None


def test_queries_of_strict_peers_raise() -> None:
    script = Script(next_result(querying(is_strict=True)))
    script.expect(Receive)
    with pytest.raises(AssociationAborted):
        script.fail_at_last(ABORTED)


def find(_: Any) -> Iterator[Any]:
    for number in "12":
        yield PENDING, dataset_of(PatientID=number)


def test_what_arrived_before_the_end_is_still_there() -> None:
    network = Network()
    scu, scp = ApplicationEntity("SCU"), ApplicationEntity("SCP")
    scp.add_supported_context(STUDY_FIND)
    scu.add_requested_context(STUDY_FIND)
    network.listen(("scp", 104), scp, [(EVT_C_FIND, find)])
    assoc = network.associate(scu, ("scp", 104))
    results = Results(find_scu(assoc.peer, QUERY, STUDY_FIND))
    network.settle()
    network.associations[1].abort()
    network.settle()
    matches = [(PENDING, dataset_of(PatientID=number)) for number in "12"]
    found = list(iter(lambda: assoc.run(results.next()), None))
    assert [(status.Status, identifier) for status, identifier in found] == [*matches, (0, None)]


# --- results ----------------------------------------------------------------------------------------------------------


def test_results_as_a_stream() -> None:
    results = Results(querying())
    for status, data in ((PENDING, data_set(PatientID="1")), (0x0000, None)):
        assert not results.is_over
        response = CFindRSP(message_id_being_responded_to=1, status=status)
        assert play(results.next(), response, data)[0].Status == status
    assert results.is_over
    results.abandon()  # which does nothing any more
    assert Script(results.next()).end() is None


def test_results_that_nobody_wants_any_more() -> None:
    invoking = querying()
    results, connection = Results(invoking), invoking.peer.connection
    sent(connection)
    results.dismiss()
    assert results.is_over
    assert sent(connection) == b""
    results.abandon()
    assert sent(connection) == raw(CCancelRQ(message_id_being_responded_to=1))
    assert not invoking.inbox.is_open
    assert Script(results.next()).end() is None


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (NGetRSP(message_id_being_responded_to=1, status=0), NOTHING),
        (NGetRSP(message_id_being_responded_to=1, status=0x0107), NOTHING),
        (NGetRSP(message_id_being_responded_to=1, status=0x0110), None),
        (CGetRSP(message_id_being_responded_to=1, status=0xB000), NONE_FAILED),
        (CMoveRSP(message_id_being_responded_to=1, status=0xFE00), NONE_FAILED),
        (CMoveRSP(message_id_being_responded_to=1, status=0xA702), NOTHING),
        (CMoveRSP(message_id_being_responded_to=1, status=0), None),
        (CGetRSP(message_id_being_responded_to=1, status=PENDING), None),
        (CFindRSP(message_id_being_responded_to=1, status=0), None),
        (CFindRSP(message_id_being_responded_to=1, status=0xFE00), None),
    ],
)
def test_where_a_data_set_might_have_come_and_did_not_there_is_an_empty_one(response: Any, expected: Any) -> None:
    """What pynetdicom returns, which users of it do not look at before they go through it."""
    _, dataset = read_reply(Reply(response, None, querying().context), if_damaged=None, decode=decode)
    assert dataset == expected
    assert not getattr(dataset, "FailedSOPInstanceUIDList", None)
