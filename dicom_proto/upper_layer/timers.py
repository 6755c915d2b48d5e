"""Named deadlines: the ARTIM timer of PS3.8 9.1.5 and the waits that the standard leaves to the user.

Stable.

Time is a number that the caller passes in, on any clock that does not run backwards; nothing here reads one.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from attrs import field, frozen
from attrs.validators import gt, optional

from dicom_proto.upper_layer.remembered import Remembered

__all__ = ["Timeouts", "Timer", "Timers"]


class Timer(Enum):
    """What a deadline waits for."""

    ARTIM = "ARTIM"  # Sta2: the A-ASSOCIATE-RQ; Sta13: the peer closing the transport (PS3.8 9.1.5)
    REQUEST = "request"  # Sta5: the answer to an A-ASSOCIATE-RQ
    RELEASE = "release"  # Sta7, Sta10, Sta11: the answer to an A-RELEASE-RQ
    RESPONSE = "response"  # a DIMSE response
    IDLE = "idle"  # any traffic while this side waits for the peer

    __hash__ = object.__hash__  # that of Enum is slow, and timers are restarted whenever something arrives


_FIELDS: Final = {timer: timer.name.lower() for timer in Timer}
_POSITIVE: Final[Any] = optional(gt(0.0))  # attrs' own types do not fit optional numbers


@frozen(kw_only=True)
class Timeouts:
    """How long each wait may last, in seconds; ``None`` is for ever.

    Parameters
    ----------
    artim : float
        ARTIM (PS3.8 9.1.5). It always has a value: it is what ends Sta2 and Sta13 when the peer does nothing.
    request, release : float or None
        From the moment the A-ASSOCIATE-RQ, the A-RELEASE-RQ leaves until it is answered.
    response : float or None
        Without a byte of a DIMSE response that is awaited, each operation for itself: counted from the last byte of the
        request, and without the time in which the peer waits for this side.
    idle : float or None
        Without traffic in either direction: on an established association while nothing is being done for the peer.
        Without anything leaving: whenever data waits that the peer does not read.
    """

    artim: float = field(default=30.0, validator=gt(0.0))
    request: float | None = field(default=30.0, validator=_POSITIVE)
    release: float | None = field(default=30.0, validator=_POSITIVE)
    response: float | None = field(default=30.0, validator=_POSITIVE)
    idle: float | None = field(default=60.0, validator=_POSITIVE)

    def of(self, timer: Timer) -> float | None:
        """Return the duration of one timer in seconds."""
        duration: float | None = getattr(self, _FIELDS[timer])
        return duration


_DURATIONS: Final[Remembered[tuple[Timeouts, Mapping[Timer, float | None]]]] = Remembered()


def _durations_of(timeouts: Timeouts) -> Mapping[Timer, float | None]:
    """Return the durations by timer; connections that have the same record share them."""
    known = _DURATIONS.get(id(timeouts))
    if known is None:
        known = timeouts, MappingProxyType({timer: timeouts.of(timer) for timer in Timer})
        _DURATIONS.keep(id(timeouts), known, 1)
    return known[1]


class Timers:
    """The deadlines that run now; a timer whose duration is ``None`` never runs.

    Attributes
    ----------
    deadlines : dict of Timer to float
        When the timers that run expire.
    durations : mapping of Timer to float or None
        How long timers run that are started from now on.
    """

    __slots__ = ("_timeouts", "deadlines", "durations")

    def __init__(self, timeouts: Timeouts) -> None:
        self.deadlines: dict[Timer, float] = {}
        self.timeouts = timeouts

    @property
    def timeouts(self) -> Timeouts:
        """How long timers run that are started from now on."""
        return self._timeouts

    @timeouts.setter
    def timeouts(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self.durations = _durations_of(timeouts)

    def start(self, timer: Timer, now: float) -> None:
        """Start a timer, or start it again if it runs."""
        duration = self.durations[timer]
        if duration is None:
            self.deadlines.pop(timer, None)
        else:
            self.deadlines[timer] = now + duration

    def stop(self, timer: Timer) -> None:
        """Stop a timer; one that does not run stays as it is."""
        self.deadlines.pop(timer, None)

    def stop_all(self) -> None:
        """Stop all timers."""
        self.deadlines.clear()

    def is_running(self, timer: Timer) -> bool:
        """Tell whether a timer runs."""
        return timer in self.deadlines

    def next_deadline(self) -> float | None:
        """Return the earliest deadline, ``None`` if no timer runs."""
        return min(self.deadlines.values()) if self.deadlines else None

    def take_expired(self, now: float) -> list[Timer]:
        """Stop and return the timers whose deadline has come, the earliest first."""
        expired = sorted((d, t.name, t) for t, d in self.deadlines.items() if d <= now)
        for *_, timer in expired:
            del self.deadlines[timer]
        return [timer for *_, timer in expired]
