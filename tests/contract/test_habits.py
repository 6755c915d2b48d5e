"""Habits of peers that break the letter of the standard and cost nothing (issue 11, section 1).

What each of them is in bytes is shown in tests/proto/dimse/test_odd_commands.py; here it is what users see.
"""

import logging
from typing import Any

import pytest
from attrs import evolve

from dicom_proto.dimse.command_set import decode_command_set, encode_command_set
from dicom_proto.dimse.messages import CGetRSP, CStoreRQ, encode_message
from dicom_proto.limits import Tolerance
from dicom_proto.sop_class import CTImageStorage, PatientRootQueryRetrieveInformationModelGet
from dicom_proto.upper_layer.events import Tolerated
from dicom_proto.upper_layer.pdu import PDV, AAssociateAC, PDataTF, encode_pdu
from dicom_transports.blocking import evt
from tests.contract.adapters import Listener, Peer, Running
from tests.contract.entities import answered, dataset, entity, serving
from tests.contract.scenes import message
from tests.proto.wire import CT, offer

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
    assert [line.split()[0] for line in told] == ["'ONE'", "'OTHER'"]
    assert all("no Priority (0000,0700)" in line for line in told)


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
