"""Objects that a handler asks for piece by piece, over loopback: in every adapter, and in each way of asking there."""

import asyncio
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest
import trio

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.messages import CStoreRQ
from dicom_proto.errors import LocalProtocolError
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_proto.upper_layer.events import AssociateAccepted
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_transports import asyncio as over_asyncio
from dicom_transports import blocking
from dicom_transports import trio as over_trio
from dicom_transports.blocking import AE, Address, Association, build_role, chunked, evt

IMPLICIT = "1.2.840.10008.1.2"
WAIT = 20.0  # seconds after which something counts as hanging
FAILED = 0xC211
LONG = bytes(range(256)) * (8 << 10)  # 2 MiB
HUGE = 64 << 20
MOST_KEPT = 8 << 20  # bytes: the bounds of both ends, with room to spare
WAYS = ["blocking", "asyncio-plain", "asyncio-async", "trio-plain", "trio-async"]

Take = Callable[[Any, Any], int | None]
"""Takes a piece of an object, ``None`` at its end, and returns the status, ``None`` to go on."""


# --- servers ----------------------------------------------------------------------------------------------------------


class LoopThread:
    """A server in a loop, in a thread of its own."""

    def __init__(self, ae: Any, handlers: list[Any]) -> None:
        self._ae = ae
        self._handlers = handlers
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)
        self.address: Address = ("", 0)

    def __enter__(self) -> Address:
        self._thread.start()
        assert self._is_ready.wait(WAIT)
        return self.address

    def __exit__(self, *exception: object) -> None:
        self._stop()
        self._thread.join(WAIT)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._main(asyncio.Event()))

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)

    async def _main(self, end: Any) -> None:
        self._end = end
        self._find_loop()
        async with self._ae.start_server(("127.0.0.1", 0), evt_handlers=self._handlers) as server:
            self.address = server.address
            self._is_ready.set()
            await end.wait()

    def _find_loop(self) -> None:
        self._loop = asyncio.get_running_loop()


class TrioThread(LoopThread):
    """The same with trio."""

    def _run(self) -> None:
        trio.run(self._main, trio.Event())

    def _stop(self) -> None:
        self._token.run_sync_soon(self._end.set)

    def _find_loop(self) -> None:
        self._token = trio.lowlevel.current_trio_token()


@contextmanager
def serving(library: str, *handlers: Any) -> Iterator[Address]:
    """A server of one of the adapters; the peer may be asked as well."""
    module: Any = {"blocking": blocking, "asyncio": over_asyncio, "trio": over_trio}[library]
    ae = module.AE("ARCHIVE")
    ae.add_supported_context(CTImageStorage, IMPLICIT)
    ae.add_supported_context(Verification, IMPLICIT, scu_role=True, scp_role=True)
    if library == "blocking":
        with ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers)) as server:
            yield server.address
    else:
        with (LoopThread if library == "asyncio" else TrioThread)(ae, list(handlers)) as address:
            yield address


def handler_of(way: str, take: Take, seen: list[BaseException]) -> Callable[..., Any]:
    """A handler that hands on what it gets, and what ends it."""

    @chunked
    def plain(event: Any) -> int | None:
        try:
            for piece in event.chunks():
                if (status := take(event, piece)) is not None:
                    return status
            return take(event, None)
        except BaseException as error:
            seen.append(error)
            raise

    @chunked
    async def awaiting(event: Any) -> int | None:
        try:
            async for piece in event.chunks():
                if (status := take(event, piece)) is not None:
                    return status
            return take(event, None)
        except BaseException as error:
            seen.append(error)
            raise

    return awaiting if way.endswith("-async") else plain


@contextmanager
def receiving(way: str, take: Take, *more: Any, seen: list[BaseException] | None = None) -> Iterator[Address]:
    handler = handler_of(way, take, [] if seen is None else seen)
    with serving(way.partition("-")[0], (evt.EVT_C_STORE, handler), *more) as address:
        yield address


@contextmanager
def associated(address: Address, **options: Any) -> Iterator[Association]:
    """Somebody who stores, over an association that is there at the end, and still of use."""
    ae = AE("SCANNER")
    ae.add_requested_context(CTImageStorage, IMPLICIT)
    ae.add_requested_context(Verification, IMPLICIT)
    with ae.associate(*address, **options) as association:
        yield association
        assert association.send_c_echo().Status == 0x0000


def store(association: Association, data: bytes = LONG) -> int:
    stored = StoredObject(sop_class_uid=CTImageStorage, sop_instance_uid="1.2.3", transfer_syntax=IMPLICIT, data=data)
    return int(association.send_c_store(stored).Status)


# --- as it should be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_the_pieces_make_the_object(way: str) -> None:
    got = bytearray()
    lengths: list[int] = []

    def take(event: Any, piece: Any) -> int | None:
        if piece is None:
            return 0x0000 if event.request.AffectedSOPInstanceUID == "1.2.3" else FAILED
        assert isinstance(piece, memoryview)
        assert piece.readonly
        lengths.append(len(piece))
        got.extend(piece)
        return None

    with receiving(way, take) as address, associated(address) as association:
        for data in (LONG, b"ab"):
            assert store(association, data) == 0x0000
            assert bytes(got) == data
            got.clear()
    assert len(lengths) > 2


@pytest.mark.parametrize("way", WAYS)
def test_an_object_of_any_size_takes_the_same_memory(way: str) -> None:
    """Both ends are in this process; the object was there before."""
    data = bytes(HUGE)
    digest = sha256()

    def take(_: Any, piece: Any) -> int | None:
        if piece is None:
            return 0x0000
        digest.update(piece)
        return None

    with receiving(way, take) as address, associated(address, max_pdu=0) as association:
        tracemalloc.start()
        try:
            assert store(association, data) == 0x0000
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert digest.digest() == sha256(data).digest()
    assert peak < MOST_KEPT


# --- handlers that do not take all of it ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xA700])
def test_who_has_enough_may_stop(way: str, status: int) -> None:
    counts: list[int] = []

    def take(_: Any, piece: Any) -> int | None:
        counts.append(len(piece))
        return status

    with receiving(way, take) as address, associated(address) as association:
        assert [store(association) for _ in range(3)] == [status] * 3
    assert len(counts) == 3
    assert sum(counts) < len(LONG)


@pytest.mark.parametrize("way", WAYS)
def test_a_handler_that_raises_costs_one_object(way: str) -> None:
    is_first = iter([True, False])

    def take(_: Any, piece: Any) -> int | None:
        if next(is_first, False):
            raise ZeroDivisionError
        return 0x0000 if piece is None else None

    with receiving(way, take) as address, associated(address) as association:
        assert [store(association), store(association)] == [FAILED, 0x0000]


# --- a peer that is gone ----------------------------------------------------------------------------------------------


def lose_in_the_middle(address: Address, is_there: threading.Event) -> None:
    """Send the beginning of an object, and when it is there, close the connection."""
    ae = AE("SCANNER")
    ae.add_requested_context(CTImageStorage, IMPLICIT)
    connection = Connection()
    connection.request(ae.offer("ARCHIVE"))
    with socket.create_connection(address, WAIT) as sock:
        connection.connection_made(now=0)
        sock.sendall(b"".join(connection.data_to_send(now=0)))
        while not isinstance(connection.next_event(), AssociateAccepted):
            connection.receive_data(sock.recv(1 << 16), now=0)
        request = CStoreRQ(affected_sop_class_uid=CTImageStorage, affected_sop_instance_uid="1.2.3")
        connection.send_request(request, context=1, data=LONG)
        sock.sendall(b"".join(connection.data_to_send(now=0))[: len(LONG) // 2])
        assert is_there.wait(WAIT)


@pytest.mark.parametrize("way", WAYS)
def test_an_association_that_is_lost_in_the_middle(way: str) -> None:
    """Who waits for a piece is told; in an async handler it may be that the wait is cancelled."""
    is_there, has_ended = threading.Event(), threading.Event()
    seen: list[BaseException] = []

    def take(_: Any, piece: Any) -> None:
        assert piece is not None
        is_there.set()

    def ended(_: Any) -> None:
        has_ended.set()

    with receiving(way, take, (evt.EVT_CONN_CLOSE, ended), seen=seen) as address:
        lose_in_the_middle(address, is_there)
        assert has_ended.wait(WAIT)
    (error,) = seen
    cancelled = (asyncio.CancelledError, trio.Cancelled) if way.endswith("-async") else ()
    assert isinstance(error, (AssociationFailure, *cancelled))


# --- plain functions in a loop ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_plain_handler_waits_for_what_is_to_be_awaited(library: str) -> None:
    """What the peer answers comes behind the object that it is sending: so it is asked when that is there."""
    threads: set[int] = set()
    echoed: list[Any] = []

    def take(event: Any, piece: Any) -> int | None:
        threads.add(threading.get_ident())
        return None if piece is not None else int(event.assoc.wait_for(event.assoc.send_c_echo).Status)

    def echo(event: Any) -> int:
        echoed.append(event)
        return 0x0000

    with (
        receiving(f"{library}-plain", take) as address,
        associated(
            address,
            ext_neg=[build_role(Verification, scu_role=True, scp_role=True)],
            evt_handlers=[(evt.EVT_C_ECHO, echo)],
        ) as association,
    ):
        assert store(association) == 0x0000
    assert (len(echoed), len(threads)) == (1, 1)


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_loop_does_not_wait_for_itself(library: str) -> None:
    said: list[str] = []

    @chunked
    async def handler(event: Any) -> int:
        waits: list[Callable[[], Any]] = [
            lambda: event.assoc.wait_for(event.assoc.send_c_echo),
            lambda: next(event.chunks()),
        ]
        for wait in waits:
            with pytest.raises(LocalProtocolError, match="cannot wait for itself") as caught:
                wait()
            said.append(str(caught.value))
        return 0x0000

    with serving(library, (evt.EVT_C_STORE, handler)) as address, associated(address) as association:
        assert store(association) == 0x0000
    assert len(said) == 2


# --- what adapters have -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", [blocking, over_asyncio, over_trio])
def test_every_adapter_has_it(adapter: Any) -> None:
    assert "chunked" in adapter.__all__
    assert adapter.chunked is chunked


def test_what_a_blocking_adapter_cannot_await_is_refused() -> None:
    handler = handler_of("asyncio-async", lambda *_: None, [])
    with pytest.raises(LocalProtocolError, match="is async"), serving("blocking", (evt.EVT_C_STORE, handler)):
        pass
