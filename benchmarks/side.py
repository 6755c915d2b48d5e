"""One side of an association, as a program for the Python of any build: ``python -I side.py ROLE ADAPTER ...``.

It runs in the environments of other builds as well. So it imports nothing of the benchmarks, and of dicom-proto only
what each build has had since 26d925e: the entities of the adapters, and for ``memory`` the connection. Standard output
gets JSON, a line for each answer. The server tells its address; after that, and for the others at once, commands are
lines of standard input, and where they end the side ends:

``seconds 0.5``, ``times 50``
    Do the work again and again; the answer is how often it was done, and in how many seconds.
``calls``
    The calls of Python functions until now, by ``module:function``, if they are counted.
"""

import argparse
import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from importlib import import_module
from pathlib import Path
from time import perf_counter
from types import CodeType, FrameType
from typing import Any, Final

HOST: Final = "127.0.0.1"
VERIFICATION: Final = "1.2.840.10008.1.1"
CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
QUERY_MODEL: Final = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
CONTEXTS: Final = ((VERIFICATION, IMPLICIT), (CT_IMAGE, EXPLICIT), (QUERY_MODEL, EXPLICIT))
NOBODY: Final = "NOBODY"  # a name that no patient has


def tell(answer: object) -> None:
    """Answer a command."""
    print(json.dumps(answer), flush=True)


def check(status: Any) -> None:
    """Raise ``RuntimeError`` for any status but Success."""
    if "Status" not in status or status.Status != 0x0000:
        raise RuntimeError(f"the status is {status}")


# --- calls ------------------------------------------------------------------------------------------------------------


class Calls:
    """Counts the calls of Python functions, and the resumptions of generators, which cost the same."""

    def __init__(self) -> None:
        self.counts: dict[tuple[int, str, CodeType], int] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Count a call, for :func:`sys.setprofile`."""
        if event == "call":
            key = (threading.get_ident(), frame.f_globals.get("__name__", ""), frame.f_code)
            self.counts[key] = self.counts.get(key, 0) + 1  # each thread has its own keys

    def by_function(self) -> dict[str, int]:
        """Return the calls until now; generated functions, which have no module, go by the name of their file."""
        found: dict[str, int] = {}
        for (_, module, code), count in self.counts.copy().items():
            name = f"{module or code.co_filename}:{code.co_qualname}"
            if module != __name__:
                found[name] = found.get(name, 0) + count
        return found


class Work:
    """Takes commands, and tells how they went."""

    def __init__(self, calls: Calls | None) -> None:
        self._calls = calls
        self._seen: list[Any] = []
        self.check: Callable[[Any], object] = check if calls is None else self._seen.append
        """What is done with each status; while calls are counted, nothing that would be counted."""

    def commands(self) -> Iterator[Callable[[int], bool]]:
        """Yield for each command what is asked, with how much was done already, whether there is more to do."""
        for line in sys.stdin:
            word, _, number = line.strip().partition(" ")
            if word == "calls":
                tell(self._calls and self._calls.by_function())
            else:
                yield from self._measured(word, float(number))

    def _measured(self, word: str, number: float) -> Iterator[Callable[[int], bool]]:
        done, began = 0, perf_counter()
        deadline = began + number

        def is_more(count: int) -> bool:
            nonlocal done
            done = count
            return count < number if word == "times" else perf_counter() < deadline

        sys.setprofile(self._calls)
        yield is_more
        sys.setprofile(None)
        tell([done, perf_counter() - began])
        for status in self._seen:
            check(status)
        self._seen.clear()


# --- SCP --------------------------------------------------------------------------------------------------------------


def _served(adapter: Any, options: argparse.Namespace) -> Any:
    ae = adapter.AE("SCP")
    ae.maximum_associations = options.most
    for uid, syntax in CONTEXTS:
        ae.add_supported_context(uid, syntax)
    return ae


def serve_blocking(adapter: Any, options: argparse.Namespace) -> None:
    """Serve until this process is ended."""
    match = bytes.fromhex(options.match)

    def find(event: Any) -> Iterator[tuple[int, bytes]]:
        for _ in range(0 if event.identifier.PatientName == NOBODY else options.matches):
            yield 0xFF00, match

    handlers = [(adapter.evt.EVT_C_STORE, lambda _: 0x0000), (adapter.evt.EVT_C_FIND, find)]
    with _served(adapter, options).start_server((HOST, 0), block=False, evt_handlers=handlers) as server:
        tell(server.address)
        threading.Event().wait()


async def serve_loop(adapter: Any, options: argparse.Namespace, forever: Callable[[], Awaitable[Any]]) -> None:
    """Serve until this process is ended."""
    match = bytes.fromhex(options.match)

    async def find(event: Any) -> AsyncIterator[tuple[int, bytes]]:
        for _ in range(0 if event.identifier.PatientName == NOBODY else options.matches):
            yield 0xFF00, match

    async def store(_: Any) -> int:
        return 0x0000

    handlers = [(adapter.evt.EVT_C_STORE, store), (adapter.evt.EVT_C_FIND, find)]
    async with _served(adapter, options).start_server((HOST, 0), evt_handlers=handlers) as server:
        tell(server.address)
        await forever()


def obey(calls: Calls | None) -> None:
    """Answer the commands of a server; end the process where they end, in the midst of whatever it does."""
    for _ in sys.stdin:
        tell(calls and calls.by_function())
    os._exit(0)


# --- SCU --------------------------------------------------------------------------------------------------------------


def _asking(adapter: Any, options: argparse.Namespace) -> tuple[Any, list[Path]]:
    ae = adapter.AE("SCU")
    uid, syntax = CONTEXTS[1 if options.work == "store" else 0]
    ae.add_requested_context(uid, syntax)
    return ae, sorted(options.directory.glob("*.dcm")) if options.work == "store" else []


def ask_blocking(adapter: Any, options: argparse.Namespace, work: Work) -> None:
    """Do what is commanded."""
    ae, paths = _asking(adapter, options)
    address = (HOST, options.port)

    def do(association: Any) -> int:
        if options.work != "store":
            work.check(association.send_c_echo())
            return 1
        if options.count:
            work.check(association.send_c_store(paths[0]))
            return 1
        for _, status in association.send_c_stores(paths):
            work.check(status)
        return len(paths)

    if options.work == "association":
        for is_more in work.commands():
            count = 0
            while is_more(count):
                with ae.associate(*address, ae_title="SCP") as association:
                    count += do(association)
        return
    with ae.associate(*address, ae_title="SCP") as association:
        for is_more in work.commands():
            count = 0
            while is_more(count):
                count += do(association)


async def ask_loop(adapter: Any, options: argparse.Namespace, work: Work) -> None:
    """Do what is commanded; between two commands the loop stands still."""
    ae, paths = _asking(adapter, options)
    address = (HOST, options.port)

    async def do(association: Any) -> int:
        if options.work != "store":
            work.check(await association.send_c_echo())
            return 1
        if options.count:
            work.check(await association.send_c_store(paths[0]))
            return 1
        async for _, status in association.send_c_stores(paths):
            work.check(status)
        return len(paths)

    if options.work == "association":
        for is_more in work.commands():
            count = 0
            while is_more(count):
                async with ae.associate(*address, ae_title="SCP") as association:
                    count += await do(association)
        return
    async with ae.associate(*address, ae_title="SCP") as association:
        for is_more in work.commands():
            count = 0
            while is_more(count):
                count += await do(association)


# --- both sides, in memory --------------------------------------------------------------------------------------------


class Joined:
    """Two connections joined in memory; the calls of each are counted apart."""

    def __init__(self) -> None:
        dimse, upper_layer = import_module("dicom_proto.dimse"), import_module("dicom_proto.upper_layer")
        items, pdu = import_module("dicom_proto.upper_layer.items"), import_module("dicom_proto.upper_layer.pdu")
        self._messages = import_module("dicom_proto.dimse.messages")
        self._sides = dimse.Connection(), dimse.Connection()
        self.calls = Calls(), Calls()
        offer = upper_layer.build_offer("SCP", "SCU", CONTEXTS)
        self._sides[0].request(offer)
        for side in self._sides:
            side.connection_made(now=0.0)
        self._carry(0)
        results = tuple(
            items.ContextResult(each.context_id, 0, each.transfer_syntaxes[0]) for each in offer.presentation_contexts
        )
        user = items.UserInformation(maximum_length=1 << 17, implementation_class_uid="1.2.3")
        answer = pdu.AAssociateAC(context_results=results, user_information=user, echo=offer.echo or bytes(64))
        self._sides[1].accept(answer)
        self._carry(1)

    def _carry(self, source: int) -> list[Any]:
        """Carry what a side has to send to the other one, and return the events there."""
        sys.setprofile(self.calls[source])
        data = b"".join(self._sides[source].data_to_send(now=0.0))
        sys.setprofile(self.calls[1 - source])
        target, events = self._sides[1 - source], []
        target.receive_data(data, now=0.0)
        while (event := target.next_event()) is not None:
            events.append(event)
        sys.setprofile(None)
        return events

    def do(self, name: str, data: bytes | None, **arguments: Any) -> None:
        """Do an operation."""
        sys.setprofile(self.calls[0])
        request = getattr(self._messages, f"{name}RQ")(message_id=None, **arguments)
        self._sides[0].send_request(request, context=1 if data is None else 3, data=data)
        received, *_ = self._carry(0)
        sys.setprofile(self.calls[1])
        response = getattr(self._messages, f"{name}RSP")(message_id_being_responded_to=received.message_id, status=0)
        self._sides[1].send_response(response)
        (answered,) = self._carry(1)
        if answered.response.status:
            raise RuntimeError(f"the status is {answered.response.status}")


def do_in_memory(options: argparse.Namespace) -> None:
    """Do what is commanded with two connections; the answer to ``calls`` has those of both."""
    joined = Joined()
    data = bytes(4096) if options.work == "store" else None
    name, uids = "CEcho", {"affected_sop_class_uid": VERIFICATION}
    if data is not None:
        name, uids = "CStore", {"affected_sop_class_uid": CT_IMAGE, "affected_sop_instance_uid": "1.2.3"}
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "calls":
            tell([each.by_function() for each in joined.calls])
        else:
            for _ in range(int(number)):
                joined.do(name, data, **uids)
            tell([int(number), 0.0])


# --- all -------------------------------------------------------------------------------------------------------------


def begin(is_server: bool, is_counted: bool) -> Calls | None:
    """Count the calls of all threads that are started from now on, and of a server's main one; let a server obey."""
    calls = Calls() if is_counted else None
    if is_server:
        threading.Thread(target=obey, args=(calls,), daemon=True).start()
        sys.setprofile(calls)
    threading.setprofile(calls)
    return calls


def run_loop(name: str, main: Callable[[Callable[[], Awaitable[Any]]], Coroutine[Any, Any, None]]) -> None:
    """Run an event loop; what it runs is handed how to wait for ever."""
    if name == "asyncio":
        asyncio.run(main(lambda: asyncio.Event().wait()))
    else:
        trio: Any = import_module(name)
        trio.run(main, trio.sleep_forever)


def main() -> None:
    """Be a side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("scu", "scp", "memory"))
    parser.add_argument("adapter", nargs="?", default="blocking", choices=("blocking", "asyncio", "trio"))
    parser.add_argument("--count", action="store_true", help="count calls")
    parser.add_argument("--most", type=int, default=100, help="associations at a time")
    parser.add_argument("--match", default="", help="the identifier of each response of C-FIND, as hexadecimal digits")
    parser.add_argument("--matches", type=int, default=0)
    parser.add_argument("--work", choices=("echo", "association", "store"))
    parser.add_argument("--directory", type=Path, help="of the files that are sent, all of them each time")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    adapter = import_module(f"dicom_transports.{options.adapter}")
    calls = begin(options.role == "scp", options.count)
    match options.role, options.adapter:
        case "memory", _:
            do_in_memory(options)
        case "scp", "blocking":
            serve_blocking(adapter, options)
        case "scp", name:
            run_loop(name, lambda forever: serve_loop(adapter, options, forever))
        case _, "blocking":
            ask_blocking(adapter, options, Work(calls))
        case _, name:
            run_loop(name, lambda _: ask_loop(adapter, options, Work(calls)))


if __name__ == "__main__":
    main()
