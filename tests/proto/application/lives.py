"""Associations as users see them, both ends in memory: an adapter without I/O, that takes turns and keeps no time."""

from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import Any, TypeVar

from dicom_proto.application.face import AssociationFace
from dicom_proto.application.life import HANDLING
from pydicom.dataset import Dataset

from dicom_proto.application import requests as calls
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.buffers import Buffer
from dicom_proto.dimse.connection import Connection
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.event import Event
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Program
from dicom_proto.programs.streams import Stream, at_once
from dicom_proto.services.storage.pipeline import Sent
from dicom_proto.upper_layer.pdu import AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.policy import Policy
from dicom_proto.upper_layer.timers import Timeouts
from tests.proto.programs.script import CT, IMPLICIT, NO_TIMEOUTS, STUDY_FIND, VERIFICATION, Task

T = TypeVar("T")
HERE, THERE = ("127.0.0.1", 11112), ("127.0.0.1", 104)
LIFE = (
    *(evt.EVT_CONN_OPEN, evt.EVT_REQUESTED, evt.EVT_ACCEPTED, evt.EVT_ESTABLISHED),
    *(evt.EVT_REJECTED, evt.EVT_ABORTED, evt.EVT_RELEASED, evt.EVT_CONN_CLOSE),
)
"""What an association tells of its life."""

Bindings = Iterable[Any]


class Diary:
    """What handlers were told, in order: the names of the events without ``EVT_``."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.events: list[Event] = []

    def write(self, event: Event) -> None:
        self.names.append(event.name.removeprefix("EVT_"))
        self.events.append(event)

    def bindings(self, *kinds: evt.EventKind) -> list[Any]:
        return [(kind, self.write) for kind in kinds or LIFE]


class LifeTask(Task):
    """A program on an association that has a life; a handler that asks for more is not held up by itself."""

    def __init__(self, association: "MemoryAssociation", program: Program[Any]) -> None:
        self._association = association
        self._is_advancing = False
        super().__init__(association.peer, program)

    def advance(self) -> bool:
        if self._is_advancing:
            return False
        self._is_advancing = True
        try:
            return super().advance()
        finally:
            self._is_advancing = False

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        context = copy_context()
        context.run(HANDLING.set, (*HANDLING.get(), self._association))
        return context.run(function, *arguments)

    def ending(self) -> Exception | None:
        return self._association.end() if self._association.conclude() else None


class MemoryAssociation(AssociationFace[None, Dataset, calls.Result, Iterator[calls.Result], Iterator[Sent]]):
    """One end of an association; calls return when the other end has done its part."""

    def __init__(
        self,
        entity: ApplicationEntity,
        bindings: Bindings = (),
        *,
        policy: Policy | AAssociateRJ | None = None,
        timeouts: Timeouts = NO_TIMEOUTS,
    ) -> None:
        super().__init__(entity, Connection(timeouts=timeouts), Handlers(bindings), policy=policy)
        self.wire: Wire | None = None
        self.tasks: list[LifeTask] = []
        self.is_closed = self.is_lost = False
        self._has_told_end = False

    # --- what an adapter does -----------------------------------------------------------------------------------------

    def run(self, program: Program[T]) -> T:
        task = self.start(program)
        assert self.wire is not None
        while not task.is_done:
            assert self.wire.turn(), f"waits for ever for {task.effects[-1]}"
        if task.error is not None:
            raise task.error
        value: T = task.value
        return value

    def abort(self) -> None:
        self.give_up()

    def iterate(self, begin: Program[Stream[T]]) -> Iterator[T]:
        return self._next_results(self.run(begin))

    def _next_results(self, stream: Stream[T]) -> Iterator[T]:
        try:
            while (result := self.run(stream.next())) is not None:
                yield result
        finally:
            self.run(at_once(stream.abandon))

    # --- taking turns -------------------------------------------------------------------------------------------------

    def start(self, program: Program[Any]) -> LifeTask:
        """Begin to run a program."""
        task = LifeTask(self, program)
        self.tasks.append(task)
        return task

    def open(self) -> None:
        """Begin with an open connection."""
        self.local_address, self.peer_address = (THERE, HERE) if self.is_acceptor else (HERE, THERE)
        self.peer.connection.connection_made(now=0)
        self.start(self.opened(self.peer_address))

    def turn(self) -> bool:
        """Do what can be done now; return whether there was something."""
        moved = False
        self.conclude()
        while (summons := self.peer.router.next_summons()) is not None:
            self.start(self.attend(summons))
            moved = True
        if self.has_news:
            self.start(self.tell())
            moved = True
        if self.is_over and not self._has_told_end:
            self._has_told_end = moved = True
            self.start(self.ended())
        if (self.peer.connection.wants_close or self.is_lost) and not self.is_closed:
            self.is_closed = moved = True
            self.start(self.closed(self.peer_address))
        for task in list(self.tasks):
            moved = task.advance() or moved
        return moved

    def errors(self) -> list[Exception]:
        """What programs have raised, those of callers included."""
        return [task.error for task in self.tasks if task.error is not None]

    # --- bytes --------------------------------------------------------------------------------------------------------

    def send(self) -> list[Buffer]:
        buffers = self.peer.connection.data_to_send(now=0)
        self.notifier.sent(buffers)
        return buffers

    def receive(self, buffers: Iterable[Buffer]) -> None:
        for buffer in buffers:
            self.notifier.received(buffer)
            self.peer.connection.receive_data(buffer, now=0)

    @property
    def wants_read(self) -> bool:
        """Whether bytes are taken from the wire; after the end they are, and dropped."""
        return self.is_over or self.peer.connection.wants_read

    def lose(self) -> None:
        """Lose the connection."""
        self.is_lost = True
        self.peer.connection.receive_eof(now=0)

    def time_out(self) -> None:
        """Let the next deadline come."""
        deadline = self.peer.connection.next_deadline()
        assert deadline is not None
        self.peer.connection.handle_timeout(deadline)


class Wire:
    """Joins two ends."""

    def __init__(self, one: MemoryAssociation, other: MemoryAssociation) -> None:
        self.ends = (one, other)
        for end in self.ends:
            end.wire = self
            end.open()

    def turn(self) -> bool:
        """Let both do what they can, then carry what both have to say; return whether anything happened."""
        moved = any([end.turn() for end in self.ends])  # noqa: C419 - both of them
        return self.carry() or moved

    def carry(self) -> bool:
        """Carry the bytes and the end of the connection, at the same time in both directions."""
        one, other = self.ends
        said = [(target, source.send()) for source, target in ((one, other), (other, one)) if target.wants_read]
        for target, buffers in said:
            target.receive(buffers)
        moved = any(buffers for _, buffers in said)
        for source, target in ((one, other), (other, one)):
            if source.is_closed and not (target.is_closed or target.is_lost):
                target.lose()
                moved = True
        return moved

    def settle(self) -> None:
        """Go on until nobody has anything to do."""
        while self.turn():
            pass


def entity(title: str = "HERE", *abstract_syntaxes: str) -> ApplicationEntity:
    """An application entity that requests and supports some abstract syntaxes, in both roles."""
    made = ApplicationEntity(title)
    for uid in abstract_syntaxes or (VERIFICATION, CT, STUDY_FIND):
        made.add_requested_context(uid, IMPLICIT)
        made.add_supported_context(uid, IMPLICIT, scu_role=True, scp_role=True)
    return made


class Couple:
    """A requestor and an acceptor on a wire, the request on its way; what is bound is bound at both ends or at one.

    Parameters
    ----------
    here, there : iterable of bindings
        Of the requestor and of the acceptor.
    offer : AAssociateRQ, optional
        What is requested.
    reception : Policy or AAssociateRJ, optional
        How the acceptor receives it.
    timeouts : Timeouts
        Of both.
    """

    def __init__(
        self,
        *,
        here: Bindings = (),
        there: Bindings = (),
        offer: AAssociateRQ | None = None,
        reception: Policy | AAssociateRJ | None = None,
        timeouts: Timeouts = NO_TIMEOUTS,
    ) -> None:
        self.diaries = Diary(), Diary()
        self.scu = MemoryAssociation(entity(), [*self.diaries[0].bindings(), *here], timeouts=timeouts)
        self.scp = MemoryAssociation(
            entity("THERE"),
            [*self.diaries[1].bindings(), *there],
            policy=reception or entity("THERE").policy(),
            timeouts=timeouts,
        )
        self.scu.peer.connection.request(offer or entity().offer("THERE"))
        self.wire = Wire(self.scu, self.scp)

    def establish(self) -> "Couple":
        """Let the requestor wait for its answer."""
        self.scu.run(self.scu.establish())
        return self

    def settle(self) -> "Couple":
        self.wire.settle()
        return self

    @property
    def told(self) -> tuple[list[str], list[str]]:
        """What the handlers of the requestor and of the acceptor were told."""
        return self.diaries[0].names, self.diaries[1].names


def fate(life: AssociationFace[Any, Any, Any, Any, Any]) -> set[str]:
    """What has become of an association."""
    words = ("is_released", "is_aborted", "is_rejected", "is_over", "is_established")
    return {word.removeprefix("is_") for word in words if getattr(life, word)}
