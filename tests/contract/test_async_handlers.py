"""What handlers may be in a loop, where they run, and what they and their peers see of each other meanwhile."""

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.sop_class import CTImageStorage, StorageCommitmentPushModelInstance
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationClosed, AssociationRejected
from dicom_transports.asyncio import evt
from tests.contract.adapters import WAIT
from tests.contract.entities import COMMITMENT, CT_ROLES, FIND, GET, MOVE, Happened, ct, dataset
from tests.contract.stacks import Stack

QUERY = dataset(QueryRetrieveLevel="PATIENT", PatientName="*")


class Echoing:
    """An object that is called."""

    async def __call__(self, event: Any, status: int) -> int:
        return status if event.message_id else 0x0110


async def statuses(results: Any) -> list[int | None]:
    return [status.get("Status") async for status, _ in results]


async def test_async_functions(stack: Stack) -> None:
    threads: set[int] = set()
    happened: list[str] = []

    async def store(event: Any) -> Any:
        await stack.loop.pause()
        threads.add(threading.get_ident())
        return 0xB000 + event.dataset.Rows

    async def notice(event: Any) -> None:
        await stack.loop.pause()
        happened.append(event.name)

    handlers = [(evt.EVT_C_STORE, store), (evt.EVT_C_ECHO, Echoing(), [0x0122]), (evt.EVT_ESTABLISHED, notice)]
    async with stack.serving(*handlers) as server, stack.dial(server) as association:
        assert (await association.send_c_store(ct(3))).Status == 0xB003
        assert (await association.send_c_echo()).Status == 0x0122
    assert threads == {threading.get_ident()}
    assert happened == ["EVT_ESTABLISHED"]


async def test_what_an_async_generator_yields_before_it_aborts_is_sent(stack: Stack) -> None:
    async def find(event: Any) -> AsyncIterator[Any]:
        for _ in range(3):
            yield 0xFF00, QUERY
        event.assoc.abort()

    found = []

    async def ask(server: Any) -> None:
        async with stack.dial(server) as association:
            async for _, match in association.send_c_find(QUERY, FIND):
                found.append(match)

    async with stack.serving((evt.EVT_C_FIND, find)) as server:
        with pytest.raises(AssociationAborted):
            await ask(server)
    assert len(found) == 3


@pytest.mark.parametrize("kind", ["find", "get", "move"])
async def test_async_generators(stack: Stack, kind: str) -> None:
    stored: list[str] = []

    async def store(event: Any) -> int:
        stored.append(event.dataset.PatientName)
        return 0x0000

    async def find(_event: Any) -> AsyncIterator[Any]:
        for _ in range(2):
            await stack.loop.pause()
            yield 0xFF00, QUERY

    async def get(_event: Any) -> AsyncIterator[Any]:
        yield 2
        for number in (1, 2):
            await stack.loop.pause()
            yield 0xFF00, ct(number)

    async def move(event: Any) -> AsyncIterator[Any]:
        yield destination.address
        async for item in get(event):
            yield item

    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get), (evt.EVT_C_MOVE, move)]
    ours = (evt.EVT_C_STORE, store)
    async with (
        stack.entity("DEST", CTImageStorage).start_server(("127.0.0.1", 0), evt_handlers=[ours]) as destination,
        stack.serving(*handlers) as server,
        stack.dial(server, ours, ext_neg=[CT_ROLES]) as association,
    ):
        results = {
            "find": lambda: association.send_c_find(QUERY, FIND),
            "get": lambda: association.send_c_get(QUERY, GET),
            "move": lambda: association.send_c_move(QUERY, "DEST", MOVE),
        }[kind]()
        assert await statuses(results) == [0xFF00, 0xFF00, 0x0000]
    assert stored == ([] if kind == "find" else ["Patient^1", "Patient^2"])


async def test_matches_do_not_wait_for_one_that_is_awaited(stack: Stack) -> None:
    goes_on = stack.loop.signal()

    async def find(_event: Any) -> AsyncIterator[Any]:
        for _ in range(3):
            yield 0xFF00, QUERY
        await goes_on.wait()
        yield 0xFF00, QUERY

    async with stack.serving((evt.EVT_C_FIND, find)) as server, stack.dial(server) as association:
        results = association.send_c_find(QUERY, FIND)
        for _ in range(3):
            await anext(results)
        goes_on.set()
        assert await statuses(results) == [0xFF00, 0x0000]


async def test_plain_functions_run_aside(stack: Stack) -> None:
    """While one blocks its thread, the loop goes on, and so do others."""
    begun, go_on = threading.Event(), threading.Event()
    threads: list[int] = []

    def echo(_event: Any) -> int:
        threads.append(threading.get_ident())
        if len(threads) == 1:
            begun.set()
            go_on.wait()
        return 0x0000

    async def use(association: Any) -> None:
        assert (await association.send_c_echo()).Status == 0x0000

    async with (
        stack.serving((evt.EVT_C_ECHO, echo)) as server,
        stack.dial(server) as one,
        stack.dial(server) as other,
        stack.group() as group,
    ):
        group.start(use, one)
        await stack.aside(begun.wait)
        await use(other)
        go_on.set()
    assert len(set(threads)) == 2
    assert threading.get_ident() not in threads


async def test_plain_generators_keep_their_thread(stack: Stack) -> None:
    threads: dict[str, set[int]] = {}

    def find(event: Any) -> Iterator[Any]:
        mine = threads.setdefault(str(event.identifier.PatientName), set())
        try:
            for _ in range(20):
                mine.add(threading.get_ident())
                yield 0xFF00, QUERY
        finally:
            mine.add(threading.get_ident())

    async def use(name: str) -> None:
        async with stack.dial(server) as association:
            await statuses(association.send_c_find(dataset(PatientName=name), FIND))

    async with stack.serving((evt.EVT_C_FIND, find)) as server, stack.group() as group:
        for name in "ABC":
            group.start(use, name)
    assert sorted(threads) == ["A", "B", "C"]
    assert all(len(mine) == 1 for mine in threads.values())
    assert {threading.get_ident()} not in threads.values()


async def test_cancel_is_seen_while_a_handler_runs(stack: Stack) -> None:
    events: list[Any] = []

    async def find(event: Any) -> AsyncIterator[Any]:
        events.append(event)
        yield 0xFF00, QUERY
        await stack.until(lambda: event.is_cancelled)
        yield 0xFE00, None

    async with stack.serving((evt.EVT_C_FIND, find)) as server, stack.dial(server) as association:
        results = association.send_c_find(QUERY, FIND, msg_id=5)
        assert (await anext(results))[0].Status == 0xFF00
        await association.send_c_cancel(5, query_model=FIND)
        assert await statuses(results) == [0xFE00]
        assert events[0].is_cancelled


@pytest.mark.parametrize("kind", ["function", "generator"])
async def test_abort_cancels_an_async_handler(stack: Stack, kind: str) -> None:
    begun, ended = stack.signal(), stack.signal()
    raised: list[type[BaseException] | None] = []

    async def wait() -> None:
        try:
            begun.set()
            await stack.signal().wait()
        except BaseException as error:
            raised.append(type(error))
            raise
        finally:
            ended.set()

    async def echo(_event: Any) -> int:
        await wait()
        return 0x0000

    async def find(_event: Any) -> AsyncIterator[Any]:
        yield 0xFF00, QUERY
        await wait()

    async def use(association: Any) -> None:
        with pytest.raises(AssociationClosed):
            await (association.send_c_echo() if kind == "function" else statuses(association.send_c_find(QUERY, FIND)))

    async with stack.serving((evt.EVT_C_ECHO, echo), (evt.EVT_C_FIND, find)) as server:
        async with stack.dial(server) as association, stack.group() as group:
            group.start(use, association)
            await begun.wait()
            association.abort()
            await ended.wait()
        async with stack.dial(server) as association:
            assert association.is_established
    assert raised == [stack.cancelled]


async def test_abort_is_seen_while_a_thread_runs(stack: Stack) -> None:
    """A plain function goes on, and can see it; nobody waits for its answer."""
    begun, seen = threading.Event(), threading.Event()
    happened = Happened()

    def echo(event: Any) -> int:
        begun.set()
        while not event.assoc.is_aborted:
            threading.Event().wait(0.001)
        seen.set()
        return 0x0000

    handlers = [(evt.EVT_C_ECHO, echo), (evt.EVT_CONN_CLOSE, happened)]

    async def use(association: Any) -> None:
        with pytest.raises(AssociationClosed):
            await association.send_c_echo()

    async with stack.serving(*handlers) as server:
        async with stack.dial(server) as association, stack.group() as group:
            group.start(use, association)
            await stack.aside(begun.wait)
            association.abort()
        await stack.aside(seen.wait)
    assert happened.names == ["CONN_CLOSE"]


@pytest.mark.parametrize("way", ["aclose", "drop"])
async def test_results_that_are_left(stack: Stack, way: str) -> None:
    """The query is cancelled at the peer, its handler closed, and the association goes on."""
    closed: list[bool] = []

    async def find(event: Any) -> AsyncIterator[Any]:
        try:
            while not event.is_cancelled:
                yield 0xFF00, QUERY
            yield 0xFE00, None
        finally:
            closed.append(event.is_cancelled)

    async with stack.serving((evt.EVT_C_FIND, find)) as server, stack.dial(server) as association:
        results = association.send_c_find(QUERY, FIND)
        async for _ in results:
            break
        if way == "aclose":
            await results.aclose()
            await results.aclose()
        elif way == "drop":
            del results
        assert (await association.send_c_echo()).Status == 0x0000
        assert closed == [True]


async def test_results_of_nothing(stack: Stack) -> None:
    """Who never asks for a result has asked for nothing."""
    asked: list[Any] = []
    async with stack.serving((evt.EVT_C_FIND, asked.append)) as server, stack.dial(server) as association:
        association.send_c_find(QUERY, FIND)
        assert (await association.send_c_echo()).Status == 0x0000
    assert asked == []


async def test_async_handler_that_asks_its_peer(stack: Stack) -> None:
    reports: list[int] = []

    async def act(event: Any) -> tuple[int, None]:
        status, _ = await event.assoc.send_n_event_report(
            event.action_information, 1, COMMITMENT, StorageCommitmentPushModelInstance
        )
        return status.Status, None

    async def report(event: Any) -> tuple[int, None]:
        reports.append(event.event_type)
        return 0x0000, None

    async with (
        stack.serving((evt.EVT_N_ACTION, act)) as server,
        stack.dial(server, (evt.EVT_N_EVENT_REPORT, report)) as association,
    ):
        status, reply = await association.send_n_action(
            dataset(TransactionUID="1.2"), 1, COMMITMENT, StorageCommitmentPushModelInstance
        )
        assert (status.Status, reply) == (0x0000, Dataset())
    assert reports == [1]


async def test_async_handler_that_raises(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    async def echo(_event: Any) -> int:
        await stack.loop.pause()
        raise ZeroDivisionError

    async def notice(_event: Any) -> None:
        raise ZeroDivisionError

    handlers = [(evt.EVT_C_ECHO, echo), (evt.EVT_ESTABLISHED, notice)]
    async with stack.serving(*handlers) as server, stack.dial(server) as association:
        assert (await association.send_c_echo()).Status == 0x0110
    assert caplog.text.count("ZeroDivisionError") >= 2


@pytest.mark.parametrize("is_of_entity", [False, True])
async def test_objects_of_an_iterator_that_waits(stack: Stack, is_of_entity: bool) -> None:
    """A plain iterator of objects may wait for the loop that sends them: it is asked in another thread."""
    may_go_on = threading.Event()

    def slowly() -> Iterator[Dataset]:
        yield ct(1)
        assert may_go_on.wait(WAIT), "the loop stands still"
        yield ct(2)

    async def let_go_on() -> None:
        await stack.loop.pause()
        may_go_on.set()

    async with (
        stack.serving((evt.EVT_C_STORE, lambda _: 0x0000)) as server,
        stack.dial(server) as association,
        stack.group() as group,
    ):
        sending = stack.entity("SCU").send_c_stores(*server.address, slowly()) if is_of_entity else None
        results = sending or association.send_c_stores(slowly())
        group.start(let_go_on)
        assert [status.Status async for _, status in results] == [0x0000, 0x0000]


@pytest.mark.parametrize("decision", [True, False])
async def test_an_async_function_decides_who_may_come(stack: Stack, decision: bool) -> None:
    """The loop does other things meanwhile, and nothing has been accepted yet."""
    seen: list[str] = []

    async def decide(event: Any) -> bool:
        await stack.loop.pause()
        seen.append(event.calling_ae_title)
        return decision

    async with stack.serving((evt.EVT_ACCESS, decide)) as server:
        if decision:
            async with stack.dial(server) as association:
                assert (await association.send_c_echo()).Status == 0x0000
        else:
            with pytest.raises(AssociationRejected):
                async with stack.dial(server):
                    pass
    assert len(seen) == 1
