"""The codec alone: PDUs and command sets to records and back."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle

from benchmarks import limits, samples
from benchmarks.measure import OURS, Sample, Scale, Workload, rate
from benchmarks.peers import with_pynetdicom
from dicom_proto.dimse.messages import decode_message, encode_message
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDU, decode_pdu, encode_pdu

__all__ = ["workloads"]

LOOP = "limit: plain loop"


def each(function: Callable[..., object], inputs: Sequence[object], scale: Scale) -> Sample:
    """Give one input after the other to a function."""
    following = cycle(inputs).__next__
    return Sample(rate(lambda: function(following()), scale.seconds))


def _decode(encoded: bytes) -> PDU:
    return decode_pdu(encoded[0], memoryview(encoded)[HEADER_LENGTH:])


def _pdu_workloads(name: str, pdus: list[PDU], limit: Callable[[bytes], object], scale: Scale) -> Iterator[Workload]:
    encoded = [encode_pdu(pdu) for pdu in pdus]
    decoding = {OURS: partial(each, _decode, encoded, scale), LOOP: partial(each, limit, encoded, scale)}
    encoding = {OURS: partial(each, encode_pdu, pdus, scale)}
    if with_pynetdicom is not None:
        decoding["pynetdicom"] = partial(each, with_pynetdicom.decode_pdu, encoded, scale)
        theirs = [with_pynetdicom.decode_pdu(each) for each in encoded]
        encoding["pynetdicom"] = partial(each, with_pynetdicom.encode_pdu, theirs, scale)
    yield Workload(f"decode {name}", "PDU", decoding)
    yield Workload(f"encode {name}", "PDU", encoding)


def _command_set_workloads(scale: Scale) -> Iterator[Workload]:
    request = samples.store_request(7)
    encoded = encode_message(request, has_data_set=True)
    decoding = {
        OURS: partial(each, decode_message, [encoded], scale),
        LOOP: partial(each, limits.walk_command_set, [encoded], scale),
    }
    encoding = {OURS: partial(each, partial(encode_message, has_data_set=True), [request], scale)}
    if with_pynetdicom is not None:
        decoding["pynetdicom"] = partial(each, with_pynetdicom.decode_command, [encoded], scale)
        message = with_pynetdicom.decode_command(encoded)
        encoding["pynetdicom"] = partial(each, with_pynetdicom.encode_store_request, [message], scale)
    yield Workload("decode C-STORE-RQ", "message", decoding)
    yield Workload("encode C-STORE-RQ", "message", encoding)


def workloads(scale: Scale) -> Iterator[Workload]:
    """Yield the workloads of the codec."""
    offer = samples.offer_128()
    answer = samples.accepting(offer, 1 << 17)
    yield from _pdu_workloads("A-ASSOCIATE-RQ, 128 contexts, known", [offer], limits.walk_items, scale)
    yield from _pdu_workloads("A-ASSOCIATE-RQ, 128 contexts, new", [*samples.new_offers()], limits.walk_items, scale)
    yield from _pdu_workloads("A-ASSOCIATE-AC, 128 contexts", [answer], limits.walk_items, scale)
    yield from _pdu_workloads("P-DATA-TF, 16 KiB", [samples.P_DATA], limits.walk_data, scale)
    yield from _command_set_workloads(scale)
