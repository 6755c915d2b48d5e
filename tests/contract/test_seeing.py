"""What a server's users see of what happens: the log, in words and as JSON, the numbers, and who is refused access."""

import io
import json
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from attrs import evolve
from prometheus_client import CollectorRegistry

from dicom_proto.handlers import evt
from dicom_proto.offers.items import UserIdentityNegotiation
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_proto.testing.pair import offer
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ
from dicom_proto.upper_layer.policy import (
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    NO_REASON_GIVEN,
)
from dicom_transports.logs import log_json
from dicom_transports.metrics import expose, watch
from tests.contract import certificates
from tests.contract.adapters import WAIT, Peer, make_ae

CT, VERIFICATION = str(CTImageStorage), str(Verification)
LOOPBACK = ("127.0.0.1", 0)
pytestmark = pytest.mark.usefixtures("adapter")

authority = certificates.authority
client_credentials = certificates.client_credentials
server_credentials = certificates.server_credentials
client_tls = certificates.client_tls
server_tls = certificates.server_tls


class Log(logging.Handler):
    """What is logged, to be waited for."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []
        self.changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self.changed:
            self.records.append(record)
            self.changed.notify_all()

    def facts(self, event: str, **wanted: Any) -> dict[str, Any]:
        """Wait for a record about an event, and return what it has for machines, its id and text among it."""

        def find() -> dict[str, Any] | None:
            for record in self.records:
                facts = getattr(record, "dicom", {})
                if facts.get("event") == event and all(facts.get(name) == value for name, value in wanted.items()):
                    return {**facts, "id": vars(record).get("association"), "text": record.getMessage()}
            return None

        with self.changed:
            assert self.changed.wait_for(find, WAIT), f"nothing is said of {event}"
            return find() or {}


@pytest.fixture
def log() -> Iterator[Log]:
    handler, logger = Log(), logging.getLogger("dicom_proto.association")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def serving(*handlers: Any, tls: Any = None, **settings: Any) -> Iterator[Any]:
    ae = make_ae("ARCHIVE")
    ae.add_supported_context(VERIFICATION)
    for name, value in settings.items():
        setattr(ae, name, value)
    with ae.start_server(LOOPBACK, block=False, evt_handlers=list(handlers), ssl_context=tls) as server:
        yield server


def ask(server: Any, calling: str = "CALLING", called: str = "CALLED") -> Any:
    """Request an association, and return the answer; then be gone."""
    with Peer.dial(server.address) as peer:
        peer.send(evolve(offer(VERIFICATION), calling_ae_title=calling, called_ae_title=called))
        return peer.get()


def test_a_normal_association_at_both_sides(log: Log) -> None:
    with serving() as server:
        ae: Any = make_ae("MODALITY")
        ae.add_requested_context(VERIFICATION)
        association = ae.associate(*server.address, ae_title="ARCHIVE")
        name = association.id
        assert association.send_c_echo().Status == 0
        association.release()
        for is_requestor in (False, True):
            begun = log.facts("established", requestor=is_requestor)
            ended = log.facts("ended", requestor=is_requestor)
            assert begun["id"] == ended["id"]
            assert (begun["id"] == name) is is_requestor
            assert ended["how"] == "released"
            assert (begun["calling"], begun["called"]) == ("MODALITY", "ARCHIVE")
            assert list(begun["accepted"]) == ["Verification SOP Class"]
            role = "SCU" if is_requestor else "SCP"
            assert ended["operations"] == [{"role": role, "operation": "C-ECHO", "status": "0000", "count": 1}]
            assert ended["bytes_received"] > 0
            assert f"C-ECHO as {role}: 1 Success (0000H)" in ended["text"]


@pytest.mark.parametrize(
    ("settings", "calling", "answer", "decided_by"),
    [
        ({"require_called_aet": True}, "CT1", CALLED_AE_TITLE_NOT_RECOGNIZED, "AE.require_called_aet"),
        ({"require_calling_aet": ["CT2"]}, "CT1", CALLING_AE_TITLE_NOT_RECOGNIZED, "AE.require_calling_aet"),
        ({"deny_calling_aet": ["CT1"]}, "CT1", CALLING_AE_TITLE_NOT_RECOGNIZED, "AE.deny_calling_aet"),
        ({"deny_networks": ["127.0.0.0/8"]}, "CT1", NO_REASON_GIVEN, "AE.deny_networks"),
        ({"allow_networks": ["192.0.2.0/24"]}, "CT1", NO_REASON_GIVEN, "AE.allow_networks"),
    ],
)
def test_who_is_refused_learns_why_and_so_does_the_log(
    log: Log, settings: Any, calling: str, answer: AAssociateRJ, decided_by: str
) -> None:
    told: list[str] = []
    has_told = threading.Event()

    def tell(event: Any) -> None:
        told.append(str(event.assoc.failure))
        has_told.set()

    with serving((evt.EVT_REJECTED, tell), **settings) as server:
        assert ask(server, calling, "OTHER") == answer
        facts = log.facts("rejected")
        assert has_told.wait(WAIT)
        counted = server.ae.counters.rejected
    assert (facts["decided_by"], facts["calling"], facts["called"]) == (decided_by, calling, "OTHER")
    assert facts["address"] == "127.0.0.1"
    assert [name for _, name in counted] == [decided_by]
    assert decided_by in told[0]


def test_lists_and_limits_count_while_the_server_runs() -> None:
    with serving() as server, Peer.dial(server.address) as first:
        first.send(offer(VERIFICATION))
        assert isinstance(first.get(), AAssociateAC)
        server.ae.maximum_by_calling_aet = {"CALLING": 1}
        assert ask(server) == LOCAL_LIMIT_EXCEEDED
        assert isinstance(ask(server, "OTHER"), AAssociateAC)
        server.ae.maximum_by_calling_aet, server.ae.maximum_by_address = None, {"127.0.0.0/8": 1}
        assert ask(server, "OTHER2") == LOCAL_LIMIT_EXCEEDED
        server.ae.maximum_by_address = None
        assert isinstance(ask(server), AAssociateAC)
        server.ae.deny_calling_aet.append("CALLING")
        assert ask(server) == CALLING_AE_TITLE_NOT_RECOGNIZED


def test_a_hook_decides_by_all_there_is_to_see(
    log: Log, client_tls: ssl.SSLContext, server_tls: ssl.SSLContext
) -> None:
    seen: list[Any] = []

    def decide(event: Any) -> bool:
        seen.append(event)
        return bool(event.calling_ae_title == "GOOD")

    with serving((evt.EVT_ACCESS, decide), tls=server_tls) as server:
        for title in ("GOOD", "BAD"):
            ae: Any = make_ae(title)
            ae.add_requested_context(VERIFICATION)
            association = ae.associate(
                *server.address,
                tls_args=(client_tls, "localhost"),
                ext_neg=[UserIdentityNegotiation(1, b"somebody")],
            )
            assert association.is_established is (title == "GOOD")
            assert association.is_rejected is (title == "BAD")
            association.abort()
        facts = log.facts("rejected")
        assert log.facts("established", requestor=False)["tls"] in {"TLSv1.2", "TLSv1.3"}
    assert facts["decided_by"] == "the handler of EVT_ACCESS"
    event = seen[0]
    assert event.address[0] == "127.0.0.1"
    assert (event.called_ae_title, event.identity.primary) == ("ANY-SCP", b"somebody")
    assert event.certificate["subject"]
    assert event.tls.version in {"TLSv1.2", "TLSv1.3"}


def test_a_client_without_tls_at_a_port_with_it_and_the_reverse(
    log: Log, client_tls: ssl.SSLContext, server_tls: ssl.SSLContext
) -> None:
    ae: Any = make_ae("CT1")
    ae.add_requested_context(VERIFICATION)
    with serving(tls=server_tls) as server:
        assert not ae.associate(*server.address).is_established
        facts = log.facts("TLS failed", requestor=False)
        assert "the peer speaks DICOM without TLS" in facts["why"]
        assert facts["address"] == "127.0.0.1"
    with serving() as server:
        assert not ae.associate(*server.address, tls_args=(client_tls, "localhost")).is_established
        assert "the peer speaks TLS" in log.facts("protocol broken", requestor=False)["why"]


def test_lines_of_json(log: Log) -> None:
    stream = io.StringIO()
    handler = log_json(stream=stream)
    try:
        with serving(require_called_aet=True) as server:
            ask(server, called="ARCHIVE")
            ask(server, called="OTHER")
            log.facts("rejected")
            log.facts("ended")
    finally:
        for name in ("dicom_proto", "dicom_transports"):
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(logging.NOTSET)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    rejected = next(line for line in lines if line.get("event") == "rejected")
    assert rejected["level"] == "WARNING"
    assert (rejected["result"], rejected["source"], rejected["reason"]) == (1, 1, 7)
    assert rejected["association"]
    assert not rejected["message"].startswith("[")
    assert {"established", "ended"} <= {line.get("event") for line in lines}


def test_a_traceback_in_json() -> None:
    stream = io.StringIO()
    handler = log_json(logging.ERROR, stream)
    log = logging.getLogger("dicom_proto.association")
    try:
        try:
            raise ZeroDivisionError("odd")
        except ZeroDivisionError:
            log.exception("it failed")
    finally:
        for name in ("dicom_proto", "dicom_transports"):
            logging.getLogger(name).removeHandler(handler)
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert line["exception"].endswith("ZeroDivisionError: odd")
    assert line["message"] == "it failed"


def test_numbers_for_prometheus() -> None:
    with serving(require_called_aet=True) as server:
        ask(server, called="OTHER")
        ae: Any = make_ae("MODALITY")
        ae.add_requested_context(VERIFICATION)
        association = ae.associate(*server.address, ae_title="ARCHIVE")
        association.send_c_echo()
        text = expose(server.ae)
        assert 'dicom_associations_open{ae="ARCHIVE"} 1.0' in text
        association.release()
    registry = CollectorRegistry()
    watch(server.ae, ae, registry=registry)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    rejection = {"reason": "called AE title not recognized", "decided_by": "AE.require_called_aet"}
    assert value("dicom_associations_rejected_total", ae="ARCHIVE", **rejection) == 1
    assert value("dicom_associations_total", ae="ARCHIVE", mode="acceptor") == 1
    assert value("dicom_associations_total", ae="MODALITY", mode="requestor") == 1
    assert value("dicom_operations_total", ae="ARCHIVE", role="SCP", operation="C-ECHO", status="0000") == 1
    assert value("dicom_operations_total", ae="MODALITY", role="SCU", operation="C-ECHO", status="0000") == 1
    assert value("dicom_associations_open", ae="ARCHIVE") == 0
    sent = value("dicom_sent_bytes_total", ae="MODALITY")
    assert sent is not None
    assert 0 < sent <= (value("dicom_received_bytes_total", ae="ARCHIVE") or 0)


def test_too_many_connections(caplog: pytest.LogCaptureFixture) -> None:
    with serving(maximum_associations=1, maximum_connections=1) as server, Peer.dial(server.address) as first:
        first.send(offer(VERIFICATION))
        first.get()
        with Peer.dial(server.address) as second:
            assert second.is_at_end()
    assert "there are too many; decided by AE.maximum_connections" in caplog.text
