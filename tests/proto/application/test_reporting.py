"""What stands in the log about an association: its beginning, its end, rejections, and all else that ends one."""

import logging
import ssl
from typing import Any

import pytest
from attrs import evolve

from dicom_proto.application.access import Refusal, TLSState
from dicom_proto.application.reporting import fate_of
from dicom_proto.dimse.messages import CEchoRQ
from dicom_proto.errors import PDUError
from dicom_proto.handlers import kinds as evt
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateRejected,
    ConnectionClosed,
    Released,
    TimedOut,
)
from dicom_proto.upper_layer.pdu import encode_pdu
from dicom_proto.upper_layer.policy import CALLED_AE_TITLE_NOT_RECOGNIZED, LOCAL_LIMIT_EXCEEDED
from dicom_proto.upper_layer.timers import Timer
from tests.proto.application.lives import Couple, arrive, entity
from tests.proto.programs.script import CT, MR, VERIFICATION, offer_of
from tests.proto.rows import for_each

Log = pytest.LogCaptureFixture


@pytest.fixture(autouse=True)
def _at_info(caplog: Log) -> None:
    caplog.set_level(logging.INFO, "dicom_proto.association")


def said(caplog: Log, couple: Couple, *, by_requestor: bool) -> list[tuple[str, str]]:
    """What one side has said: level and text, without its id."""
    name = (couple.scu if by_requestor else couple.scp).id
    prefix = f"[{name}] "
    titles = ", 'HERE' calls 'THERE'"
    return [
        (record.levelname, record.getMessage().removeprefix(prefix).replace(titles, ""))
        for record in caplog.records
        if getattr(record, "association", None) == name and about(record).get("requestor") is by_requestor
    ]


def about(record: logging.LogRecord) -> dict[str, Any]:
    facts: dict[str, Any] = getattr(record, "dicom", {})
    return facts


def established(*, here: tuple[str, ...] = (VERIFICATION,), there: tuple[str, ...] = (VERIFICATION,)) -> Couple:
    couple = Couple(offer=entity("HERE", *here).offer("THERE"), reception=entity("THERE", *there).policy())
    return couple.establish().settle()


def test_a_beginning_and_an_end(caplog: Log) -> None:
    couple = established()
    couple.scu.send_c_echo()
    couple.scu.release()
    couple.wait()
    (info, begun), (_, ended) = said(caplog, couple, by_requestor=False)
    assert info == "INFO"
    assert begun == (
        "association established from 127.0.0.1:11112; accepted: Verification SOP Class (Implicit VR Little Endian);"
        " refused: none; maximum length: 131072 received, 131072 sent; without TLS"
    )
    assert ended.startswith(
        "association from 127.0.0.1:11112 ended: the peer has released the association;"
        " C-ECHO as SCP: 1 Success (0000H); "
    )
    (_, begun), (_, ended) = said(caplog, couple, by_requestor=True)
    assert begun.startswith("association established to 127.0.0.1:104; ")
    assert "; C-ECHO as SCU: 1 Success (0000H); " in ended
    facts = about(caplog.records[-1])
    assert (facts["event"], facts["how"], facts["calling"], facts["called"]) == ("ended", "released", "HERE", "THERE")
    assert facts["operations"][0]["count"] == 1


def test_contexts_lengths_and_tls(caplog: Log) -> None:
    offer = entity("HERE", VERIFICATION, CT, MR).offer("THERE", maximum_length=0)
    couple = Couple(offer=offer, reception=evolve(entity("THERE", CT).policy(), maximum_length=16384))
    couple.scp.get_tls = lambda: TLSState("TLSv1.3", "a cipher")
    couple.establish().settle()
    ((_, begun),) = said(caplog, couple, by_requestor=False)
    assert "accepted: CT Image Storage (Implicit VR Little Endian); refused: Verification SOP Class (" in begun
    assert begun.endswith("maximum length: 16384 received, any sent; TLSv1.3")
    ((_, begun),) = said(caplog, couple, by_requestor=True)
    assert begun.endswith("maximum length: any received, 16384 sent; without TLS")


def test_no_context_in_common(caplog: Log) -> None:
    couple = established(here=(CT,))
    couple.wait()
    levels = [level for level, _ in said(caplog, couple, by_requestor=False)]
    assert levels == ["INFO", "WARNING", "INFO"]
    warnings = [text for level, text in said(caplog, couple, by_requestor=False) if level == "WARNING"]
    assert warnings == [
        "association from 127.0.0.1:11112: no presentation context was accepted (CT Image Storage (abstract syntax not"
        " supported)); decided by AE.supported_contexts"
    ]
    assert any("decided by the peer" in text for _, text in said(caplog, couple, by_requestor=True))
    assert str(couple.scu.failure) == (
        "no presentation context was accepted: CT Image Storage (abstract syntax not supported)"
    )


def test_a_rejection_at_both_sides(caplog: Log) -> None:
    refusal = Refusal(LOCAL_LIMIT_EXCEEDED, "AE.maximum_by_address", "192.0.2.7 has 2 already")
    couple = Couple(reception=lambda *_: refusal).establish().wait()
    assert said(caplog, couple, by_requestor=False) == [
        ("WARNING", f"association from 127.0.0.1:11112: {refusal}"),
    ]
    assert said(caplog, couple, by_requestor=True) == [
        (
            "WARNING",
            "association to 127.0.0.1:104: rejected for now by the service-provider (presentation): local limit"
            " exceeded (result 2, source 3, reason 2) by the peer",
        )
    ]
    assert about(caplog.records[0])["decided_by"] == "AE.maximum_by_address"
    assert str(couple.scp.failure).endswith("192.0.2.7 has 2 already; decided by AE.maximum_by_address")


def test_a_version_of_the_protocol_that_is_not_supported(caplog: Log) -> None:
    couple = Couple()
    arrive(couple.scp, encode_pdu(offer_of(VERIFICATION)).replace(b"\0\1\0\0CALLED", b"\0\2\0\0CALLED"))
    couple.wait()
    ((_, text),) = said(caplog, couple, by_requestor=False)
    assert "protocol version not supported (result 1, source 2, reason 2); decided by PS3.8 9.3.2" in text
    assert couple.scp.is_rejected


@for_each(
    ("timer", "setting"),
    [("idle", "network_timeout"), ("artim", "acse_timeout")],
)
def test_a_time_that_is_up(timer: str, setting: str) -> None:
    caught: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            caught.append(record)

    keeper = Keeper()
    log = logging.getLogger("dicom_proto.association")
    log.addHandler(keeper)
    try:
        couple = established() if timer == "idle" else Couple()
        if timer == "artim":
            couple.network.associations.remove(couple.scu)  # which says nothing
        couple.wait()
    finally:
        log.removeHandler(keeper)
    facts = [about(record) for record in caught if about(record).get("event") == "timed out"]
    assert {one["decided_by"] for one in facts} == {f"AE.{setting}"}
    assert all("timer expired after" in one["why"] for one in facts)


def test_what_breaks_the_protocol(caplog: Log) -> None:
    couple = Couple()
    arrive(couple.scp, b"GET / HTTP/1.1\r\n\r\n")
    couple.network.associations.remove(couple.scu)
    couple.wait()
    ((level, text),) = said(caplog, couple, by_requestor=False)
    assert level == "WARNING"
    assert text.startswith("association from 127.0.0.1:11112: association ended by this side's UL service-provider")


def test_tls_that_fails(caplog: Log) -> None:
    couple = Couple()
    couple.scp.cause = ssl.SSLError(1, "no certificate")
    couple.scp.engine.receive_eof(now=0)
    couple.network.associations.remove(couple.scu)
    couple.wait()
    ((level, text),) = said(caplog, couple, by_requestor=False)
    assert level == "WARNING"
    assert text.startswith("association from 127.0.0.1:11112: TLS failed: ")
    assert "no certificate" in text


def test_an_answer_that_never_comes(caplog: Log) -> None:
    couple = Couple()
    couple.scu.turn()
    couple.scu.engine.receive_eof(now=0)
    couple.network.associations.remove(couple.scp)
    couple.wait()
    levels = [level for level, _ in said(caplog, couple, by_requestor=True)]
    assert levels == ["WARNING"]


def test_a_connection_on_which_nothing_is_said_is_worth_nothing_but_a_debug_line(caplog: Log) -> None:
    couple = Couple()
    couple.network.associations.remove(couple.scu)
    couple.scp.engine.receive_eof(now=0)
    caplog.set_level(logging.DEBUG, "dicom_proto.association")
    couple.wait()
    assert [record.levelname for record in caplog.records if "is closed: " in record.getMessage()] == ["DEBUG"]
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_an_abort_of_a_handler(caplog: Log) -> None:
    couple = Couple(there=[(evt.EVT_REQUESTED, lambda event: event.assoc.abort())])
    couple.establish().wait()
    assert said(caplog, couple, by_requestor=False) == []
    assert [level for level, _ in said(caplog, couple, by_requestor=True)] == ["WARNING"]


def test_nothing_is_put_into_words_that_nobody_reads(caplog: Log) -> None:
    caplog.set_level(logging.WARNING, "dicom_proto.association")
    established().scu.release()
    caplog.set_level(logging.CRITICAL, "dicom_proto.association")
    couple = established()
    couple.scu.release()
    couple.wait()
    assert caplog.messages == []


def test_what_was_tolerated_and_not_answered_stands_at_the_end(caplog: Log) -> None:
    couple = established()
    connection = couple.scp.peer.connection
    connection.tolerated.update(padded_uids=2)
    connection.answers_sent[CEchoRQ, None] = 3
    couple.scu.abort()
    couple.wait()
    _, (_, ended) = said(caplog, couple, by_requestor=False)
    assert "; C-ECHO as SCP: 3 unanswered; tolerated: padded_uids 2; " in ended


def test_pdus_at_debug(caplog: Log) -> None:
    caplog.set_level(logging.DEBUG, "dicom_proto.association")
    couple = established()
    heads = [record.getMessage() for record in caplog.records if "----" in record.getMessage()]
    here, there = couple.scu.id, couple.scp.id
    assert heads == [
        f"[{here}] > ---- A-ASSOCIATE-RQ sent ----",
        f"[{there}] < ---- A-ASSOCIATE-RQ received ----",
        f"[{there}] > ---- A-ASSOCIATE-AC sent ----",
        f"[{here}] < ---- A-ASSOCIATE-AC received ----",
    ]
    caplog.clear()
    Couple(reception=CALLED_AE_TITLE_NOT_RECOGNIZED).establish()
    heads = [line for line in caplog.messages if "A-ASSOCIATE-RJ" in line]
    assert [head.split(" ", 1)[1] for head in heads] == [
        "> ---- A-ASSOCIATE-RJ sent ----",
        "< ---- A-ASSOCIATE-RJ received ----",
    ]


def test_titles_of_a_peer_cannot_forge_lines(caplog: Log) -> None:
    request = encode_pdu(offer_of(VERIFICATION)).replace(b"CALLING ", b"X\nERROR ")
    couple = Couple(reception=CALLED_AE_TITLE_NOT_RECOGNIZED)
    arrive(couple.scp, request)
    couple.wait()
    assert [level for level, _ in said(caplog, couple, by_requestor=False)] == ["WARNING"]
    assert "'X\\nERROR'" in caplog.text
    assert all("\n" not in message for message in caplog.messages)


@for_each(
    ("ending", "fate"),
    [
        (Released(), "released"),
        (AssociateRejected(result=1, source=1, reason=7), "rejected"),
        (TimedOut(timer=Timer.IDLE), "timed out"),
        (ConnectionClosed(), "lost"),
        (Aborted(origin=AbortOrigin.TRANSPORT), "lost"),
        (Aborted(origin=AbortOrigin.PEER_USER), "aborted"),
        (Aborted(origin=AbortOrigin.LOCAL_PROVIDER, error=PDUError("odd")), "aborted"),
    ],
)
def test_fates(ending: Any, fate: str) -> None:
    assert fate_of(ending) == fate


def test_the_id_stands_in_every_line_from_the_open_connection_on(caplog: Log) -> None:
    caplog.set_level(logging.DEBUG, "dicom_proto")
    couple = established()
    couple.scu.release()
    couple.wait()
    assert any("Evt5" in line for line in caplog.messages)
    nameless = [line for line in caplog.messages if not line.startswith("[")]
    assert nameless == ["= Sta1 Evt1 AE-1 Sta4"]  # the request, which this test makes by itself
