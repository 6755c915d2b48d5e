"""Group commits: several objects share what brings their names to disk, and none is answered before that."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import pytest
from pydicom import dcmread

from dicom_proto.errors import InvalidSettingError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.sinks import Sink
from dicom_transports._files.durability import Committer
from dicom_transports.blocking import evt
from dicom_transports.storage import GroupCommit, store_to
from tests.contract.adapters import WAIT, Running, make_ae
from tests.contract.entities import dial, serving
from tests.contract.storing import ct, files, scp, scu
from tests.contract.test_storage import Watched, beginning

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
AGES = 3600.0  # seconds: nothing here ends because so many have passed


class Flushes:
    """Stands for ``os.fsync``: counts, fails and waits as it is told."""

    def __init__(self) -> None:
        self.flushed: list[os.stat_result] = []
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()
        self.fail: Callable[[os.stat_result], None] = lambda _: None
        self._real = os.fsync
        self._busy = threading.Lock()
        self.were_apart = True

    def __call__(self, descriptor: int) -> None:
        what = os.fstat(descriptor)
        if not S_ISDIR(what.st_mode):
            self.fail(what)
            self.flushed.append(what)
            return
        self.were_apart &= self._busy.acquire(blocking=False)
        try:
            self.has_begun.set()
            assert self.may_end.wait(WAIT)
            self.fail(what)
            self._real(descriptor)
            self.flushed.append(what)
        finally:
            self._busy.release()

    def count(self, directory: Path) -> int:
        return [one.st_ino for one in self.flushed].count(directory.stat().st_ino)


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> Flushes:
    made = Flushes()
    monkeypatch.setattr(os, "fsync", made)
    return made


def failing(number: int) -> Callable[[os.stat_result], None]:
    def fail(_: os.stat_result) -> None:
        raise OSError(number, os.strerror(number))

    return fail


# --- who waits for whom -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"objects": 0}, {"objects": 1.5}, {"seconds": -1}, {"seconds": None}, {"seconds": float("inf")}]
)
def test_a_policy_that_is_none(settings: Any) -> None:
    with pytest.raises(InvalidSettingError):
        GroupCommit(**settings)


def test_who_is_alone_waits_for_nobody(tmp_path: Path, flushes: Flushes) -> None:
    committer = Committer(GroupCommit(objects=100, seconds=AGES))
    for member in range(3):
        committer.expect(member)
        committer.sync(member, [tmp_path])
    assert flushes.count(tmp_path) == 3


def test_so_many_objects_are_enough(tmp_path: Path, flushes: Flushes) -> None:
    committer = Committer(GroupCommit(objects=4, seconds=AGES))
    for member in range(5):  # the last one never comes
        committer.expect(member)
    for running in [Running(committer.sync, member, [tmp_path]) for member in range(4)]:
        running.result()
    assert flushes.count(tmp_path) == 1


@pytest.mark.parametrize("seconds", [0, 0.001])
def test_after_so_many_seconds_it_is_enough(tmp_path: Path, flushes: Flushes, seconds: float) -> None:
    committer = Committer(GroupCommit(objects=100, seconds=seconds))
    for member in range(2):
        committer.expect(member)
    committer.sync(0, [tmp_path])
    assert flushes.count(tmp_path) == 1


def test_nobody_waits_for_an_object_that_does_not_come(tmp_path: Path, flushes: Flushes) -> None:
    committer = Committer(GroupCommit(objects=100, seconds=AGES))
    for member in range(3):
        committer.expect(member)
    waiting = [Running(committer.sync, member, [tmp_path]) for member in range(2)]
    committer.forget(2)
    committer.forget(2)
    for running in waiting:
        running.result()
    assert flushes.count(tmp_path) in {1, 2}  # the other one may have come too late to be one of two


def test_groups_are_flushed_one_after_the_other(tmp_path: Path, flushes: Flushes) -> None:
    committer = Committer(GroupCommit(objects=4, seconds=AGES))
    for member in range(9):
        committer.expect(member)
    flushes.may_end.clear()
    first = [Running(committer.sync, member, [tmp_path]) for member in range(4)]
    assert flushes.has_begun.wait(WAIT)
    second = [Running(committer.sync, member, [tmp_path, tmp_path.parent]) for member in range(4, 8)]
    flushes.may_end.set()
    for running in first + second:
        running.result()
    assert flushes.count(tmp_path) == 2
    assert flushes.count(tmp_path.parent) == 1
    assert flushes.were_apart


def test_a_flush_that_fails_fails_all_that_it_served(tmp_path: Path, flushes: Flushes) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    committer = Committer(GroupCommit(objects=4, seconds=AGES))
    for member in range(5):
        committer.expect(member)

    def fail(what: os.stat_result) -> None:
        if what.st_ino == bad.stat().st_ino:
            raise OSError(errno.EIO, "Input/output error")

    flushes.fail = fail
    wanted = [[good], [good, bad], [bad], [good]]
    running = [Running(committer.sync, member, directories) for member, directories in enumerate(wanted)]
    for one, directories in zip(running, wanted, strict=True):
        if bad in directories:
            with pytest.raises(OSError, match="Input/output error") as caught:
                one.result()
            assert caught.value.errno == errno.EIO
        else:
            one.result()
    flushes.fail = lambda _: None
    committer.forget(4)
    committer.sync(5, [bad])


def test_who_is_interrupted_while_it_flushes_for_all_leaves_nobody_waiting(tmp_path: Path, flushes: Flushes) -> None:
    committer = Committer(GroupCommit(objects=3, seconds=AGES))
    for member in range(4):
        committer.expect(member)

    def fail(_: os.stat_result) -> None:
        raise KeyboardInterrupt

    flushes.fail = fail
    outcomes: list[type[BaseException]] = []
    for running in [Running(committer.sync, member, [tmp_path]) for member in range(3)]:
        with pytest.raises((KeyboardInterrupt, InterruptedError)) as caught:
            running.result()
        outcomes.append(caught.type)
    assert sorted(kind.__name__ for kind in outcomes) == ["InterruptedError", "InterruptedError", "KeyboardInterrupt"]


# --- over loopback ----------------------------------------------------------------------------------------------------


class Together(Sink):
    """Another sink, whose objects wait for each other before they end: so many are being received at a time."""

    def __init__(self, sink: Sink, count: int) -> None:
        self._sink = sink
        self._barrier = threading.Barrier(count, timeout=WAIT)

    def open(self, event: RequestEvent) -> Any:
        return _Together(self._sink.open(event), self._barrier)


class _Together:
    def __init__(self, receiving: Any, barrier: threading.Barrier) -> None:
        self._receiving = receiving
        self._barrier = barrier
        self.write, self.discard = receiving.write, receiving.discard

    def finish(self) -> Any:
        self._barrier.wait()
        return self._receiving.finish()


def grouping(directory: Path, count: int, name: str = "{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}") -> Sink:
    return Together(store_to(directory, name, durability=GroupCommit(objects=count, seconds=AGES)), count)


def sent_side_by_side(sink: Sink, count: int) -> list[int]:
    """The statuses of so many objects, each from a sender of its own."""
    with serving((evt.EVT_C_STORE, sink), ae=scp()) as server:
        associations = [dial(server, ae=scu()) for _ in range(count)]
        sending = [Running(one.send_c_store, ct(number)) for number, one in enumerate(associations)]
        statuses = [running.result().Status for running in sending]
        for association in associations:
            assert association.is_established
            association.release()
    return statuses


@pytest.mark.usefixtures("adapter")
def test_senders_share_flushes(tmp_path: Path, flushes: Flushes) -> None:
    assert sent_side_by_side(grouping(tmp_path, 4), 4) == [SUCCESS] * 4
    assert files(tmp_path) == [f"P1/1.9/1.2.3.{number}" for number in range(4)]
    for directory in (tmp_path, tmp_path / "P1", tmp_path / "P1" / "1.9"):
        assert flushes.count(directory) == 1
    assert len(flushes.flushed) == 4 + 3  # each object's own, and each directory once


@pytest.mark.usefixtures("adapter")
def test_operations_of_one_association_share_flushes(tmp_path: Path, flushes: Flushes) -> None:
    acceptor = scp()
    acceptor.maximum_operations_performed = 4
    with serving((evt.EVT_C_STORE, grouping(tmp_path, 4, "{SOPInstanceUID}")), ae=acceptor) as server:
        sent = make_ae("SENDER").send_c_stores(*server.address, [ct(number) for number in range(8)], window=4)
        assert [status.Status for _, status in sent] == [SUCCESS] * 8
    assert flushes.count(tmp_path) == 2
    assert len(flushes.flushed) == 8 + 2


@pytest.mark.usefixtures("adapter")
def test_none_is_answered_before_its_name_is_on_disk(tmp_path: Path, flushes: Flushes) -> None:
    flushes.may_end.clear()
    answered: list[int] = []
    sink = grouping(tmp_path, 2, "{SOPInstanceUID}")
    with serving((evt.EVT_C_STORE, sink), ae=scp()) as server:
        associations = [dial(server, ae=scu()) for _ in range(2)]

        def send(number: int) -> None:
            answered.append(associations[number].send_c_store(ct(number)).Status)

        sending = [Running(send, number) for number in range(2)]
        assert flushes.has_begun.wait(WAIT)
        assert files(tmp_path) == ["1.2.3.0", "1.2.3.1"]  # both have their names, and wait for the same flush
        assert answered == []
        flushes.may_end.set()
        for running in sending:
            running.result()
        for association in associations:
            association.release()
    assert answered == [SUCCESS, SUCCESS]
    assert flushes.count(tmp_path) == 1


@pytest.mark.usefixtures("adapter")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_flush_that_fails_costs_all_objects_that_it_served(tmp_path: Path, flushes: Flushes, number: int) -> None:
    sink = grouping(tmp_path, 3, "{SOPInstanceUID}")
    of_directories = failing(number)
    flushes.fail = lambda what: of_directories(what) if what.st_ino == tmp_path.stat().st_ino else None
    assert sent_side_by_side(sink, 3) == [OUT_OF_RESOURCES] * 3
    assert [dcmread(tmp_path / name).PatientID for name in files(tmp_path)] == ["P1"] * 3  # whole, and to be replaced
    flushes.fail = lambda _: None
    assert sent_side_by_side(sink, 3) == [SUCCESS] * 3
    assert len(files(tmp_path)) == 3


@pytest.mark.usefixtures("adapter")
def test_an_object_that_cannot_be_brought_to_disk_has_no_name_and_holds_up_nobody(
    tmp_path: Path, flushes: Flushes
) -> None:
    is_first = threading.Lock()

    def fail(what: os.stat_result) -> None:
        if what.st_ino != tmp_path.stat().st_ino and is_first.acquire(blocking=False):
            raise OSError(errno.ENOSPC, "No space left on device")

    flushes.fail = fail
    assert sorted(sent_side_by_side(grouping(tmp_path, 3, "{SOPInstanceUID}"), 3)) == [SUCCESS] * 2 + [OUT_OF_RESOURCES]
    assert len(files(tmp_path)) == 2


@pytest.mark.usefixtures("adapter")
def test_nobody_waits_for_a_sender_that_is_lost(tmp_path: Path) -> None:
    sink = Watched(store_to(tmp_path, "{SOPInstanceUID}", durability=GroupCommit(seconds=AGES)))
    with serving((evt.EVT_C_STORE, sink), ae=scp()) as server, beginning(server.address) as peer:
        sink.has_begun.wait()
        with dial(server, ae=scu()) as association:
            sending = Running(association.send_c_store, ct(2))
            peer.vanish()
            assert sending.result().Status == SUCCESS
    assert files(tmp_path) == ["1.2.3.2"]


@pytest.mark.usefixtures("adapter")
@pytest.mark.parametrize(("duplicates", "count"), [("replace", 1), ("ignore", 1), ("keep", 3)])
def test_the_same_object_from_several_senders(tmp_path: Path, duplicates: Any, count: int) -> None:
    sink = Together(store_to(tmp_path, "{PatientID}", durability=GroupCommit(), duplicates=duplicates), 3)
    assert sent_side_by_side(sink, 3) == [SUCCESS] * 3
    assert len(files(tmp_path)) == count
    assert {dcmread(tmp_path / name).PatientID for name in files(tmp_path)} == {"P1"}


@pytest.mark.usefixtures("adapter")
def test_one_sender_alone_is_served_as_fast_as_it_sends(tmp_path: Path, flushes: Flushes) -> None:
    sink = store_to(tmp_path, "{SOPInstanceUID}", durability=GroupCommit(seconds=AGES))
    with serving((evt.EVT_C_STORE, sink), ae=scp()) as server, dial(server, ae=scu()) as association:
        for number in range(3):
            assert association.send_c_store(ct(number)).Status == SUCCESS
    assert flushes.count(tmp_path) == 3


def test_a_new_directory_is_brought_to_disk_with_those_on_the_way(tmp_path: Path, flushes: Flushes) -> None:
    store_to(tmp_path / "new" / "archive")
    assert (flushes.count(tmp_path), flushes.count(tmp_path / "new")) == (1, 1)
    store_to(tmp_path / "new" / "archive")
    store_to(tmp_path / "another", durability="none")
    assert len(flushes.flushed) == 2
