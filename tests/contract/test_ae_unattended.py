"""What becomes of an association that nobody calls, or whose peer does not answer; and of servers, in the end."""

import os
import threading
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import NEventReportRQ
from dicom_proto.errors import NotEstablishedError
from dicom_proto.sop_class import StorageCommitmentPushModelInstance, Verification
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationTimedOut
from dicom_proto.upper_layer.pdu import AAbort, AReleaseRP, AReleaseRQ
from dicom_proto.upper_layer.timers import Timer
from dicom_transports._threads.workers import WORKERS
from dicom_transports.blocking import evt
from tests.contract.adapters import WAIT, Listener, Running, assert_no_associations
from tests.contract.entities import (
    ABORTED,
    COMMITMENT,
    RELEASED,
    Happened,
    answered,
    dataset,
    dial,
    entity,
    flags,
    serving,
)
from tests.contract.scenes import SHORT, echoed, message

pytestmark = pytest.mark.usefixtures("adapter")

# --- timeouts ---------------------------------------------------------------------------------------------------------


def test_no_response_in_time() -> None:
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", Verification, dimse_timeout=SHORT))
        with peer:
            status = association.send_c_echo()
            assert len(status) == 0
            assert flags(association) == ABORTED
            assert isinstance(association.failure, AssociationTimedOut)
            assert association.failure.timer is Timer.RESPONSE


def test_no_response_in_time_raises_in_with() -> None:
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", Verification, dimse_timeout=SHORT))
        with peer, pytest.raises(AssociationTimedOut), association:
            association.send_c_echo()


def test_no_release_in_time() -> None:
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", Verification, acse_timeout=SHORT))
        with peer:
            association.release()
            assert flags(association) == ABORTED
            assert isinstance(association.failure, AssociationTimedOut)
            assert association.failure.timer is Timer.RELEASE


def test_idle_for_too_long() -> None:
    happened = Happened()
    with Listener() as listener:
        ae = entity("SCU", Verification, network_timeout=SHORT)
        association, peer = answered(listener, ae, (evt.EVT_ABORTED, happened))
        with peer:
            happened.wait("ABORTED")
            assert flags(association) == ABORTED
            assert isinstance(association.failure, AssociationTimedOut)
            assert association.failure.timer is Timer.IDLE
            assert peer.get() == AAbort(0)
            with pytest.raises(NotEstablishedError, match="idle"):
                association.send_c_echo()


def test_acceptor_idle_for_too_long() -> None:
    with serving(network_timeout=SHORT) as server:
        happened = Happened()
        association = dial(server, (evt.EVT_ABORTED, happened))
        happened.wait("ABORTED")
        assert flags(association) == ABORTED


def test_a_slow_handler_is_not_idle() -> None:
    def handler(_event: Any) -> int:
        threading.Event().wait(3 * SHORT)
        return 0x0000

    with serving((evt.EVT_C_ECHO, handler), network_timeout=SHORT) as server, dial(server) as association:
        assert association.send_c_echo().Status == 0x0000


# --- nobody calls -----------------------------------------------------------------------------------------------------


def test_idle_association_notices_release() -> None:
    happened = Happened()
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", Verification), (evt.EVT_RELEASED, happened))
        with peer:
            peer.send(AReleaseRQ())
            assert peer.get() == AReleaseRP()
            peer.vanish()
            happened.wait("RELEASED")
        assert flags(association) == RELEASED


@pytest.mark.parametrize("way", ["abort", "close", "rubbish"])
def test_idle_association_notices_its_end(way: str) -> None:
    happened = Happened()
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", Verification), (evt.EVT_ABORTED, happened))
        with peer:
            if way == "close":
                peer.vanish()
            else:
                peer.send(AAbort(2, 1) if way == "abort" else bytes(9))
            happened.wait("ABORTED")
        assert flags(association) == ABORTED
        assert isinstance(association.failure, AssociationAborted)
        with pytest.raises(NotEstablishedError):
            association.send_c_echo()


def test_idle_association_answers() -> None:
    """An N-EVENT-REPORT that nobody waits for is answered by the association's own thread."""
    reports: list[tuple[int, str]] = []

    def report(event: Any) -> tuple[int, None]:
        reports.append((event.event_type, event.event_information.TransactionUID))
        return 0x0000, None

    with serving() as server:
        association = dial(server, (evt.EVT_N_EVENT_REPORT, report))
        (accepted,) = server.active_associations
        for number in range(5):
            status, reply = accepted.send_n_event_report(
                dataset(TransactionUID=f"1.2.{number}"), 1, COMMITMENT, StorageCommitmentPushModelInstance
            )
            assert (status.Status, reply) == (0x0000, Dataset())
        association.release()
    assert reports == [(1, f"1.2.{number}") for number in range(5)]


def test_request_that_comes_with_an_answer() -> None:
    """What was read by a call, and is not for it, is seen to without another byte of the peer."""
    request = NEventReportRQ(
        message_id=1,
        affected_sop_class_uid=COMMITMENT,
        affected_sop_instance_uid=StorageCommitmentPushModelInstance,
        event_type_id=1,
    )
    ae = entity("SCU", Verification, COMMITMENT, network_timeout=None)
    for _ in range(20):
        with Listener() as listener:
            association, peer = answered(listener, ae, (evt.EVT_N_EVENT_REPORT, lambda _: (0x0000, None)))
            with peer:
                calling = Running(association.send_c_echo)
                assert peer.get_data()
                peer.send(message(echoed()) + message(request, bytes(8), context=3))
                assert calling.result().Status == 0x0000
                assert peer.get_data()
                association.abort()


def test_both_sides_release_at_once() -> None:
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", Verification))
        with peer:
            releasing = Running(association.release)
            assert peer.get() == AReleaseRQ()
            peer.send(AReleaseRQ())
            assert peer.get() == AReleaseRP()
            peer.send(AReleaseRP())
            releasing.result()
        assert flags(association) == RELEASED


def test_peer_answers_rubbish() -> None:
    """What answers nothing that was asked is no Success."""
    for wrong in message(echoed(7)), b"\x04\0\0\0\0\x06\0\0\0\x02\x01\x03", b"\x99" * 20:
        with Listener() as listener:
            association, peer = answered(listener, entity("SCU", Verification))
            with peer:
                calling = Running(association.send_c_echo)
                assert peer.get_data()
                peer.send(wrong)
                assert len(calling.result()) == 0
                assert isinstance(peer.get(), AAbort)
            assert flags(association) == ABORTED
            assert isinstance(association.failure, AssociationAborted)
            assert association.failure.origin is AbortOrigin.LOCAL_PROVIDER


# --- servers, threads and descriptors ---------------------------------------------------------------------------------


def test_server_that_blocks() -> None:
    ae = entity("SCP")
    with Listener() as listener:
        address = listener.address  # nobody else listens there
    happened = Happened()
    blocking = Running(ae.start_server, address, evt_handlers=[(evt.EVT_ESTABLISHED, happened)])
    while not (association := entity("SCU").associate(*address)).is_established:
        assert isinstance(association.failure, ConnectionRefusedError)  # not yet
    assert ae.active_associations == [happened.wait("ESTABLISHED").assoc]
    ae.shutdown()
    blocking.result()
    assert ae.active_associations == []
    assert_no_associations()


@pytest.mark.parametrize("finish_within", [None, WAIT])
def test_shutdown_while_busy(finish_within: float | None) -> None:
    """Associations are aborted at once, or when they have not ended in time; handlers that run are waited for."""
    begun, go_on = threading.Event(), threading.Event()

    def handler(_event: Any) -> int:
        begun.set()
        assert go_on.wait(WAIT)
        return 0x0000

    ae = entity("SCP")
    with serving((evt.EVT_C_ECHO, handler), ae=ae) as server:
        idle, busy = [dial(server) for _ in range(2)]
        calling = Running(busy.send_c_echo)
        assert begun.wait(WAIT)
        assert len(ae.active_associations) == 2
        ending = Running(server.shutdown, finish_within)
        if finish_within is None:
            assert "Status" not in calling.result()
            assert busy.is_aborted
            go_on.set()
        else:
            go_on.set()
            assert calling.result().Status == 0x0000
            busy.release()
            idle.release()
            assert busy.is_released
        ending.result()


def test_nothing_leaks() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208

    ae = entity("SCU", Verification)
    with serving(require_called_aet=True) as server:
        dial(server, ae=ae, ae_title="SCP").release()
        assert_no_associations()
        before = descriptors()
        for number in range(200):
            match number % 4:
                case 0:
                    with ae.associate(*server.address, ae_title="SCP") as association:
                        association.send_c_echo()
                case 1:
                    ae.associate(*server.address, ae_title="SCP").abort()
                case 2:
                    assert ae.associate(*server.address, ae_title="OTHER").is_rejected
                case _:
                    ae.associate(*server.address, ae_title="SCP").release()
        assert_no_associations()
        assert descriptors() <= before + len(WORKERS)  # each idle thread keeps one to be woken by
        assert server.active_associations == []
