"""The adapters of this project as SCU and SCP, used as the documentation has users do it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter, process_time
from typing import Any, Final, TypeAlias

from attrs import evolve
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.files import NOBODY, identifier
from benchmarks.jobs import Job, Scp, Scu, Service
from benchmarks.processes import HOST, Peer, Report, Spent, forked
from benchmarks.samples import CT_IMAGE, VERIFICATION
from dicom_proto.encoding.datasets import encode
from dicom_proto.handlers.kinds import EVT_C_FIND, EVT_C_STORE
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_transports import asyncio as over_asyncio
from dicom_transports import blocking
from dicom_transports.storage import store_to

__all__ = [
    "LOOPBACK",
    "PAIRS",
    "QUERY_MODEL",
    "SCPS",
    "SCUS",
    "SERVERS",
    "check",
    "check_matches",
    "prepare_scu",
    "query",
]

QUERY_MODEL: Final = "1.2.840.10008.5.1.4.1.2.2.1"
LOOPBACK: Final = (HOST, 0)
Serve: TypeAlias = Callable[[Service, Report], object]
Run: TypeAlias = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


def query(name: str = "") -> Dataset:
    """Return a query for studies."""
    wanted = identifier()
    for element in wanted:
        element.value = "" if element.VR != "IS" else None
    wanted.QueryRetrieveLevel, wanted.PatientName = "STUDY", name
    return wanted


def check(status: Dataset) -> None:
    """Raise ``RuntimeError`` for any status but Success."""
    if "Status" not in status or status.Status != 0x0000:
        raise RuntimeError(f"the status is {status}")


def check_matches(count: int, job: Job) -> None:
    """Raise ``RuntimeError`` if the responses are not those that were expected: all matches, and the final one."""
    if count != job.matches + 1:
        raise RuntimeError(f"{count} responses instead of {job.matches + 1}")


# --- SCP --------------------------------------------------------------------------------------------------------------


def _entity(make: Callable[[str], Any], service: Service) -> Any:
    ae = make("SCP")
    ae.maximum_associations = service.most
    ae.maximum_operations_performed = service.window
    if service.pdu_length is not None:
        ae.maximum_pdu_size = service.pdu_length
    ae.add_supported_context(VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)
    ae.add_supported_context(CT_IMAGE, ExplicitVRLittleEndian)
    ae.add_supported_context(QUERY_MODEL, ExplicitVRLittleEndian)
    return ae


def _start(ae: Any, service: Service, **options: Any) -> Any:
    return ae.start_server(service.shared or LOOPBACK, reuse_port=service.shared is not None, **options)


def _match(service: Service) -> Any:
    return encode(identifier(), ExplicitVRLittleEndian) if service.is_encoded else identifier()


def _sink(service: Service) -> Any:
    return store_to(service.stored.directory or "", durability="each" if service.stored.is_durable else "none")


def _serve_blocking(service: Service, report: Report) -> None:
    match = _match(service)

    def find(event: Any) -> Iterator[Any]:
        for _ in range(0 if event.identifier.PatientName == NOBODY else service.matches):
            yield 0xFF00, match

    store: Any = (lambda _: 0x0000) if service.stored.directory is None else _sink(service)
    handlers = [(EVT_C_STORE, store), (EVT_C_FIND, find)]
    with _start(_entity(blocking.AE, service), service, block=False, evt_handlers=handlers) as server:
        report(server.address)
        threading.Event().wait()


async def _serve_loop(make: Callable[[str], Any], service: Service, report: Report, wait: Awaitable[object]) -> None:
    match = _match(service)

    async def find(event: Any) -> AsyncIterator[Any]:
        for _ in range(0 if event.identifier.PatientName == NOBODY else service.matches):
            yield 0xFF00, match

    async def ignore(_: Any) -> int:
        return 0x0000

    store: Any = ignore if service.stored.directory is None else _sink(service)
    handlers = [(EVT_C_STORE, store), (EVT_C_FIND, find)]
    async with _start(_entity(make, service), service, evt_handlers=handlers) as server:
        report(server.address)
        await wait


# --- SCU --------------------------------------------------------------------------------------------------------------


def prepare_scu(ae: Any, job: Job) -> Any:
    """Let an entity request what a job needs; also one of pynetdicom."""
    if job.echoes:
        ae.add_requested_context(VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)
    if job.paths:
        ae.add_requested_context(CT_IMAGE, ExplicitVRLittleEndian)
    if job.queries:
        ae.add_requested_context(QUERY_MODEL, ExplicitVRLittleEndian)
    return ae


def _scu_entity(make: Callable[[str], Any], job: Job) -> Any:
    ae = make("SCU")
    ae.maximum_operations_invoked = job.window
    if job.pdu_length is not None:
        ae.limits = evolve(ae.limits, send_pdu_length=job.pdu_length)
    return prepare_scu(ae, job)


def _talk_blocking(address: tuple[str, int], job: Job) -> None:
    ae = _scu_entity(blocking.AE, job)
    if job.beside is not None:
        for _, status in ae.send_c_stores(*address, job.paths, "SCP", window=job.window, associations=job.beside):
            check(status)
        return
    for _ in range(job.associations):
        with ae.associate(*address, ae_title="SCP") as association:
            for _ in range(job.echoes):
                check(association.send_c_echo())
            for _, status in association.send_c_stores(job.paths):
                check(status)
            for _ in range(job.queries):
                check_matches(sum(1 for _ in association.send_c_find(query(), QUERY_MODEL)), job)


async def _talk_loop(make: Callable[[str], Any], address: tuple[str, int], job: Job) -> None:
    ae = _scu_entity(make, job)
    if job.beside is not None:
        sent = ae.send_c_stores(*address, job.paths, "SCP", window=job.window, associations=job.beside)
        async for _, status in sent:
            check(status)
        return
    for _ in range(job.associations):
        async with ae.associate(*address, ae_title="SCP") as association:
            for _ in range(job.echoes):
                check(await association.send_c_echo())
            async for _, status in association.send_c_stores(job.paths):
                check(status)
            for _ in range(job.queries):
                count = 0
                async for _ in association.send_c_find(query(), QUERY_MODEL):
                    count += 1
                check_matches(count, job)


def _timed(do: Callable[[tuple[str, int], Job], object], address: tuple[str, int], job: Job) -> Spent:
    began, cpu = perf_counter(), process_time()
    do(address, job)
    return Spent(perf_counter() - began, process_time() - cpu)


# --- all of them ------------------------------------------------------------------------------------------------------


def _forked(serve: Serve, service: Service) -> AbstractContextManager[Peer]:
    return forked(partial(serve, service))


def _looping(
    name: str, make: Callable[[str], Any], run: Run, forever: Callable[[], Awaitable[Any]]
) -> tuple[Scu, Serve]:
    def serve(service: Service, report: Report) -> None:
        async def main() -> None:
            await _serve_loop(make, service, report, forever())

        run(main)

    def talk(address: tuple[str, int], job: Job) -> None:
        run(partial(_talk_loop, make, address, job))

    return Scu(name, partial(_timed, talk)), serve


def _all() -> Iterator[tuple[Scu, Serve]]:
    yield Scu("blocking", partial(_timed, _talk_blocking)), _serve_blocking
    yield _looping("asyncio", over_asyncio.AE, lambda main: asyncio.run(main()), lambda: asyncio.Event().wait())
    if find_spec("trio"):
        trio: Any = import_module("trio")
        yield _looping("trio", import_module("dicom_transports.trio").AE, trio.run, trio.sleep_forever)


_ALL: Final = tuple(_all())
SERVERS: Final = {scu.name: serve for scu, serve in _ALL}
"""What serves in the process that calls it, until that is interrupted."""
SCUS: Final = tuple(scu for scu, _ in _ALL)
SCPS: Final = tuple(Scp(name, partial(_forked, serve)) for name, serve in SERVERS.items())
PAIRS: Final = tuple(zip(SCUS, SCPS, strict=True))
