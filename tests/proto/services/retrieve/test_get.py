"""C-GET in both roles."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.multival import MultiValue

from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.messages import CGetRQ, CStoreRQ, CStoreRSP, Priority
from dicom_proto.encoding.datasets import encode
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.kinds import EVT_C_GET
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call, Drain, Pull, Receive
from dicom_proto.programs.peer import Peer
from dicom_proto.services.retrieve.get import get_scu, without_bulk_data
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from dicom_proto.upper_layer.items import RoleSelection
from tests.proto.programs.script import (
    CANCEL,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MR,
    PENDING,
    STUDY_GET,
    Said,
    Scene,
    Task,
    connected,
    data_set,
    dataset_of,
    decoded,
    offer_of,
    statuses,
    unencodable,
)
from tests.proto.rows import for_each
from tests.proto.wire import sent

IDENTIFIER = data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2")
WITHOUT_BULK_DATA = "1.2.840.10008.5.1.4.1.2.5.3"
BOTH_ROLES = [RoleSelection(CT, scu=False, scp=True)]
ABORTED = AssociationAborted(AbortOrigin.PEER_USER, 0, None)


def request(priority: int = Priority.HIGH) -> CGetRQ:
    return CGetRQ(affected_sop_class_uid=STUDY_GET, priority=priority)


def image(number: int = 1, sop_class: str = CT) -> Dataset:
    return dataset_of(SOPClassUID=sop_class, SOPInstanceUID=f"1.2.{number}", PatientID="1")


class Getting(Scene):
    """A requestor that gets, and answers the C-STOREs one by one."""

    def __init__(self, *handler: Any, offer: Any = None, answers: Any = (), **how: Any) -> None:
        bindings = [(EVT_C_GET, *handler)] if handler else []
        super().__init__(bindings=bindings, offer=offer or offer_of(STUDY_GET, CT, roles=BOTH_ROLES), **how)
        self.answers: Iterator[int] = iter(answers)
        self.stored: list[CStoreRQ] = []
        self.before_store: Callable[[], None] = lambda: None

    def get(self, identifier: bytes = IDENTIFIER, **how: Any) -> list[Said]:
        """Get; return what was said about that."""
        task = Task(self.peer, self.script(self.arrive(request(**how), identifier)).program)
        said: list[Said] = []
        while not task.is_done:
            moved = task.advance()
            moved = self.carry() or moved
            moved = self.answer(said) or moved
            assert moved or task.is_done
        if task.error is not None:
            raise task.error
        self.carry()
        self.answer(said)
        return said

    def answer(self, said: list[Said]) -> bool:
        moved = False
        while (event := self.requestor.next_event()) is not None:
            moved = True
            match event:
                case RequestReceived():
                    assert isinstance(event.request, CStoreRQ)
                    self.stored.append(event.request)
                case DataChunk(invoked=False, last=True):
                    self.before_store()
                    response = CStoreRSP(message_id_being_responded_to=event.message_id, status=next(self.answers, 0))
                    self.requestor.send_response(response)
                case ResponseReceived():
                    said.append((event.response, None))
                case DataChunk(invoked=True):
                    said[-1] = (said[-1][0], bytes(event.data))
        return moved


def counters(said: Said) -> tuple[int | None, ...]:
    response: Any = said[0]
    return (
        response.number_of_remaining_suboperations,
        response.number_of_completed_suboperations,
        response.number_of_failed_suboperations,
        response.number_of_warning_suboperations,
    )


def failed_uids(said: Said) -> list[str]:
    uids = decoded(said[1]).FailedSOPInstanceUIDList
    return list(uids) if isinstance(uids, MultiValue) else [uids] if uids else []


def yields(*items: Any, count: Any = None) -> Callable[[Any], Iterator[Any]]:
    def handler(_: Any) -> Iterator[Any]:
        yield len(items) if count is None else count
        yield from items

    return handler


# --- SCU --------------------------------------------------------------------------------------------------------------


def test_scu_sends_the_identifier() -> None:
    one, other = connected(offer_of(CT, (STUDY_GET, EXPLICIT)))
    identifier = dataset_of(PatientID="1")
    invoking = get_scu(Peer(one, Handlers()), identifier, STUDY_GET, message_id=5, priority=Priority.HIGH)
    other.receive_data(sent(one), now=0)
    received, chunk = other.next_event(), other.next_event()
    assert isinstance(received, RequestReceived)
    assert isinstance(chunk, DataChunk)
    assert received.request == CGetRQ(message_id=5, affected_sop_class_uid=STUDY_GET, priority=Priority.HIGH)
    assert decoded(bytes(chunk.data), EXPLICIT) == identifier
    assert invoking.inbox.key == (5, True)
    with pytest.raises(LocalProtocolError):
        get_scu(Peer(one, Handlers()), identifier, "1.2.3")
    with pytest.raises(LocalProtocolError):
        get_scu(Peer(one, Handlers()), unencodable(), STUDY_GET)


# --- SCP, step by step ------------------------------------------------------------------------------------------------


def test_scp_effects() -> None:
    here = Getting(lambda _: ())
    script = here.ask(request(), IDENTIFIER)
    script.expect(Receive)
    call = script.expect(Call, here.peer.event((1, False)))
    assert call.arguments[0].identifier == decoded(IDENTIFIER)
    items = iter(())
    assert script.expect(Pull, items).iterator is items
    script.expect(Pull, 1)
    read = script.expect(Call, (PENDING, image()))
    assert (read.function(*read.arguments), read.is_quick) == (image(), True)
    store = script.expect(Receive, image())
    assert store.inbox.key == (1, True)
    response = CStoreRSP(message_id_being_responded_to=1, status=0)
    script.expect(Drain, ResponseReceived(message_id=1, context_id=3, response=response, has_data=False))
    script.expect(Pull)
    script.fail_at_last(ValueError())  # after the last object it makes no difference


@for_each("reached", range(1, 8))
def test_scp_at_the_end_of_the_association(reached: int) -> None:
    here = Getting(lambda _: ())
    script = here.ask(request(), IDENTIFIER)
    response = CStoreRSP(message_id_being_responded_to=1, status=0)
    steps = [
        (Receive, None),
        (Call, here.peer.event((1, False))),
        (Pull, iter(())),
        (Pull, 2),
        (Call, (PENDING, image())),
        (Receive, image()),
        (Drain, ResponseReceived(message_id=1, context_id=3, response=response, has_data=False)),
    ]
    for kind, result in steps[:reached]:
        script.expect(kind, result)
    here.acceptor.abort()
    with pytest.raises((AssociationAborted, LocalProtocolError)):
        script.fail_at_last(ABORTED)
    assert here.peer.router.find((1, False)) is None


# --- SCP, the whole of it ---------------------------------------------------------------------------------------------


def test_everything_is_stored_with_the_priority_of_the_parent() -> None:
    here = Getting(yields((PENDING, image(1)), (PENDING, image(2))))
    said = here.get()
    assert statuses(said) == [PENDING, PENDING, 0x0000]
    assert [counters(one) for one in said] == [(1, 1, 0, 0), (0, 2, 0, 0), (None, 2, 0, 0)]
    assert [data for _, data in said] == [None, None, None]
    assert [(store.affected_sop_instance_uid, store.priority) for store in here.stored] == [("1.2.1", 1), ("1.2.2", 1)]
    assert {store.move_originator_message_id for store in here.stored} == {None}
    assert said[2][0].affected_sop_class_uid == STUDY_GET


def test_a_priority_that_the_peer_made_up_is_not_sent() -> None:
    here = Getting(yields((PENDING, image())))
    received = here.arrive(request(), IDENTIFIER)
    received.request.priority = 7  # type: ignore[attr-defined]
    task = Task(here.peer, here.script(received).program)
    while not task.is_done and not here.stored:
        task.advance()
        here.carry()
        here.answer([])
    assert here.stored[0].priority is Priority.MEDIUM


@for_each(
    ("answers", "status", "counted", "failed"),
    [
        ([0, 0], 0x0000, (None, 2, 0, 0), None),
        ([0xA700, 0xC000], 0xA702, (None, 0, 2, 0), ["1.2.1", "1.2.2"]),
        ([0, 0xA700], 0xB000, (None, 1, 1, 0), ["1.2.2"]),
        ([0xB000, 0], 0xB000, (None, 1, 0, 1), None),
        ([0xB000, 0xB006], 0xB000, (None, 0, 0, 2), None),
        ([0xA700, 0xB007], 0xB000, (None, 0, 1, 1), ["1.2.1"]),
        ([0x4321, 0xFE00], 0xA702, (None, 0, 2, 0), ["1.2.1", "1.2.2"]),
    ],
)
def test_the_final_status(
    answers: list[int], status: int, counted: tuple[int | None, ...], failed: list[str] | None
) -> None:
    *pending, last = Getting(yields((PENDING, image(1)), (PENDING, image(2))), answers=answers).get()
    assert statuses(pending) == [PENDING, PENDING]
    assert (last[0].status, counters(last)) == (status, counted)
    assert (None if last[1] is None else failed_uids(last)) == failed


def test_nothing_matches() -> None:
    (last,) = Getting(yields()).get()
    assert (last[0].status, counters(last), last[1]) == (0, (None, 0, 0, 0), None)


def test_objects_in_every_form() -> None:
    content = data_set(SOPClassUID=CT, SOPInstanceUID="1.2.2")
    stored = StoredObject(sop_class_uid=CT, sop_instance_uid="1.2.2", transfer_syntax=IMPLICIT, data=content)
    assert statuses(Getting(yields((0xFF01, image()), (PENDING, stored))).get()) == [PENDING, PENDING, 0]


NO_OBJECTS = [
    (PENDING, None),
    (PENDING, "image.dcm"),
    PENDING,
    (PENDING, Dataset()),
    (PENDING, image(sop_class=MR)),
    (PENDING, StoredObject(sop_class_uid=CT, sop_instance_uid="1.2.9", transfer_syntax=JPEG, data=b"ab")),
    (PENDING, StoredObject(sop_class_uid=CT, sop_instance_uid="1.2.9", transfer_syntax=IMPLICIT, data=b"odd")),
    (PENDING, StoredObject(sop_class_uid=CT, sop_instance_uid="LOCALIZER1.02", transfer_syntax=IMPLICIT, data=b"odd")),
    (PENDING, StoredObject(sop_class_uid=CT, sop_instance_uid="1.2\n", transfer_syntax=IMPLICIT, data=b"ab")),
]


@for_each("item", NO_OBJECTS)
def test_an_object_that_cannot_be_sent_fails_for_itself(item: Any) -> None:
    here = Getting(yields((PENDING, image(1)), item, (PENDING, image(3))))
    said = here.get()
    assert statuses(said) == [PENDING, PENDING, PENDING, 0xB000]
    assert counters(said[-1]) == (None, 2, 1, 0)
    assert len(here.stored) == 2
    uid = getattr(item[1], "sop_instance_uid", getattr(item[1], "SOPInstanceUID", None)) if item != PENDING else None
    assert failed_uids(said[-1]) == [known for known in (uid,) if known and known != "1.2\n"]


def test_an_irregular_object_is_sent_and_named() -> None:
    """PS3.5 9.1 binds who makes a UID: an archive has to pass the object on, and to say which one it could not."""
    irregular = StoredObject(
        sop_class_uid=CT,
        sop_instance_uid="LOCALIZER1.02",
        transfer_syntax=IMPLICIT,
        data=data_set(IMPLICIT, PatientID="1"),
    )
    here = Getting(yields((PENDING, irregular)))
    assert statuses(here.get()) == [PENDING, 0x0000]
    assert [store.affected_sop_instance_uid for store in here.stored] == ["LOCALIZER1.02"]


def test_what_the_driver_reads() -> None:
    """A driver may know what a path is; what it cannot read fails for itself, whatever is wrong with it."""

    def read(value: Any) -> Any:
        match value:
            case "missing":
                raise FileNotFoundError(value)
            case "no image":
                raise LocalProtocolError(value)
            case str():
                return image(int(value))
        return value

    here = Getting(yields(*((PENDING, value) for value in ("1", "missing", image(3), "no image", "5"))))
    here.peer.read = read
    last = here.get()[-1]
    assert (last[0].status, counters(last)) == (0xB000, (None, 3, 2, 0))
    assert [store.affected_sop_instance_uid for store in here.stored] == ["1.2.1", "1.2.3", "1.2.5"]


def test_a_list_that_is_too_long_for_its_vr() -> None:
    given_up = dataset_of(FailedSOPInstanceUIDList=[f"1.2.{10**58 + number}" for number in range(1060)])
    here = Getting(yields((0xA702, given_up), count=1060), offer=offer_of((STUDY_GET, EXPLICIT), CT))
    last = here.get(data_set(EXPLICIT, PatientID="1"))[-1]
    assert (last[0].status, counters(last)) == (0xA702, (None, 0, 1060, 0))
    assert (last[1] or b"")[4:6] == b"UN"
    element = decoded(last[1], EXPLICIT)[0x00080058]
    assert (element.VR, len(element.value)) == ("UI", 1060)


def test_a_list_that_cannot_be_encoded_is_left_out_with_its_number() -> None:
    here = Getting(yields((PENDING, image(1, MR))), offer=offer_of((STUDY_GET, "1.2.3.4"), CT))
    last = here.get(b"ab")[-1]
    assert (last[0].status, counters(last), last[1]) == (0xA702, (None, 0, None, 0), None)


# --- roles ------------------------------------------------------------------------------------------------------------


@for_each(
    ("roles", "is_answered", "status"),
    [
        ([RoleSelection(CT, scu=False, scp=True)], True, 0x0000),
        ([RoleSelection(CT, scu=True, scp=True)], True, 0x0000),
        ([], True, 0x0000),  # many do not know that they have to
        ([RoleSelection(CT, scu=True, scp=False)], True, 0xA702),
        ([RoleSelection(CT, scu=True, scp=True)], False, 0xA702),
    ],
)
def test_roles(roles: list[RoleSelection], is_answered: bool, status: int) -> None:
    here = Getting(yields((PENDING, image())), offer=offer_of(STUDY_GET, CT, roles=roles), roles=is_answered)
    assert statuses(here.get()) == [PENDING, status]


def test_the_context_that_takes_it_as_it_is() -> None:
    offer = offer_of(STUDY_GET, (CT, JPEG), (CT, IMPLICIT), (CT, EXPLICIT))
    content = data_set(EXPLICIT, SOPClassUID=CT, SOPInstanceUID="1.2.2")
    for transfer_syntax, context_id in ((JPEG, 3), (IMPLICIT, 5), (EXPLICIT, 7)):
        stored = StoredObject(sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=transfer_syntax, data=content)
        here = Getting(yields((PENDING, stored)), offer=offer)
        script = here.ask(request(), IDENTIFIER)
        for kind, result in (
            (Receive, None),
            (Call, here.peer.event((1, False))),
            (Pull, iter(())),
            (Pull, 1),
            (Call, (PENDING, stored)),
            (Receive, stored),
        ):
            script.expect(kind, result)
        assert here.acceptor.invoked[1].context_id == context_id


# --- without bulk data ------------------------------------------------------------------------------------------------


def icon() -> Dataset:
    return dataset_of(Rows=1, Columns=1, PixelData=b"ab")


def full() -> Dataset:
    """An object with more of everything than any has."""
    made = image()
    made.PixelDataProviderURL = "http://127.0.0.1/1"
    made.EncapsulatedDocument = b"%PDF"
    made.IconImageSequence = [icon()]
    made.WaveformSequence = [dataset_of(NumberOfWaveformSamples=2, WaveformData=b"ab"), Dataset()]
    made.SpectroscopyData = b"abcd"
    made.FloatPixelData = b"abcd"
    made.DoubleFloatPixelData = b"abcdefgh"
    made.PixelData = b"ab"
    for tag, vr in ((0x5000200C, "OW"), (0x50003000, "OW"), (0x60003000, "OW"), (0x601E3000, "OW")):
        made.add_new(tag, vr, b"ab")
    made.add_new(0x60000010, "US", 1)
    made.add_new(0x60013000, "OB", b"ab")  # private
    made["PixelData"].VR = "OW"
    made.IconImageSequence[0]["PixelData"].VR = "OW"
    made.WaveformSequence[0]["WaveformData"].VR = "OW"
    return made


def stripped() -> Dataset:
    made = image()
    made.IconImageSequence = [icon()]
    made.IconImageSequence[0]["PixelData"].VR = "OW"
    made.WaveformSequence = [dataset_of(NumberOfWaveformSamples=2), Dataset()]
    made.add_new(0x60000010, "US", 1)
    made.add_new(0x60013000, "OB", b"ab")
    return made


@for_each("transfer_syntax", [None, EXPLICIT, DEFLATED])
def test_what_is_bulk_data(transfer_syntax: str | None) -> None:
    data = full() if transfer_syntax is None else encode(full(), transfer_syntax)
    what = StoredObject(sop_class_uid=CT, sop_instance_uid="1.2.1", transfer_syntax=transfer_syntax, data=data)
    found = without_bulk_data(what)
    assert encode(found.decode(), EXPLICIT) == encode(stripped(), EXPLICIT)
    assert evolve(found, data=data) == what
    assert data == (full() if transfer_syntax is None else encode(full(), transfer_syntax))
    assert without_bulk_data(evolve(what, data=image(), transfer_syntax=None)).data == image()


class GettingLess(Getting):
    """A requestor that gets without bulk data, and remembers what came."""

    def __init__(self, *handler: Any, transfer_syntax: str = EXPLICIT) -> None:
        super().__init__(*handler, offer=offer_of(WITHOUT_BULK_DATA, (CT, transfer_syntax), roles=BOTH_ROLES))
        self.came = b""

    def answer(self, said: list[Said]) -> bool:
        moved = False
        while (event := self.requestor.next_event()) is not None:
            moved = True
            match event:
                case DataChunk(invoked=False):
                    self.came += event.data
                    if event.last:
                        stored = CStoreRSP(message_id_being_responded_to=event.message_id, status=0)
                        self.requestor.send_response(stored)
                case ResponseReceived():
                    said.append((event.response, None))
                case DataChunk(invoked=True):
                    said[-1] = (said[-1][0], bytes(event.data))
        return moved


RLE = "1.2.840.10008.1.2.5"


def compressed() -> Dataset:
    made = full()
    made["PixelData"].value = encapsulate([b"ab"])
    made["PixelData"].VR = "OB"
    return made


@for_each(
    ("own", "accepted"),
    [*((own, accepted) for own in (None, EXPLICIT, DEFLATED, RLE) for accepted in (IMPLICIT, EXPLICIT)), (RLE, RLE)],
)
def test_bulk_data_is_left_out(own: str | None, accepted: str) -> None:
    data = full() if own is None else encode(compressed() if own == RLE else full(), own)
    what = StoredObject(sop_class_uid=CT, sop_instance_uid="1.2.1", transfer_syntax=own, data=data)
    here = GettingLess(yields((PENDING, what)), transfer_syntax=accepted)
    task = Task(
        here.peer,
        here.script(here.arrive(CGetRQ(affected_sop_class_uid=WITHOUT_BULK_DATA, priority=0), IDENTIFIER)).program,
    )
    said: list[Said] = []
    while task.advance() or here.carry() or here.answer(said):
        assert task.error is None
    assert statuses(said) == [PENDING, 0x0000]
    assert here.came == encode(stripped(), accepted)


def test_what_has_to_be_decoded_and_cannot_be_fails_for_itself() -> None:
    broken = StoredObject(sop_class_uid=CT, sop_instance_uid="1.2.9", transfer_syntax=EXPLICIT, data=b"ab")
    here = GettingLess(yields((PENDING, broken)))
    received = here.arrive(CGetRQ(affected_sop_class_uid=WITHOUT_BULK_DATA, priority=0), IDENTIFIER)
    last = here.finish(Task(here.peer, here.script(received).program))[-1]
    assert (last[0].status, counters(last), failed_uids(last)) == (0xA702, (None, 0, 1, 0), ["1.2.9"])


# --- what handlers do -------------------------------------------------------------------------------------------------


@for_each(
    ("handler", "status"),
    [
        ((), 0xC411),
        ((lambda _: 1 / 0,), 0xC411),
        ((lambda _: None,), 0xC413),
        ((lambda _: 5,), 0xC411),
        ((lambda event: event.dataset,), 0xC411),
        ((lambda _: (1 / 0 for _ in "x"),), 0xC413),
        ((lambda _: [],), 0xC413),
        ((yields(count="2"),), 0xC413),
        ((yields(count=-1),), 0xC413),
        ((yields(count=True),), 0xC413),
        ((yields(count=None),), 0x0000),
        ((lambda _: [(PENDING, image())],), 0xC413),
        ((yields(count=65536),), 0xC416),
    ],
)
def test_a_handler_that_does_not_get_to_the_objects(handler: Any, status: int) -> None:
    (last,) = Getting(*handler).get()
    assert (last[0].status, last[1]) == (status, None)


def test_an_identifier_that_cannot_be_decoded() -> None:
    def handler(event: Any) -> Iterator[Any]:
        yield len(event.identifier)

    assert statuses(Getting(handler).get(b"\x08\x00\x52\x00\xff\xff\x00\x00ab")) == [0xC413]


def test_what_goes_with_a_pending_status() -> None:
    """The response that reports the sub-operation has it."""
    said = Dataset()
    said.Status, said.ErrorComment = PENDING, "slow"
    responses: list[Any] = [response for response, _ in Getting(yields((said, image(1)))).get()]
    assert [(one.status, one.error_comment) for one in responses] == [(PENDING, "slow"), (0x0000, None)]


def raising(_: Any) -> Iterator[Any]:
    yield 3
    yield PENDING, image(1)
    raise RuntimeError


def test_a_handler_that_raises_between_objects() -> None:
    last = Getting(raising).get()[-1]
    assert (last[0].status, counters(last)) == (0xC411, (None, 1, 2, 0))
    assert failed_uids(last) == []  # nobody knows which they were


GIVEN_UP = dataset_of(FailedSOPInstanceUIDList=["1.2.8", "1.2.9"])


@for_each(
    ("item", "status", "counted", "failed"),
    [
        ((0x0000, None), 0x0000, (None, 1, 0, 0), None),
        (0x0000, 0x0000, (None, 1, 0, 0), None),
        ((0x0000, GIVEN_UP), 0xB000, (None, 1, 2, 0), ["1.2.8", "1.2.9"]),
        ((0xB000, None), 0xB000, (None, 1, 2, 0), []),
        ((0xB000, GIVEN_UP), 0xB000, (None, 1, 2, 0), ["1.2.8", "1.2.9"]),
        ((0xA702, GIVEN_UP), 0xA702, (None, 1, 2, 0), ["1.2.8", "1.2.9"]),
        ((0xA900, dataset_of(FailedSOPInstanceUIDList="1.2.9")), 0xA900, (None, 1, 2, 0), ["1.2.9"]),
        ((0xC123, dataset_of(PatientID="1")), 0xC123, (None, 1, 2, 0), []),
        ((0x4321, None), 0x4321, (None, 1, None, 0), None),  # no list goes with it, and no number without a list
        ((CANCEL, None), CANCEL, (2, 1, 0, 0), None),
        ((CANCEL, GIVEN_UP), CANCEL, (0, 1, 2, 0), ["1.2.8", "1.2.9"]),
        ((CANCEL, dataset_of(FailedSOPInstanceUIDList=["1.2.9"])), CANCEL, (1, 1, 1, 0), ["1.2.9"]),
        (None, 0xC002, (None, 1, 2, 0), []),
        ("nonsense", 0xC002, (None, 1, 2, 0), []),
        (Dataset(), 0xC001, (None, 1, 2, 0), []),
    ],
)
def test_a_handler_that_ends_it(
    item: object, status: int, counted: tuple[int | None, ...], failed: list[str] | None
) -> None:
    *_, last = Getting(yields((PENDING, image(1)), item, count=3)).get()
    assert (last[0].status, counters(last)) == (status, counted)
    assert (None if last[1] is None else failed_uids(last)) == failed


def test_a_comment_goes_with_the_last_status() -> None:
    status = dataset_of(Status=0xA702, ErrorComment="no disk")
    *_, last = Getting(yields((status, None), count=1)).get()
    assert last[0].error_comment == "no disk"  # type: ignore[attr-defined]


def test_fewer_objects_than_were_promised() -> None:
    *_, last = Getting(yields((PENDING, image(1)), count=3)).get()
    assert (last[0].status, counters(last)) == (0xB000, (None, 1, 2, 0))
    (last,) = Getting(yields(count=3)).get()
    assert (last[0].status, counters(last)) == (0xA702, (None, 0, 3, 0))


def test_more_objects_than_were_promised(caplog: pytest.LogCaptureFixture) -> None:
    here = Getting(yields((PENDING, image(1)), (PENDING, image(2)), count=1))
    assert statuses(here.get()) == [PENDING, 0x0000]
    assert len(here.stored) == 1
    assert "makes no difference" in caplog.text


def test_a_handler_runs_to_its_end() -> None:
    ended = []

    def handler(_: Any) -> Iterator[Any]:
        yield 1
        yield PENDING, image(1)
        ended.append(True)

    assert statuses(Getting(handler).get()) == [PENDING, 0x0000]
    assert ended


# --- cancel -----------------------------------------------------------------------------------------------------------


def test_a_cancel_before_the_first_object() -> None:
    here = Getting(yields((PENDING, image(1)), (PENDING, image(2))))
    received = here.arrive(request(), IDENTIFIER)
    here.requestor.send_cancel(received.message_id)
    here.carry()
    (last,) = here.finish(Task(here.peer, here.script(received).program))
    assert (last[0].status, counters(last), last[1]) == (CANCEL, (2, 0, 0, 0), None)


def test_a_cancel_between_objects_leaves_the_rest() -> None:
    here = Getting(yields(*((PENDING, image(number)) for number in range(5))), answers=[0, 0xA700])

    def cancel() -> None:
        if len(here.stored) == 2:
            here.requestor.send_cancel(1)

    here.before_store = cancel
    said = here.get()
    assert statuses(said) == [PENDING, PENDING, CANCEL]
    assert counters(said[-1]) == (3, 1, 1, 0)
    assert failed_uids(said[-1]) == ["1.2.1"]


def test_a_cancel_after_the_last_object_comes_too_late() -> None:
    here = Getting(yields((PENDING, image(1))))
    here.before_store = lambda: here.requestor.send_cancel(1)
    assert statuses(here.get()) == [PENDING, 0x0000]
