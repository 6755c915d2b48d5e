"""A network in memory, with simulated time: application entities that talk to each other without a socket.

Stable.

It is a driver as any other, and the shortest one: one thread, nothing ever waits. Time is a number that goes on when
nothing else can happen, to the next deadline of anybody::

    network = Network()
    network.listen(("archive", 104), scp, [(evt.EVT_C_STORE, handler)])
    with network.associate(scu, ("archive", 104)) as association:
        status = association.send_c_store(dataset)
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any, Self, TypeVar

from dicom_proto.application.association import HANDLING, EntityAssociation, Reception
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.application.verbs import CalledVerbs
from dicom_proto.errors import NotEstablishedError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.logs import ASSOCIATION
from dicom_proto.programs.effects import END, Call, DriverEffect, Program, Pull
from dicom_proto.programs.streams import Stream
from dicom_proto.programs.tasks import Task
from dicom_proto.upper_layer.pdu import AAssociateRQ
from dicom_proto.upper_layer.policy import Policy

__all__ = ["MemoryAssociation", "Network"]

T = TypeVar("T")
Address = tuple[str, int]


class MemoryAssociation(EntityAssociation, CalledVerbs):
    """One end of an association in a :class:`Network`; what it is asked for returns when the other end has answered."""

    def __init__(
        self, network: "Network", entity: ApplicationEntity, handlers: Iterable[Any], reception: Reception | None = None
    ) -> None:
        super().__init__(entity, Handlers(handlers), reception)
        self.network = network
        self.other: MemoryAssociation | None = None  # at the far end; None if the line is cut
        self.on_the_way: deque[tuple[float, bytes]] = deque()  # to this end, with times of arrival; the last is empty
        self.is_closed = self._was_opened = self._has_retired = False
        self.wants_read = True
        self.deadline: float | None = None

    def __enter__(self) -> Self:
        if self.failure is not None:
            raise self.failure
        self.peer.is_strict = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.release() if kind is None else self.abort()

    # --- what users call ----------------------------------------------------------------------------------------------

    def run(self, program: Program[T], *, invokes: bool = False) -> T:
        """Run a program, with all that it takes on this network, and return its result."""
        if not self._was_opened:
            program.close()
            raise NotEstablishedError(f"the association is not established: {self.failure or self.peer.end()}")
        task = self.engine.start(program, invokes=invokes)
        while self._has_retired and not task.is_done:  # everything has ended: nobody else takes a turn
            self.turn()
        self.network.run_until(lambda: task.is_done)
        return task.result()

    def iterate(self, begin: Program[Stream[T]], *, invokes: bool = False) -> Iterator[T]:
        """Return the results of the stream that a program begins."""
        return self._results(begin, invokes)

    def _results(self, begin: Program[Stream[T]], invokes: bool) -> Iterator[T]:
        stream = self.run(begin, invokes=invokes)
        following: Callable[[], Program[T | None]] = partial(self.next_result, stream)
        try:
            while (result := self.run(following())) is not None:
                yield result
        finally:
            self.forget(stream)

    def release(self) -> None:
        """Release the association, and wait until it has ended; without one, do nothing."""
        if self._was_opened:
            self.run(self.part())

    # --- the driver ---------------------------------------------------------------------------------------------------

    def open(self, other: "MemoryAssociation") -> None:
        """Begin with an open connection."""
        self.other, self._was_opened = other, True
        self.engine.connection_made(now=self.network.now)
        self.opened()

    def retire(self) -> None:
        """Let go of what holds itself: all is over."""
        self._has_retired = True
        self.other = None
        super().retire()

    def cut(self) -> None:
        """Lose the connection, at this end; the other end does not notice."""
        self.other = None
        self.on_the_way.clear()
        self.engine.receive_eof(now=self.network.now)

    def turn(self) -> bool:
        """Take a turn; return whether anything has happened."""
        now, other = self.network.now, self.other
        has_arrived = self._receive(now)
        turn = self.engine.turn(now=now, room=self.network.room - sum(len(data) for _, data in self._sent()))
        for buffer in turn.buffers:
            self._send(bytes(buffer))
        if turn.wants_close and not self.is_closed:
            self.is_closed = True
            self.engine.connection_closed(now=now)
            if other is not None:
                self._send(b"")
        for task, effect in turn.effects:
            self._perform(task, effect)
        self.deadline, self.wants_read = turn.deadline, turn.wants_read
        return bool(has_arrived or turn.buffers or turn.effects or turn.is_unfinished or turn.wants_close)

    def next_time(self) -> float | None:
        """Return when something happens here if nobody does anything before."""
        arrival = self.on_the_way[0][0] if self.on_the_way and self.wants_read and not self.is_closed else None
        return min((time for time in (arrival, self.deadline) if time is not None), default=None)

    def _sent(self) -> Iterable[tuple[float, bytes]]:
        return () if self.other is None else self.other.on_the_way

    def _send(self, data: bytes) -> None:
        if self.other is not None and not self.other.is_closed:
            self.other.on_the_way.append((self.network.now + self.network.delay, data))

    def _receive(self, now: float) -> bool:
        """Take what has arrived by now."""
        blocks = self.on_the_way
        before = len(blocks)
        while blocks and blocks[0][0] <= now and self.engine.connection.wants_read and not self.is_closed:
            data = blocks.popleft()[1]
            if data:
                self.engine.receive_data(data, now=now)
            else:
                self.engine.receive_eof(now=now)
        return len(blocks) < before

    def _perform(self, task: Task[Any], effect: DriverEffect) -> None:
        context = copy_context()
        context.run(HANDLING.set, (*HANDLING.get(), self))
        context.run(ASSOCIATION.set, self.id)
        result: Any = None
        try:
            match effect:
                case Call(function, arguments):
                    result = context.run(function, *arguments)
                case Pull(iterator):
                    result = context.run(next, iterator, END)
                case _:
                    result = self.network.dial(self.entity, effect.address, effect.offer, effect.options)
        except Exception as error:  # noqa: BLE001 - it is the program's
            self.engine.throw(task, error)
        else:
            self.engine.resume(task, result)

    # --- end of the driver --------------------------------------------------------------------------------------------


class Network:
    """Application entities that reach each other, and the time.

    Parameters
    ----------
    delay : float
        Seconds that bytes take to arrive.
    room : int
        How many bytes may be on the way in one direction of an association before no more are handed out.

    Attributes
    ----------
    now : float
        The time in seconds.
    associations : list
        Both ends of all that are under way.
    """

    def __init__(self, *, delay: float = 0.0, room: int = 1 << 18) -> None:
        self.delay = delay
        self.room = room
        self.now = 0.0
        self.associations: list[MemoryAssociation] = []
        self._listeners: dict[Address, tuple[ApplicationEntity, tuple[Any, ...], Policy]] = {}

    def listen(self, address: Address, entity: ApplicationEntity, handlers: Iterable[Any] = ()) -> None:
        """Serve associations at an address."""
        self._listeners[address] = entity, tuple(handlers), entity.policy()

    def make_association(
        self, entity: ApplicationEntity, handlers: Iterable[Any], reception: Reception | None = None
    ) -> MemoryAssociation:
        """Make one end of an association; for those who bring a class of their own."""
        return MemoryAssociation(self, entity, handlers, reception)

    def associate(
        self,
        entity: ApplicationEntity,
        address: Address,
        handlers: Iterable[Any] = (),
        *,
        ae_title: str = "ANY-SCP",
        offer: AAssociateRQ | None = None,
    ) -> MemoryAssociation:
        """Request an association; its ``failure`` says why if there is none."""
        return self.dial(entity, address, offer or entity.offer(ae_title), {"evt_handlers": handlers})

    def dial(
        self, entity: ApplicationEntity, address: Address, offer: AAssociateRQ, options: Mapping[str, Any]
    ) -> MemoryAssociation:
        """Request an association with a request that is made already."""
        here = self.make_association(entity, options.get("evt_handlers") or ())
        here.peer.connection.request(offer)
        listener = self._listeners.get(address)
        if listener is None:
            here.failure = ConnectionRefusedError(f"nobody listens at {address[0]} port {address[1]}")
            here.is_aborted = True
            return here
        there = self.make_association(*listener)
        self.associations += [here, there]
        here.peer_address = there.local_address = address
        there.peer_address = here.local_address = ("memory", len(self.associations))
        here.open(there)
        there.open(here)
        here.run(here.establish())
        return here

    def step(self) -> bool:
        """Let everybody have a turn; return whether anything has happened."""
        moved = False
        for association in tuple(self.associations):
            moved = association.turn() or moved
            if association.engine.is_finished and association in self.associations:
                self.associations.remove(association)
                association.retire()
        return moved or any(association.engine.has_ready for association in self.associations)

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Go on until something is so; when nothing else can happen, time passes.

        Raises
        ------
        RuntimeError
            If it will never be so.
        """
        while not condition():
            if not self.step() and not condition() and not self.pass_time():
                raise RuntimeError("nothing can happen any more: everybody waits for somebody else")

    def settle(self) -> None:
        """Go on, at this time, until nobody has anything to do."""
        while self.step():
            pass

    def pass_time(self) -> bool:
        """Let time pass until the next deadline; return whether there is one."""
        times = [time for one in self.associations if (time := one.next_time()) is not None]
        if not times:
            return False
        self.now = max(self.now, min(times))
        return True
