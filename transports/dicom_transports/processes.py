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
"""

import logging
import multiprocessing
import signal
from collections.abc import Callable
from typing import Any, Final, Self

from dicom_proto.errors import InvalidSettingError
from dicom_transports._socket.sockets import Address, bind_all, local_address

__all__ = ["Workers"]

_log = logging.getLogger("dicom_transports")
_PATIENCE: Final = 30.0  # seconds until a process that does not stop is killed


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

    Raises
    ------
    InvalidSettingError
        If the number is below 1, or the platform cannot share a port (it has no ``SO_REUSEPORT``).
    OSError
        If the address cannot be used.
    """

    def __init__(
        self, serve: Callable[..., object], address: Address, *, count: int, arguments: tuple[Any, ...] = ()
    ) -> None:
        if count < 1:
            raise InvalidSettingError(f"{count} processes cannot serve anything")
        self._placeholders = bind_all(address, reuse_port=True)  # they keep the port, and do not listen
        self.address: Address = local_address(self._placeholders[0])
        serving = (address[0], self.address[1])
        context = multiprocessing.get_context("spawn")
        self._processes = [
            context.Process(target=_run, args=(serve, serving, arguments), name=f"dicom-worker-{number}")
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    def start(self) -> None:
        """Start the processes."""
        for process in self._processes:
            process.start()

    def wait(self) -> None:
        """Wait until all processes have ended."""
        for process in self._processes:
            process.join()

    @property
    def are_alive(self) -> bool:
        """Whether all processes run."""
        return all(process.is_alive() for process in self._processes)

    def shutdown(self) -> None:
        """Tell the processes to stop, and wait until they have; one that does not within 30 seconds is killed."""
        started = [process for process in self._processes if process.pid is not None]
        for process in started:
            process.terminate()
        for process in started:
            process.join(_PATIENCE)
            if process.is_alive():
                _log.error("! process %s does not stop, and is killed", process.name)
                process.kill()
                process.join()
        for placeholder in self._placeholders:
            placeholder.close()


def _run(serve: Callable[..., object], address: Address, arguments: tuple[Any, ...]) -> None:
    """Serve in a process of its own; to be told to stop is to be interrupted, which every adapter knows to handle."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it would be ignored
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        serve(address, *arguments)
    except* KeyboardInterrupt:  # trio wraps it
        _log.debug("= a worker has been told to stop")
