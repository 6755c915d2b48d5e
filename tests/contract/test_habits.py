"""Habits of peers that break the letter of the standard and cost nothing.

What each of them is in bytes is shown in tests/proto/dimse/test_odd_commands.py; here it is what users see.
"""

import logging
from typing import Any

import pytest
from attrs import evolve

from dicom_proto.dimse.command_set import decode_command_set, encode_command_set
from dicom_proto.dimse.messages import CFindRSP, CGetRSP, CStoreRQ, encode_message
from dicom_proto.encoding.datasets import encode
from dicom_proto.errors import InvalidSettingError
from dicom_proto.limits import Tolerance
from dicom_proto.offers.contexts import StoragePresentationContexts
from dicom_proto.sop_class import (
    ALL_TRANSFER_SYNTAXES,
    CTImageStorage,
    MRImageStorage,
    PatientRootQueryRetrieveInformationModelGet,
    SecondaryCaptureImageStorage,
    Verification,
)
from dicom_proto.testing.pair import CT, IMPLICIT, offer
from dicom_proto.upper_layer.events import Tolerated
from dicom_proto.upper_layer.pdu import PDV, AAssociateAC, AAssociateRQ, PDataTF, encode_pdu
from dicom_transports.blocking import build_context, build_role, evt
from tests.contract.adapters import Listener, Peer, Running
from tests.contract.entities import FIND, MOVE, answered, ct, dataset, dial, entity, serving
from tests.contract.scenes import message

pytestmark = pytest.mark.usefixtures("adapter")

GET = str(PatientRootQueryRetrieveInformationModelGet)
FAILED = bytes.fromhex("0800 0000 04000000 10000000  0800 5800 08000000") + b"1.2.3.4\0"


def command_alone(command: bytes, context: int = 1) -> bytes:
    return encode_pdu(PDataTF((PDV(context, True, True, command),)))


def test_failed_list_in_the_command_set() -> None:
    """Orthanc 1.10 ends a C-GET so when it could not send an object: the list is the identifier of the last result."""
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", GET))
        with peer:
            asking: Any = Running(list, association.send_c_get(dataset(QueryRetrieveLevel="STUDY"), GET))
            assert peer.get_data()
            last = CGetRSP(message_id_being_responded_to=1, status=0xC000)
            peer.send(command_alone(encode_message(last, has_data_set=False) + FAILED))
            ((status, identifier),) = asking.result()
            assert status.Status == 0xC000
            assert identifier.FailedSOPInstanceUIDList == "1.2.3.4"
            assert association.is_established
            association.abort()


def without_priority(message_id: int) -> bytes:
    request = CStoreRQ(message_id=message_id, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    elements = decode_command_set(encode_message(request, has_data_set=True))
    del elements[0x0700]
    return command_alone(encode_command_set(elements)) + message(request, bytes(8))[-20:]


def test_a_habit_is_logged_once_for_each_title(caplog: Any) -> None:
    caplog.set_level(logging.WARNING, logger="dicom_proto.association")
    with serving((evt.EVT_C_STORE, lambda _event: 0)) as server:
        for title in ("ONE", "OTHER", "ONE"):
            with Peer.dial(server.address) as peer:
                peer.send(evolve(offer(CT), calling_ae_title=title))
                assert isinstance(peer.get(), AAssociateAC)
                for message_id in (1, 2):
                    peer.send(without_priority(message_id))
                    ((_, _, command),) = peer.get_data()
                    assert decode_command_set(command)[0x0900] == b"\0\0"
    told = [record.getMessage() for record in caplog.records if "Tolerance.ill_formed_fields" in record.getMessage()]
    assert [line.split()[1] for line in told] == ["'ONE'", "'OTHER'"]
    assert all("no Priority (0000,0700)" in line for line in told)


def said(caplog: Any, kind: str) -> list[str]:
    """Who has been said to break the standard so, in order."""
    marked = [record.getMessage() for record in caplog.records if f"Tolerance.{kind} allows" in record.getMessage()]
    return [line.split()[1] for line in marked]


def test_a_habit_in_an_offer_is_logged_though_it_is_remembered(caplog: Any) -> None:
    caplog.set_level(logging.WARNING, logger="dicom_proto.association")
    padded = encode_pdu(offer(CT)).replace(b"\x52\0\0\x051.2.3", b"\x52\0\0\x051.2\0\0")
    with serving() as server:
        for title in (b"ONE", b"TWO", b"ONE"):
            with Peer.dial(server.address) as peer:
                peer.send(padded.replace(b"CALLING", title.ljust(7)))
                assert isinstance(peer.get(), AAssociateAC)
    assert said(caplog, "padded_uids") == ["'ONE'", "'TWO'"]


@pytest.mark.parametrize("tolerated", [True, False])
def test_explicit_vr_in_a_context_for_implicit_vr(caplog: Any, tolerated: bool) -> None:
    """It is read as what it is by an SCP, and said once; switched off, it is no data set."""
    caplog.set_level(logging.WARNING, logger="dicom_proto.association")
    ae = entity("SCP")
    ae.tolerance = Tolerance(other_vr_encoding=tolerated)
    seen: list[Any] = []

    def store(event: Any) -> int:
        seen.append(event.dataset.Rows)
        seen.append(event.dataset.Rows)
        return 0

    with serving((evt.EVT_C_STORE, store), ae=ae) as server, Peer.dial(server.address) as peer:
        peer.send(offer(CT))
        peer.get()
        for message_id in (1, 2):
            request = CStoreRQ(message_id=message_id, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
            peer.send(message(request, encode(ct(), "1.2.840.10008.1.2.1")))
            ((_, _, command),) = peer.get_data()
            assert (decode_command_set(command)[0x0900] == b"\0\0") == tolerated
    assert seen == ([1] * 4 if tolerated else [])
    assert said(caplog, "other_vr_encoding") == (["'CALLING'"] if tolerated else [])


def test_explicit_vr_in_an_answer(caplog: Any) -> None:
    caplog.set_level(logging.WARNING, logger="dicom_proto.association")
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", FIND))
        with peer:
            asking: Any = Running(list, association.send_c_find(dataset(QueryRetrieveLevel="STUDY"), FIND))
            peer.get_data()
            match = encode(dataset(PatientID="P1", QueryRetrieveLevel="STUDY"), "1.2.840.10008.1.2.1")
            for _ in range(2):
                peer.send(message(CFindRSP(message_id_being_responded_to=1, status=0xFF00), match))
            peer.send(message(CFindRSP(message_id_being_responded_to=1, status=0)))
            assert [found.PatientID for _, found in asking.result() if found] == ["P1", "P1"]
            association.abort()
    assert said(caplog, "other_vr_encoding") == ["'ANY-SCP'"]


@pytest.mark.parametrize("tolerated", [True, False])
def test_who_wants_to_get_and_proposes_no_roles(caplog: Any, tolerated: bool) -> None:
    """PS3.4 C.5.3 asks for the SCP role; some viewers do not know."""
    caplog.set_level(logging.WARNING, logger="dicom_proto.association")
    ae = entity("SCP", GET)
    ae.add_supported_context(CTImageStorage, scu_role=False, scp_role=True)
    with serving(ae=ae) as server, Peer.dial(server.address) as peer:
        ae.tolerance = Tolerance(missing_roles=tolerated)
        peer.send(offer(GET, CT))
        answer = peer.get()
    assert isinstance(answer, AAssociateAC)
    assert [one.result for one in answer.context_results] == [0, 0 if tolerated else 1]
    assert said(caplog, "missing_roles") == (["'CALLING'"] if tolerated else [])


def test_what_is_remembered_of_titles_is_bounded(caplog: Any) -> None:
    ae, tolerated = entity("SCP", CTImageStorage), Tolerated("late_data", "x")
    for number in range(1100):
        ae.note_tolerated(f"AE{number}", tolerated)
    caplog.clear()
    ae.note_tolerated("AE1099", tolerated)
    assert not caplog.records
    ae.note_tolerated("AE0", tolerated)
    assert len(caplog.records) == 1


def test_switched_off_the_standard_holds() -> None:
    ae: Any = entity("SCU", GET)
    ae.tolerance = Tolerance(foreign_elements=False)
    with Listener() as listener:
        association, peer = answered(listener, ae)
        with peer:
            asking: Any = Running(list, association.send_c_get(dataset(QueryRetrieveLevel="STUDY"), GET))
            assert peer.get_data()
            last = CGetRSP(message_id_being_responded_to=1, status=0xC000)
            peer.send(command_alone(encode_message(last, has_data_set=False) + FAILED))
            ((status, _),) = asking.result()
            assert len(status) == 0
            assert association.is_aborted


@pytest.mark.parametrize("is_over", [False, True], ids=["goes on", "is over"])
def test_leaving_results(is_over: bool) -> None:
    """What has arrived is read first: a query that is over is not cancelled. Any other is, with no further call."""
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", FIND, Verification))
        with peer:
            results: Any = association.send_c_find(dataset(QueryRetrieveLevel="STUDY"), FIND)
            asking = Running(next, results)
            peer.get_data()
            match = encode(dataset(PatientID="P1", QueryRetrieveLevel="STUDY"), IMPLICIT)
            peer.send(message(CFindRSP(message_id_being_responded_to=1, status=0xFF00), match))
            asking.result()
            if is_over:
                peer.send(message(CFindRSP(message_id_being_responded_to=1, status=0)))
            results.close()
            if is_over:
                asking = Running(association.send_c_echo)
            ((_, _, command),) = peer.get_data()
            assert decode_command_set(command)[0x0100] == (b"\x30\0" if is_over else b"\xff\x0f")
            association.abort()


# --- retrieval --------------------------------------------------------------------------------------------------------


def objects(*sop_classes: str) -> list[Any]:
    found = []
    for number, sop_class in enumerate(sop_classes):
        one = ct(number)
        one.SOPClassUID = sop_class
        found.append(one)
    return found


@pytest.mark.parametrize("known", [True, False], ids=["known", "not known"])
def test_a_move_takes_one_association_for_the_classes_that_are_known(known: bool) -> None:
    """The destination is dialled once, not again for each SOP class that turns up."""
    seen: list[tuple[str, int]] = []
    classes = [CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage]

    def accept(event: Any) -> None:
        seen.append(("accepted", len(event.assoc.requestor.requested_contexts)))

    def store(event: Any) -> int:
        seen.append((event.request.AffectedSOPClassUID, 0))
        return 0x0000

    handlers = ((evt.EVT_C_STORE, store), (evt.EVT_ACCEPTED, accept))
    with serving(*handlers, ae=entity("DEST", *classes)) as destination:

        def move(_event: Any) -> Any:
            yield destination.address
            yield len(classes)
            for one in objects(*classes):
                yield 0xFF00, one

        ae = entity("MOVER", MOVE, *(classes if known else [CTImageStorage]))
        with serving((evt.EVT_C_MOVE, move), ae=ae) as server, dial(server) as association:
            *_, (last, _) = association.send_c_move(dataset(QueryRetrieveLevel="STUDY"), "DEST", MOVE)
            assert (last.Status, last.NumberOfCompletedSuboperations) == (0x0000, 3)
    assert [uid for uid, count in seen if not count] == classes
    assert [count for _, count in seen if count] == ([6] if known else [2, 4, 6])


def test_a_move_knows_more_classes_than_there_are_contexts() -> None:
    """Then there is one context for both uncompressed transfer syntaxes of each class."""
    counts: list[int] = []

    def accept(event: Any) -> None:
        counts.append(len(event.assoc.requestor.requested_contexts))

    ae, classes = entity("MOVER", MOVE), [CTImageStorage, MRImageStorage]
    ae.requested_contexts = StoragePresentationContexts[:120]
    with serving(
        (evt.EVT_C_STORE, lambda _event: 0), (evt.EVT_ACCEPTED, accept), ae=entity("DEST", *classes)
    ) as destination:

        def move(_event: Any) -> Any:
            yield destination.address
            yield 2
            for one in objects(*classes):
                yield 0xFF00, one

        with serving((evt.EVT_C_MOVE, move), ae=ae) as server, dial(server) as association:
            *_, (last, _) = association.send_c_move(dataset(QueryRetrieveLevel="STUDY"), "DEST", MOVE)
            assert (last.Status, last.NumberOfCompletedSuboperations) == (0x0000, 2)
    assert len(counts) == 1
    assert 120 < counts[0] <= 128


@pytest.mark.parametrize("counted", [True, False])
def test_more_sub_operations_than_can_be_counted(counted: bool) -> None:
    """Counters have 16 bits (PS3.4 C.4.3.1.5): refused in words, or served without them."""

    def get(_event: Any) -> Any:
        yield 65536
        yield 0xFF00, ct()
        yield 0xFE00, None

    ae = entity("SCP", GET, CTImageStorage, counts_sub_operations=counted)
    roles = [build_role(CTImageStorage, scp_role=True)]
    handlers = ((evt.EVT_C_STORE, lambda _event: 0),)
    scu = entity("SCU", GET, CTImageStorage)
    with serving((evt.EVT_C_GET, get), ae=ae) as server, dial(server, *handlers, ae=scu, ext_neg=roles) as association:
        ((status, _),) = association.send_c_get(dataset(QueryRetrieveLevel="STUDY"), GET)
    assert status.Status == (0xC416 if counted else 0xFE00)
    assert status.get("ErrorComment") == ("65536 objects: no more than 65535 can be counted" if counted else None)
    assert "NumberOfCompletedSuboperations" not in status


# --- lengths of lists -------------------------------------------------------------------------------------------------

MANY = [f"1.2.3.{number}" for number in range(1, 102)]


def test_a_long_list_of_transfer_syntaxes_is_split() -> None:
    """DCMTK 3.6.7 does not answer a context with more than 50."""
    ae = entity("SCU", CTImageStorage)
    proposed = ae.offer("SCP", [build_context(CTImageStorage, MANY), build_context(CTImageStorage, MANY[:50])])
    syntaxes = [context.transfer_syntaxes for context in proposed.presentation_contexts]
    assert [len(some) for some in syntaxes] == [50, 50, 1, 50]
    assert [uid for some in syntaxes[:3] for uid in some] == MANY
    assert {context.abstract_syntax for context in proposed.presentation_contexts} == {CTImageStorage}
    with pytest.raises(InvalidSettingError, match="128"):
        ae.offer("SCP", [build_context(CTImageStorage, MANY)] * 50)
    assert len(ALL_TRANSFER_SYNTAXES) <= 50


@pytest.mark.parametrize("count", [50, 51])
@pytest.mark.parametrize("vanishes", [True, False])
def test_silence_behind_a_long_list_names_the_suspicion(count: int, vanishes: bool) -> None:
    with Listener() as listener:
        ae = entity("SCU", Verification, most_transfer_syntaxes=1000, acse_timeout=30 if vanishes else 0.1)
        asking: Any = Running(ae.associate, *listener.address, contexts=[build_context(CTImageStorage, MANY[:count])])
        with listener.accept() as peer:
            assert isinstance(peer.get(), AAssociateRQ)
            if vanishes:
                peer.vanish()
            association = asking.result()
    assert ("not answer more than 50" in str(association.failure)) == (count > 50)
