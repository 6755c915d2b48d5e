"""What an association leaves in memory: nothing, without the help of the garbage collector."""

import gc
import logging
import os
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.encoding.datasets import file_preamble_and_meta
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.sop_class import CTImageStorage
from dicom_transports.blocking import Association, evt
from tests.contract.adapters import assert_no_associations
from tests.contract.entities import FIND, ct, dataset, dial, serving, statuses

pytestmark = pytest.mark.usefixtures("adapter")
OURS = ("dicom_proto", "dicom_transports", __name__)


class NoRoomError(Exception):
    """What a handler raises."""


def release(association: Association) -> None:
    association.release()


def abort(association: Association) -> None:
    association.abort()


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # what is there already is not of this test
    gc.disable()
    logging.disable()  # what is logged would keep what was raised
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()
        gc.unfreeze()


def in_cycles() -> list[str]:
    """The types of ours that only the garbage collector finds."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return sorted(type(one).__qualname__ for one in gc.garbage if type(one).__module__.startswith(OURS))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def assert_gone(refs: list[weakref.ref[Any]]) -> None:
    """Wait until nobody holds these any more: a thread may be about to leave what it has done."""
    for _ in range(400):
        if all(ref() is None for ref in refs):
            return
        threading.Event().wait(0.005)
    raise AssertionError([ref() for ref in refs if ref() is not None])


@pytest.mark.parametrize("end", [release, abort])
def test_what_a_handler_has_raised_holds_nothing(end: Callable[[Association], None]) -> None:
    """The frames of its traceback are those that have called the handler: they must not hold it (in both roles)."""
    raised: list[weakref.ref[Any]] = []

    def refuse(event: Any) -> int:
        error = NoRoomError()
        raised.append(weakref.ref(error))
        raised.append(weakref.ref(event))
        try:
            raise error
        finally:
            del error

    def find(event: Any) -> Iterator[Any]:
        yield 0xFF00, event.identifier
        refuse(event)

    def done(event: Any) -> None:
        refuse(event)

    handlers = [(evt.EVT_C_STORE, refuse), (evt.EVT_C_FIND, find), (evt.EVT_C_ECHO, refuse), (evt.EVT_RELEASED, done)]
    with without_collector(), serving(*handlers) as server:
        association = dial(server, (evt.EVT_RELEASED, done))
        assert association.send_c_store(ct()).Status == 0xC211
        assert statuses(association.send_c_find(dataset(PatientID="*"), FIND)) == [0xFF00, 0xC311]
        association.send_c_echo()
        end(association)
        refs = [*raised, weakref.ref(association)]
        del association
        assert_no_associations()
        assert len(raised) >= 6
        assert_gone(refs)
        assert in_cycles() == []


def resident() -> int:
    """How many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="a system that does not tell")
def test_a_large_object_leaves_nothing_with_associations_that_rest() -> None:
    """A plain handler has had it, and its thread has a heap of its own, which would keep it."""
    size, seen = 24 << 20, []
    content = file_preamble_and_meta(CTImageStorage, "1.2.3", IMPLICIT_VR_LITTLE_ENDIAN)
    content += struct.pack("<HHL", 0x7FE0, 0x10, size) + bytes(size)

    def store(event: Any) -> int:
        seen.append(event.message_id)
        return 0

    with serving((evt.EVT_C_STORE, store)) as server:
        with dial(server) as first:  # what is needed once is there
            assert first.send_c_store(content).Status == 0
        gc.collect()
        before = resident()
        associations = [dial(server) for _ in range(3)]
        for association in associations:
            assert association.send_c_store(content).Status == 0
        assert resident() - before < size // 2
        for association in associations:
            association.release()
    assert seen == [1] * 4
