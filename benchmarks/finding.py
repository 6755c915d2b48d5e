"""C-FIND with many responses of 15 elements."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import product

from pydicom.uid import ExplicitVRLittleEndian

from benchmarks import dcmtk, ours
from benchmarks.files import Files, identifier
from benchmarks.jobs import Job, Pairs, Service, contest
from benchmarks.measure import Sample, Scale, Workload, rate
from benchmarks.peers import each_with_itself, has_dcmtk, pynetdicom
from dicom_proto.encoding.datasets import decode, encode

__all__ = ["DECODES", "ENCODES", "workloads"]

FEWER = 5  # where pydicom is at work
FEWEST = 10  # of those for who is slow
DECODES, ENCODES = "limit: pydicom decodes", "limit: pydicom encodes"


def _serving(scale: Scale, *, is_encoded: bool) -> AbstractContextManager[Service]:
    return nullcontext(Service(matches=scale.matches, is_encoded=is_encoded))


def _encode(scale: Scale) -> Sample:
    """Let pydicom encode identifiers, which is what it costs an SCP at least to send a Dataset."""
    match = identifier()
    return Sample(rate(lambda: encode(match, ExplicitVRLittleEndian), scale.seconds))


def _decode(scale: Scale) -> Sample:
    """Let pydicom decode identifiers, which is what it costs an SCU at least to receive a Dataset."""
    encoded = encode(identifier(), ExplicitVRLittleEndian)
    return Sample(rate(lambda: decode(encoded, ExplicitVRLittleEndian), scale.seconds))


def _with_findscu() -> Pairs:
    return [*product([dcmtk.findscu()], ours.SCPS)] if has_dcmtk() else []


def _findscu_with_pynetdicom() -> Pairs:
    return [(dcmtk.findscu(), scp) for _, scp in pynetdicom()] if has_dcmtk() else []


def workloads(scale: Scale, files: Files) -> Iterator[Workload]:
    """Yield the workloads of queries."""
    studies = partial(files.studies, scale.matches)
    job = Job(queries=scale.queries, matches=scale.matches)
    encoded = [*ours.PAIRS, *_with_findscu()]
    if has_dcmtk():
        scp = dcmtk.qrscp(studies)
        encoded += [(dcmtk.findscu(), scp), (ours.SCUS[0], scp)]  # which is the slower side, whoever asks

    def prepare() -> None:
        if has_dcmtk():
            dcmtk.index(studies())

    contestants = contest(encoded, lambda: job, 1, partial(_serving, scale, is_encoded=True))
    limit = {DECODES: partial(_decode, scale)}
    yield Workload("C-FIND, identifiers encoded before", "response", {**contestants, **limit}, prepare)
    decoded = [*each_with_itself(), *_with_findscu(), *_findscu_with_pynetdicom()]
    contestants = contest(decoded, lambda: job.fewer(FEWER), FEWEST, partial(_serving, scale, is_encoded=False))
    limit = {ENCODES: partial(_encode, scale)}
    yield Workload("C-FIND, identifiers as Dataset", "response", {**contestants, **limit})
