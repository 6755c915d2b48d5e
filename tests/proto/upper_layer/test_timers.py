"""Named deadlines: time is an integer here."""

import pytest

from dicom_proto.upper_layer.timers import Timeouts, Timer, Timers


def test_every_timer_has_a_timeout() -> None:
    timeouts = Timeouts(artim=1, request=2, release=3, response=4, idle=5)
    assert [timeouts.of(timer) for timer in Timer] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["artim", "request", "release", "response", "idle"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_timeout_is_positive(name: str, value: float) -> None:
    with pytest.raises(ValueError, match="must be > 0"):
        Timeouts(**{name: value})


def test_artim_always_runs_out_the_others_may_not() -> None:
    with pytest.raises(TypeError):
        Timeouts(artim=None)  # type: ignore[arg-type]
    assert Timeouts(idle=None).of(Timer.IDLE) is None


def test_start_stop_and_deadlines() -> None:
    timers = Timers(Timeouts(artim=10, request=4, idle=None))
    assert timers.next_deadline() is None
    timers.start(Timer.ARTIM, 100)
    timers.start(Timer.REQUEST, 103)
    timers.start(Timer.IDLE, 100)  # has no duration: never runs
    assert timers.next_deadline() == 107
    assert timers.is_running(Timer.ARTIM)
    assert not timers.is_running(Timer.IDLE)
    timers.start(Timer.REQUEST, 110)
    assert timers.next_deadline() == 110
    timers.stop(Timer.ARTIM)
    timers.stop(Timer.IDLE)
    assert timers.next_deadline() == 114


def test_expired_timers_come_earliest_first_and_once() -> None:
    timers = Timers(Timeouts(artim=10, request=4, release=4))
    for timer in (Timer.ARTIM, Timer.REQUEST, Timer.RELEASE):
        timers.start(timer, 0)
    assert timers.take_expired(3) == []
    assert timers.take_expired(10) == [Timer.RELEASE, Timer.REQUEST, Timer.ARTIM]
    assert timers.take_expired(100) == []
    assert timers.next_deadline() is None


def test_new_timeouts_count_for_what_is_started_from_then_on() -> None:
    timers = Timers(Timeouts(artim=10, request=4))
    timers.start(Timer.ARTIM, 0)
    timers.start(Timer.REQUEST, 0)
    timers.timeouts = Timeouts(artim=20, request=None)
    assert timers.timeouts == Timeouts(artim=20, request=None)
    assert timers.next_deadline() == 4
    assert timers.take_expired(4) == [Timer.REQUEST]
    timers.start(Timer.REQUEST, 4)
    assert timers.next_deadline() == 10
    timers.start(Timer.ARTIM, 5)
    assert timers.next_deadline() == 25


def test_all_can_be_stopped() -> None:
    timers = Timers(Timeouts(artim=10, request=4))
    for timer in (Timer.ARTIM, Timer.REQUEST):
        timers.start(timer, 0)
    timers.stop_all()
    assert timers.next_deadline() is None
    assert timers.take_expired(100) == []


def test_connections_with_the_same_timeouts_share_what_follows_from_them() -> None:
    timeouts = Timeouts(artim=10, request=4)
    durations = Timers(timeouts).durations
    assert durations == {timer: timeouts.of(timer) for timer in Timer}
    assert Timers(timeouts).durations is durations
