"""When deadlines run: from when bytes leave, while something is awaited of the peer, and never for ever."""

from collections.abc import Callable
from typing import Any

import pytest

from dicom_proto.limits import Limits
from dicom_proto.testing.pair import answer, drain, sent
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import (
    ConnectionClosed,
    Released,
    ReleaseRequested,
    TimedOut,
)
from dicom_proto.upper_layer.pdu import AAbort, AAssociateRJ, AReleaseRP, AReleaseRQ, encode_pdu
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts, Timer
from tests.proto.upper_layer.machines import (
    OFFER,
    TIMEOUTS,
    acceptor,
    asked,
    asking,
    fed,
    listening,
    p_data,
    pdus,
    pdv,
    requestor,
    send,
    state_of,
)

RQ, RP = encode_pdu(AReleaseRQ()), encode_pdu(AReleaseRP())
USER_ABORT = AAbort(0)
REJECTION = AAssociateRJ(1, 1, 1)


def test_artim_waits_for_the_request() -> None:
    machine = listening(timeouts=TIMEOUTS)
    assert machine.next_deadline() == 10
    fed(machine, encode_pdu(OFFER)[:-1], now=9)
    machine.handle_timeout(9.9)
    assert state_of(machine) is State.Sta2
    machine.handle_timeout(10)
    assert drain(machine) == [TimedOut(timer=Timer.ARTIM), ConnectionClosed()]
    assert sent(machine) == b""


def test_artim_stops_with_the_request() -> None:
    assert asked(timeouts=TIMEOUTS).next_deadline() is None


def end_in_sta13(machine: Association, end: Callable[[Association], None]) -> Association:
    end(machine)
    assert machine.next_deadline() is None  # not before it leaves
    assert len(pdus(machine, now=100)) == 1
    return machine


@pytest.mark.parametrize(
    ("make", "end"),
    [
        (asked, lambda machine: machine.reject(REJECTION)),
        (asked, Association.abort),
        (asking, Association.abort),
        (requestor, Association.abort),
    ],
)
def test_artim_waits_for_the_peer_to_close_from_when_the_last_word_left(
    make: Callable[..., Association], end: Callable[[Association], None]
) -> None:
    machine = end_in_sta13(make(timeouts=Timeouts(artim=10, request=None, idle=None)), end)
    assert machine.next_deadline() == 110
    machine.handle_timeout(110)
    assert drain(machine) == [ConnectionClosed()]  # nobody is left to be told


def test_the_request_timer_waits_for_an_answer_from_when_the_request_left() -> None:
    machine = Association(timeouts=TIMEOUTS)
    machine.request(OFFER)
    assert machine.next_deadline() is None  # whoever opens the transport has his own patience
    machine.connection_made(now=100)
    assert machine.next_deadline() is None
    sent(machine, 200)
    assert machine.next_deadline() == 220
    machine.handle_timeout(220)
    assert drain(machine) == [TimedOut(timer=Timer.REQUEST)]
    assert pdus(machine, now=221) == [USER_ABORT]
    assert machine.next_deadline() == 231


@pytest.mark.parametrize(("pdu", "deadline"), [(answer(OFFER), 50), (REJECTION, None)])
def test_the_request_timer_stops_with_the_answer(pdu: Any, deadline: float | None) -> None:
    machine = asking(timeouts=TIMEOUTS)
    fed(machine, pdu)
    sent(machine)
    assert machine.next_deadline() == deadline


def test_the_release_timer_waits_for_an_answer_from_when_the_request_left() -> None:
    machine = requestor(timeouts=Timeouts(release=30, idle=None, artim=10))
    send(machine)
    machine.release()
    sent(machine, 100, limit=0)
    assert machine.next_deadline() is None
    sent(machine, 200)
    assert machine.next_deadline() == 230
    fed(machine, p_data(pdv()), now=229)
    assert machine.next_deadline() == 230
    machine.handle_timeout(230)
    assert drain(machine) == [TimedOut(timer=Timer.RELEASE)]
    assert pdus(machine) == [USER_ABORT]


def test_the_release_timer_stops_with_the_answer_and_artim_follows_the_own_one() -> None:
    """An acceptor in a collision: answered in Sta10, in Sta12 the user has all the time, in Sta13 ARTIM runs."""
    machine = acceptor(timeouts=TIMEOUTS)
    machine.release()
    sent(machine)
    assert machine.next_deadline() == 30
    assert fed(machine, RQ, RP) == [ReleaseRequested(), Released()]
    assert machine.next_deadline() is None
    machine.confirm_release()
    sent(machine, 100)
    assert machine.next_deadline() == 110


def test_handling_a_timeout_early_does_nothing() -> None:
    machine = acceptor(timeouts=TIMEOUTS)
    for now in (0, 1, 49.9):
        machine.handle_timeout(now)
    assert machine.next_deadline() == machine.next_deadline() == 50
    assert (machine.state, drain(machine), sent(machine)) == (State.Sta6, [], b"")


def test_a_timer_without_a_duration_never_runs() -> None:
    never = Timeouts(request=None, release=None, response=None, idle=None)
    for machine in (asking(timeouts=never), requestor(timeouts=never), acceptor(timeouts=never)):
        assert machine.next_deadline() is None
    machine.release()
    sent(machine)
    assert machine.next_deadline() is None


def test_only_one_of_the_timers_that_have_come_ends_the_association() -> None:
    """An acceptor whose peer has closed nothing, read nothing and been silent until everything is overdue."""
    machine = acceptor(timeouts=TIMEOUTS)
    machine.release()
    fed(machine, RQ, RP)  # an answer to what has not even left
    machine.confirm_release()
    sent(machine, 100)  # so that now the release timer runs beside ARTIM
    machine.handle_timeout(1000)
    assert drain(machine) == [ConnectionClosed()]
    assert machine.next_deadline() is None


# --- the idle timer ---


def idle_machine() -> Association:
    return acceptor(timeouts=TIMEOUTS, limits=Limits(receive_buffer=1024, send_pdu_length=16, send_queue=20))


def test_the_idle_timer_starts_with_the_association_and_again_with_every_traffic() -> None:
    machine = idle_machine()
    assert machine.next_deadline() == 50
    fed(machine, b"\x04", now=10)
    sent(machine, 10)
    assert machine.next_deadline() == 60
    fed(machine, b"", now=20)
    sent(machine, 20)
    assert machine.next_deadline() == 60  # nothing has come, and nothing has left
    send(machine)
    sent(machine, 30)
    assert machine.next_deadline() == 80
    machine.handle_timeout(80)
    assert drain(machine) == [TimedOut(timer=Timer.IDLE)]
    assert pdus(machine) == [USER_ABORT]


def test_the_idle_timer_does_not_run_while_this_side_works_for_the_peer() -> None:
    machine = idle_machine()
    machine.is_attentive = False
    machine.handle_timeout(50)
    assert (machine.next_deadline(), machine.state) == (None, State.Sta6)
    fed(machine, b"\x04", now=60)
    assert machine.next_deadline() is None
    machine.is_attentive = True
    sent(machine, 70)
    assert machine.next_deadline() == 120


def test_the_idle_timer_does_not_run_while_what_was_received_waits_to_be_pulled() -> None:
    machine = idle_machine()
    machine.receive_data(p_data(pdv()) * 100, now=10)
    assert not machine.wants_read
    assert machine.next_deadline() is None
    drain(machine)
    sent(machine, 20)
    assert machine.next_deadline() == 70


def test_who_has_nothing_to_send_only_has_the_timers_updated() -> None:
    machine = idle_machine()
    machine.receive_data(p_data(pdv()) * 100, now=10)
    drain(machine)
    machine.update_timers(now=20)
    assert machine.next_deadline() == 70
    machine.update_timers(now=30)
    assert machine.next_deadline() == 70  # nothing has passed


def test_the_idle_timer_stops_with_the_connection() -> None:
    machine = idle_machine()
    machine.receive_eof(now=10)
    assert machine.next_deadline() is None


@pytest.mark.parametrize("is_attentive", [True, False])
def test_a_peer_that_does_not_read_is_not_waited_for_for_ever(is_attentive: bool) -> None:
    machine = idle_machine()
    machine.is_attentive = is_attentive
    send(machine, bytes(100))
    sent(machine, 10, limit=1)
    assert machine.next_deadline() == 60
    sent(machine, 20, limit=1)
    assert machine.next_deadline() == 70
    machine.handle_timeout(70)
    assert drain(machine) == [TimedOut(timer=Timer.IDLE)]
    assert pdus(machine) == [USER_ABORT]


def test_the_end_of_what_goes_on_waits_for_the_user_and_not_for_the_peer() -> None:
    machine = idle_machine()
    machine.is_attentive = False
    send(machine, last=False)
    sent(machine, 10)
    assert machine.bytes_waiting
    assert machine.next_deadline() is None


def test_a_release_behind_data_that_the_peer_does_not_read_has_a_deadline() -> None:
    machine = idle_machine()
    send(machine, bytes(100))
    machine.release()
    sent(machine, 10, limit=1)
    assert (machine.state, machine.next_deadline()) == (State.Sta7, 60)
    machine.handle_timeout(60)
    assert drain(machine) == [TimedOut(timer=Timer.IDLE)]


def test_the_confirmation_of_a_release_behind_data_that_the_peer_does_not_read_has_a_deadline() -> None:
    machine = idle_machine()
    fed(machine, RQ)
    send(machine, bytes(100))
    machine.confirm_release()
    sent(machine, 10, limit=1)
    assert (machine.state, machine.next_deadline()) == (State.Sta13, 60)
    machine.handle_timeout(60)
    assert drain(machine) == [ConnectionClosed()]


def test_new_timeouts_count_for_the_waits_that_begin_from_then_on() -> None:
    machine = idle_machine()
    assert machine.timeouts == TIMEOUTS
    machine.timeouts = new = Timeouts(idle=5, release=None)
    assert machine.timeouts is new
    assert machine.next_deadline() == 50
    fed(machine, b"\x04", now=10)
    assert machine.next_deadline() == 15


@pytest.mark.parametrize("limit", [None, 0])
def test_whether_something_can_be_sent(limit: int | None) -> None:
    machine = idle_machine()
    assert [machine.can_send, sent(machine, limit=limit)] == [False, b""]
    send(machine, bytes(100))
    assert machine.can_send
    assert bool(sent(machine, limit=limit)) is (limit is None)
    assert [machine.can_send] == [limit == 0]


# --- a release at the end of patience ---


@pytest.mark.parametrize("make", [requestor, acceptor])
def test_an_idle_association_may_be_released(make: Callable[..., Association]) -> None:
    machine = make(timeouts=TIMEOUTS)
    machine.releases_when_idle = True
    machine.handle_timeout(50)
    assert (state_of(machine), drain(machine)) == (State.Sta7, [])
    assert machine.next_deadline() is None  # not before it leaves
    assert pdus(machine, now=60) == [AReleaseRQ()]
    assert machine.next_deadline() == 90
    assert fed(machine, RP, now=80) == [Released(), ConnectionClosed()]
    assert (state_of(machine), machine.next_deadline()) == (State.Sta1, None)


@pytest.mark.parametrize("make", [requestor, acceptor])
def test_a_peer_that_does_not_answer_the_release_is_aborted(make: Callable[..., Association]) -> None:
    machine = make(timeouts=TIMEOUTS)
    machine.releases_when_idle = True
    machine.handle_timeout(50)
    sent(machine, 60)
    machine.handle_timeout(90)
    assert drain(machine) == [TimedOut(timer=Timer.RELEASE)]
    assert pdus(machine, now=91) == [USER_ABORT]
    assert machine.next_deadline() == 101


def in_the_middle(machine: Association) -> None:
    send(machine, last=False)
    sent(machine)


def unread(machine: Association) -> None:
    send(machine, bytes(100))


def asked_for_release(machine: Association) -> None:
    fed(machine, RQ)
    send(machine, bytes(100))


@pytest.mark.parametrize("meanwhile", [in_the_middle, unread, asked_for_release])
def test_where_nothing_can_be_released_it_is_aborted(meanwhile: Callable[[Association], None]) -> None:
    machine = idle_machine()
    machine.releases_when_idle = True
    meanwhile(machine)
    sent(machine, limit=0)
    deadline = machine.next_deadline()
    assert deadline is not None
    machine.handle_timeout(deadline)
    assert drain(machine) == [TimedOut(timer=Timer.IDLE)]
    assert pdus(machine) == [USER_ABORT]


def test_other_timers_abort_as_ever() -> None:
    machine = asking(timeouts=TIMEOUTS)
    machine.releases_when_idle = True
    machine.handle_timeout(20)
    assert drain(machine) == [TimedOut(timer=Timer.REQUEST)]


# --- the wait for the peer to close ---


def version_refused(machine: Association) -> None:
    request = bytearray(encode_pdu(OFFER))
    request[7] = 2
    fed(machine, bytes(request))


def timed_out(machine: Association) -> None:
    machine.handle_timeout(10)


def release_timed_out(machine: Association) -> None:
    machine.release()
    sent(machine)
    machine.handle_timeout(10)


def release_confirmed(machine: Association) -> None:
    fed(machine, RQ)
    machine.confirm_release()


WAYS_TO_STA13 = [
    (listening, version_refused),
    (listening, lambda machine: fed(machine, b"GET / HTTP/1.1")),
    (listening, lambda machine: fed(machine, RQ)),
    (asked, lambda machine: machine.reject(REJECTION)),
    (asked, Association.abort),
    (asking, Association.abort),
    (asking, timed_out),
    (requestor, Association.abort),
    (acceptor, Association.abort),
    (acceptor, release_timed_out),
    (acceptor, release_confirmed),
    (acceptor, lambda machine: fed(machine, b"GET / HTTP/1.1")),
    (acceptor, lambda machine: fed(machine, OFFER)),
]
NOISE = [b"", b"\x04", encode_pdu(OFFER), p_data(pdv()), RQ, RP, b"GET / HTTP/1.1", encode_pdu(answer(OFFER))]


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(("make", "end"), WAYS_TO_STA13)
@pytest.mark.parametrize("idle", [None, 9.0])
def test_a_peer_that_does_not_close_is_waited_for_until_artim_expires_whatever_it_says(
    make: Callable[..., Association], end: Callable[[Association], None], noise: bytes, idle: float | None
) -> None:
    machine = make(timeouts=Timeouts(artim=30, request=9, release=9, idle=idle))
    assert not machine.awaits_close
    end(machine)
    drain(machine)
    assert (state_of(machine), machine.awaits_close) == (State.Sta13, False)  # it has something to say
    sent(machine, 20)
    now = 20.0
    while (deadline := machine.next_deadline()) is not None and deadline > now:
        assert deadline == 50
        now += 1
        machine.receive_data(noise, now=now)
        assert drain(machine) == []
        sent(machine, now)
        assert machine.awaits_close
    assert (deadline, now) == (50, 50)
    machine.handle_timeout(now)
    assert machine.next_deadline() is None
    assert drain(machine) == [ConnectionClosed()]
    assert (machine.wants_close, machine.awaits_close) == (True, False)


def test_a_peer_that_closes_is_waited_for_no_longer() -> None:
    machine = acceptor(timeouts=TIMEOUTS)
    machine.abort()
    sent(machine)
    machine.receive_eof(now=1)
    before = machine.has_unread
    assert drain(machine) == [ConnectionClosed()]
    assert (before, machine.has_unread) == (True, False)
    assert machine.next_deadline() is None
    machine.receive_eof(now=2)
    assert [machine.has_unread] == [False]


@pytest.mark.parametrize("idle", [None, 50])
def test_what_a_peer_says_does_not_excuse_that_it_does_not_read(idle: float | None) -> None:
    """The confirmation of a release waits behind data; ARTIM has not begun, and still that has an end."""
    machine = acceptor(
        timeouts=Timeouts(artim=10, idle=idle), limits=Limits(receive_buffer=1024, send_pdu_length=16, send_queue=20)
    )
    fed(machine, RQ)
    send(machine, bytes(100))
    machine.confirm_release()
    sent(machine, 10, limit=1)
    deadline = machine.next_deadline()
    assert deadline == 10 + (idle or 10)
    for now in range(11, int(deadline)):
        fed(machine, p_data(pdv()), now=now)
        assert not machine.awaits_close
        sent(machine, now, limit=0)
        assert machine.next_deadline() == deadline
    machine.handle_timeout(deadline)
    assert drain(machine) == [ConnectionClosed()]


def test_an_idle_timer_that_has_lost_its_duration_stops_with_the_next_traffic() -> None:
    machine = idle_machine()
    fed(machine, b"\x04", now=10)
    machine.timeouts = Timeouts(idle=None)
    assert machine.next_deadline() == 60
    fed(machine, b"\x04", now=20)
    assert machine.next_deadline() is None


def test_what_has_passed_counts_from_when_it_did_although_the_deadline_was_not_asked_for() -> None:
    machine = idle_machine()
    fed(machine, b"\x04", now=10)
    machine.handle_timeout(60)
    assert drain(machine) == [TimedOut(timer=Timer.IDLE)]
