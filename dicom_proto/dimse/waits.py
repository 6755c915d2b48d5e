"""The waits for responses: one for each operation that the peer has been asked for, on a clock that can stand still.

May change.

Only bytes of the response that is awaited begin a wait anew. What the peer says otherwise does not, however much it is;
and while the peer cannot go on, because it waits for this side, its wait is interrupted and keeps what is left of it:

* one operation alone, while this side performs something that the peer has asked for later (:meth:`Waits.interrupt`):
  the sub-operations of a C-GET;
* all of them, while what was received has not been looked at (:meth:`Waits.stop_clock`): the answer may be there.
"""

from dicom_proto.dimse.operations import Invoked

__all__ = ["Waits"]


class Waits:
    """The deadlines of operations, by a clock that lags behind the caller's as long as it has stood still.

    It costs the same however many operations are outstanding, except when some of them are interrupted.

    Attributes
    ----------
    running : dict of Invoked to float
        The deadlines on this clock, the earliest first.
    interrupted : dict of Invoked to float
        How much is left of the other waits.
    """

    __slots__ = ("_lag", "_stopped_at", "interrupted", "running")

    def __init__(self) -> None:
        self.running: dict[Invoked, float] = {}
        self.interrupted: dict[Invoked, float] = {}
        self._lag: float = 0
        self._stopped_at: float | None = None

    def _read(self, now: float) -> float:
        """Read the clock."""
        return (now if self._stopped_at is None else self._stopped_at) - self._lag

    def begin(self, operation: Invoked, now: float, seconds: float | None) -> None:
        """Begin a wait, or begin it anew; one without a duration has no end."""
        self.running.pop(operation, None)
        self.interrupted.pop(operation, None)
        if seconds is None:
            return
        running = self.running
        deadline = (now if self._stopped_at is None else self._stopped_at) - self._lag + seconds
        is_sorted = not running or running[next(reversed(running))] <= deadline
        running[operation] = deadline
        if not is_sorted:  # the durations have changed
            self._sort()

    def go_on(self, operation: Invoked, now: float, seconds: float | None) -> None:
        """Begin a wait anew if there is one: something of the response has arrived."""
        if operation in self.running:
            self.begin(operation, now, seconds)
        elif operation in self.interrupted:
            self.begin(operation, now, seconds)
            self._interrupt(operation, now)

    def end(self, operation: Invoked) -> None:
        """End a wait: it is over, whether it had begun or not."""
        self.running.pop(operation, None)
        self.interrupted.pop(operation, None)

    def clear(self) -> None:
        """End all waits."""
        self.running.clear()
        self.interrupted.clear()

    def interrupt(self, before: int, now: float) -> None:
        """Interrupt the waits for operations that are older than what is performed here, by their order."""
        for operation in [operation for operation in self.running if operation.order < before]:
            self._interrupt(operation, now)

    def _interrupt(self, operation: Invoked, now: float) -> None:
        deadline = self.running.pop(operation, None)
        if deadline is not None:
            self.interrupted[operation] = deadline - self._read(now)

    def resume(self, behind: int, now: float) -> None:
        """Go on with the interrupted waits for operations that are newer than anything performed here."""
        resumed = [operation for operation in self.interrupted if operation.order > behind]
        for operation in resumed:
            self.running[operation] = self._read(now) + self.interrupted.pop(operation)
        if resumed:
            self._sort()

    def _sort(self) -> None:
        self.running = dict(sorted(self.running.items(), key=lambda item: item[1]))

    def stop_clock(self, now: float) -> None:
        """Let the clock stand still from ``now`` on, or go on standing still."""
        if self._stopped_at is None:
            self._stopped_at = now

    def start_clock(self, now: float) -> None:
        """Let the clock go on, if it stands still."""
        if self._stopped_at is not None:
            self._lag += now - self._stopped_at
            self._stopped_at = None

    def next_deadline(self) -> float | None:
        """Return the earliest deadline by the caller's clock; ``None`` if none is coming closer."""
        if self._stopped_at is not None or not self.running:
            return None
        return self.running[next(iter(self.running))] + self._lag
