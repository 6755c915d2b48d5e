"""The drivers of docs/embedding.md do more than the page shows: they fail as they should, and cut no more than fits."""

from typing import Any

import pytest
from pydicom import Dataset

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.handlers import kinds as evt
from dicom_proto.limits import Limits
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_proto.sop_class import PatientRootQueryRetrieveInformationModelFind as Find
from dicom_proto.upper_layer.failures import AssociationRejected
from tests.test_docs import EMBEDDING, read

SCP = ("scp", 104)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The driver for programs, and the pipe in memory."""
    namespace: dict[str, Any] = {"__name__": "embedding"}
    for example in read(EMBEDDING):
        if "class Driver" in example.code or "class World" in example.code:
            example.run(str(EMBEDDING), namespace)
    return namespace


@pytest.fixture
def world(page: dict[str, Any]) -> Any:
    return page["World"](delay=20)


def entity() -> ApplicationEntity:
    ae = ApplicationEntity("AE")
    ae.acse_timeout = ae.dimse_timeout = 5_000
    ae.network_timeout = 60_000
    for sop_class in (Verification, CTImageStorage, Find):
        ae.add_requested_context(sop_class)
        ae.add_supported_context(sop_class)
    return ae


def names(events: list[Any]) -> list[str]:
    return [event.name.removeprefix("EVT_") for event in events]


NOTIFICATIONS = (
    evt.EVT_CONN_OPEN,
    evt.EVT_REQUESTED,
    evt.EVT_ACCEPTED,
    evt.EVT_ESTABLISHED,
    evt.EVT_REJECTED,
    evt.EVT_RELEASED,
    evt.EVT_ABORTED,
    evt.EVT_CONN_CLOSE,
)


def noting(events: list[Any]) -> list[Any]:
    return [(kind, events.append) for kind in NOTIFICATIONS]


def test_each_side_is_told_of_its_life_once(world: Any) -> None:
    near: list[Any] = []
    far: list[Any] = []
    world.listening[SCP] = entity(), noting(far)

    async def talk() -> None:
        scu = await world.connect(entity(), SCP, entity().offer("SCP"), noting(near))
        await scu.release()

    world.run(talk())
    assert names(near) == ["CONN_OPEN", "ACCEPTED", "ESTABLISHED", "RELEASED", "CONN_CLOSE"]
    assert names(far) == ["CONN_OPEN", "REQUESTED", "ACCEPTED", "ESTABLISHED", "RELEASED", "CONN_CLOSE"]
    assert world.ends == []


def test_rejection(world: Any) -> None:
    far: list[Any] = []
    scp = entity()
    scp.require_called_aet = True
    world.listening[SCP] = scp, noting(far)

    async def talk() -> None:
        with pytest.raises(AssociationRejected, match="called AE title not recognized"):
            await world.connect(entity(), SCP, entity().offer("OTHER"))

    world.run(talk())
    assert names(far) == ["CONN_OPEN", "REQUESTED", "REJECTED", "CONN_CLOSE"]


def test_nobody_listens(world: Any) -> None:
    async def talk() -> None:
        with pytest.raises(OSError, match="scp"):
            await world.connect(entity(), SCP, entity().offer("SCP"))

    world.run(talk())


def test_abort_while_a_handler_runs(world: Any, page: dict[str, Any]) -> None:
    far: list[Any] = []
    signal = page["Signal"]()
    scu: Any = None

    async def wait(_: Any) -> int:
        scu.abort()
        await signal
        return 0x0000

    world.listening[SCP] = entity(), [*noting(far), (evt.EVT_C_ECHO, wait)]

    async def talk() -> None:
        nonlocal scu
        scu = await world.connect(entity(), SCP, entity().offer("SCP"))
        assert await scu.send_c_echo() == Dataset()
        assert scu.is_aborted

    world.run(talk())
    assert names(far)[-2:] == ["ABORTED", "CONN_CLOSE"]
    signal.callback(None)  # what a handler returns afterwards goes nowhere
    assert world.ends == []


def match() -> Dataset:
    made = Dataset()
    made.QueryRetrieveLevel, made.PatientID = "PATIENT", "4711"
    return made


def plain(_: Any) -> Any:
    yield 0xFF00, match()


async def asynchronous(_: Any) -> Any:
    yield 0xFF00, match()


def listing(_: Any) -> Any:
    return [(0xFF00, match())]


async def awaited(_: Any) -> Any:
    return [(0xFF00, match())]


def failing(_: Any) -> Any:
    yield 0xFF00, match()
    raise ValueError("it cannot be found")


@pytest.mark.parametrize(
    ("handler", "last"),
    [(plain, 0x0000), (asynchronous, 0x0000), (listing, 0x0000), (awaited, 0x0000), (failing, 0xC311)],
)
def test_query_handlers_of_all_kinds(world: Any, handler: Any, last: int) -> None:
    world.listening[SCP] = entity(), [(evt.EVT_C_FIND, handler)]
    statuses = []

    async def talk() -> None:
        scu = await world.connect(entity(), SCP, entity().offer("SCP"))
        statuses.extend([status.Status async for status, _ in scu.send_c_find(match(), Find)])
        await scu.release()

    world.run(talk())
    assert statuses == [0xFF00, last]


def test_query_that_is_left_is_cancelled(world: Any, page: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page["End"], "room", 1000)
    ends = []

    def endless(event: Any) -> Any:
        try:
            while not event.is_cancelled:
                yield 0xFF00, match()
            yield 0xFE00, None
        finally:
            ends.append(event.is_cancelled)

    scp = entity()
    scp.limits = Limits(send_queue=10_000)
    world.listening[SCP] = scp, [(evt.EVT_C_FIND, endless)]

    async def talk() -> None:
        scu = await world.connect(entity(), SCP, entity().offer("SCP"))
        async for _ in scu.send_c_find(match(), Find):
            break
        await scu.release()
        assert scu.is_released

    world.run(talk())
    assert ends == [True]


def test_no_more_is_cut_than_fits_into_the_pipe(world: Any) -> None:
    world.listening[SCP] = entity(), [(evt.EVT_C_STORE, lambda _: 0x0000)]
    stored = StoredObject(
        sop_class_uid=CTImageStorage,
        sop_instance_uid="1.2.3",
        transfer_syntax=IMPLICIT_VR_LITTLE_ENDIAN,
        data=bytes.fromhex("e07f1000 80969800") + bytes(10_000_000),
    )
    written = []

    async def talk() -> None:
        scu = await world.connect(entity(), SCP, entity().offer("SCP"))
        write = scu.write

        def watch(data: bytes) -> None:
            written.append(len(data))
            write(data)

        scu.write = watch
        assert (await scu.send_c_store(stored)).Status == 0x0000
        await scu.release()

    world.run(talk())
    assert sum(written) > 10_000_000
    most = (1 << 16) + (1 << 17) + 12  # what fits, and the rest of a PDU
    assert max(written) <= most
    assert world.now >= 20 * 10_000_000 // most


@pytest.mark.parametrize("cut", [1, 1000])
def test_peer_that_vanishes(world: Any, cut: int) -> None:
    """The bytes of the SCP end somewhere in its answer."""
    near: list[Any] = []
    world.listening[SCP] = entity(), []

    async def talk() -> None:
        scu = await world.connect(entity(), SCP, entity().offer("SCP"), noting(near))
        scp = scu.other
        write = scp.write
        scp.write = lambda data: (write(data[:-cut]), write(b""))
        assert await scu.send_c_echo() == Dataset()

    world.run(talk())
    assert names(near)[-2:] == ["ABORTED", "CONN_CLOSE"]
