"""Associations and servers of loops: contexts, cancellation, and that nothing is left of them."""

import gc
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import trio

from dicom_proto.errors import NoContextError, NotEstablishedError
from dicom_proto.sop_class import MRImageStorage
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import (
    AssociationAborted,
    AssociationClosed,
    AssociationRejected,
    AssociationTimedOut,
)
from dicom_proto.upper_layer.pdu import AAbort
from dicom_proto.upper_layer.timers import Timer
from dicom_transports.asyncio import evt
from tests.contract.adapters import Listener
from tests.contract.entities import ABORTED, FIND, RELEASED, Happened, dataset, flags, life
from tests.contract.stacks import STACKS, Stack, count_descriptors, count_threads

QUERY = dataset(PatientName="*")


async def test_association_in_a_context(stack: Stack) -> None:
    async with stack.serving() as server:
        async with stack.dial(server) as association:
            assert association.is_established
            assert (await association.send_c_echo()).Status == 0x0000
            assert server.active_associations
        assert flags(association) == RELEASED
        async with stack.dial(server) as association:
            association.abort()
        assert flags(association) == ABORTED


async def test_whatever_is_wrong_comes_out_as_it_is(stack: Stack) -> None:
    """No group wraps what is raised, whether there is no association or its block fails."""
    entered: list[Any] = []
    async with stack.serving(require_called_aet=True) as server:
        with pytest.raises(AssociationRejected):
            async with stack.dial(server, ae_title="OTHER") as association:
                entered.append(association)
        with pytest.raises(NoContextError):
            async with stack.dial(server, ae=stack.entity("SCU", MRImageStorage), ae_title="SCP") as association:
                entered.append(association)
        with pytest.raises(ZeroDivisionError):
            async with stack.dial(server, ae_title="SCP") as association:
                raise ZeroDivisionError
        assert flags(association) == ABORTED
    with pytest.raises(ConnectionRefusedError):
        async with stack.dial(server) as association:
            entered.append(association)
    with pytest.raises(ZeroDivisionError):
        async with stack.serving():
            raise ZeroDivisionError
    assert entered == []


async def test_call_that_the_peer_aborts_raises(stack: Stack) -> None:
    def abort(event: Any) -> int:
        event.assoc.abort()
        return 0x0000

    async with stack.serving((evt.EVT_C_ECHO, abort)) as server:
        with pytest.raises(AssociationAborted) as caught:
            async with stack.dial(server) as association:
                await association.send_c_echo()
        assert caught.value.origin is AbortOrigin.PEER_USER
        with pytest.raises(NotEstablishedError):
            await association.send_c_echo()


async def test_server_that_is_left_at_once(stack: Stack) -> None:
    async with stack.serving() as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        async with stack.dial(server):
            raise NotImplementedError("nobody listens")


# --- cancellation -----------------------------------------------------------------------------------------------------


async def call(association: Any) -> None:
    await association.send_c_echo()


async def results(association: Any) -> None:
    async for _ in association.send_c_find(QUERY, FIND):
        pass


async def release(association: Any) -> None:
    await association.release()


Scene = Callable[[Any], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("scene", [call, results, release])
async def test_cancelled_call(stack: Stack, scene: Scene) -> None:
    """The association is aborted, the peer is told so, and whoever waits in the loop goes on."""
    theirs, begun = Happened(), stack.signal()

    async def echo(_event: Any) -> int:
        begun.set()
        await stack.signal().wait()
        return 0x0000

    async def find(_event: Any) -> AsyncIterator[Any]:
        yield 0xFF00, QUERY
        begun.set()
        await stack.signal().wait()

    associations: list[Any] = []

    async def use() -> None:
        async with stack.dial(server) as association, stack.group() as group:
            associations.append(association)
            if scene is release:  # it waits for a call
                group.start(call, association)
                await begun.wait()
            await scene(association)

    handlers = [(evt.EVT_C_ECHO, echo), (evt.EVT_C_FIND, find), *life(theirs)]
    async with stack.serving(*handlers) as server:
        async with stack.started(use) as cancel:
            await begun.wait()
            await stack.loop.pause()
            cancel()
        assert flags(associations[0]) == ABORTED
        await stack.until(lambda: "CONN_CLOSE" in theirs.names)
        failure = theirs.wait("ABORTED").assoc.failure
        assert isinstance(failure, AssociationAborted)
        assert failure.origin is AbortOrigin.PEER_USER


async def test_cancelled_associate(stack: Stack) -> None:
    ours = Happened()

    async def use() -> None:
        async with stack.entity("SCU").associate(*listener.address, evt_handlers=life(ours)):
            raise NotImplementedError("nobody answers")

    with Listener() as listener:
        async with stack.started(use) as cancel:
            with await stack.aside(listener.accept) as peer:
                await stack.aside(peer.get)
                await stack.until(lambda: "REQUESTED" in ours.names)
                cancel()
                assert await stack.aside(peer.get) == AAbort(0)
                assert await stack.aside(peer.is_at_end)
    assert ours.names == ["CONN_OPEN", "REQUESTED", "ABORTED", "CONN_CLOSE"]


@pytest.mark.parametrize("way", ["serve", "context"])
async def test_cancelled_server(stack: Stack, way: str) -> None:
    """Its associations are aborted; handlers of the end are told."""
    ours, theirs = Happened(), Happened()
    address: list[Any] = []
    is_listening = stack.signal()

    async def serve() -> None:
        ae = stack.entity("SCP")
        if way == "serve":
            with Listener() as listener:
                address.extend(listener.address)
            is_listening.set()
            await ae.serve(tuple(address), evt_handlers=life(theirs))
        else:
            async with ae.start_server(("127.0.0.1", 0), evt_handlers=life(theirs)) as server:
                address.extend(server.address)
                is_listening.set()
                await stack.signal().wait()

    async with stack.started(serve) as cancel:
        await is_listening.wait()
        await stack.loop.pause()
        async with stack.entity("SCU").associate(*address, evt_handlers=life(ours)) as association:
            assert (await association.send_c_echo()).Status == 0x0000
            cancel()
            await stack.until(lambda: association.is_aborted)
            assert isinstance(association.failure, AssociationAborted)
            assert association.failure.origin is AbortOrigin.PEER_USER
    assert theirs.names[-2:] == ["ABORTED", "CONN_CLOSE"]
    assert ours.names[-2:] == ["ABORTED", "CONN_CLOSE"]


async def test_cancelled_when_the_handler_cannot_be(stack: Stack) -> None:
    """A thread is waited for: the handler may need what would be closed."""
    begun, is_done = threading.Event(), threading.Event()

    def echo(_event: Any) -> int:
        begun.set()
        threading.Event().wait(0.1)
        is_done.set()
        return 0x0000

    async def use() -> None:
        async with stack.serving((evt.EVT_C_ECHO, echo)) as server, stack.dial(server) as association:
            await association.send_c_echo()

    async with stack.started(use) as cancel:
        await stack.aside(begun.wait)
        assert not is_done.is_set()
        cancel()
    assert is_done.is_set()


# --- shutdown ---------------------------------------------------------------------------------------------------------


async def test_shutdown_lets_them_finish(stack: Stack) -> None:
    async with stack.serving() as server, stack.dial(server) as association:
        async with stack.group() as group:
            group.start(server.shutdown, 10.0)
            await stack.loop.pause()
            assert (await association.send_c_echo()).Status == 0x0000
            await association.release()
        assert flags(association) == RELEASED


async def test_shutdown_aborts_those_that_do_not(stack: Stack) -> None:
    ours = Happened()
    async with stack.serving() as server, stack.dial(server, (evt.EVT_ABORTED, ours)) as association:
        await server.shutdown(0.05)
        assert server.active_associations == []
        await stack.until(lambda: ours.names)
        assert flags(association) == ABORTED


async def test_shutdown_by_an_async_handler(stack: Stack) -> None:
    """It is cancelled with its association, as all of them are."""
    cancelled: list[BaseException] = []

    async def echo(_event: Any) -> int:
        try:
            await server.shutdown()
        except BaseException as error:
            cancelled.append(error)
            raise
        return 0x0000

    async with stack.serving((evt.EVT_C_ECHO, echo)) as server:
        with pytest.raises(AssociationAborted):
            async with stack.dial(server) as association:
                await association.send_c_echo()
    assert [type(error) for error in cancelled] == [stack.cancelled]


async def test_entity_shuts_all_its_servers_down(stack: Stack) -> None:
    ae = stack.entity("SCP")
    async with ae.start_server(("127.0.0.1", 0)) as one, ae.start_server(("127.0.0.1", 0)) as other:
        for server in one, other:
            async with stack.dial(server) as association:
                assert (await association.send_c_echo()).Status == 0x0000
        await ae.shutdown()
        for server in one, other:
            with pytest.raises(ConnectionRefusedError):
                async with stack.dial(server):
                    raise NotImplementedError("nobody listens")


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", [STACKS["trio"]], ids=["trio"])
async def test_time_of_a_test_clock(stack: Stack) -> None:
    """All deadlines are of the loop's clock: nobody waits for them in a test."""

    async def echo(_event: Any) -> int:
        await stack.signal().wait()
        return 0x0000

    async with stack.serving((evt.EVT_C_ECHO, echo)) as server:
        began = trio.current_time()
        with pytest.raises(AssociationTimedOut) as caught:
            async with stack.dial(server, ae=stack.entity("SCU", dimse_timeout=3600.0)) as association:
                await association.send_c_echo()
        assert caught.value.timer is Timer.RESPONSE
        assert trio.current_time() - began >= 3600.0


# --- leaks ------------------------------------------------------------------------------------------------------------


async def test_nothing_leaks(stack: Stack) -> None:
    def echo(_event: Any) -> int:
        return 0x0000

    async def use(server: Any, number: int) -> None:
        try:
            async with stack.dial(server, ae=ae, ae_title="OTHER" if number % 4 == 3 else "SCP") as association:
                await association.send_c_echo()
                if number % 4 == 1:
                    association.abort()
                if number % 4 == 2:
                    raise ZeroDivisionError
        except (AssociationRejected, ZeroDivisionError):
            assert number % 4 > 1

    ae = stack.entity("SCU")
    async with stack.serving((evt.EVT_C_ECHO, echo), require_called_aet=True, maximum_associations=100) as server:
        await use(server, 0)
        await stack.until(lambda: not server.active_associations)
        before = count_descriptors()
        for number in range(40):
            await use(server, number)
        async with stack.group() as group:
            for number in range(40):
                group.start(use, server, number)
        await stack.until(lambda: count_descriptors() <= before)
        assert server.active_associations == []
    threads = count_threads()
    async with stack.serving((evt.EVT_C_ECHO, echo)) as server:
        for _ in range(20):
            async with stack.dial(server) as association:
                await association.send_c_echo()
    assert count_threads() <= threads


async def test_abort_in_another_thread(stack: Stack) -> None:
    begun = stack.signal()

    async def echo(_event: Any) -> int:
        begun.set()
        await stack.signal().wait()
        return 0x0000

    async def abort(association: Any) -> None:
        await begun.wait()
        await stack.aside(association.abort)

    async with stack.serving((evt.EVT_C_ECHO, echo)) as server:
        async with stack.dial(server) as association, stack.group() as group:
            group.start(abort, association)
            with pytest.raises(AssociationClosed):
                await association.send_c_echo()
        assert flags(association) == ABORTED


async def test_what_is_not_entered_says_that_it_does_nothing(stack: Stack) -> None:
    ae = stack.entity("SCP", MRImageStorage)

    def forget(function: Callable[..., Any], *arguments: Any) -> None:
        function(*arguments)
        gc.collect()

    with pytest.warns(RuntimeWarning, match="serves nothing without 'async with'"):
        forget(ae.start_server, ("127.0.0.1", 0))
    with pytest.warns(RuntimeWarning, match="an association is not requested without 'async with'"):
        forget(ae.associate, "127.0.0.1", 104)
