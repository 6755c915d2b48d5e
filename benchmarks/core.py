"""Two cores joined in memory, with no adapter between them."""

from collections.abc import Iterator
from functools import partial

from benchmarks import limits, samples
from benchmarks.measure import OURS, Sample, Scale, Workload, rate, timed
from dicom_proto.buffers import Buffer
from dicom_proto.dimse import STREAMED, Connection, DataChunk
from dicom_proto.upper_layer import AssociateAccepted, AssociateRequested, Released, ReleaseRequested, build_offer
from dicom_proto.upper_layer.negotiation import LocalSide
from dicom_proto.upper_layer.pdu import AAssociateRQ

__all__ = ["workloads"]

KIB = 1 << 10
_SMALLER = 4  # is the big object


def carry(source: Connection, target: Connection) -> None:
    """Carry what a machine has to send to another."""
    target.receive_data(b"".join(source.data_to_send(now=0.0)), now=0.0)


def expect(machine: Connection, kind: type) -> None:
    """Take the next event, which is of a certain kind."""
    event = machine.next_event()
    if not isinstance(event, kind):
        raise TypeError(f"{event!r} instead of {kind.__name__}")


def make_offer(maximum_length: int) -> AAssociateRQ:
    """Return an offer of two contexts: verification and CT images."""
    contexts = [(uid, samples.TRANSFER_SYNTAXES[0]) for uid in (samples.VERIFICATION, samples.CT_IMAGE)]
    return build_offer("SCP", "SCU", contexts, local=LocalSide(maximum_length=maximum_length))


def associate(maximum_length: int) -> tuple[Connection, Connection]:
    """Return requestor and acceptor of an established association."""
    offer = make_offer(maximum_length)
    scu, scp = Connection(), Connection()
    scu.request(offer)
    scu.connection_made(now=0.0)
    scp.connection_made(now=0.0)
    carry(scu, scp)
    expect(scp, AssociateRequested)
    scp.accept(samples.accepting(offer, maximum_length))
    carry(scp, scu)
    expect(scu, AssociateAccepted)
    return scu, scp


def release(scu: Connection, scp: Connection) -> None:
    """Release an association."""
    scu.release()
    carry(scu, scp)
    expect(scp, ReleaseRequested)
    scp.confirm_release()
    carry(scp, scu)
    expect(scu, Released)


def associations(scale: Scale) -> Sample:
    """Associate and release."""
    return Sample(rate(lambda: release(*associate(1 << 14)), scale.seconds))


def send_data(scu: Connection, total: int) -> Iterator[list[Buffer]]:
    """Send one big object in pieces; yield what leaves, 256 KiB at a time."""
    piece = memoryview(bytes(256 * KIB))
    outgoing = scu.open_data(scu.send_request(samples.store_request(), context=3, data=STREAMED))
    for _ in range(total // len(piece)):
        outgoing.write(piece)
        while outgoing.write_room < len(piece):
            yield scu.data_to_send(len(piece), now=0.0)
    outgoing.finish()
    while buffers := scu.data_to_send(len(piece), now=0.0):
        yield buffers


def receive_data(scp: Connection, wire: memoryview, block: int) -> int:
    """Receive in blocks; return how many bytes of data sets there were."""
    received = 0
    for start in range(0, len(wire), block):
        scp.receive_data(wire[start : start + block], now=0.0)
        while (event := scp.next_event()) is not None:
            if isinstance(event, DataChunk):
                received += len(event.data)
    return received


def through(total: int, maximum_length: int, block: int) -> Sample:
    """Send one big object from a core to another; joining what leaves to blocks stands for the network."""
    scu, scp = associate(maximum_length)
    received = 0

    def transfer() -> None:
        nonlocal received
        for buffers in send_data(scu, total):
            received += receive_data(scp, memoryview(b"".join(buffers)), block)

    took = timed(transfer)
    if received != total:
        raise RuntimeError(f"{received} bytes arrived of {total}")
    return Sample(total / took)


def workloads(scale: Scale) -> Iterator[Workload]:
    """Yield the workloads of the core."""
    total = scale.big // _SMALLER
    for maximum_length in (16 * KIB, 128 * KIB):
        for block in (64 * KIB, 256 * KIB):
            yield Workload(
                f"data set, PDUs of {maximum_length // KIB} KiB in blocks of {block // KIB} KiB",
                "B",
                {
                    OURS: partial(through, total, maximum_length, block),
                    "limit: copy": partial(limits.copy_blocks, total, block),
                    "limit: plain loop": partial(limits.frame_and_parse, total, maximum_length, block),
                },
            )
    yield Workload("associate and release", "association", {OURS: partial(associations, scale)})
