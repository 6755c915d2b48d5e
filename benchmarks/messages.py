"""What single messages and PDUs cost: two cores joined in memory, with no adapter between them."""

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import samples
from benchmarks.core import KIB, associate, carry, expect
from benchmarks.measure import OURS, Sample, Scale, Workload, rate
from dicom_proto.buffers import Buffer
from dicom_proto.dimse import STREAMED, Connection, RequestReceived, ResponseReceived
from dicom_proto.dimse.messages import CEchoRQ, CEchoRSP, CFindRQ, CFindRSP, CStoreRSP, Request, Response

__all__ = ["workloads"]

_PDU_LENGTH = 16 * KIB
_OBJECT = bytes(4 * KIB)
_IDENTIFIER = bytes(400)  # as long as that of a match with 15 elements
_PDUS = 16  # in a block


def _drain(machine: Connection) -> None:
    while machine.next_event() is not None:
        pass


def _ask(scu: Connection, scp: Connection, request: Request, context: int, data: Buffer | None) -> int:
    """Bring a request to the other side; return its message ID."""
    message_id = scu.send_request(request, context=context, data=data)
    carry(scu, scp)
    expect(scp, RequestReceived)
    _drain(scp)
    return message_id


def _pair(
    make_request: Callable[[], Request],
    make_response: Callable[[int], Response],
    context: int,
    data: Buffer | None,
    scale: Scale,
) -> Sample:
    scu, scp = associate(_PDU_LENGTH)

    def turn() -> None:
        scp.send_response(make_response(_ask(scu, scp, make_request(), context, data)))
        carry(scp, scu)
        expect(scu, ResponseReceived)
        _drain(scu)

    return Sample(rate(turn, scale.seconds))


def echo(scale: Scale) -> Sample:
    """Ask and answer, both sides together."""
    return _pair(
        lambda: CEchoRQ(affected_sop_class_uid=samples.VERIFICATION),
        lambda message_id: CEchoRSP(message_id_being_responded_to=message_id, status=0x0000),
        1,
        None,
        scale,
    )


def store(scale: Scale) -> Sample:
    """Send a small object and answer, both sides together."""
    return _pair(
        samples.store_request,
        lambda message_id: CStoreRSP(
            affected_sop_class_uid=samples.CT_IMAGE,
            affected_sop_instance_uid=samples.CT_INSTANCE,
            message_id_being_responded_to=message_id,
            status=0x0000,
        ),
        3,
        _OBJECT,
        scale,
    )


def _query() -> tuple[Connection, Connection, Callable[[], list[Buffer]]]:
    """Return both sides of a query that has been asked, and what sends a match and returns it as it leaves."""
    scu, scp = associate(_PDU_LENGTH)
    message_id = _ask(scu, scp, CFindRQ(affected_sop_class_uid=samples.CT_IMAGE), 3, _IDENTIFIER)

    def answer() -> list[Buffer]:
        match = CFindRSP(
            affected_sop_class_uid=samples.CT_IMAGE, message_id_being_responded_to=message_id, status=0xFF00
        )
        scp.send_response(match, data=_IDENTIFIER)
        return scp.data_to_send(now=0.0)

    return scu, scp, answer


def send_matches(scale: Scale) -> Sample:
    """Send a match whose identifier is encoded already."""
    _, _, answer = _query()
    return Sample(rate(answer, scale.seconds))


def receive_matches(scale: Scale) -> Sample:
    """Receive a match and leave its identifier encoded."""
    scu, _, answer = _query()
    match = b"".join(answer())

    def turn() -> None:
        scu.receive_data(match, now=0.0)
        _drain(scu)

    return Sample(rate(turn, scale.seconds))


def send_data(scale: Scale) -> Sample:
    """Cut a data set into PDUs."""
    scu, _ = associate(_PDU_LENGTH)
    outgoing = scu.open_data(scu.send_request(samples.store_request(), context=3, data=STREAMED))
    piece = memoryview(bytes(_PDUS * (_PDU_LENGTH - 6)))

    def turn() -> None:
        outgoing.write(piece)
        scu.data_to_send(now=0.0)

    return Sample(rate(turn, scale.seconds, _PDUS))


def receive_data(scale: Scale) -> Sample:
    """Take in a data set, many PDUs at once."""
    scu, scp = associate(_PDU_LENGTH)
    outgoing = scu.open_data(scu.send_request(samples.store_request(), context=3, data=STREAMED))
    carry(scu, scp)
    expect(scp, RequestReceived)
    outgoing.write(bytes(_PDUS * (_PDU_LENGTH - 6) + 2))  # the end is kept back
    block = b"".join(scu.data_to_send(now=0.0))

    def turn() -> None:
        scp.receive_data(block, now=0.0)
        _drain(scp)

    return Sample(rate(turn, scale.seconds, _PDUS))


def workloads(scale: Scale) -> Iterator[Workload]:
    """Yield the workloads of single messages and PDUs."""
    for name, unit, run in (
        ("C-ECHO", "message pair", echo),
        ("C-STORE of 4 KiB", "message pair", store),
        ("C-FIND, a match is sent", "message", send_matches),
        ("C-FIND, a match is received", "message", receive_matches),
        (f"P-DATA-TF of {_PDU_LENGTH // KIB} KiB is sent", "PDU", send_data),
        (f"P-DATA-TF of {_PDU_LENGTH // KIB} KiB is received", "PDU", receive_data),
    ):
        yield Workload(name, unit, {OURS: partial(run, scale)})
