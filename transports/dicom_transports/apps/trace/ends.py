"""The states of both ends of an association, as far as they can be told from what each has sent (PS3.8 9.2).

May change.

Between the sending of a PDU and its arrival the other end may send something itself, and a capture does not say when an
end has read what it was sent. So an arrival waits until it is needed: whatever an end sends is allowed if there is a
moment, since the last thing it sent, in which Table 9-10 allows it.
"""

from collections import deque
from typing import Final

from attrs import define, field

from dicom_proto.upper_layer.machine import RECEIVED, REFUSALS
from dicom_proto.upper_layer.pdu import PDUType
from dicom_proto.upper_layer.state_table import ACTIONS, TABLE, Action, Event, State

__all__ = ["Ends"]

_SENT: Final = {
    PDUType.A_ASSOCIATE_RQ: Event.Evt2,
    PDUType.A_ASSOCIATE_AC: Event.Evt7,
    PDUType.A_ASSOCIATE_RJ: Event.Evt8,
    PDUType.P_DATA_TF: Event.Evt9,
    PDUType.A_RELEASE_RQ: Event.Evt11,
    PDUType.A_RELEASE_RP: Event.Evt14,
    PDUType.A_ABORT: Event.Evt15,
}
_OVER: Final = frozenset({State.Sta1, State.Sta13})
_MOST_WAITING: Final = 16


@define
class _End:
    state: State
    is_requestor: bool
    waiting: deque[Event] = field(factory=deque)  # what has been sent to it, and may not have arrived

    def after(self, state: State, event: Event) -> State:
        """Return the state behind an arrival; one that calls for an A-ABORT waits for that."""
        action = TABLE.get((event, state))
        if action is None or action in REFUSALS:
            return state
        following = ACTIONS[action].next_states
        return following[-1] if action is Action.AR_8 and not self.is_requestor else following[0]

    def possible(self) -> list[State]:
        """Return the states that it may be in: nothing of what waits has arrived, the first of it, and so on."""
        states = [self.state]
        for event in self.waiting:
            states.append(self.after(states[-1], event))
        return states

    def arrive(self, count: int) -> None:
        """Let the first of what waits arrive."""
        for _ in range(count):
            self.state = self.after(self.state, self.waiting.popleft())


class Ends:
    """Both ends of one connection.

    Parameters
    ----------
    is_established : bool
        Whether to begin with an association that is established, because the capture has nothing of what was before.
    """

    def __init__(self, *, is_established: bool) -> None:
        first, second = (State.Sta6, State.Sta6) if is_established else (State.Sta4, State.Sta2)
        self._ends = (_End(first, True), _End(second, False))

    @property
    def states(self) -> tuple[str, str]:
        """The states of the first and the second end, with all that was sent to them."""
        first, second = (end.possible()[-1].name for end in self._ends)
        return first, second

    @property
    def is_over(self) -> bool:
        """Whether there is no association any more."""
        return all(end.possible()[-1] in _OVER for end in self._ends)

    def pass_data(self, *, back: bool) -> bool:
        """Note a P-DATA-TF the quick way; return whether that was possible, because nothing is unusual."""
        sender, receiver = self._ends[back], self._ends[not back]
        return (
            sender.state is State.Sta6 and receiver.state is State.Sta6 and not sender.waiting and not receiver.waiting
        )

    def send(self, pdu_type: PDUType, *, back: bool, by_provider: bool = False) -> str | None:
        """Note that an end has sent a PDU; return in words what is wrong with that, ``None`` if nothing is."""
        sender, receiver = self._ends[back], self._ends[not back]
        states = sender.possible()
        problem = None
        if pdu_type is PDUType.A_ABORT and by_provider:
            sender.waiting.clear()
            sender.state = State.Sta13
        else:
            event = _SENT[pdu_type]
            allowed = next((n for n in reversed(range(len(states))) if (event, states[n]) in TABLE), None)
            if allowed is None:
                sender.arrive(len(sender.waiting))
                problem = f"{name_of(pdu_type)} sent in {sender.state.name} ({sender.state.value})"
            else:
                sender.arrive(allowed)
                sender.state = ACTIONS[TABLE[event, sender.state]].next_states[0]
        receiver.waiting.append(RECEIVED[pdu_type])
        if len(receiver.waiting) > _MOST_WAITING:
            receiver.arrive(1)
        self._forget_what_changes_nothing(receiver)
        return problem

    def _forget_what_changes_nothing(self, end: _End) -> None:
        while end.waiting and end.after(end.state, end.waiting[0]) is end.state:
            end.waiting.popleft()

    def close(self) -> None:
        """Note that the connection has ended."""
        for end in self._ends:
            end.arrive(len(end.waiting))
            end.state = State.Sta1


def name_of(pdu_type: PDUType) -> str:
    """Spell a PDU as the standard does."""
    return pdu_type.name.replace("_", "-")
