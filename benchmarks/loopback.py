"""The blocking adapter over loopback, SCU and SCP in processes of their own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks import limits, samples
from benchmarks.measure import OURS, Address, Sample, Scale, Workload, rate, serving
from benchmarks.peers import with_pynetdicom
from dicom_proto.dimse import DataChunk, RequestReceived
from dicom_proto.dimse.messages import CEchoRQ, CEchoRSP, CStoreRQ, CStoreRSP, Message
from dicom_proto.upper_layer import Policy, ReleaseRequested, build_offer
from dicom_transports.blocking import Server, Session, connect

__all__ = ["workloads"]

SMALLER = 8  # pynetdicom holds a big object several times in memory, so it gets one that is so many times smaller
PDU_LENGTH = 1 << 17


def answer(request: Message, message_id: int) -> CEchoRSP | CStoreRSP:
    """Return the response that says Success."""
    kind = CStoreRSP if isinstance(request, CStoreRQ) else CEchoRSP
    return kind(message_id_being_responded_to=message_id, status=0x0000)


def serve(session: Session) -> None:
    """Answer C-ECHO and C-STORE requests; what is to be stored is looked at and dropped."""
    request: Message | None = None
    for event in session:
        match event:
            case RequestReceived():
                request = event.request
                if not event.has_data:
                    session.send_response(answer(request, event.message_id))
            case DataChunk() if event.last and request is not None:
                session.send_response(answer(request, event.message_id))
            case ReleaseRequested():
                session.confirm_release()


@contextmanager
def server() -> Iterator[Address]:
    """Run a server that accepts verification and CT images."""
    implicit = samples.TRANSFER_SYNTAXES[0]
    policy = Policy(supported={samples.VERIFICATION: implicit, samples.CT_IMAGE: implicit})
    with Server(("127.0.0.1", 0), policy, serve) as running:
        yield running.address


def associate(address: Address) -> Session:
    """Request an association with two contexts: verification and CT images."""
    contexts = [(uid, samples.TRANSFER_SYNTAXES[0]) for uid in (samples.VERIFICATION, samples.CT_IMAGE)]
    return connect(address, build_offer("SCP", "SCU", contexts))


def send_echo(session: Session) -> None:
    """Send a C-ECHO request and wait for the response."""
    session.call(CEchoRQ(affected_sop_class_uid=samples.VERIFICATION), context=1)


def send_object(session: Session, data: memoryview) -> None:
    """Send a C-STORE request and wait for the response."""
    session.call(samples.store_request(), context=3, data=data)


def repeated(step: Callable[[Session], None], scale: Scale, units: float = 1.0) -> Sample:
    """Do something again and again on one association."""
    with serving(server) as peer, associate(peer.address) as session:
        measured = rate(lambda: step(session), scale.seconds, units)
        return Sample(measured, peer_growth=peer.growth())


def associations(scale: Scale) -> Sample:
    """Associate, send one C-ECHO request, release."""

    def turn() -> None:
        with associate(peer.address) as session:
            send_echo(session)
            session.release()

    with serving(server) as peer:
        return Sample(rate(turn, scale.seconds), peer_growth=peer.growth())


def objects(length: int, scale: Scale, units: float) -> Sample:
    """Send objects of so many bytes one after the other."""
    data = samples.constant_memory(length)
    return repeated(lambda session: send_object(session, data), scale, units)


def raw_objects(length: int, scale: Scale, units: float) -> Sample:
    """Send the same bytes with nothing but sockets."""
    return limits.raw_objects(samples.constant_memory(length), scale, units, PDU_LENGTH)


def workloads(scale: Scale) -> Iterator[Workload]:
    """Yield the workloads of the blocking adapter."""
    image, big = samples.IMAGE_BYTES, scale.big
    echoes = {OURS: partial(repeated, send_echo, scale), "limit: 80 bytes to and fro": partial(limits.ping_pong, scale)}
    images = {OURS: partial(objects, image, scale, 1.0), "limit: sendmsg": partial(raw_objects, image, scale, 1.0)}
    bigs = {OURS: partial(objects, big, scale, big), "limit: sendmsg": partial(raw_objects, big, scale, big)}
    dialogues = {OURS: partial(associations, scale), "limit: sockets": partial(limits.associations, scale)}
    if with_pynetdicom is not None:
        echoes["pynetdicom"] = partial(with_pynetdicom.echo, scale)
        images["pynetdicom"] = partial(with_pynetdicom.store, image, scale, 1.0)
        smaller = big // SMALLER
        bigs[f"pynetdicom, {smaller >> 20} MiB"] = partial(with_pynetdicom.store, smaller, scale, smaller)
        dialogues["pynetdicom"] = partial(with_pynetdicom.associations, scale)
    yield Workload("C-ECHO", "message pair", echoes)
    yield Workload(f"C-STORE of {image >> 10} KiB", "object", images)
    yield Workload(f"C-STORE of {big >> 20} MiB", "B", bigs)
    yield Workload("associate, C-ECHO, release", "association", dialogues)
