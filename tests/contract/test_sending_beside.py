"""Many objects: the next one is ready while an answer is awaited, and several associations share them."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.encoding.datasets import encode
from dicom_proto.errors import InvalidSettingError
from dicom_proto.sop_class import PatientRootQueryRetrieveInformationModelMove
from dicom_transports.blocking import AssociationServer, evt
from tests.contract import test_sending
from tests.contract.adapters import WAIT, make_ae
from tests.contract.entities import Happened, dataset, dial, serving
from tests.contract.test_sending import (
    EXPLICIT,
    LONG,
    SUCCESS,
    Store,
    content,
    image,
    outcome,
    scp,
    write,
)

MANY = 4


store, server = test_sending.store, test_sending.server


# --- side by side -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("adapter")
def test_associations_share_a_batch(store: Store, tmp_path: Path) -> None:
    together = threading.Barrier(MANY, timeout=WAIT)
    first: list[int] = []

    def take(event: Any) -> int:
        if len(first) < MANY:  # as many as there are associations are being stored at the same time
            first.append(1)
            together.wait()
        return store(event)

    seen: list[int] = []
    items = [write(tmp_path, number, LONG if number % 3 else 0) for number in range(20)]
    with serving((evt.EVT_C_STORE, take), ae=scp()) as server:
        results = list(
            make_ae().send_c_stores(
                *server.address, items, associations=MANY, on_progress=lambda objects, _: seen.append(objects)
            )
        )
    assert [items[sent.position] for sent in results] == [item for item, _ in results]
    assert sorted(item for item, _ in results) == sorted(items)
    assert outcome(results) == [SUCCESS] * 20
    assert sorted(store.data) == sorted(encode(image(n, LONG if n % 3 else 0), EXPLICIT) for n in range(20))
    assert len(store.associations) == MANY
    assert seen == list(range(1, 21))


@pytest.mark.usefixtures("adapter")
def test_a_server_that_takes_fewer_gets_fewer(store: Store) -> None:
    ae = scp()
    ae.maximum_associations = 2
    with serving((evt.EVT_C_STORE, store), ae=ae) as server:
        sent = make_ae().send_c_stores(*server.address, map(image, range(12)), associations=MANY, retries=0)
        assert outcome(sent) == [SUCCESS] * 12
    assert 1 <= len(store.associations) <= 2


@pytest.mark.usefixtures("adapter")
def test_a_server_that_is_full_is_asked_again(store: Store) -> None:
    """What it rejects for this reason is no attempt: `retries` is 0."""
    ae = scp()
    ae.maximum_associations = 1
    rejected = Happened()
    with serving((evt.EVT_C_STORE, store), ae=ae) as server:
        scu = make_ae()
        scu.add_requested_context("1.2.840.10008.5.1.4.1.1.2")
        first = dial(server, ae=scu)

        def leave() -> None:
            rejected.wait("REJECTED")
            first.release()

        leaving = threading.Thread(target=leave)
        leaving.start()
        sent = scu.send_c_stores(
            *server.address,
            [image(1), image(2)],
            retries=0,
            retry_delay=0.05,
            associations=2,
            evt_handlers=[(evt.EVT_REJECTED, rejected)],
        )
        assert outcome(sent) == [SUCCESS] * 2
        leaving.join(WAIT)


def test_what_one_association_loses_is_sent_again(server: AssociationServer, store: Store, tmp_path: Path) -> None:
    store.aborts = ["1.2.3.1", "1.2.3.3", "1.2.3.3"]
    items = [write(tmp_path, number, LONG) for number in range(9)]
    results = list(make_ae().send_c_stores(*server.address, items, retry_delay=0.01, associations=3))
    assert outcome(results) == [SUCCESS] * 9
    assert sorted(store.uids) == [f"1.2.3.{number}" for number in range(9)]


def test_who_stops_asking_aborts_all(server: AssociationServer) -> None:
    aborted = Happened()
    server.bind(evt.EVT_ABORTED, aborted)
    results = make_ae().send_c_stores(*server.address, map(image, range(100)), associations=2)
    next(iter(results))
    results.close()  # type: ignore[attr-defined]
    aborted.wait("ABORTED")
    assert list(results) == []


def test_as_many_as_there_can_be(server: AssociationServer) -> None:
    with pytest.raises(InvalidSettingError, match="from 1 to 64"):
        make_ae().send_c_stores(*server.address, [image()], associations=65)


# --- ahead ------------------------------------------------------------------------------------------------------------


class Held:
    """A handler that lets objects wait, and says when one has arrived."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.arrived = threading.Semaphore(0)
        self.may_answer = threading.Semaphore(0)

    def __call__(self, event: Any) -> int:
        self.data.append(event.encoded_dataset(include_meta=False))
        self.arrived.release()
        assert self.may_answer.acquire(timeout=WAIT)
        return SUCCESS


def _rewritten(directory: Path, asked: list[int]) -> Iterator[Path]:
    """One file that is written anew for each object."""
    path = directory / "same.dcm"
    for number in range(4):
        asked.append(number)
        path.write_bytes(content(image(number, LONG + 2 * number)))
        yield path
    path.unlink()


def test_a_generator_may_write_the_same_file_again(server: AssociationServer, store: Store, tmp_path: Path) -> None:
    ae = make_ae()
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.2", EXPLICIT)
    with dial(server, ae=ae) as association:
        results = list(association.send_c_stores(_rewritten(tmp_path, [])))
    assert [sent.position for sent in results] == [0, 1, 2, 3]
    assert store.data == [encode(image(n, LONG + 2 * n), EXPLICIT) for n in range(4)]


@pytest.mark.usefixtures("adapter")
def test_the_next_is_asked_for_while_an_answer_is_awaited_and_abort_is_at_once(tmp_path: Path) -> None:
    held, asked = Held(), []  # type: ignore[var-annotated]
    more = threading.Semaphore(0)
    ae = make_ae()
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.2", EXPLICIT)

    def items() -> Iterator[Path]:
        for path in _rewritten(tmp_path, asked):
            more.release()
            yield path

    with serving((evt.EVT_C_STORE, held), ae=scp()) as server:
        association = dial(server, ae=ae)
        results: list[Any] = []
        sending = threading.Thread(target=lambda: results.extend(association.send_c_stores(items())))
        sending.start()
        assert held.arrived.acquire(timeout=WAIT)
        assert more.acquire(timeout=WAIT)
        assert more.acquire(timeout=WAIT)  # the second one, and nothing was answered
        assert asked == [0, 1]
        association.abort()
        sending.join(WAIT)
        assert not sending.is_alive()
        held.may_answer.release()
    assert [(sent.position, sent.status.was_begun) for sent in results[:2]] == [(0, True), (1, False)]


# --- what a handler yields --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("adapter")
def test_a_retrieval_goes_over_several_associations_and_its_handler_may_remove_files(
    store: Store, tmp_path: Path
) -> None:
    together = threading.Barrier(2, timeout=WAIT)
    first: list[int] = []

    def take(event: Any) -> int:
        if len(first) < 2:  # two objects are being stored at the same time
            first.append(1)
            together.wait()
        return store(event)

    def move(_: Any) -> Iterator[Any]:
        yield (*destination.address, {"associations": 2})
        yield 8
        for number in range(8):
            path = tmp_path / "same.dcm"
            path.write_bytes(content(image(number, LONG + 2 * number)))
            yield 0xFF00, path
            path.unlink()

    archive = make_ae("ARCHIVE")
    archive.add_supported_context(PatientRootQueryRetrieveInformationModelMove)
    scu = make_ae("SCU")
    scu.add_requested_context(PatientRootQueryRetrieveInformationModelMove)
    with (
        serving((evt.EVT_C_STORE, take), ae=scp()) as destination,
        serving((evt.EVT_C_MOVE, move), ae=archive) as server,
    ):
        association = dial(server, ae=scu)
        said = list(
            association.send_c_move(dataset(PatientID="1"), "STORE", PatientRootQueryRetrieveInformationModelMove)
        )
        association.release()
    assert [status.Status for status, _ in said] == [0xFF00] * 8 + [SUCCESS]
    assert said[-1][0].NumberOfCompletedSuboperations == 8
    assert sorted(store.data) == sorted(encode(image(n, LONG + 2 * n), EXPLICIT) for n in range(8))
    assert len(store.associations) == 2
