"""One life lived twice: the same calls to two machines, of which only one gets its bytes in pieces.

Whatever happens, the two tell the same, send the same and show the same of themselves: how the bytes of a peer are cut
means nothing. What else is always true is seen on the way; see :mod:`fuzz.witness`.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from attrs import evolve

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk
from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import Aborted, ConnectionClosed, FragmentReceived
from dicom_proto.upper_layer.state_table import State
from fuzz.witness import Story, Wire, check_liveness, kept, snapshot

__all__ = ["Ending", "M", "Twins"]

M = TypeVar("M", Association, Connection)

_MOST_PIECES: Final = 64  # that one block is cut into
_LONGEST_BLOCK: Final = 1 << 16


class Ending(Enum):
    """The ways in which a life ends."""

    EOF = "the peer closes the connection"
    ABORT = "the user aborts"
    SILENCE = "nobody does anything any more"


class Twins(Generic[M]):
    """Two machines that live the same life.

    Parameters
    ----------
    make : callable
        Makes one of the two.
    most_kept : int
        How many received bytes a machine may keep, by its limits.
    eager : bool
        Drain events and bytes behind each block, and for the machine that gets pieces behind each piece.
    timed : bool
        Whether all timers of the machines are set.
    """

    def __init__(self, make: Callable[[], M], *, most_kept: int, eager: bool, timed: bool) -> None:
        self.machines: tuple[M, M] = (make(), make())  # fed in pieces, fed in whole blocks
        self.now = 0.0
        self._most_kept = most_kept
        self._eager = eager
        self._timed = timed
        self._has_begun = False
        self._has_ended = False
        self._fed = 0  # bytes, since memory was looked at
        self._story = Story()
        self._wire = Wire()
        self._shown = snapshot(self.machines[0])

    @property
    def machine(self) -> M:
        """One of the two, to look at."""
        return self.machines[0]

    # --- what the user does -------------------------------------------------------------------------------------------

    def verb(self, call: Callable[[M], object]) -> bool:
        """Let the user ask for something; return whether it was allowed. If it was not, nothing has changed."""
        before = self._shown
        refusals = [_attempt(machine, call) for machine in self.machines]
        self._compare()
        assert refusals[0] == refusals[1], refusals
        assert refusals[0] is None or self._shown == before, f"refused, and something has changed: {refusals[0]}"
        return refusals[0] is None

    # --- what the world does ------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the transport connection, which works once."""
        may = not self._has_begun and not self.machine.wants_close
        done = self.verb(lambda machine: machine.connection_made(now=self.now))
        assert done is may, "a connection can be made once"
        self._has_begun = self._has_begun or done

    def feed(self, data: bytes, cut: int) -> None:
        """Deliver bytes if they are wanted; for the first machine in pieces of ``cut`` bytes, which is 0 for whole."""
        if not self._has_begun or self._has_ended:
            done = self.verb(lambda machine: machine.receive_data(data, now=self.now))
            assert done is self.machine.wants_close, "received without a connection"
            return
        if not self.machine.wants_read:
            return
        size = max(cut or len(data), len(data) // _MOST_PIECES, 1)
        self._fed += len(data)
        told = []
        for machine, pieces in zip(self.machines, (_cut(data, size), [data]), strict=True):
            events: list[Any] = []
            for piece in pieces:
                machine.receive_data(piece, now=self.now)
                if self._eager:
                    events += _pull(machine, None)
            told.append(_merge(events))
        self._tell(told)
        if self._eager:
            self._write(None)
        self._check_memory()
        self._compare()

    def eof(self) -> None:
        """Close the transport connection, or let it be lost."""
        may = self._has_begun or self.machine.state is not State.Sta1 or self.machine.wants_close
        done = self.verb(lambda machine: machine.receive_eof(now=self.now))
        assert done is may, "there is an end if there was a beginning"
        self._has_ended = self._has_ended or done

    def wait(self, seconds: float) -> None:
        """Let time pass; nobody notices."""
        self.now += seconds

    def expire(self, *, jump: bool) -> None:
        """Let the deadlines act that have come; with ``jump``, when the next one comes."""
        deadline = self.machine.next_deadline()
        if jump and deadline is not None:
            self.now = max(self.now, deadline)
        for machine in self.machines:
            machine.handle_timeout(self.now)
            after = machine.next_deadline()
            assert after is None or after > self.now, "a deadline that has come is still there"
        self._compare()

    # --- what they have for the world ---------------------------------------------------------------------------------

    def drain(self, most: int | None) -> None:
        """Pull all events, or no more than so many; pieces of one message's data count as one event."""
        self._drain(most)
        self._compare()

    def _drain(self, most: int | None) -> None:
        self._tell([_merge(_pull(machine, most)) for machine in self.machines])

    def _tell(self, told: list[list[Any]]) -> None:
        assert [*map(_comparable, told[0])] == [*map(_comparable, told[1])], f"{told[0]} in pieces, {told[1]} whole"
        for event in told[0]:
            self._story.tell(self.machine, event)

    def write(self, limit: int | None) -> None:
        """Pull bytes."""
        self._write(limit)
        self._compare()

    def _write(self, limit: int | None) -> bool:
        """Pull bytes; return whether there were any."""
        outputs = [machine.data_to_send(limit, now=self.now) for machine in self.machines]
        sent = self._wire.carry(self.machine, outputs[0])
        assert sent == b"".join(outputs[1]), "the two send different bytes"
        return bool(sent)

    def turn(self) -> None:
        """Do what a driver does before it waits: pull all events and bytes; what leaves may make room for an event."""
        self._drain(None)
        while self._write(None):
            self._drain(None)
        self._compare()
        assert snapshot(self.machine) == self._shown, "a getter has an effect"
        if self._timed:
            for machine in self.machines:
                check_liveness(machine)

    def _compare(self) -> None:
        """See that the two show the same of themselves."""
        pieces, whole = map(snapshot, self.machines)
        assert pieces == whole, f"{pieces} in pieces, {whole} whole"
        self._shown = pieces

    # --- the end ------------------------------------------------------------------------------------------------------

    def _check_memory(self) -> None:
        """See that a machine keeps no more than its limits say, once there is something that could be kept."""
        if self._fed >= _LONGEST_BLOCK:
            self._fed = 0
            octets, objects = kept(self.machine)
            # What is received may be there as bytes and as what they mean; the last block comes on top, and so do what
            # the user sends, which is all one block, and what is small.
            assert octets <= 2 * self._most_kept + 3 * _LONGEST_BLOCK, f"{octets} bytes are kept"
            assert objects <= self._most_kept // 4 + _LONGEST_BLOCK // 16, f"{objects} objects are kept"

    def end(self, how: Ending) -> None:
        """Drive the machines to the end, in one of several ways, and see that they get there."""
        if not self._has_begun and self.machine.state is State.Sta1:
            return  # nothing has ever begun
        if how is Ending.EOF and not self._has_ended:
            self.eof()
        elif how is Ending.ABORT:
            self.verb(lambda machine: machine.abort())
        for _ in range(8):
            self.turn()
            if self.machine.wants_close:
                break
            if self.machine.next_deadline() is None:
                self.verb(lambda machine: machine.abort())  # its user's turn, or it waits without a timer
            else:
                self.expire(jump=True)
        assert self.machine.wants_close, f"stuck in {self.machine.state.name}"
        assert self.machine.state is State.Sta1
        self.turn()
        assert isinstance(self.machine.next_event(), ConnectionClosed), "the end is told for ever"


def _attempt(machine: M, call: Callable[[M], object]) -> str | None:
    """Call a verb; return why it was refused, if it was."""
    try:
        call(machine)
    except LocalProtocolError as error:
        return str(error)
    return None


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] or [data]


def _pull(machine: M, most: int | None) -> list[Any]:
    """Pull so many events; data that is not the last of its message does not count."""
    events: list[Any] = []
    while most is None or most > 0:
        event = machine.next_event()
        if event is None:
            if machine.has_unread:  # a share at a time
                continue
            break
        events.append(event)
        if isinstance(event, ConnectionClosed):
            break
        if most is not None and not (isinstance(event, FragmentReceived | DataChunk) and not event.last):
            most -= 1
    return events


def _merge(events: list[Any]) -> list[Any]:
    """Join pieces of data as far as they belong together."""
    merged: list[Any] = []
    for event in events:
        if merged and _goes_on(merged[-1], event):
            data = memoryview(bytes(merged[-1].data) + bytes(event.data))
            merged[-1] = evolve(merged[-1], data=data, last=event.last)
        elif not merged or not isinstance(event, ConnectionClosed) or event != merged[-1]:  # it is told for ever
            merged.append(event)
    return merged


def _comparable(event: Any) -> Any:
    """Return an event without what is never equal: exceptions."""
    if isinstance(event, Aborted) and event.error is not None:
        return evolve(event, error=None), type(event.error), str(event.error), event.error.abort_reason
    return event


def _goes_on(before: Any, event: Any) -> bool:
    """Tell whether an event is the next piece of the data of another."""
    is_data = type(event) in (FragmentReceived, DataChunk) and type(before) is type(event)
    return is_data and not before.last and bool(evolve(before, data=event.data, last=event.last) == event)
