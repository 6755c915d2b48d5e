"""One address served by several processes, where one core is not enough: the system spreads the connections.

Stable.

Each process runs a function of the user that serves the address, with whichever adapter, until it is told to stop::

    def serve(address):
        ae = AE("ARCHIVE")
        ae.add_supported_context(CTImageStorage)
        ae.start_server(address, evt_handlers=[(evt.EVT_C_STORE, store_to("archive"))], reuse_port=True)

    if __name__ == "__main__":
        with Workers(serve, ("0.0.0.0", 11112), count=4) as workers:
            workers.wait()

A process that dies is started again, after a pause that doubles as long as it keeps dying. The ids of associations in
the log begin with the number of their process: ``[w3-12]``.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, Final, Self

from attrs import define

from dicom_proto.errors import DicomProtoError, InvalidSettingError
from dicom_transports._entity import AEBase
from dicom_transports._socket.sockets import Address, bind_all, local_address

__all__ = ["Workers", "WorkersFailedError"]

_log = logging.getLogger("dicom_transports")
_FIRST_PAUSE: Final = 0.25  # seconds until a process that has died is started again
_LONGEST_PAUSE: Final = 30.0
_STEADY: Final = 60.0  # seconds after which a process that dies has not kept dying
_GLANCE: Final = 1.0  # seconds until it is looked again whether it is time to stop
_GRACE: Final = 20.0  # seconds beyond those to finish until a process that does not stop is killed


class WorkersFailedError(DicomProtoError):
    """A process could not be kept alive: it has died too often, soon after it was started."""


@define(eq=False)
class _Worker:
    """One of the processes, one after the other."""

    process: BaseProcess | None = None
    started_at: float = 0.0
    deaths: int = 0  # in a row
    due_at: float | None = None  # when it is started again


class Workers:
    """Processes that serve one address; as a context manager it starts them, and stops them at the end.

    Parameters
    ----------
    serve : callable
        Called in each process with the address and ``arguments``; it serves until a ``KeyboardInterrupt``, as
        ``AE.start_server`` does. It is a function of a module, so that a new process can import it.
    address : tuple of str and int
        Where to listen, as for ``AE.start_server``; with port 0 the system chooses one for all of them, see
        :attr:`address`.
    count : int
        How many processes.
    arguments : tuple
        What ``serve`` gets besides.
    most_deaths : int
        How often in a row a process may die within a minute of its start; then :meth:`wait` stops all and raises.
    finish_within : float
        Seconds that associations have to end by themselves when the processes are told to stop: as
        ``start_server(block=True)`` is told by SIGTERM. The function gives its server the same.

    Attributes
    ----------
    address : tuple of str and int
        Where they listen.
    restarts : int
        How many processes have been started again.

    Raises
    ------
    InvalidSettingError
        If the number is below 1, or the platform cannot share a port (it has no ``SO_REUSEPORT``).
    OSError
        If the address cannot be used.
    """

    def __init__(
        self,
        serve: Callable[..., object],
        address: Address,
        *,
        count: int,
        arguments: tuple[Any, ...] = (),
        most_deaths: int = 10,
        finish_within: float = 10.0,
    ) -> None:
        if count < 1:
            raise InvalidSettingError(f"{count} processes cannot serve anything")
        self._serve, self._arguments = serve, arguments
        self._most_deaths, self._finish_within = most_deaths, finish_within
        self._placeholders = bind_all(address, reuse_port=True)  # they keep the port, and do not listen
        self.address: Address = local_address(self._placeholders[0])
        self._host = address[0]
        self._context = multiprocessing.get_context("spawn")
        self._workers = [_Worker() for _ in range(count)]
        self._number = 0
        self._is_to_stop = threading.Event()
        self.restarts = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    def start(self) -> None:
        """Start the processes; those that run go on. After :meth:`shutdown` they are started again, at one address."""
        self._is_to_stop.clear()
        if not self._placeholders:
            self._placeholders = bind_all((self._host, self.address[1]), reuse_port=True)
        for worker in self._workers:
            if worker.process is None or not worker.process.is_alive():
                worker.deaths = 0
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        self._number += 1
        name = f"w{self._number}"
        process = self._context.Process(
            target=_run, args=(self._serve, (self._host, self.address[1]), self._arguments, f"{name}-"), name=name
        )
        worker.process, worker.started_at, worker.due_at = process, monotonic(), None
        process.start()

    def wait(self) -> None:
        """Keep the processes alive until they are told to stop: by :meth:`shutdown` in another thread, or by SIGTERM.

        If this is the main thread, SIGTERM is handled meanwhile: the processes stop, their associations have time to
        end, and this returns. It also returns when all processes have ended of themselves, without an error.

        Raises
        ------
        WorkersFailedError
            If one cannot be kept alive; all others have been stopped then.
        """
        with self._terminable():
            while not self._is_to_stop.is_set() and self._watch():
                pass
        if self._is_to_stop.is_set():
            self.shutdown()

    def _watch(self) -> bool:
        """Wait until one dies or is due, for a moment at most, and see to it; return whether there is anything left."""
        started = [worker.process for worker in self._workers if worker.process is not None and worker.due_at is None]
        running = [process.sentinel for process in started if process.is_alive()]
        due = [worker.due_at for worker in self._workers if worker.due_at is not None]
        has_died = any(process.exitcode for process in started)
        if not (running or due or has_died):
            return False
        if not has_died:
            pause = max(0.0, min([_GLANCE, *(moment - monotonic() for moment in due)]))
            wait_for_any(running, pause) if running else self._is_to_stop.wait(pause)
        for worker in self._workers:
            if not self._is_to_stop.is_set():
                self._look_after(worker)
        return True

    def _look_after(self, worker: _Worker) -> None:
        """Start a process again that has died, when its pause is over."""
        process, now = worker.process, monotonic()
        if process is None:
            return
        if worker.due_at is not None:
            if now >= worker.due_at:
                self.restarts += 1
                self._start(worker)
            return
        if process.is_alive() or not process.exitcode:
            return
        worker.deaths = worker.deaths + 1 if now < worker.started_at + _STEADY else 1
        how = f"by signal {-process.exitcode}" if process.exitcode < 0 else f"with exit status {process.exitcode}"
        if worker.deaths > self._most_deaths:
            _log.error("process %s has died %s, %d times in a row: all are stopped", process.name, how, worker.deaths)
            self.shutdown()
            raise WorkersFailedError(f"a process has died {how}, {worker.deaths} times in a row")
        pause = min(_FIRST_PAUSE * 2 ** (worker.deaths - 1), _LONGEST_PAUSE)
        worker.due_at = now + pause
        _log.error("process %s has died %s: another one is started in %.2f s", process.name, how, pause)

    @contextmanager
    def _terminable(self) -> Iterator[None]:
        """Let SIGTERM say that it is time to stop, if this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = signal.signal(signal.SIGTERM, lambda *_: self._is_to_stop.set())
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)

    @property
    def are_alive(self) -> bool:
        """Whether all processes run."""
        return all(worker.process is not None and worker.process.is_alive() for worker in self._workers)

    def send_signal(self, number: int) -> None:
        """Send a signal to each process that runs, such as SIGHUP, which they ignore unless they say otherwise."""
        for worker in self._workers:
            process = worker.process
            if process is not None and process.pid is not None and process.is_alive():
                with suppress(ProcessLookupError):  # it has just died
                    os.kill(process.pid, number)

    def shutdown(self) -> None:
        """Tell the processes to stop, and wait until they have; one that takes much longer than it has is killed."""
        self._is_to_stop.set()
        started = [worker.process for worker in self._workers if worker.process is not None]
        for process in started:
            process.terminate()
        deadline = monotonic() + self._finish_within + _GRACE
        for process in started:
            process.join(max(0.0, deadline - monotonic()))
            if process.is_alive():
                _log.error("! process %s does not stop, and is killed", process.name)
                process.kill()
                process.join()
        for worker in self._workers:
            worker.due_at = None
        for placeholder in self._placeholders:
            placeholder.close()
        self._placeholders = []


def _run(serve: Callable[..., object], address: Address, arguments: tuple[Any, ...], prefix: str) -> None:
    """Serve in a process of its own; to be told to stop is to be interrupted, which every adapter knows to handle."""
    AEBase.id_prefix = prefix
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it would be ignored
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        serve(address, *arguments)
    except* KeyboardInterrupt:  # trio wraps it
        _log.debug("= a worker has been told to stop")
