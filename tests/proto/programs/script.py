"""Service programs without sockets: step by step, one side against a bare connection, and whole worlds in memory."""

from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import evolve
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_proto.application.dispatch import perform
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.messages import Request, Response, decode_message
from dicom_proto.encoding.datasets import decode, encode
from dicom_proto.handlers.registry import Handlers
from dicom_proto.limits import Limits
from dicom_proto.programs.effects import END, Await, Call, Dial, Drain, Effect, HangUp, Program, Pull, Receive, Run
from dicom_proto.programs.peer import Peer
from dicom_proto.upper_layer.events import AssociateAccepted, AssociateRequested, ReleaseRequested
from dicom_proto.upper_layer.failures import failure_of
from dicom_proto.upper_layer.items import RoleSelection
from dicom_proto.upper_layer.negotiation import LocalSide, build_offer
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRQ, PDataTF
from dicom_proto.upper_layer.policy import Policy, Review, Supported, review
from dicom_proto.upper_layer.timers import Timeouts
from tests.proto.dimse.pairs import pdus, raw
from tests.proto.wire import Cut, associate, drain, sent, whole

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


class Task:
    """A program that runs as far as it can."""

    def __init__(self, peer: Peer, program: Program[Any], world: "World | None" = None) -> None:
        self.peer = peer
        self.world = world
        self.effects: list[Effect] = []
        self.is_done = False
        self.value: Any = None
        self.error: Exception | None = None
        self._program = program
        self._waiting: Generator[None, None, Any] | None = None
        self._step(lambda: program.send(None))

    def advance(self) -> bool:
        """Perform effects until one has to wait; return whether anything was done."""
        advanced = False
        while not self.is_done and self._waiting is not None:
            try:
                next(self._waiting)
            except StopIteration as end:
                self._step(partial(self._program.send, end.value))
            except Exception as error:  # noqa: BLE001 - it belongs to the program
                self._step(partial(self._program.throw, error))
            else:
                return advanced
            advanced = True
        return advanced

    def _step(self, step: Callable[[], Effect]) -> None:
        try:
            effect = step()
        except StopIteration as end:
            self.is_done, self.value = True, end.value
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.is_done, self.error = True, error
        else:
            self.effects.append(effect)
            self._waiting = self.perform(effect)

    def perform(self, effect: Effect) -> Generator[None, None, Any]:
        """Perform an effect; yield while it has to wait."""
        match effect:
            case Receive(key):
                return (yield from self._wait(lambda: self.peer.router.next_event(key)))
            case Await(condition):
                return (yield from self._wait(condition))
            case Drain():
                return (yield from self._wait(lambda: self.peer.connection.write_room or None))
            case Call(function, arguments):
                return self.call(function, *arguments)
            case Pull(iterator):
                return self.call(next, iterator, END)
            case Dial():
                assert self.world is not None
                return (yield from self.world.dial(effect))
            case Run(program, peer):
                return (yield from self._run(program, peer))
            case HangUp(peer):
                if peer.router.ending is None:
                    peer.connection.release()
                while peer.router.ending is None:
                    yield
        return None

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call what the user wrote, whether it is quick or not."""
        return function(*arguments)

    def ending(self) -> Exception | None:
        """What is thrown if the association has ended."""
        self.peer.router.pump()
        ending = self.peer.router.ending
        return None if ending is None else failure_of(ending)

    def _wait(self, condition: Callable[[], Any]) -> Generator[None, None, Any]:
        result = condition()
        while result is None:
            error = self.ending()
            result = condition()  # what came before the end still counts
            if result is None and error is not None:
                raise error
            if result is None:
                yield
        return result

    def _run(self, program: Program[Any], peer: Peer) -> Generator[None, None, Any]:
        task = Task(peer, program, self.world)
        while not task.is_done:
            if not task.advance():
                yield
        if task.error is not None:
            raise task.error
        return task.value


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
        self.peer = Peer(self.acceptor, Handlers(bindings), "the association", entity=entity)
        self.said: list[Said] = []

    def arrive(self, request: Request, data: bytes | None = None, context: int = 1) -> RequestReceived:
        """Ask for something; return the event at the other end."""
        self.requestor.send_request(request, context=context, data=data)
        return self.arrived()

    def arrived(self) -> RequestReceived:
        self.carry()
        received = self.peer.router.next_summons()
        assert isinstance(received, RequestReceived)
        return received

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
        received = self.peer.router.next_summons()
        assert isinstance(received, RequestReceived)
        task = Task(self.peer, perform(self.peer, received))
        task.advance()
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


class Node:
    """One side of an association in a world."""

    def __init__(self, world: "World", connection: Connection, listener: "Listener") -> None:
        self.world = world
        self.connection = connection
        self.listener = listener
        self.peer = Peer(connection, Handlers(listener.bindings), self, entity=listener.entity)
        self.other: Node | None = None
        self.is_established = False
        self.tasks: list[Task] = []

    def turn(self) -> bool:
        """Answer, serve, go on with what can go on; return whether anything was done."""
        moved = False
        while (summons := self.peer.router.next_summons()) is not None:
            moved = True
            match summons:
                case AssociateRequested():
                    self._answer(summons.offer)
                case AssociateAccepted():
                    self.is_established = True
                case ReleaseRequested():
                    self.connection.confirm_release()
                case RequestReceived():
                    self.tasks.append(Task(self.peer, perform(self.peer, summons), self.world))
        for task in self.tasks:
            moved = task.advance() or moved
        return moved

    def _answer(self, request: AAssociateRQ) -> None:
        reviewed = review(request, self.listener.policy)
        answer = reviewed.answer() if isinstance(reviewed, Review) else reviewed
        if isinstance(answer, AAssociateAC):
            self.connection.accept(answer)
            self.is_established = True
        else:
            self.connection.reject(answer)


class Listener:
    """Who answers at an address."""

    def __init__(self, entity: ApplicationEntity, bindings: Iterable[Any] = ()) -> None:
        self.entity = entity
        self.bindings = list(bindings)
        self.window = (1, 1)

    @property
    def policy(self) -> Policy:
        return evolve(self.entity.policy(), maximum_invoked=self.window[0], maximum_performed=self.window[1])


class World:
    """Associations in memory, and addresses to dial."""

    def __init__(self, **listeners: Listener) -> None:
        self.listeners = listeners
        self.nodes: list[Node] = []
        self.dialled: list[Dial] = []

    def associate(self, host: str, caller: Listener, offer: AAssociateRQ) -> Node:
        """Establish an association."""
        node = self._request(host, caller, offer)
        self.settle()
        assert node.is_established
        return node

    def dial(self, effect: Dial) -> Generator[None, None, Peer]:
        """Perform an effect of that kind."""
        self.dialled.append(effect)
        host, _ = effect.address
        if host not in self.listeners:
            raise ConnectionRefusedError(host)
        node = self._request(host, Listener(ApplicationEntity()), effect.offer)
        while not node.is_established:
            if node.peer.router.ending is not None:
                raise failure_of(node.peer.router.ending)
            yield
        return node.peer

    def _request(self, host: str, caller: Listener, offer: AAssociateRQ) -> Node:
        ends = [Connection(timeouts=NO_TIMEOUTS, limits=Limits(send_queue=1 << 14)) for _ in range(2)]
        ends[0].request(offer)
        one, other = (Node(self, end, who) for end, who in zip(ends, (caller, self.listeners[host]), strict=True))
        one.other, other.other = other, one
        for end in ends:
            end.connection_made(now=0)
        self.nodes += one, other
        return one

    def settle(self) -> None:
        """Go on until nobody has anything to do."""
        moved = True
        while moved:
            moved = False
            for node in list(self.nodes):
                assert node.other is not None
                moved = node.turn() or moved
                moved = carry(node.connection, node.other.connection) or moved
                node.peer.router.pump()

    def run(self, node: Node, program: Program[T]) -> T:
        """Run a program on one side of an association."""
        task = Task(node.peer, program, self)
        node.tasks.append(task)
        self.settle()
        assert task.is_done, f"waits for ever for {task.effects[-1]}"
        if task.error is not None:
            raise task.error
        value: T = task.value
        return value


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
