import pytest

from dicom_proto.dimse.connection import Connection
from dicom_proto.testing.pair import answer, offer
from dicom_proto.testing.samples import PDUS
from dicom_proto.testing.script import (
    Cut,
    Expect,
    Player,
    Reset,
    ScriptError,
    Send,
    Wait,
    dumps,
    loads,
    play,
)
from dicom_proto.upper_layer.events import AssociateRequested, ReleaseRequested
from dicom_proto.upper_layer.timers import Timeouts

SCRIPT = [
    Send(PDUS["associate-rq"]),
    Expect("A-ASSOCIATE-AC", within=2, containing=b"1.2.4"),
    Wait(0.5),
    Cut(),
    Expect("END"),
    Reset(),
]


def machine(**timeouts):
    made = Connection(timeouts=Timeouts(**timeouts))
    made.connection_made(now=0)
    return made


def test_a_script_is_written_down_and_read_again():
    assert loads(dumps(SCRIPT)) == SCRIPT
    assert loads('{"expect": "END"}\n') == [Expect("END")]


@pytest.mark.parametrize("line", ['{"send": "0g"}', "{}", '{"sing": 1}', "[1]", "not JSON", '{"wait": "x"}'])
def test_what_is_no_step_is_named(line):
    with pytest.raises(ValueError, match="line 2 is no step of a script"):
        loads('{"cut": true}\n' + line)


def user(machine, event):
    match event:
        case AssociateRequested():
            machine.accept(answer(event.offer))
        case ReleaseRequested():
            machine.confirm_release()


def test_a_script_is_an_scu_in_memory():
    steps = [*SCRIPT[:3], Send(PDUS["release-rq"]), Expect("A-RELEASE-RP"), Cut(), Expect("END")]
    player = play(steps, machine(), user)
    assert player.is_done
    assert [pdu[0] for pdu in player.received] == [2, 6]


def test_a_script_is_an_scp_in_memory():
    scu = Connection()
    scu.request(offer())
    scu.connection_made(now=0)
    player = play([Expect("A-ASSOCIATE-RQ"), Send(PDUS["associate-rj"]), Expect("END")], scu)
    assert len(player.received) == 1


def test_time_passes_as_the_machine_or_the_script_needs_it():
    player = play([Wait(100), Expect("END", within=20)], machine(artim=110))
    assert player.is_done
    with pytest.raises(ScriptError, match="no A-ABORT within 5 s"):
        play([Expect("A-ABORT", within=5)], machine(artim=30))


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (Expect("A-ASSOCIATE-AC"), "A-ABORT instead of A-ASSOCIATE-AC"),
        (Expect("A-ABORT", containing=b"\xaa\xbb"), "the A-ABORT does not contain aa bb"),
    ],
)
def test_what_is_not_expected_is_named(expected, text):
    with pytest.raises(ScriptError, match=text):
        play([Send(PDUS["release-rq"]), expected], machine())


def test_a_pdu_of_an_unknown_type_and_an_end_too_early_are_named():
    player = Player([Wait(1), Expect("A-ABORT"), Expect("A-ABORT")])
    assert player.advance(0) == []
    assert player.next_deadline() == 1
    player.receive_data(PDUS["abort-user"][:4])
    assert player.advance(1) == []
    player.receive_data(PDUS["abort-user"][4:] + PDUS["abort-user"][:5])
    assert player.advance(2) == []
    assert player.received == [PDUS["abort-user"]]
    player.receive_data(b"")
    with pytest.raises(ScriptError, match="END instead of A-ABORT"):
        player.advance(3)
    other = Player([Expect("A-ABORT")])
    other.receive_data(b"\x0a\0\0\0\0\0")
    with pytest.raises(ScriptError, match="PDU of type 0AH instead of A-ABORT"):
        other.advance(0)


def test_events_need_nobody():
    assert play([Send(PDUS["associate-rq"])], machine()).is_done


def test_acts_are_handed_out_in_order():
    player = Player([Send(b"1"), Reset(), Cut()])
    assert player.advance(0) == [Send(b"1"), Reset(), Cut()]
    assert player.next_deadline() is None
    assert player.is_done
