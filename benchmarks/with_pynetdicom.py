"""pynetdicom doing the same jobs, as its documentation has its users do them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA

from benchmarks.measure import Address, Sample, Scale, rate, serving
from benchmarks.samples import CT_IMAGE, CT_INSTANCE, VERIFICATION

__all__ = [
    "associations",
    "decode_command",
    "decode_pdu",
    "echo",
    "encode_pdu",
    "encode_store_request",
    "store",
]

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


@contextmanager
def _server() -> Iterator[Address]:
    ae = AE("SCP")
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(CT_IMAGE)
    handlers: Any = [(evt.EVT_C_STORE, lambda _: 0x0000)]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    yield server.server_address
    server.shutdown()


def _associate(address: Address) -> Association:
    ae = AE("SCU")
    ae.add_requested_context(VERIFICATION)
    ae.add_requested_context(CT_IMAGE, ImplicitVRLittleEndian)
    association = ae.associate(*address, ae_title="SCP")
    if not association.is_established:
        raise RuntimeError("pynetdicom made no association with itself")
    return association


def _succeed(status: Dataset) -> None:
    if "Status" not in status or status.Status != 0x0000:
        raise RuntimeError(f"pynetdicom gave itself the status {status}")


def _measure(make_step: Callable[[Association], Callable[[], None]], scale: Scale, units: float) -> Sample:
    with serving(_server) as peer:
        association = _associate(peer.address)
        measured = rate(make_step(association), scale.seconds, units)
        growth = peer.growth()
        association.abort()
    return Sample(measured, peer_growth=growth)


def echo(scale: Scale) -> Sample:
    """Send C-ECHO requests one after the other."""
    return _measure(lambda association: lambda: _succeed(association.send_c_echo()), scale, 1.0)


def _object(length: int) -> Dataset:
    data_set = Dataset()
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data_set.SOPClassUID, data_set.SOPInstanceUID = CT_IMAGE, CT_INSTANCE
    data_set.add_new("PixelData", "OW", bytes(length))
    return data_set


def store(length: int, scale: Scale, units: float) -> Sample:
    """Send objects with so many bytes of pixel data one after the other."""
    data_set = _object(length)
    return _measure(lambda association: lambda: _succeed(association.send_c_store(data_set)), scale, units)


def associations(scale: Scale) -> Sample:
    """Associate, send one C-ECHO request, release."""

    def turn(address: Address) -> None:
        association = _associate(address)
        _succeed(association.send_c_echo())
        association.release()

    with serving(_server) as peer:
        return Sample(rate(partial(turn, peer.address), scale.seconds), peer_growth=peer.growth())
