"""A proxy that passes bytes on unchanged, and tells what they say.

May change.

What one side sends goes to the other before it is read here. Of each direction there is never more than one block in
memory: who does not take what is sent to it is not sent more, and the sender notices, as it would without the proxy.
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final, TypeAlias

from dicom_transports.apps.trace.conversation import Conversation
from dicom_transports.apps.trace.entries import Entry, Kind
from dicom_transports.apps.trace.recognition import Content

__all__ = ["Address", "Proxy"]

Address: TypeAlias = tuple[str, int]
_BLOCK: Final = 1 << 16
_BACKLOG: Final = 128
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing tells the other end that the connection is lost


class _LostError(Exception):
    """A connection is lost. What the sink raises, which writes to a pipe perhaps, is something else."""


class Proxy:
    """Listens, and connects each client to a target.

    Parameters
    ----------
    target : tuple of str, int
        Host and port of what clients are connected to.
    sink : callable
        Takes the entries of the trace, in the thread of the loop.
    values, pdus : bool
        As for :class:`~dicom_transports.apps.trace.conversation.Conversation`.
    at_once : int
        How many connections there may be at a time; more wait to be accepted.
    most : int or None
        After how many connections it ends; by default when it is cancelled.
    """

    def __init__(
        self,
        target: Address,
        sink: Callable[[Entry], object],
        *,
        values: bool = False,
        pdus: bool = False,
        at_once: int = 100,
        most: int | None = None,
    ) -> None:
        self._target = target
        self._sink = sink
        self._how = {"values": values, "pdus": pdus}
        self._room = asyncio.Semaphore(at_once)
        self._most = most

    async def serve(self, listen: Address, listening: Callable[[str], object]) -> None:
        """Serve connections; when this ends, or is cancelled, all of them are closed.

        Parameters
        ----------
        listen : tuple of str, int
            Host and port to listen at: no host is every interface, port 0 takes a free one.
        listening : callable
            Is told, when it does, where it listens.

        Raises
        ------
        OSError
            If it cannot listen there.
        """
        loop = asyncio.get_running_loop()
        host, port = listen
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        with socket.create_server(address[:2], family=family, backlog=_BACKLOG) as server:
            server.setblocking(False)
            listening(_show(server.getsockname()))
            async with asyncio.TaskGroup() as connections:
                for number in count(1):
                    if self._most is not None and number > self._most:
                        return
                    await self._room.acquire()
                    client, came_from = await loop.sock_accept(server)
                    connections.create_task(self._connect(number, client, came_from))

    async def _connect(self, number: int, client: socket.socket, came_from: Address) -> None:
        """Serve one connection."""
        try:
            with client:
                client.setblocking(False)
                ends = (_show(came_from), _show(self._target))
                try:
                    target = await self._dial()
                except OSError as error:
                    _reset(client)
                    self._tell_of(number, f"{ends[0]} to {ends[1]}: {_why(error)}")
                    return
                conversation = Conversation(number, ends, True, self._sink, **self._how)
                with target:
                    await self._pass_on(client, target, conversation)
                if conversation.content not in (Content.DICOM, Content.TLS):
                    self._tell_of(number, f"{ends[0]} to {ends[1]}: nothing that is DICOM")
        finally:
            self._room.release()

    async def _dial(self) -> socket.socket:
        """Connect to the target, by the first of its addresses that answers."""
        loop = asyncio.get_running_loop()
        failure = OSError(f"{self._target[0]} has no address")
        for family, kind, protocol, _, address in await loop.getaddrinfo(*self._target, type=socket.SOCK_STREAM):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.setblocking(False)
                await loop.sock_connect(connection, address)
            except OSError as error:
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise failure

    async def _pass_on(self, client: socket.socket, target: socket.socket, conversation: Conversation) -> None:
        """Pass on both directions, until both have ended or one end has reset the connection."""
        for connection in (client, target):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(_pump(client, target, conversation, False))
                directions.create_task(_pump(target, client, conversation, True))
        except* _LostError:
            for connection in (client, target):
                _reset(connection)
        finally:
            conversation.close([])

    def _tell_of(self, number: int, text: str) -> None:
        now = time.time_ns()
        entry = Entry(stream=number, time=now, until=now, kind=Kind.CONNECTION, name="TCP", text=text, status="failure")
        self._sink(entry)


async def _pump(source: socket.socket, target: socket.socket, conversation: Conversation, back: bool) -> None:
    """Pass on one direction, to its end.

    Raises
    ------
    _LostError
        If the connection with either end is lost.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = await loop.sock_recv(source, _BLOCK)
        except OSError as error:
            conversation.end(back, time.time_ns(), reset=True)
            raise _LostError from error
        if not data:
            break
        try:
            await loop.sock_sendall(target, data)
        except OSError as error:
            conversation.receive(back, time.time_ns(), data)  # that was said, whether or not it was heard
            raise _LostError from error
        conversation.receive(back, time.time_ns(), data)
    with suppress(OSError):  # the other end may have gone
        target.shutdown(socket.SHUT_WR)
    conversation.end(back, time.time_ns(), reset=False)


def _reset(connection: socket.socket) -> None:
    """Let closing the connection tell the other end that it is lost."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _why(error: OSError) -> str:
    """Return the reason alone: asyncio puts an address in its place, and that of a resolver has numbers of its own."""
    return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)


def _show(address: tuple[str | int, ...]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
