"""Scripted peers over loopback: they play against the blocking adapter, and against each other."""

import pytest

from dicom_proto.testing.conversations import ECHO
from dicom_proto.testing.pair import VERIFICATION
from dicom_proto.testing.samples import PDUS
from dicom_proto.testing.script import Cut, Expect, Reset, ScriptError, Send, Step, Wait
from dicom_transports.blocking import AE
from dicom_transports.testing.scripted import ScriptedServer, run_scu


def test_a_scripted_scu_against_a_server() -> None:
    ae = AE("SCP")
    ae.add_supported_context(VERIFICATION)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        player = run_scu(
            server.server_address,
            [
                Send(PDUS["associate-rq"]),
                Expect("A-ASSOCIATE-AC"),
                Send(ECHO[1]),
                Expect("P-DATA-TF", containing=b"\0\0\0\x09\2\0\0\0\0\0"),
                Wait(0.01),
                Send(PDUS["release-rq"]),
                Expect("A-RELEASE-RP"),
                Cut(),
                Expect("END"),
            ],
        )
        with pytest.raises(ScriptError, match="A-ABORT instead of A-ASSOCIATE-AC"):
            run_scu(server.server_address, [Send(PDUS["release-rq"]), Expect("A-ASSOCIATE-AC")])
    finally:
        server.shutdown()
    assert [pdu[0] for pdu in player.received] == [2, 4, 6]


def test_a_client_against_a_scripted_server() -> None:
    script: list[Step] = [
        Expect("A-ASSOCIATE-RQ"),
        Send(PDUS["associate-ac"]),
        Expect("P-DATA-TF"),
        Reset(),
        Wait(0.01),  # the connection is no more, and time goes on
    ]
    ae = AE("SCU")
    ae.add_requested_context(VERIFICATION)
    with ScriptedServer(script) as server:
        for _ in range(2):
            association = ae.associate(*server.address)
            assert association.is_established
            assert not association.send_c_echo()
            assert association.is_aborted
    assert len(server.players) == 2


def test_what_a_client_does_wrong_is_raised_at_the_end() -> None:
    with (
        pytest.raises(ScriptError, match="A-RELEASE-RQ instead of A-ASSOCIATE-RQ"),
        ScriptedServer([Expect("A-ASSOCIATE-RQ")]) as server,
    ):
        run_scu(server.address, [Send(PDUS["release-rq"]), Expect("END")])


def test_one_script_against_another() -> None:
    with ScriptedServer([Expect("A-RELEASE-RQ"), Send(PDUS["abort-user"]), Cut(), Expect("END"), Wait(0.01)]) as server:
        player = run_scu(server.address, [Send(PDUS["release-rq"]), Expect("A-ABORT"), Expect("END"), Wait(0.01)])
    assert player.received == [PDUS["abort-user"]]
    with ScriptedServer([Expect("END")]) as server:
        run_scu(server.address, [Reset()])
