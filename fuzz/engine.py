"""Harness: the engine of an association, under programs, a peer, a driver, a network and a clock that do anything.

The input is a program (:mod:`fuzz.program`). Its header chooses the side and the bounds. Its steps let a peer
ask, answer, release, abort and send arbitrary bytes; start programs that yield arbitrary effects; perform the effects,
in any order, with results and exceptions of every kind, or never; cancel tasks; let time pass; close the connection.

* Nothing escapes from a turn, and each takes a bounded share of what there is to do.
* When the connection has been closed and every effect is answered, every task ends, and nothing is asked for any more.
* Whoever was waiting for something of the peer gets an exception; no operation begins behind the end.
* No more operations are performed than the window allows. What is kept is bounded.
* The deadline of a turn is later than the turn, or of the next one: no driver can spin.
* An iterator that was begun is exhausted, has raised, or is closed once; an association that was dialled is hung up or
  aborted.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from types import SimpleNamespace
from typing import Any, Final

from dicom_proto.application.association import EntityAssociation
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.routing import Inbox
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import (
    END,
    Await,
    Call,
    Dial,
    Drain,
    DriverEffect,
    HangUp,
    Pause,
    Program,
    Pull,
    Receive,
    Run,
)
from dicom_proto.programs.tasks import Task, Tasks
from dicom_proto.sop_class import uid_to_sop_class
from dicom_proto.testing.samples import FULL_OFFER, PDUS
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_proto.upper_layer.pdu import AAssociateAC
from fuzz.association import SMALL_LIMITS, TIMEOUTS
from fuzz.connection import WORDS, a_request, a_response, piece
from fuzz.engine_user import Items, Stub, User, items_of
from fuzz.negotiation import answer_to
from fuzz.program import Language, Operation, Step, until
from fuzz.witness import kept
from fuzz.world import SECONDS

__all__ = ["LANGUAGE", "check", "mutate", "seeds"]

_TURNS: Final = 3000  # more than an input can make necessary
_MOST_KEPT: Final = 4 << 20
_PDUS: Final = tuple(PDUS.values())

LANGUAGE: Final = Language(
    2,
    Operation("turn", 1),  # room, in 64 bytes (0: as much as usual)
    Operation("carry", 1),  # bytes (0: all)
    # The peer.
    Operation("ask", 5),  # which, example, context, size, message ID (0: another one)
    Operation("reply", 4),  # which of those that this side has asked for, example, status, size
    Operation("cancel", 1),  # which of those outstanding
    Operation("release"),
    Operation("confirm"),
    Operation("abort"),
    Operation("bytes", has_payload=True),
    Operation("pdu", 1),
    # The network, and the clock.
    Operation("hang-up"),
    Operation("wait", 1),
    Operation("expire"),
    # What this side does.
    Operation("start", 2, has_payload=True),  # flags: it invokes; it keeps to itself what is thrown; pairs of bytes
    Operation("perform", 2),  # which effect, how
    Operation("perform-all", 1),  # how
    Operation("stop", 1),  # which task
    Operation("allow", 1),  # which condition
    Operation("elsewhere", 2),  # which dialled association, how its effects are performed
    Operation("part"),
    Operation("give-up"),
    words=WORDS,
)


def check(data: bytes) -> None:
    """Run a program."""
    header, steps = LANGUAGE.read(data)
    world = _World(*header)
    logger = logging.getLogger("dicom_proto")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # tracebacks of what is thrown take most of the time
    try:
        for step in until(lambda: world.engine.is_finished, steps):
            world.perform(step)
        world.end()
    finally:
        world.is_over = True
        logger.setLevel(level)


class _Elsewhere:
    """An association that was dialled: tasks that need no association."""

    def __init__(self) -> None:
        self.tasks = Tasks(lambda: None)
        self.peer: Any = SimpleNamespace(association=self)
        self.failure: Exception | None = None
        self.ends = 0
        self.effects: list[tuple[Task[Any], DriverEffect]] = []

    def submit(self, program: Program[Any], on_end: Callable[[Task[Any]], None]) -> Task[Any]:
        """Run a program here."""
        return self.tasks.submit(program, on_end)

    def part(self) -> Program[None]:
        """Return the program that ends it."""
        self.ends += 1
        yield from ()

    def abort_soon(self) -> None:
        """End it."""
        self.ends += 1


_INTERVENTIONS: Final = tuple(
    kind for name, kind in vars(evt).items() if name.startswith("EVT_") and kind.is_intervention
)
_NOTIFICATIONS: Final = tuple(
    kind for name, kind in vars(evt).items() if name.startswith("EVT_") and kind.is_notification
)


class _Association(EntityAssociation):
    """One whose driver starts programs itself."""

    def run(self, program: Program[Any], *, invokes: bool = False) -> Any:
        """Refuse."""
        raise NotImplementedError

    def iterate(self, begin: Any, *, invokes: bool = False) -> Any:
        """Refuse."""
        raise NotImplementedError


class _World:
    """The engine, and all around it."""

    def __init__(self, side: int, flags: int) -> None:
        self.now = 0.0
        self.on_the_way = bytearray()
        self.peer = Connection(timeouts=TIMEOUTS[1])
        self.conditions = [False] * 4
        self.effects: list[tuple[Task[Any], DriverEffect]] = []
        self.tasks: list[Task[Any]] = []  # those that are started here
        self.dialled: list[_Elsewhere] = []
        self.user = User()
        self.begun: set[int] = set()
        self.stopped: list[Task[Any]] = []
        entity = ApplicationEntity("AE")
        entity.maximum_operations_invoked = entity.maximum_operations_performed = 1 + flags % 4
        for context in FULL_OFFER.presentation_contexts:
            entity.add_supported_context(uid_to_sop_class(context.abstract_syntax), scu_role=True, scp_role=True)
        if flags & 4:
            entity.limits = SMALL_LIMITS
        told = _NOTIFICATIONS if flags & 8 else _NOTIFICATIONS[:2] if flags & 16 else ()
        handlers = Handlers([(kind, Stub()) for kind in (*_INTERVENTIONS, *told) if not flags & 32 or kind in told])
        self.association = _Association(entity, handlers, None if side & 1 else entity.policy())
        self.engine = self.association.engine
        self.connection = self.engine.connection
        self.connection.timeouts = TIMEOUTS[flags >> 6 & 1]
        self.is_closed = self.is_cut = self.is_over = False
        self._is_requestor = bool(side & 1)
        self._begin(quickly=not side & 2)

    def _begin(self, *, quickly: bool) -> None:
        requestor = self.connection if self._is_requestor else self.peer
        requestor.request(FULL_OFFER)
        self.peer.connection_made(now=0.0)
        self.engine.connection_made(now=0.0)
        self.association.opened()
        if self._is_requestor:
            self.begin(self.association.establish())
        for _ in range(12 if quickly else 0):
            self.turn(0)
            self.perform_all(None)
            self.carry(0)

    # --- the network --------------------------------------------------------------------------------------------------

    def carry(self, count: int) -> None:
        """Carry so many bytes from the peer, 0 for all."""
        self._look_after_peer()
        self.on_the_way += b"".join(self.peer.data_to_send(now=self.now))
        block = bytes(self.on_the_way[: count or None])
        if block and self.connection.wants_read and not (self.is_closed or self.is_cut):
            del self.on_the_way[: len(block)]
            self.engine.receive_data(block, now=self.now)

    def _look_after_peer(self) -> None:
        for _ in range(_TURNS):
            event = self.peer.next_event()
            if event is None:
                return
            if type(event).__name__ == "AssociateRequested":
                answer = answer_to(FULL_OFFER, 0)
                assert isinstance(answer, AAssociateAC)
                self.peer.accept(answer)
            elif type(event).__name__ == "ConnectionClosed":
                return

    def turn(self, room: int, again: int = 2) -> None:
        """Take a turn, and do what it says, but for the effects."""
        turn = self.engine.turn(now=self.now, **({"room": room << 6} if room else {}))
        sent = b"".join(turn.buffers)
        if sent and self.peer.wants_read and not self.is_cut:
            self.peer.receive_data(sent, now=self.now)
        for task, effect in turn.effects:
            assert task.effect is effect, "an effect that is not that of its task"
            assert not task.is_done, "something is to be done for what is over"
            if task.is_operation and id(task) not in self.begun:
                assert not self.association.is_over, "an operation begins behind the end"
            self.begun.add(id(task))
            if isinstance(effect, Pull) and (items := items_of(effect)) is not None:
                items.is_begun = True
        self.effects += turn.effects
        self.deadline = turn.deadline
        self.is_unfinished = turn.is_unfinished
        if turn.wants_close and not self.is_closed:
            self.is_closed = True
            self.engine.connection_closed(now=self.now)
        self.check()
        if self.deadline is not None and self.deadline <= self.now and not self.is_unfinished:
            assert again, "a deadline that has come and stays"
            self.turn(room, again - 1)

    def check(self) -> None:
        """See what is always true."""
        operations = {id(task) for task, _ in self.effects if task.is_operation}
        window = self.connection.performed_window
        assert len(operations) <= max(1, window), "more is performed than the window allows"
        assert self.engine.count <= len(self.tasks) + 16 + window, "there are tasks that nobody has started"
        assert not (self.engine.is_finished and self.effects), "finished, and something is to be done"
        octets, _ = kept(self.connection)
        assert octets < _MOST_KEPT, "too much is kept"

    def perform(self, step: Step) -> None:
        """Perform a step; what is not allowed changes nothing, as other harnesses see to."""
        try:
            _ACTS[step.name](self, step.arguments, step.payload)
        except LocalProtocolError:
            return

    # --- the driver ---------------------------------------------------------------------------------------------------

    def perform_one(self, which: int, how: int | None) -> None:
        """Perform an effect."""
        if not self.effects:
            return
        task, effect = self.effects.pop(which % len(self.effects))
        try:
            value = self._result_of(task, effect, how)
        except Exception as error:  # noqa: BLE001 - it is the program's
            self.engine.throw(task, error)
        else:
            self.engine.resume(task, value)

    def perform_all(self, how: int | None) -> None:
        """Perform all effects."""
        while self.effects:
            self.perform_one(0, how)

    def _result_of(self, task: Task[Any], effect: DriverEffect, how: int | None) -> Any:
        match effect:
            case Call(function, arguments) if not isinstance(function, Stub):
                return function(*arguments)
            case Pull(iterator):
                items = items_of(effect)
                if items is not None:
                    items.choice = how
                return next(iterator, END)
            case Dial():
                return self._dial(task, how or 0)
        return self.user.value(how)

    def _dial(self, task: Task[Any], how: int) -> Any:
        if how % 3 == 0 or task.is_operation:
            raise ConnectionRefusedError("nobody listens")
        elsewhere = _Elsewhere()
        if how % 3 == 1:
            elsewhere.failure = AssociationFailure("it is rejected")
        else:
            self.dialled.append(elsewhere)
        return elsewhere

    def elsewhere(self, which: int, how: int) -> None:
        """Let a dialled association have a turn, and perform its effects."""
        if not self.dialled:
            return
        one = self.dialled[which % len(self.dialled)]
        effects, _ = one.tasks.turn(now=self.now)
        one.effects += effects
        while one.effects:
            task, effect = one.effects.pop()
            try:
                value = self._value_elsewhere(effect, how)
            except Exception as error:  # noqa: BLE001 - it is the program's
                one.tasks.throw(task, error)
            else:
                one.tasks.resume(task, value if not isinstance(effect, Dial) else _failed())

    def _value_elsewhere(self, effect: Any, how: int) -> Any:
        return effect.function(*effect.arguments) if _is_ours(effect) else self.user.value(how)

    # --- programs -----------------------------------------------------------------------------------------------------

    def begin(self, program: Program[Any], *, invokes: bool = False) -> None:
        """Have the engine run a program."""
        self.tasks.append(self.engine.start(program, on_end=_check_done, invokes=invokes))

    def start(self, flags: int, catches: int, payload: bytes) -> None:
        """Start a program."""
        self.begin(self.program(payload[:64], keeps=bool(catches & 1)), invokes=bool(flags & 1))

    def program(self, code: bytes, *, keeps: bool) -> Program[Any]:
        """Return a program made of pairs of bytes: what to do, and with what."""
        inboxes: list[Inbox] = []
        peers: list[Any] = []
        items = self.user.make_items()
        try:
            for at in range(0, len(code) - 1, 2):
                try:
                    effect = self._effect(code[at], code[at + 1], inboxes, peers, items, code[at + 2 :])
                    if effect is None:
                        continue
                    value = yield effect
                    if isinstance(effect, Dial):
                        peers.append(value)
                except Exception:
                    if not keeps:
                        raise
        finally:
            for inbox in inboxes:
                inbox.close()
            if len(code) % 7 == 6 and not self.is_over:
                raise KeyError("at the end")
        return len(code)

    def _effect(  # noqa: C901, PLR0911, PLR0912 - one line for each effect
        self, what: int, which: int, inboxes: list[Inbox], peers: list[Any], items: Items, rest: bytes
    ) -> Any:
        """Do something; return what is to be yielded."""
        association = self.association
        match what % 14:
            case 0:
                inboxes.append(
                    association.peer.send(a_request(which, 0, which >> 5), context_id=1 + 2 * (which % 6), data=None)
                )
            case 1 if inboxes:
                return Receive(inboxes[which % len(inboxes)])
            case 2:
                return Await(lambda: self._condition(which))
            case 3:
                return Drain()
            case 4:
                return Call(Stub(), (which,), is_quick=bool(which & 1))
            case 5:
                return Pull(items)
            case 6:
                return Dial(("127.0.0.1", 104), FULL_OFFER)
            case 7 if peers:
                return Run(self._elsewhere_program(rest), peers[which % len(peers)])
            case 8 if peers:
                return HangUp(peers[which % len(peers)])
            case 9:
                return Pause(SECONDS[which % len(SECONDS)] or 0.001)
            case 10:
                raise ValueError("as a program may")
            case 11 if inboxes:
                inboxes.pop(which % len(inboxes)).close()
            case 12:
                inbox = association.peer.router.find((which % 16, bool(which & 16)))
                return None if inbox is None or inbox.receiver is not None else Receive(inbox)
            case 13:
                return which  # no effect at all
        return None

    def _condition(self, which: int) -> Any:
        if which == 255:
            raise ValueError("as a condition may")
        return self.conditions[which % len(self.conditions)] or None

    def _elsewhere_program(self, code: bytes) -> Program[Any]:
        for byte in code[:4]:
            if byte % 4 == 0:
                yield Pause(1.0)
            elif byte % 4 == 1:
                yield Call(Stub(), ())
            elif byte % 4 == 2:
                raise ValueError("as a program may")
            else:
                yield Drain()  # which needs an association
        return None

    def stop(self, which: int) -> None:
        """Cancel a task, as a driver does that has been cancelled."""
        tasks = [task for task in self.tasks if not task.is_done and task not in self.stopped]
        if not tasks:
            return
        task = tasks[which % len(tasks)]
        self.stopped.append(task)
        for asker, effect in self.effects:
            if asker is task and _is_ours(effect):
                self.perform_closing(effect)  # it was on its way
        self.effects = [one for one in self.effects if one[0] is not task]
        self.engine.cancel(task)

    @staticmethod
    def perform_closing(effect: Any) -> None:
        """Close something, whatever comes of it."""
        with suppress(ValueError):
            effect.function(*effect.arguments)

    # --- the end ------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Close the connection, answer everything, and see that all is over."""
        _hang_up(self, b"", b"")
        self.conditions = [True] * 4
        for number in range(_TURNS):
            self.turn(0)
            self.perform_all(number % 3 and None)
            for which in range(len(self.dialled)):
                self.elsewhere(which, number)
            if self.engine.is_finished:
                break
            if self.deadline is not None and not self.effects:
                self.now = max(self.now, self.deadline)
            elif not self.engine.has_ready:
                self.now += 1.0
        assert self.engine.is_finished, "it does not end"
        self.turn(0)
        assert not self.effects, "something is to be done behind the end"
        for task in self.tasks:
            assert task.is_done, "a task does not end"
        for items in self.user.items:
            assert items.closed <= 1, "an iterator is closed twice"
            assert not items.is_begun or items.is_over or items.closed == 1, "an iterator is left open"
        for one in self.dialled:
            assert one.ends, "a dialled association is left alone"


def _is_ours(effect: Any) -> bool:
    return isinstance(effect, Call) and not isinstance(effect.function, Stub)


def _failed() -> Any:
    failed = _Elsewhere()
    failed.failure = ConnectionRefusedError("nobody listens")
    return failed


def _check_done(task: Task[Any]) -> None:
    assert task.is_done, "it is said to have ended"


# --- steps ------------------------------------------------------------------------------------------------------------


def _ask(world: _World, arguments: bytes, _: bytes) -> None:
    which, example, context_id, size, message_id = arguments
    world.peer.send_request(a_request(which, example, message_id), context=context_id, data=piece(size) or None)


def _reply(world: _World, arguments: bytes, _: bytes) -> None:
    which, example, status, size = arguments
    performed = list(world.peer.performed.items())
    if performed:
        message_id, operation = performed[which % len(performed)]
        world.peer.send_response(a_response(operation.request, message_id, example, status), data=piece(size) or None)


def _cancel(world: _World, arguments: bytes, _: bytes) -> None:
    invoked = list(world.peer.invoked)
    if invoked:
        world.peer.send_cancel(invoked[arguments[0] % len(invoked)])


def _insert(world: _World, _: bytes, payload: bytes) -> None:
    world.on_the_way += payload


def _insert_pdu(world: _World, arguments: bytes, _: bytes) -> None:
    world.on_the_way += _PDUS[arguments[0] % len(_PDUS)]


def _hang_up(world: _World, _: bytes, __: bytes) -> None:
    world.is_cut = True
    world.engine.receive_eof(now=world.now)


def _wait(world: _World, arguments: bytes, _: bytes) -> None:
    world.now += SECONDS[arguments[0] % len(SECONDS)]


def _expire(world: _World, _: bytes, __: bytes) -> None:
    world.turn(0)
    if world.deadline is not None:
        world.now = max(world.now, world.deadline)


def _allow(world: _World, arguments: bytes, _: bytes) -> None:
    which = arguments[0] % len(world.conditions)
    world.conditions[which] = not world.conditions[which]


_ACTS: Final[dict[str, Callable[[_World, bytes, bytes], object]]] = {
    "turn": lambda world, args, _: world.turn(args[0]),
    "carry": lambda world, args, _: world.carry(args[0]),
    "ask": _ask,
    "reply": _reply,
    "cancel": _cancel,
    "release": lambda world, _, __: world.peer.release(),
    "confirm": lambda world, _, __: world.peer.confirm_release(),
    "abort": lambda world, _, __: world.peer.abort(),
    "bytes": _insert,
    "pdu": _insert_pdu,
    "hang-up": _hang_up,
    "wait": _wait,
    "expire": _expire,
    "start": lambda world, args, payload: world.start(args[0], args[1], payload),
    "perform": lambda world, args, _: world.perform_one(args[0], args[1]),
    "perform-all": lambda world, args, _: world.perform_all(args[0]),
    "stop": lambda world, args, _: world.stop(args[0]),
    "allow": _allow,
    "elsewhere": lambda world, args, _: world.elsewhere(args[0], args[1]),
    "part": lambda world, _, __: world.begin(world.association.part()),
    "give-up": lambda world, _, __: world.engine.abort(),
}


def mutate(data: bytes, random: Random) -> bytes:
    """Change a step, or the order of steps."""
    return LANGUAGE.mutate(data, random)


def seeds() -> Mapping[str, bytes]:
    """Return programs of which each tells a story."""
    return LANGUAGE.load("engine")
