"""C-STORE as SCU: what is sent on which presentation context, and how it is made ready."""

import pytest

from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.messages import CStoreRQ, CStoreRSP, Priority
from dicom_proto.encoding.datasets import FileMeta, encode, file_preamble_and_meta
from dicom_proto.encoding.rules import DEFAULT_RULES, EncodingRules
from dicom_proto.errors import LocalProtocolError, NoContextError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call, Receive
from dicom_proto.programs.peer import Peer
from dicom_proto.services.storage.sending import (
    choose_context,
    fit_object,
    needed_contexts,
    no_context_for,
    prepare_store,
    store_object_scu,
)
from dicom_proto.services.storage.store import Storable, StoredObject
from dicom_proto.testing.pair import sent
from dicom_proto.upper_layer.negotiation import AcceptedContext
from tests.proto.programs.script import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MR,
    Script,
    connected,
    dataset_of,
    offer_of,
)
from tests.proto.rows import for_each
from tests.proto.services.storage.test_store import ENCODED, IMAGE, RLE, compressed, stored

# --- on which context -------------------------------------------------------------------------------------------------


def contexts(*transfer_syntaxes: str) -> list[AcceptedContext]:
    return [AcceptedContext(2 * number + 1, CT, uid) for number, uid in enumerate(transfer_syntaxes)]


@for_each(
    ("own", "accepted", "chosen"),
    [
        (EXPLICIT, [IMPLICIT, EXPLICIT, EXPLICIT], 3),
        (EXPLICIT, [BIG_ENDIAN, DEFLATED, IMPLICIT], 5),
        (IMPLICIT, [BIG_ENDIAN, DEFLATED, EXPLICIT], 5),
        (IMPLICIT, [BIG_ENDIAN, DEFLATED], 3),
        (BIG_ENDIAN, [JPEG, IMPLICIT], 3),
        (None, [JPEG, IMPLICIT, EXPLICIT], 5),
        (DEFLATED, [IMPLICIT, BIG_ENDIAN], 1),
        (JPEG, [IMPLICIT, JPEG], 3),
        ("1.2.3", [IMPLICIT, "1.2.3"], 3),
    ],
)
def test_as_it_is_or_else_converted(own: str | None, accepted: list[str], chosen: int) -> None:
    assert choose_context(stored(own), iter(contexts(*accepted))).context_id == chosen


@for_each(("own", "accepted"), [(JPEG, [IMPLICIT]), (EXPLICIT, [JPEG]), (EXPLICIT, []), (None, [JPEG])])
def test_a_compressed_object_is_not_converted(own: str | None, accepted: list[str]) -> None:
    with pytest.raises(LocalProtocolError, match="none" if not accepted else accepted[0]):
        choose_context(stored(own), contexts(*accepted))


@for_each(
    ("accepted", "chosen"), [([IMPLICIT, RLE], 3), ([BIG_ENDIAN, IMPLICIT, EXPLICIT], 5), ([JPEG, BIG_ENDIAN], 3)]
)
def test_as_it_is_or_else_decompressed(accepted: list[str], chosen: int) -> None:
    assert choose_context(stored(RLE), contexts(*accepted), decompress=True).context_id == chosen


def test_it_is_said_what_cannot_be_sent_and_what_could_be() -> None:
    rle = "RLE Lossless (1.2.840.10008.1.2.5)"
    none, accepted = "no presentation context was accepted for", f"what the peer accepts for CT Image Storage ({CT}) is"
    implicit = "Implicit VR Little Endian (1.2.840.10008.1.2)"
    in_file = StoredObject.of_file(
        FileMeta(transfer_syntax=RLE, sop_class_uid=CT, sop_instance_uid="1.2.3", data_offset=0, stated=True),
        ENCODED,
        "/images/1.dcm",
    )
    assert str(no_context_for(in_file)) == f"{none} SOP Instance 1.2.3 in {rle}: {accepted} none"
    assert in_file.name == "/images/1.dcm"  # which may be a patient's: no message has it
    could = no_context_for(stored(RLE), [IMPLICIT, "1.2.840.10008.1.2.3"])
    assert str(could).startswith(f"{none} SOP Instance 1.2.3 in {rle}: {accepted} {implicit}, 1.2.840.10008.1.2.3;")
    assert str(could).endswith("; it could be decompressed")
    assert str(no_context_for(stored(None, IMAGE), [RLE])) == f"{none} SOP Instance 1.2.3: {accepted} {rle}"


@for_each(
    ("own", "decompress", "needed"),
    [
        (EXPLICIT, False, [(EXPLICIT,), (IMPLICIT,)]),
        (IMPLICIT, True, [(IMPLICIT,), (EXPLICIT,)]),
        (None, False, [(EXPLICIT,), (IMPLICIT,)]),
        (BIG_ENDIAN, False, [(BIG_ENDIAN,), (EXPLICIT, IMPLICIT)]),
        (JPEG, False, [(JPEG,)]),
        (JPEG, True, [(JPEG,), (EXPLICIT, IMPLICIT)]),
    ],
)
def test_what_is_proposed_for_an_object(own: str | None, decompress: bool, needed: list[tuple[str, ...]]) -> None:
    assert needed_contexts(stored(own), decompress=decompress) == [(CT, uids) for uids in needed]


# --- made ready -------------------------------------------------------------------------------------------------------


def test_fit_for_the_peer() -> None:
    one, _ = connected(offer_of((CT, EXPLICIT)))
    peer = Peer(one, Handlers())
    assert Script(fit_object(peer, stored())).end() == stored()
    for value in (compressed(), IMAGE):
        script = Script(fit_object(peer, value, decompress=True))
        call = script.expect(Call)
        assert not call.is_quick
        context, data = call.function(*call.arguments)
        assert script.end((context, data)) == stored(EXPLICIT, data)
    with pytest.raises(NoContextError, match="it could be decompressed"):
        Script(fit_object(peer, compressed())).end()


def test_fit_for_chosen_contexts() -> None:
    one, _ = connected(offer_of((CT, EXPLICIT)))
    with pytest.raises(NoContextError):
        Script(fit_object(Peer(one, Handlers()), stored(), contexts=())).end()


# --- values that are too long for explicit VR -------------------------------------------------------------------------

LONG = dataset_of(SOPClassUID=CT, SOPInstanceUID="1.2.3", ReferencedFrameNumber=["1234567890"] * 6_000)


@for_each(
    ("accepted", "rules", "chosen"),
    [
        ([EXPLICIT, IMPLICIT], DEFAULT_RULES, IMPLICIT),
        ([EXPLICIT, IMPLICIT], EncodingRules(long_values="refuse"), IMPLICIT),
        ([IMPLICIT, EXPLICIT], DEFAULT_RULES, IMPLICIT),
        ([EXPLICIT], DEFAULT_RULES, EXPLICIT),
    ],
)
def test_an_object_goes_where_there_is_room_for_it(accepted: list[str], rules: EncodingRules, chosen: str) -> None:
    """PS3.5 6.2.2: on a context for implicit VR where one was accepted, otherwise as UN."""
    one, _ = connected(offer_of(*((CT, uid) for uid in accepted)))
    peer = Peer(one, Handlers())
    peer.rules = rules
    script = Script(fit_object(peer, LONG))
    call = script.expect(Call)
    fitted = script.end(call.function(*call.arguments))
    assert (fitted.transfer_syntax, fitted.data) == (chosen, encode(LONG, chosen))


def test_it_is_made_ready_and_sent_later() -> None:
    one, other = connected(offer_of((CT, EXPLICIT)))
    peer = Peer(one, Handlers())
    script = Script(prepare_store(peer, IMAGE, priority=Priority.HIGH))
    call = script.expect(Call)
    ready = script.end(call.function(*call.arguments))
    assert not one.invoked
    assert ready.data == ENCODED
    invoking = ready.send(peer)
    other.receive_data(sent(one), now=0)
    received = other.next_event()
    assert isinstance(received, RequestReceived)
    assert received.message_id == invoking.message_id
    assert received.request == CStoreRQ(
        message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", priority=Priority.HIGH
    )
    with pytest.raises(LocalProtocolError, match="window"):
        Script(prepare_store(peer, stored())).end().send(peer)


# --- SCU --------------------------------------------------------------------------------------------------------------


@for_each("value", [IMAGE, stored(), file_preamble_and_meta(CT, "1.2.3", EXPLICIT) + ENCODED])
def test_scu_chooses_a_context_and_encodes(value: Storable) -> None:
    one, other = connected(offer_of(MR, (CT, JPEG), (CT, IMPLICIT)))
    script = Script(
        store_object_scu(
            Peer(one, Handlers()),
            value,
            message_id=9,
            priority=Priority.HIGH,
            originator_ae_title="MOVER",
            originator_message_id=4,
        )
    )
    script.expect(Receive)
    other.receive_data(sent(one), now=0)
    received, chunk = other.next_event(), other.next_event()
    assert isinstance(received, RequestReceived)
    assert isinstance(chunk, DataChunk)
    assert received.context_id == 5
    assert received.request == CStoreRQ(
        message_id=9,
        affected_sop_class_uid=CT,
        affected_sop_instance_uid="1.2.3",
        priority=Priority.HIGH,
        move_originator_application_entity_title="MOVER",
        move_originator_message_id=4,
    )
    assert bytes(chunk.data) == encode(IMAGE, IMPLICIT)
    response = CStoreRSP(message_id_being_responded_to=9, status=0xB000)
    reply = script.end(ResponseReceived(message_id=9, context_id=5, response=response, has_data=False))
    assert reply.response is response


def test_scu_may_be_told_the_contexts() -> None:
    one, _ = connected(offer_of(CT, CT))
    peer = Peer(one, Handlers())
    Script(store_object_scu(peer, IMAGE, contexts=[one.contexts[3]])).expect(Receive)
    assert one.invoked[1].context_id == 3
    with pytest.raises(LocalProtocolError):
        Script(store_object_scu(peer, IMAGE, contexts=[])).expect(Receive)
    with pytest.raises(LocalProtocolError):
        Script(store_object_scu(peer, stored(sop_class_uid=MR))).expect(Receive)


def test_an_abandoned_request_waits_for_nothing() -> None:
    one, _ = connected(offer_of((CT, EXPLICIT)))
    peer = Peer(one, Handlers())
    script = Script(store_object_scu(peer, stored()))
    receive = script.expect(Receive)
    script.program.close()
    assert peer.router.find(receive.inbox.key) is None
