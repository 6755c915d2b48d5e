"""Service programs without sockets: effect by effect, or run by an engine against a bare connection."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_proto.application.dispatch import perform
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.buffers import Buffer
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.messages import Request, Response, decode_message
from dicom_proto.dimse.routing import Indication, Key
from dicom_proto.encoding.datasets import decode, encode
from dicom_proto.encoding.sources import Source
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs import tasks
from dicom_proto.programs.effects import END, Call, DriverEffect, Effect, Fork, Program, Pull
from dicom_proto.programs.engine import Engine
from dicom_proto.programs.peer import Peer
from dicom_proto.testing.pair import Cut, associate, drain, sent, whole
from dicom_proto.upper_layer.failures import AssociationClosed, Ending, failure_of
from dicom_proto.upper_layer.items import RoleSelection
from dicom_proto.upper_layer.negotiation import LocalSide, build_offer
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRQ, PDataTF
from dicom_proto.upper_layer.policy import Policy, Review, Supported, review
from dicom_proto.upper_layer.timers import Timeouts
from tests.proto.dimse.pairs import pdus, raw

IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2"))
JPEG = "1.2.840.10008.1.2.4.50"
VERIFICATION = "1.2.840.10008.1.1"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
STUDY_FIND, STUDY_MOVE, STUDY_GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
NO_TIMEOUTS = Timeouts(request=None, release=None, response=None, idle=None)
PENDING, CANCEL = 0xFF00, 0xFE00

T = TypeVar("T")
E = TypeVar("E")
Context = str | tuple[str, str | Iterable[str]]
Said = tuple[Response, bytes | None]
"""A response, and the data set that came with it."""


class InPieces(Source):
    """A data set that is read while it is sent; an exception among the pieces is raised."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces

    def pieces(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


class Script(Generic[T]):
    """A program, one effect at a time."""

    def __init__(self, program: Program[T]) -> None:
        self.program = program

    def expect(self, kind: type[E], result: Any = None) -> E:
        """Give the program the result of its last effect; the next has to be of a kind."""
        return self._next(kind, lambda: self.program.send(result))

    def fail(self, error: Exception, kind: type[E]) -> E:
        """Let the last effect fail; the next has to be of a kind."""
        return self._next(kind, lambda: self.program.throw(error))

    def end(self, result: Any = None) -> T:
        """Give the result of the last effect; there has to be no other. Return what the program returns."""
        return self._end(lambda: self.program.send(result))

    def fail_at_last(self, error: Exception) -> T:
        """Let the last effect fail; there has to be no other."""
        return self._end(lambda: self.program.throw(error))

    def _next(self, kind: type[E], step: Callable[[], Effect]) -> E:
        effect = step()
        assert isinstance(effect, kind), effect
        return effect

    def _end(self, step: Callable[[], Effect]) -> T:
        try:
            effect = step()
        except StopIteration as end:
            value: T = end.value
            return value
        raise AssertionError(f"one more effect: {effect}")


def offer_of(
    *contexts: Context, roles: Iterable[RoleSelection] = (), window: tuple[int, int] = (1, 1), **titles: str
) -> AAssociateRQ:
    """An offer; a context that is only an abstract syntax has the default transfer syntax."""
    return build_offer(
        titles.get("called", "CALLED"),
        titles.get("calling", "CALLING"),
        [(context, IMPLICIT) if isinstance(context, str) else context for context in contexts],
        roles=roles,
        local=LocalSide(maximum_invoked=window[0], maximum_performed=window[1]),
    )


def accepting(request: AAssociateRQ, *, roles: bool = True, refused: Iterable[str] = ()) -> AAssociateAC:
    """An answer that takes everything, each context with its first transfer syntax."""
    role = True if roles else None
    policy = Policy(
        supported=dict.fromkeys(refused),
        unrestricted=Supported(
            [uid for context in request.presentation_contexts for uid in context.transfer_syntaxes], role, role
        ),
        requestor_order=True,
        maximum_invoked=9,
        maximum_performed=9,
    )
    reviewed = review(request, policy)
    assert isinstance(reviewed, Review)
    answer = reviewed.answer()
    assert isinstance(answer, AAssociateAC)
    return answer


def connected(
    request: AAssociateRQ, *, roles: bool = True, refused: Iterable[str] = (), cut: Cut = whole, **settings: Any
) -> tuple[Connection, Connection]:
    """Two connections with an association between them; ``refused`` are abstract syntaxes."""
    one, other = (Connection(timeouts=NO_TIMEOUTS, **settings) for _ in range(2))
    associate(one, other, request, accepting(request, roles=roles, refused=refused), cut=cut)
    return one, other


def carry(one: Connection, other: Connection) -> bool:
    """Carry all bytes to and fro, and leave the events where they are; return whether there were any bytes."""
    moved = False
    while data := [(target, sent(source)) for source, target in ((one, other), (other, one))]:
        if not any(block for _, block in data):
            break
        moved = True
        for target, block in data:
            if block:
                target.receive_data(block, now=0)
    for source, target in ((one, other), (other, one)):
        if source.wants_close and not target.wants_close:
            target.receive_eof(now=0)
            moved = True
    return moved


class NoWitness:
    """Sees nothing."""

    wants_received = wants_sent = False

    def __init__(self) -> None:
        self.pending: list[Any] = []

    def received(self, _: Buffer) -> None:
        """Is not called."""

    def sent(self, _: list[Buffer]) -> None:
        """Is not called."""


class ScriptedPeer(Peer):
    """A peer with an engine, and no handlers of its life: what it is asked for waits in :attr:`requests`.

    A test that plays a program effect by effect takes its events from here (:meth:`event`); :class:`Task` runs others.
    """

    has_news = False

    def __init__(self, connection: Connection, handlers: Handlers, association: Any = None, **more: Any) -> None:
        super().__init__(connection, handlers, association, **more)
        self.is_over = False
        self.requests: deque[RequestReceived] = deque()
        self.ending: Ending | None = None
        self.performer: Any = None  # of what has none of its own: tasks that another has started
        self.engine = Engine(connection, self.router, self, NoWitness())

    def turn(self) -> bool:
        """Let the engine have a turn, and perform what it wants; the bytes of messages stay where they are."""
        effects = self.engine.turn(now=0, room=0).effects
        for task, effect in effects:
            (task.performer or self.performer).do(task, effect)
        return bool(effects)

    def request(self) -> RequestReceived:
        """The next thing that it is asked for."""
        self.turn()
        return self.requests.popleft()

    def event(self, key: Key) -> Any:
        """The next event of an operation, ``None`` if there is none."""
        self.turn()
        inbox = self.router.find(key)
        return None if inbox is None else inbox.take()

    # --- the life of an association -----------------------------------------------------------------------------------

    def attend(self, indication: Indication) -> Program[None]:
        if isinstance(indication, RequestReceived):
            self.requests.append(indication)
        yield from ()

    def take_over(self, ending: Ending) -> None:
        if not self.is_over:
            self.is_over, self.ending = True, ending
            self.end = partial(failure_of, ending)

    def give_up(self) -> None:
        self.connection.abort()
        self.is_over = True
        self.end = partial(AssociationClosed, "this side has aborted the association")

    def tell(self) -> Program[None]:
        yield from ()

    ended = closed = tell


class Task:
    """A program that runs as far as it can."""

    def __init__(self, peer: ScriptedPeer, program: Program[Any]) -> None:
        self.peer = peer
        self.effects: list[Effect] = []
        self.is_done = False
        self.value: Any = None
        self.error: Exception | None = None
        task = peer.engine.start(recorded(program, self.effects), on_end=self._end)
        task.performer = peer.performer = self
        self.advance()

    def advance(self) -> bool:
        """Go on until it has to wait; return whether anything was done."""
        before = (len(self.effects), self.is_done)
        moved = self.peer.turn()
        while self.peer.turn():
            moved = True
        return moved or before != (len(self.effects), self.is_done)

    def do(self, task: Any, effect: DriverEffect) -> None:
        """Answer an effect of the engine."""
        try:
            value = self.perform(effect)
        except Exception as error:  # noqa: BLE001 - it belongs to the program
            self.peer.engine.throw(task, error)
        else:
            self.peer.engine.resume(task, value)

    def perform(self, effect: DriverEffect) -> Any:
        """Perform an effect."""
        match effect:
            case Call(function, arguments):
                return self.call(function, *arguments)
            case Pull(iterator):
                return self.call(next, iterator, END)
        raise AssertionError(f"nobody can be dialled here: {effect}")

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call what the user wrote, whether it is quick or not."""
        return function(*arguments)

    def _end(self, task: Any) -> None:
        self.is_done, self.error = True, task.error
        if self.error is None:
            self.value = task.result()


def recorded(program: Program[Any], effects: list[Effect]) -> Program[Any]:
    """Remember all effects of a program, and of those that it starts beside itself."""
    step: Callable[[], Effect] = partial(program.send, None)
    while True:
        try:
            effect = step()
        except StopIteration as end:
            return end.value
        if isinstance(effect, Fork):
            effect = Fork(recorded(effect.program, effects))
        effects.append(effect)
        try:
            step = partial(program.send, (yield effect))
        except GeneratorExit:
            program.close()
            raise
        except Exception as error:  # noqa: BLE001 - it is for the program
            step = partial(program.throw, error)


def ended(program: Program[Any], value: Any, error: Exception | None = None) -> "tasks.Task[Any]":
    """A task of an engine that has ended."""
    task: tasks.Task[Any] = tasks.Task(program, None, invokes=False)
    task.finish(value, error)
    return task


class Scene:
    """A bare connection that asks, and a peer at the other end that performs."""

    def __init__(
        self,
        *contexts: Context,
        bindings: Iterable[Any] = (),
        offer: AAssociateRQ | None = None,
        entity: ApplicationEntity | None = None,
        **settings: Any,
    ) -> None:
        self.requestor, self.acceptor = connected(offer or offer_of(*contexts), **settings)
        self.peer = ScriptedPeer(self.acceptor, Handlers(bindings), "the association", entity=entity)
        self.said: list[Said] = []

    def arrive(self, request: Request, data: bytes | None = None, context: int = 1) -> RequestReceived:
        """Ask for something; return the event at the other end."""
        self.requestor.send_request(request, context=context, data=data)
        return self.arrived()

    def arrived(self) -> RequestReceived:
        self.carry()
        return self.peer.request()

    def ask(self, request: Request, data: bytes | None = None, context: int = 1) -> Script[None]:
        """Ask for something; return what performs it, to be driven step by step."""
        return self.script(self.arrive(request, data, context))

    def script(self, received: RequestReceived) -> Script[None]:
        return Script(perform(self.peer, received))

    def serve(self, request: Request, data: bytes | None = None, context: int = 1) -> list[Said]:
        """Ask for something, let it be performed, and return what was said."""
        return self.finish(Task(self.peer, perform(self.peer, self.arrive(request, data, context))))

    def serve_raw(self, request: Request, data: bytes | None = None, context: int = 1) -> list[Said]:
        """Do the same with a request that keeps no rules."""
        self.acceptor.receive_data(raw(request, data, context), now=0)
        task = Task(self.peer, perform(self.peer, self.peer.request()))
        assert task.is_done
        if task.error is not None:
            raise task.error
        return self.overheard()

    def overheard(self) -> list[Said]:
        """What is being said, to whoever listens."""
        said: list[Said] = []
        for pdu in pdus(sent(self.acceptor)):
            assert isinstance(pdu, PDataTF)
            for pdv in pdu.pdvs:
                if pdv.command:
                    message, _ = decode_message(pdv.data)
                    assert isinstance(message, Response)
                    said.append((message, None))
                else:
                    said[-1] = (said[-1][0], (said[-1][1] or b"") + pdv.data)
        return said

    def finish(self, task: Task) -> list[Said]:
        """Run what performs a request to its end, and return what was said."""
        while not task.is_done:
            assert task.advance() or self.carry(), f"waits for ever for {task.effects[-1]}"
        if task.error is not None:
            raise task.error
        return self.replies()

    def carry(self) -> bool:
        return carry(self.requestor, self.acceptor)

    def replies(self) -> list[Said]:
        """What has been said to the requestor since it was last asked about."""
        self.carry()
        said: list[Said] = []
        for event in drain(self.requestor):
            match event:
                case ResponseReceived():
                    said.append((event.response, None))
                case DataChunk():
                    response, data = said[-1]
                    said[-1] = (response, (data or b"") + bytes(event.data))
        return said


def data_set(transfer_syntax: str = IMPLICIT, **elements: Any) -> bytes:
    """An encoded data set."""
    return encode(dataset_of(**elements), transfer_syntax)


def dataset_of(**elements: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def unencodable() -> Dataset:
    """A data set with a value that its VR does not allow."""
    dataset = Dataset()
    dataset.add(DataElement("Rows", "US", "many", validation_mode=IGNORE))
    return dataset


def decoded(data: bytes | None, transfer_syntax: str = IMPLICIT) -> Dataset:
    assert data is not None
    return decode(data, transfer_syntax)


def statuses(said: list[Said]) -> list[int]:
    return [response.status for response, _ in said]
