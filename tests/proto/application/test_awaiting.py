"""Associations that are driven by awaiting, both ends in one event loop, and no sockets between them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from dicom_proto.application.association import HANDLING, EntityAssociation
from dicom_proto.application.awaiting import AwaitedAssociation
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call, Dial, Program, Pull
from dicom_proto.programs.engine import Turn
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_proto.upper_layer.pdu import AAbort, encode_pdu
from tests.proto.application.lives import entity, fate
from tests.proto.dimse.pairs import p_data
from tests.proto.programs.script import PENDING, STUDY_FIND, dataset_of

QUERY = dataset_of(QueryRetrieveLevel="STUDY", PatientID="*")


class Piped(AwaitedAssociation):
    """One end; what it says is heard at the other in the next round of the loop."""

    other: "Piped"

    def open(self, other: "Piped") -> None:
        self.loop, self.other = asyncio.get_running_loop(), other
        self.ended_here = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.timer: asyncio.TimerHandle | None = None
        self.engine.connection_made(now=self.loop.time())
        self.opened()
        self.go_on()

    def hear(self, data: bytes) -> None:
        if not self.engine.is_finished:
            if data:
                self.engine.receive_data(data, now=self.loop.time())
            else:
                self.engine.receive_eof(now=self.loop.time())
            self.go_on()

    def turn(self) -> Turn:
        turn = self.engine.turn(now=self.loop.time(), room=1 << 16)
        for buffer in turn.buffers:
            self.loop.call_soon(self.other.hear, bytes(buffer))
        if turn.wants_close:
            self.engine.connection_closed(now=self.loop.time())
            self.loop.call_soon(self.other.hear, b"")
            self.wake()
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None if turn.deadline is None else self.loop.call_at(turn.deadline, self.go_on)
        return turn

    def retire(self) -> None:
        super().retire()
        self.ended_here.set()

    def signal(self) -> asyncio.Event:
        return asyncio.Event()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def wake(self) -> None:
        self.loop.call_soon(self.go_on)

    async def dial(self, effect: Dial) -> EntityAssociation:
        if effect.address[1] != 104:
            raise ConnectionRefusedError("nobody there")
        return (await couple(self.entity))[0]


async def couple(of: ApplicationEntity | None = None, handlers: Any = ()) -> tuple[Piped, Piped]:
    """A requestor and an acceptor, with an association between them."""
    scu = Piped(of or entity(), Handlers(()))
    scp = Piped(entity("THERE"), Handlers(handlers), entity("THERE").policy())
    scu.peer.connection.request(scu.entity.offer("THERE"))
    scu.open(scp)
    scp.open(scu)
    await scu.run(scu.establish())
    assert fate(scu) == {"established"}
    return scu, scp


def find(_: Any) -> Iterator[Any]:
    for number in "12":
        yield PENDING, dataset_of(PatientID=number)


async def find_async(event: Any) -> AsyncIterator[Any]:
    for match in find(event):
        await asyncio.sleep(0)
        yield match


async def echo_async(_: Any) -> int:
    await asyncio.sleep(0)
    return 0x0110


def echo(_: Any) -> int:
    return 0x0110


def fail(*_: Any) -> int:
    raise ZeroDivisionError


async def fail_async(_: Any) -> int:
    raise ZeroDivisionError


@pytest.mark.parametrize("handlers", [(echo, find), (echo_async, find_async)], ids=["called", "awaited"])
def test_handlers_of_all_kinds(handlers: Any) -> None:
    async def main() -> None:
        scu, scp = await couple(handlers=zip((evt.EVT_C_ECHO, evt.EVT_C_FIND), handlers, strict=True))
        assert (await scu.send_c_echo()).Status == 0x0110
        results = [status.Status async for status, _ in scu.send_c_find(QUERY, STUDY_FIND)]
        assert results == [PENDING, PENDING, 0x0000]
        await scu.release()
        assert fate(scu) == {"released", "over"}
        async with asyncio.timeout(10):
            await scp.ended_here.wait()
        assert fate(scp) == {"released", "over"}
        assert not scp.tasks

    asyncio.run(main())


@pytest.mark.parametrize("handler", [fail, fail_async])
def test_a_handler_that_raises(handler: Any) -> None:
    async def main() -> None:
        scu, _ = await couple(handlers=[(evt.EVT_C_ECHO, handler)])
        assert (await scu.send_c_echo()).Status != 0
        scu.abort()

    asyncio.run(main())


def test_a_handler_knows_whose_it_is() -> None:
    async def main() -> None:
        seen: list[Any] = []

        def handler(_: Any) -> int:
            seen.append(HANDLING.get())
            return 0

        scu, scp = await couple(handlers=[(evt.EVT_C_ECHO, handler)])
        await scu.send_c_echo()
        assert seen == [(scp,)]
        assert HANDLING.get() == ()
        scu.abort()

    asyncio.run(main())


def test_several_at_a_time_wait_for_the_same_turn() -> None:
    async def main() -> None:
        scu, _ = await couple()
        statuses = await asyncio.gather(*(scu.send_c_echo() for _ in range(3)))
        assert [status.Status for status in statuses] == [0, 0, 0]
        scu.abort()

    asyncio.run(main())


def test_results_that_are_left_are_forgotten() -> None:
    async def main() -> None:
        scu, _ = await couple(handlers=[(evt.EVT_C_FIND, find)])
        async with aclosing(scu.send_c_find(QUERY, STUDY_FIND)) as results:  # type: ignore[type-var]
            async for status, _identifier in results:
                assert status.Status == PENDING
                break
        assert (await scu.send_c_echo()).Status == 0
        await scu.release()
        assert fate(scu) == {"released", "over"}

    asyncio.run(main())


def test_a_handler_that_never_waits_lets_the_cancel_in() -> None:
    pulled: list[Any] = []

    async def endless(_: Any) -> AsyncIterator[Any]:
        while True:
            pulled.append(QUERY)
            assert len(pulled) < 100
            yield PENDING, QUERY

    async def main() -> None:
        scu, _ = await couple(handlers=[(evt.EVT_C_FIND, endless)])
        async with aclosing(scu.send_c_find(QUERY, STUDY_FIND)) as results:  # type: ignore[type-var]
            assert (await anext(results))[0].Status == PENDING
        await scu.release()
        assert fate(scu) == {"released", "over"}

    asyncio.run(main())


def test_who_is_cancelled_closes_the_program() -> None:
    async def main() -> None:
        closed: list[str] = []

        def program() -> Program[None]:
            try:
                yield Call(asyncio.sleep, (1000,))
            finally:
                closed.append("closed")

        scu, _ = await couple()
        task = asyncio.create_task(scu.run(program()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed == ["closed"]
        assert (await scu.send_c_echo()).Status == 0
        scu.abort()

    asyncio.run(main())


def test_programs_dial_and_pull() -> None:
    async def main() -> None:
        def program(port: int) -> Program[Any]:
            first = yield Pull(iter("ab"))
            peer = yield Dial(("there", port), entity().offer("THERE"), {})
            return first, peer

        scu, _ = await couple()
        first, peer = await scu.run(program(104))
        assert (first, peer.association.is_requestor) == ("a", True)
        with pytest.raises(ConnectionRefusedError):
            await scu.run(program(105))
        scu.abort()

    asyncio.run(main())


def test_who_waits_when_it_ends_is_told() -> None:
    async def main() -> None:
        scu, scp = await couple(handlers=[(evt.EVT_C_ECHO, lambda event: event.assoc.abort() or 0)])
        async with asyncio.timeout(10):
            assert not await scu.send_c_echo()
        assert isinstance(scu.failure, AssociationFailure)
        assert fate(scp) == {"aborted", "over"}

    asyncio.run(main())


def test_a_turn_that_was_cut_short_is_followed_by_another() -> None:
    """A turn takes a bounded share of what has arrived, so that others have theirs."""

    async def main() -> None:
        scu, scp = await couple()
        scp.hear(p_data((1, 1, b"")) * 5_000 + encode_pdu(AAbort(0, 0)))  # fragments that tell nothing
        assert not scp.is_over
        async with asyncio.timeout(10):
            await scp.ended_here.wait()
        scu.abort()

    asyncio.run(main())
