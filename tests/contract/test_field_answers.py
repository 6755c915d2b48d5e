"""Answers that other stacks mix up, lose or make up, and what they do when threads meet: what happens here.

Where each behaviour comes from, and which tests show the others, is in docs/field_defects.md.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import (
    CCancelRQ,
    CEchoRQ,
    CFindRQ,
    CFindRSP,
    CStoreRSP,
    NEventReportRQ,
    encode_message,
)
from dicom_proto.errors import AbortReason, NotEstablishedError
from dicom_proto.offers.items import UserIdentityNegotiation
from dicom_proto.sop_class import CTImageStorage, StorageCommitmentPushModelInstance, Verification
from dicom_proto.testing.pair import VERIFICATION, offer
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationRejected
from dicom_proto.upper_layer.pdu import AAbort, AAssociateAC, AReleaseRP, AReleaseRQ
from dicom_transports.blocking import Association, evt
from tests.contract.adapters import Listener, Listening, Peer, Running
from tests.contract.entities import (
    ABORTED,
    COMMITMENT,
    FIND,
    RELEASED,
    Happened,
    answered,
    dataset,
    dial,
    entity,
    flags,
    serving,
    statuses,
)
from tests.contract.scenes import echoed, message

pytestmark = pytest.mark.usefixtures("adapter")

QUERY = dataset(QueryRetrieveLevel="PATIENT", PatientName="*")
ECHO_CONTEXT, CT_CONTEXT, FIND_CONTEXT, COMMITMENT_CONTEXT = 1, 3, 5, 7


@contextmanager
def scripted(*handlers: Any) -> Iterator[tuple[Association, Peer]]:
    """An association whose peer does as it is told."""
    with Listener() as listener:
        ae = entity("SCU", Verification, CTImageStorage, FIND, COMMITMENT)
        association, peer = answered(listener, ae, *handlers)
        with peer:
            try:
                yield association, peer
            finally:
                association.abort()


def assert_refused(association: Association, peer: Peer) -> None:
    """The peer is told that it has answered nothing that was asked."""
    assert peer.get() == AAbort(2, AbortReason.INVALID_PDU_PARAMETER_VALUE)
    assert flags(association) == ABORTED
    assert isinstance(association.failure, AssociationAborted)
    assert association.failure.origin is AbortOrigin.LOCAL_PROVIDER


# --- each response belongs to its request -----------------------------------------------------------------------------

ANSWERS: dict[str, bytes] = {
    "to another Message ID": message(echoed(2)),
    "to another kind of request": message(CStoreRSP(message_id_being_responded_to=1, status=0)),
    "on another context": message(echoed(), context=CT_CONTEXT),
    "on a context that was not proposed": message(echoed(), context=99),
    "that is a request": message(echoed(1)).replace(b"\x30\x80", b"\x30\0"),
    "that is pending where nothing can be": message(echoed()).replace(b"\x09\2\0\0\0\0\0", b"\x09\2\0\0\0\0\xff"),
}


@pytest.mark.parametrize("data", ANSWERS.values(), ids=ANSWERS)
def test_answer_that_belongs_to_nothing(data: bytes) -> None:
    """A response with another Message ID, of another kind or on another context is not the success of a call."""
    with scripted() as (association, peer):
        calling = Running(association.send_c_echo)
        assert peer.get_data()
        assert data != message(echoed())
        peer.send(data)
        assert len(calling.result()) == 0
        assert_refused(association, peer)


def test_answer_before_the_question() -> None:
    """A response that nobody has asked for yet is not kept for the request to come."""
    happened = Happened()
    with scripted((evt.EVT_ABORTED, happened)) as (association, peer):
        peer.send(message(echoed()))
        happened.wait("ABORTED")
        assert_refused(association, peer)
        with pytest.raises(NotEstablishedError):
            association.send_c_echo()


def test_answer_that_comes_twice() -> None:
    """The first response is the answer; the second is none to whatever is asked next."""
    happened = Happened()
    with scripted((evt.EVT_ABORTED, happened)) as (association, peer):
        calling = Running(association.send_c_echo)
        assert peer.get_data()
        peer.send(message(echoed()) + message(echoed()))
        assert calling.result().Status == 0x0000
        happened.wait("ABORTED")
        assert_refused(association, peer)


def test_late_responses_of_a_query_that_was_left() -> None:
    """What still arrives of an abandoned query is not the answer to the next call."""
    pending = CFindRSP(message_id_being_responded_to=1, status=0xFF00, affected_sop_class_uid=FIND)
    cancelled = CFindRSP(message_id_being_responded_to=1, status=0xFE00, affected_sop_class_uid=FIND)
    with scripted() as (association, peer):
        results = association.send_c_find(QUERY, FIND)
        asking = Running(next, results)
        assert peer.get_data()
        peer.send(message(pending, bytes(8), FIND_CONTEXT))
        assert asking.result()[0].Status == 0xFF00
        results.close()  # type: ignore[attr-defined]
        ((_, _, command),) = peer.get_data()
        assert command == encode_message(CCancelRQ(message_id_being_responded_to=1), has_data_set=False)
        calling = Running(association.send_c_echo)
        peer.send(message(pending, bytes(8), FIND_CONTEXT) * 3 + message(cancelled, context=FIND_CONTEXT))
        ((_, _, command),) = peer.get_data()
        assert command == encode_message(CEchoRQ(message_id=2), has_data_set=False)
        peer.send(message(echoed(2)))
        assert calling.result().Status == 0x0000


@pytest.mark.parametrize("count", [1, 300], ids=["one", "many"])
def test_query_that_is_left_when_its_end_has_arrived(count: int) -> None:
    """What has arrived is read before a C-CANCEL goes out, which would come too late, and confuses some peers."""
    pending = CFindRSP(message_id_being_responded_to=1, status=0xFF00, affected_sop_class_uid=FIND)
    last = CFindRSP(message_id_being_responded_to=1, status=0, affected_sop_class_uid=FIND)
    with scripted() as (association, peer):
        results = association.send_c_find(QUERY, FIND)
        asking = Running(next, results)
        assert peer.get_data()
        peer.send(message(pending, bytes(8), FIND_CONTEXT) * count + message(last, context=FIND_CONTEXT))
        assert asking.result()[0].Status == 0xFF00
        results.close()  # type: ignore[attr-defined]
        calling = Running(association.send_c_echo)
        ((_, _, command),) = peer.get_data()
        assert command == encode_message(CEchoRQ(message_id=2), has_data_set=False)
        peer.send(message(echoed(2)))
        assert calling.result().Status == 0x0000


def test_both_sides_ask_at_once() -> None:
    """The thread that waits while nobody calls takes no response away from a call, whatever comes when."""

    def report(_event: Any) -> tuple[int, None]:
        return 0x0000, None

    with serving() as server, dial(server, (evt.EVT_N_EVENT_REPORT, report)) as association:
        (accepted,) = server.active_associations
        go_on = threading.Event()

        def ask() -> list[int]:
            return [association.send_c_echo().Status for _ in range(100)]

        def tell() -> list[int]:
            information = dataset(TransactionUID="1.2")
            instance = StorageCommitmentPushModelInstance
            told = []
            while not go_on.is_set():
                told.append(accepted.send_n_event_report(information, 1, COMMITMENT, instance)[0].Status)
            return told

        telling = Running(tell)
        try:
            assert Running(ask).result() == [0x0000] * 100
        finally:
            go_on.set()
        assert set(telling.result()) <= {0x0000}


def test_calls_that_meet_a_release() -> None:
    """Who calls while another thread releases the association is told so, and neither of them waits for ever."""
    with scripted() as (association, peer):
        releasing = Running(association.release)
        assert peer.get() == AReleaseRQ()
        calling = Running(association.send_c_echo)
        peer.send(AReleaseRP())
        releasing.result()
        with pytest.raises(NotEstablishedError):
            calling.result()
        assert flags(association) == RELEASED


# --- cancel -----------------------------------------------------------------------------------------------------------


def test_cancel_right_behind_its_query() -> None:
    """A C-CANCEL in the same segment as its C-FIND is seen before the first match, every time, and stays."""
    seen: list[bool] = []

    def find(event: Any) -> Iterator[Any]:
        seen.extend(event.is_cancelled for _ in range(3))
        yield 0xFE00 if event.is_cancelled else 0x0000, None

    cancelled = CFindRSP(message_id_being_responded_to=1, status=0xFE00, affected_sop_class_uid=FIND)
    requested = message(CFindRQ(message_id=1, affected_sop_class_uid=FIND), bytes(8)) + message(
        CCancelRQ(message_id_being_responded_to=1)
    )
    with serving((evt.EVT_C_FIND, find)) as server, establish(server, FIND) as peer:
        for _ in range(10):
            peer.send(requested)
            assert peer.get_data() == [(ECHO_CONTEXT, True, encode_message(cancelled, has_data_set=False))]
    assert all(seen)


def test_cancels_of_nothing() -> None:
    """C-CANCELs that have no operation, however many, are ignored and not collected."""
    with serving() as server, establish(server, VERIFICATION) as peer:
        peer.send(message(CCancelRQ(message_id_being_responded_to=9)) * 100 + message(CEchoRQ(message_id=9)))
        assert peer.get_data()
        peer.send(AReleaseRQ())
        assert peer.get() == AReleaseRP()


def establish(server: Listening, abstract_syntax: str) -> Peer:
    peer = Peer.dial(server.address)
    peer.send(offer(abstract_syntax))
    assert isinstance(peer.get(), AAssociateAC)
    return peer


# --- threads ----------------------------------------------------------------------------------------------------------


def test_reports_that_come_at_once() -> None:
    """Any number of N-EVENT-REPORTs is performed one after the other, in their order, and not by a thread each."""
    reported: list[int] = []
    threads: set[int] = set()

    def report(event: Any) -> tuple[int, None]:
        reported.append(event.message_id)
        threads.add(threading.active_count())
        return 0x0000, None

    reports = [
        NEventReportRQ(
            message_id=number,
            affected_sop_class_uid=COMMITMENT,
            affected_sop_instance_uid=StorageCommitmentPushModelInstance,
            event_type_id=1,
        )
        for number in range(1, 31)
    ]
    with scripted((evt.EVT_N_EVENT_REPORT, report)) as (_, peer):
        peer.send(b"".join(message(one, bytes(8), COMMITMENT_CONTEXT) for one in reports))
        for _ in reports:
            assert peer.get_data()
    assert reported == list(range(1, 31))
    assert max(threads) - min(threads) <= 1


# --- what is said and what is not -------------------------------------------------------------------------------------


def test_user_who_is_refused() -> None:
    """A user identity that is refused is rejected for good, as PS3.7 D.3.3.7 says: trying again is of no use."""
    identity = UserIdentityNegotiation(user_identity_type=1, primary_field=b"me")
    with serving((evt.EVT_USER_ID, lambda _: (False, None))) as server:
        failure = entity("SCU").associate(*server.address, ext_neg=[identity]).failure
    assert isinstance(failure, AssociationRejected)
    assert (failure.result, failure.source, failure.reason) == (1, 2, 1)


@pytest.mark.parametrize("reason", AbortReason, ids=lambda reason: reason.name)
def test_caller_learns_why_the_peer_aborts(reason: AbortReason) -> None:
    """The source and the reason of an A-ABORT reach whoever called, as numbers and in words."""
    with scripted() as (association, peer):
        failing = Running(echo_within, association)
        assert peer.get_data()
        peer.send(AAbort(2, reason))
        with pytest.raises(AssociationAborted) as caught:
            failing.result()
    for failure in caught.value, association.failure:
        assert isinstance(failure, AssociationAborted)
        assert (failure.origin, failure.reason) == (AbortOrigin.PEER_PROVIDER, reason)
        assert reason.name.lower().replace("_", " ") in str(failure).lower()


def echo_within(association: Association) -> None:
    with association:
        association.send_c_echo()


def test_nothing_is_formatted_that_is_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is spent on text for a log that nobody reads: data sets are not shown."""
    shown: list[Any] = []

    def show(one: Dataset) -> str:
        shown.append(one)
        return ""

    for name in "__str__", "__repr__":
        monkeypatch.setattr(Dataset, name, show)
    with serving((evt.EVT_C_FIND, lambda _: [(0xFF00, QUERY)] * 3)) as server, dial(server) as association:
        assert statuses(association.send_c_find(QUERY, FIND)) == [0xFF00] * 3 + [0x0000]
    assert shown == []
