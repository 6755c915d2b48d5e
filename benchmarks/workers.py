"""A server in several processes on one port: what a second process adds where many associations are busy."""

import multiprocessing
import selectors
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from time import monotonic, perf_counter, process_time, sleep
from typing import Final

from attrs import define

from benchmarks import ours
from benchmarks.files import Files
from benchmarks.jobs import Service
from benchmarks.measure import Sample, Scale, Workload
from benchmarks.processes import Address, Spent, listeners
from benchmarks.scripted import (
    ASSOCIATE,
    RELEASE,
    STORE,
    STORE_IMAGE,
    Unexpected,
    connected,
    converse,
    is_answered,
)
from benchmarks.usage import usage_of
from dicom_transports.processes import Workers

__all__ = ["PROCESSES", "workloads"]

_ASSOCIATIONS: Final = 8
_PATIENCE: Final = 30.0  # seconds until all processes listen, and between two answers
PROCESSES: Final = {"2 processes": 2, "1 process": 1}


# --- SCU --------------------------------------------------------------------------------------------------------------


@define
class _Asking:
    """An association that asks the same again and again."""

    sock: socket.socket
    question: bytes
    left: memoryview
    answer: bytes = b""

    def ask(self) -> None:
        """Begin to ask, once more."""
        self.left = memoryview(self.question)
        self.answer = b""
        self.go_on()

    def go_on(self) -> None:
        """Send what there is room for."""
        self.left = self.left[self.sock.send(self.left) :]

    def wants(self) -> int:
        """Return what it waits for."""
        return selectors.EVENT_WRITE if self.left else selectors.EVENT_READ

    def is_answered(self) -> bool:
        """Send or receive; tell whether the answer is complete."""
        if self.left:
            self.go_on()
            return False
        data = self.sock.recv(1 << 16)
        if not data:
            raise Unexpected("the connection was closed")
        self.answer += data
        return is_answered(self.question, self.answer)


def _ask_for(seconds: float, asking: list[_Asking]) -> int:
    """Let all of them ask for some time; return how many answers there were."""
    answers, deadline = 0, perf_counter() + seconds
    with selectors.DefaultSelector() as selector:
        for each in asking:
            each.ask()
            selector.register(each.sock, each.wants(), each)
        while selector.get_map():
            ready = selector.select(_PATIENCE)
            if not ready:
                raise Unexpected("there is no answer")
            for key, event in ready:
                answers += _turn(selector, key.data, event, is_over=perf_counter() >= deadline)
    return answers


def _turn(selector: selectors.BaseSelector, each: _Asking, event: int, *, is_over: bool) -> bool:
    is_answered = each.is_answered()
    if is_answered and is_over:
        selector.unregister(each.sock)
        return True
    if is_answered:
        each.ask()
    if each.wants() != event:
        selector.modify(each.sock, each.wants(), each)
    return is_answered


def _talk(address: Address, question: bytes, seconds: float) -> tuple[int, Spent]:
    """Keep associations busy, and release them; return how much they did, and what that took."""
    with ExitStack() as stack:
        socks = [stack.enter_context(closing(connected(address))) for _ in range(_ASSOCIATIONS)]
        for sock in socks:
            converse(sock, ASSOCIATE)
            sock.setblocking(False)
        began, cpu = perf_counter(), process_time()
        answers = _ask_for(seconds, [_Asking(sock, question, memoryview(b"")) for sock in socks])
        spent = Spent(perf_counter() - began, process_time() - cpu)
        for sock in socks:
            sock.setblocking(True)
            converse(sock, RELEASE)
    return answers, spent


# --- SCP --------------------------------------------------------------------------------------------------------------


def _serve(address: Address, name: str) -> None:
    """Serve in a process of its own, with an adapter."""
    ours.SERVERS[name](Service(shared=address), lambda _: None)


def _wait_until_all_listen(workers: Workers, count: int) -> None:
    deadline = monotonic() + _PATIENCE
    while listeners(workers.address[1]) < count:
        if not workers.are_alive or monotonic() > deadline:
            raise RuntimeError("the processes do not listen")
        sleep(0.01)


def _used() -> float:
    """Return the seconds of processor time that the processes have had."""
    return sum(usage_of(process.pid).cpu for process in multiprocessing.active_children() if process.pid)


def _run(name: str, processes: int, question: bytes, seconds: float) -> Sample:
    with Workers(_serve, (ours.LOOPBACK[0], 0), count=processes, arguments=(name,)) as workers:
        _wait_until_all_listen(workers, processes)
        before = _used()
        answers, spent = _talk(workers.address, question, seconds)
        used = _used() - before
    return Sample(answers / spent.seconds, figures={"SCU CPU": spent.cpu / answers, "SCP CPU": used / answers})


def _contest(names: Iterable[str], question: bytes, seconds: float) -> dict[str, Callable[[], Sample]]:
    return {
        f"{name}, {told}": partial(_run, name, count, question, seconds)
        for name in names
        for told, count in PROCESSES.items()
    }


def workloads(scale: Scale, _: Files) -> Iterator[Workload]:
    """Yield the workloads of servers in one process and in two; copying an image costs the same with every adapter."""
    first, *others = ours.SERVERS
    of_all = _contest([first, *others], STORE, scale.hold)
    yield Workload(f"{_ASSOCIATIONS} associations, objects of 4 KB", "object", of_all, rounds=3)
    of_one = _contest([first], STORE_IMAGE, scale.hold)
    yield Workload(f"{_ASSOCIATIONS} associations, images of 526 KB", "object", of_one, rounds=3)
