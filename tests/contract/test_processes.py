"""One address served by several processes, with each adapter."""

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio

from dicom_proto.errors import InvalidSettingError
from dicom_proto.sop_class import Verification
from dicom_transports import asyncio as asyncio_adapter
from dicom_transports import blocking
from dicom_transports import trio as trio_adapter
from dicom_transports.processes import Workers

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


@pytest.mark.parametrize("serve", [serve_blocking, serve_asyncio, serve_trio])
def test_processes_share_an_address(serve: Callable[..., None]) -> None:
    with Workers(serve, LOOPBACK, count=2) as workers:
        association = associated(workers.address)
        assert association.send_c_echo().Status == 0x0000
        association.release()
        workers.shutdown()
        assert not workers.are_alive
    codes = [process.exitcode for process in workers._processes]  # noqa: SLF001
    assert 0 in codes
    assert set(codes) <= {0, -signal.SIGTERM}  # the latter if it has not even begun


def test_there_has_to_be_one() -> None:
    with pytest.raises(InvalidSettingError, match="0 processes"):
        Workers(serve_blocking, LOOPBACK, count=0)


def test_never_started() -> None:
    workers = Workers(serve_blocking, LOOPBACK, count=1)
    assert not workers.are_alive
    workers.shutdown()
