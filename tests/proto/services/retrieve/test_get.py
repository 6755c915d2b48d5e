"""C-GET in both roles."""

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.messages import CGetRQ, CStoreRSP, Priority
from dicom_proto.encoding.datasets import encode
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call, Pull
from dicom_proto.programs.peer import Peer
from dicom_proto.services.retrieve.get import get_scu, without_bulk_data
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.testing.pair import sent
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_proto.upper_layer.items import RoleSelection
from tests.proto.programs.script import (
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    PENDING,
    STUDY_GET,
    Said,
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
from tests.proto.services.retrieve.getting import (
    BOTH_ROLES,
    IDENTIFIER,
    Getting,
    counters,
    failed_uids,
    image,
    request,
    yields,
)

WITHOUT_BULK_DATA = "1.2.840.10008.5.1.4.1.2.5.3"


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


def test_scp_asks_for_one_object_while_another_is_on_its_way() -> None:
    here = Getting(yields(*((PENDING, image(number)) for number in range(4))))
    task = Task(here.peer, here.script(here.arrive(request(), IDENTIFIER)).program)
    said: list[Said] = []
    for number in range(3):
        pulls = [effect for effect in task.effects if isinstance(effect, Pull)]
        assert len(pulls) == number + 3  # how many there are, those that were sent, and the next
        assert len(here.acceptor.invoked) == 1
        here.carry()
        here.answer(said)
        here.carry()
        task.advance()
        here.carry()
        here.answer(said)
        assert statuses(said) == [PENDING] * number or len(said) == number + 1
    reads = [effect for effect in task.effects if isinstance(effect, Call) and effect.function == here.peer.read]
    assert all(effect.is_quick for effect in reads)


@for_each("reached", range(4))
def test_scp_at_the_end_of_the_association(reached: int) -> None:
    def handler(_: Any) -> Iterator[Any]:
        for number, item in enumerate((2, (PENDING, image(1)), (PENDING, image(2)))):
            if number == reached:
                here.peer.give_up()
            yield item
        here.peer.give_up()

    here = Getting(handler)
    with pytest.raises((AssociationFailure, LocalProtocolError)):
        here.get()
    assert here.peer.router.find((1, False)) is None
    assert len(here.stored) <= reached


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


def test_objects_in_every_form() -> None:
    content = data_set(SOPClassUID=CT, SOPInstanceUID="1.2.2")
    stored = StoredObject(sop_class_uid=CT, sop_instance_uid="1.2.2", transfer_syntax=IMPLICIT, data=content)
    assert statuses(Getting(yields((0xFF01, image()), (PENDING, stored))).get()) == [PENDING, PENDING, 0]


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
        Task(here.peer, here.script(here.arrive(request(), IDENTIFIER)).program)
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


def test_an_identifier_that_cannot_be_decoded() -> None:
    def handler(event: Any) -> Iterator[Any]:
        yield len(event.identifier)

    assert statuses(Getting(handler).get(b"\x08\x00\x52\x00\xff\xff\x00\x00ab")) == [0xC413]


@for_each("handler", [(), (lambda _: 1 / 0,), (lambda _: 5,)])
def test_a_handler_that_returns_nothing_to_iterate_over(handler: Any) -> None:
    (last,) = Getting(*handler).get()
    assert (last[0].status, last[1]) == (0xC411, None)
