"""One address served by several processes, with each adapter."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from dicom_proto.errors import InvalidSettingError
from dicom_proto.sop_class import Verification
from dicom_transports import asyncio as asyncio_adapter
from dicom_transports import blocking
from dicom_transports import trio as trio_adapter
from dicom_transports.processes import Workers, WorkersFailedError
from tests.contract.adapters import WAIT, Running

LOOPBACK = ("127.0.0.1", 0)


def ready(ae: Any) -> Any:
    ae.add_supported_context(Verification)
    return ae


def serve_blocking(address: tuple[str, int]) -> None:
    ready(blocking.AE("WORKER")).start_server(address, reuse_port=True)


def serve_asyncio(address: tuple[str, int]) -> None:
    asyncio.run(ready(asyncio_adapter.AE("WORKER")).serve(address, reuse_port=True))


def serve_trio(address: tuple[str, int]) -> None:
    async def serve() -> None:
        await ready(trio_adapter.AE("WORKER")).serve(address, reuse_port=True)

    trio.run(serve)


def associated(address: tuple[str, int]) -> blocking.Association:
    """An association with whichever process comes first."""
    ae = blocking.AE("SCU")
    ae.add_requested_context(Verification)
    while not (association := ae.associate(*address)).is_established:
        assert isinstance(association.failure, ConnectionRefusedError)
        time.sleep(0.02)  # until a process listens
    return association


def is_listening(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, WAIT).close()
    except ConnectionRefusedError:
        return False
    return True


def exit_codes(workers: Workers) -> list[int | None]:
    return [worker.process.exitcode for worker in workers._workers if worker.process]  # noqa: SLF001


def die(_address: tuple[str, int]) -> None:
    sys.exit(7)


def serve_slowly(address: tuple[str, int], path: str) -> None:
    """Serve as the documentation does, and say so when the last association has ended."""
    ae = ready(blocking.AE("WORKER"))
    released: list[str] = []
    handlers = [(blocking.evt.EVT_RELEASED, lambda event: released.append(event.assoc.id))]
    ae.start_server(address, evt_handlers=handlers, reuse_port=True, finish_within=WAIT)
    Path(path).write_text(" ".join(released), encoding="ascii")


@pytest.mark.parametrize("serve", [serve_blocking, serve_asyncio, serve_trio])
def test_processes_share_an_address(serve: Callable[..., None]) -> None:
    with Workers(serve, LOOPBACK, count=2) as workers:
        association = associated(workers.address)
        assert association.send_c_echo().Status == 0x0000
        association.release()
        workers.shutdown()
        assert not workers.are_alive
    codes = exit_codes(workers)
    assert 0 in codes
    assert set(codes) <= {0, -signal.SIGTERM}  # the latter if it has not even begun


def test_there_has_to_be_one() -> None:
    with pytest.raises(InvalidSettingError, match="0 processes"):
        Workers(serve_blocking, LOOPBACK, count=0)


def test_never_started() -> None:
    workers = Workers(serve_blocking, LOOPBACK, count=1)
    assert not workers.are_alive
    workers.shutdown()


def test_a_process_that_dies_is_started_again_and_all_can_be_started_anew(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers(serve_blocking, LOOPBACK, count=1)
    with workers:
        waiting: Running[None] = Running(workers.wait)
        associated(workers.address).release()
        (worker,) = workers._workers  # noqa: SLF001
        assert worker.process is not None
        assert worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.join(WAIT)
        associated(workers.address).release()  # with another one
        assert workers.restarts == 1
        workers.shutdown()
        waiting.result()
        assert not workers.are_alive
    assert "process w1 has died by signal 9: another one is started in 0.25 s" in caplog.text
    workers.start()
    associated(workers.address).release()
    workers.shutdown()


def test_one_that_cannot_be_kept_alive(caplog: pytest.LogCaptureFixture) -> None:
    with Workers(die, LOOPBACK, count=1, most_deaths=1) as workers:
        with pytest.raises(WorkersFailedError, match="with exit status 7, 2 times in a row"):
            workers.wait()
        assert workers.restarts == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_sigterm_lets_associations_end(tmp_path: Path) -> None:
    path = tmp_path / "said"
    with Workers(serve_slowly, LOOPBACK, count=1, arguments=(str(path),)) as workers:
        association = associated(workers.address)

        def terminate() -> None:
            while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                time.sleep(0.01)  # until somebody waits
            os.kill(os.getpid(), signal.SIGTERM)
            while is_listening(workers.address):
                time.sleep(0.01)
            association.release()

        thread = threading.Thread(target=terminate)
        thread.start()
        workers.wait()  # in the main thread: it returns when all is over
        thread.join()
    assert association.is_released
    assert path.read_text(encoding="ascii").startswith("w1-")
    assert exit_codes(workers) == [0]
