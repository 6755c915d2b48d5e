"""The walk through Table 9-10: what the blocking server does, how it is judged, and what the command says."""

import json
from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from dicom_proto.testing.samples import CT, PDUS, VERIFICATION
from dicom_proto.upper_layer.state_table import Action, Event, State
from dicom_transports.blocking import AE
from dicom_transports.testing.main import main
from dicom_transports.testing.scripted import Address
from dicom_transports.testing.walking import Outcome, Seen, judge, walk
from tests.test_testing_fuzzing import free_port

ABORT_USER, ABORT_PROVIDER = PDUS["abort-user"], PDUS["abort-provider"]
ACCEPT, RELEASED = PDUS["associate-ac"], PDUS["release-rp"]
GOOD, TOLERATED, BAD = Outcome.AS_ASKED, Outcome.TOLERATED, Outcome.DEVIATION


@pytest.fixture
def server() -> Iterator[Address]:
    ae = AE("SCP")
    ae.add_supported_context(VERIFICATION)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    yield server.server_address
    server.shutdown()


def test_a_server_of_this_project(server: Address) -> None:
    findings = list(walk(server))
    assert {finding.outcome for finding in findings} == {GOOD, TOLERATED, Outcome.NOT_REACHED}
    reached = [finding for finding in findings if finding.outcome is not Outcome.NOT_REACHED]
    assert Counter(finding.state for finding in reached) == {State.Sta2: 9, State.Sta6: 9, State.Sta13: 9}
    assert {(found.state, found.event) for found in reached if found.outcome is TOLERATED} <= {
        (State.Sta13, Event.Evt6),
        (State.Sta13, Event.Evt19),
    }


@pytest.mark.parametrize(
    ("action", "pdus", "end", "outcome"),
    [
        (Action.AE_6, (ACCEPT,), "open", GOOD),
        (Action.AE_6, (), "closed", BAD),
        (Action.DT_2, (ABORT_USER,), "closed", BAD),
        (Action.AR_2, (RELEASED,), "open", GOOD),
        (Action.AA_1, (ABORT_USER,), "open", GOOD),
        (Action.AA_1, (ABORT_PROVIDER,), "open", TOLERATED),
        (Action.AA_1, (), "closed", BAD),
        (Action.AA_8, (ABORT_PROVIDER,), "closed", GOOD),
        (Action.AA_8, (ABORT_USER,), "closed", TOLERATED),
        (Action.AA_8, (), "open", BAD),
        (Action.AA_2, (), "reset", GOOD),
        (Action.AA_3, (), "open", BAD),
        (Action.AA_3, (ABORT_USER,), "closed", BAD),
        (Action.AA_6, (), "closed", GOOD),
        (Action.AA_6, (ABORT_USER,), "closed", BAD),
        (Action.AA_7, (ABORT_USER,), "open", GOOD),
        (Action.AA_7, (), "closed", TOLERATED),
        (Action.AA_7, (), "open", BAD),
    ],
)
def test_what_was_seen_is_judged(action: Action, pdus: tuple[bytes, ...], end: str, outcome: Outcome) -> None:
    assert judge(action, Seen(pdus, end))[0] is outcome


def test_a_server_that_is_gone_afterwards_deviates() -> None:
    assert judge(Action.AA_4, Seen((), "closed"))[0] is GOOD
    assert judge(Action.AA_4, Seen((), "closed", lives=False))[0] is BAD


def test_a_server_that_never_accepts() -> None:
    ae = AE("SCP")
    ae.add_supported_context(CT)
    ae.require_called_aet = True
    other = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        findings = {(found.state, found.event): found for found in walk(other.server_address)}
    finally:
        other.shutdown()
    assert findings[State.Sta2, Event.Evt6].outcome is GOOD
    assert findings[State.Sta6, Event.Evt10].outcome is Outcome.NOT_REACHED
    assert findings[State.Sta6, Event.Evt10].seen.startswith("on the way it sent A-ASSOCIATE-RJ")


def test_the_command_says_it_as_text_json_and_junit(server: Address, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["walk", server[0], str(server[1])]
    assert main(words) == 0
    assert "deviation 0" in capsys.readouterr().out
    assert main([*words, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {(cell["state"], cell["event"], cell["outcome"]) for cell in told} >= {
        ("Sta6", "Evt12", "as the standard asks"),
        ("Sta5", "Evt3", "not reached"),
    }
    assert main([*words, "--format", "junit"]) == 0
    suite = ElementTree.fromstring(capsys.readouterr().out)  # what this program has just written
    assert len(suite) == int(suite.attrib["tests"]) == len(told)
    assert suite.attrib["failures"] == "0"


def test_only_this_machine_and_only_where_somebody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["walk", "192.0.2.1", "104"]) == 2
    assert "--i-own-this-target" in capsys.readouterr().err
    assert main(["walk", "127.0.0.1", str(free_port())]) == 4
