"""A link that takes its time: what comes in on one side goes out on the other, so much later."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from benchmarks.processes import HOST, Address, Peer, Report, forked

__all__ = ["delayed"]

_BLOCK = 1 << 16


async def _take(reader: asyncio.StreamReader, queue: "asyncio.Queue[tuple[float, bytes]]", delay: float) -> None:
    now = asyncio.get_running_loop().time
    data = b"at first"
    while data:
        data = await reader.read(_BLOCK)
        await queue.put((now() + delay, data))


async def _give(queue: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
    now = asyncio.get_running_loop().time
    while True:
        due, data = await queue.get()
        await asyncio.sleep(due - now())
        if not data:
            writer.close()
            return
        writer.write(data)


async def _carry(target: Address, delay: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    other_reader, other_writer = await asyncio.open_connection(*target)
    with suppress(OSError):
        async with asyncio.TaskGroup() as group:
            for source, sink in ((reader, other_writer), (other_reader, writer)):
                queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
                group.create_task(_take(source, queue, delay))
                group.create_task(_give(queue, sink))


async def _serve(target: Address, delay: float, report: Report) -> None:
    server = await asyncio.start_server(partial(_carry, target, delay), HOST, 0)
    report(server.sockets[0].getsockname())
    await server.serve_forever()


@contextmanager
def delayed(target: Address, round_trip: float) -> Iterator[Peer]:
    """Put a link before a server, in a process of its own.

    Parameters
    ----------
    target : tuple of str and int
        The address of the server.
    round_trip : float
        Seconds that the link adds to a question and its answer, half of them in each direction.
    """
    with forked(lambda report: asyncio.run(_serve(target, round_trip / 2, report))) as peer:
        yield peer
