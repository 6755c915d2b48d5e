"""pynetdicom doing the same jobs, as its documentation has its users do them."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

from pynetdicom import AE, evt
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA

from benchmarks.files import NOBODY, identifier
from benchmarks.jobs import Job, Scp, Scu, Service
from benchmarks.ours import LOOPBACK, QUERY_MODEL, check, check_matches, prepare_scu, query
from benchmarks.processes import Address, Peer, Report, Spent, forked
from benchmarks.samples import CT_IMAGE, VERIFICATION

__all__ = ["decode_command", "decode_pdu", "encode_pdu", "encode_store_request", "scp", "scu"]

_PDUS: Final = {1: A_ASSOCIATE_RQ, 2: A_ASSOCIATE_AC, 4: P_DATA_TF}


def decode_pdu(encoded: bytes) -> Any:
    """Decode a PDU."""
    pdu = _PDUS[encoded[0]]()
    pdu.decode(encoded)
    return pdu


def encode_pdu(pdu: Any) -> bytes:
    """Encode a PDU."""
    encoded: bytes = pdu.encode()
    return encoded


def decode_command(encoded: bytes) -> Any:
    """Decode a command set to what pynetdicom hands to its services."""
    data = P_DATA()
    data.presentation_data_value_list.append((1, b"\x03" + encoded))
    message = C_STORE_RQ()
    message.decode_msg(data)
    return message.message_to_primitive()


def encode_store_request(primitive: Any) -> list[Any]:
    """Encode a C-STORE request."""
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    return list(message.encode_msg(1, 16382))


def _serve(service: Service, report: Report) -> None:
    directory: Path | None = service.stored.directory

    def store(event: Any) -> int:
        if directory is not None:
            path = directory / f"{event.request.AffectedSOPInstanceUID}.dcm"
            path.write_bytes(event.encoded_dataset())
        return 0x0000

    match = identifier()

    def find(event: Any) -> Iterator[Any]:
        for _ in range(0 if event.identifier.PatientName == NOBODY else service.matches):
            yield 0xFF00, match

    ae = AE("SCP")
    ae.maximum_associations = service.most
    for uid in (VERIFICATION, CT_IMAGE, QUERY_MODEL):
        ae.add_supported_context(uid)
    handlers: Any = [(evt.EVT_C_STORE, store), (evt.EVT_C_FIND, find)]
    server: Any = ae.start_server(LOOPBACK, block=False, evt_handlers=handlers)
    report(server.server_address)
    threading.Event().wait()


def _talk(address: Address, job: Job) -> None:
    ae = prepare_scu(AE("SCU"), job)
    for _ in range(job.associations):
        association = ae.associate(*address, ae_title="SCP")
        if not association.is_established:
            raise RuntimeError("pynetdicom made no association")
        for _ in range(job.echoes):
            check(association.send_c_echo())
        for path in job.paths:
            check(association.send_c_store(path))
        for _ in range(job.queries):
            check_matches(sum(1 for _ in association.send_c_find(query(), QUERY_MODEL)), job)
        association.release()


def _do(address: Address, job: Job) -> Spent:
    began, cpu = perf_counter(), process_time()
    _talk(address, job)
    return Spent(perf_counter() - began, process_time() - cpu)


def _start(service: Service) -> AbstractContextManager[Peer]:
    return forked(partial(_serve, service))


def scu() -> Scu:
    """Return pynetdicom as SCU."""
    return Scu("pynetdicom", _do, is_slow=True)


def scp() -> Scp:
    """Return pynetdicom as SCP."""
    return Scp("pynetdicom", _start, is_slow=True)
