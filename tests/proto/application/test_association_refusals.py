"""Associations that never come to be: refused by this side, by its provider, or without a connection."""

import pytest

from dicom_proto.application.access import Refusal
from dicom_proto.upper_layer.failures import AssociationRejected
from dicom_proto.upper_layer.pdu import encode_pdu
from dicom_proto.upper_layer.policy import LOCAL_LIMIT_EXCEEDED
from tests.proto.application.lives import Couple, arrive, entity, fate
from tests.proto.programs.script import VERIFICATION, offer_of


def test_a_refusal_says_what_has_decided_it() -> None:
    refusal = Refusal(LOCAL_LIMIT_EXCEEDED, "AE.maximum_associations", "all 10 places are taken")
    couple = Couple(reception=lambda *_: refusal).establish().wait()
    assert fate(couple.scp) == fate(couple.scu) == {"rejected", "over"}
    assert couple.scp.fate == couple.scu.fate == "rejected"
    assert isinstance(couple.scp.failure, AssociationRejected)
    assert str(couple.scp.failure).endswith("all 10 places are taken; decided by AE.maximum_associations")
    assert couple.scp.answer == LOCAL_LIMIT_EXCEEDED
    assert couple.told[1] == ["CONN_OPEN", "REQUESTED", "REJECTED", "CONN_CLOSE"]


def test_the_reason_is_there_when_handlers_are_told() -> None:
    couple = Couple(reception=LOCAL_LIMIT_EXCEEDED)
    couple.establish().wait()
    (event,) = [event for event in couple.diaries[1].events if event.name == "EVT_REJECTED"]
    assert "local limit exceeded" in str(event.assoc.failure)


def test_a_version_of_the_protocol_that_the_provider_refuses() -> None:
    couple = Couple()
    arrive(couple.scp, encode_pdu(offer_of(VERIFICATION)).replace(b"\0\1\0\0CALLED", b"\0\2\0\0CALLED"))
    couple.wait()
    assert couple.scp.is_rejected
    assert "protocol version not supported" in str(couple.scp.failure)
    assert list(couple.scp.entity.counters.rejected) == [("protocol version not supported", "PS3.8 9.3.2")]


def test_no_connection(caplog: pytest.LogCaptureFixture) -> None:
    association = Couple().scu
    association.fail_to_connect(ConnectionRefusedError(111, "no connection to 192.0.2.7 port 104"))
    assert (association.is_aborted, association.fate) == (True, "lost")
    assert isinstance(association.failure, ConnectionRefusedError)
    assert caplog.messages == [f"[{association.id}] [Errno 111] no connection to 192.0.2.7 port 104"]


def test_how_long_it_has_lasted() -> None:
    couple = Couple(reception=entity("THERE").policy())
    assert couple.scu.seconds == 0
    couple.establish().settle()
    couple.network.now += 3
    couple.scu.send_c_echo()
    assert couple.scu.seconds == 3
    couple.scu.release()
    couple.network.now += 3
    couple.wait()
    assert couple.scu.seconds == couple.scp.seconds == 3
