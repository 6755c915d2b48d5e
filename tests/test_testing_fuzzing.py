"""The fuzzer over TCP: it finds planted faults, makes them small, and refuses what is not this machine."""

import socket
import sys
from pathlib import Path

import pytest

from dicom_proto.testing.conversations import ECHO
from dicom_proto.testing.script import loads
from dicom_proto.testing.structure import mend_lengths
from dicom_transports.testing import target as targets
from dicom_transports.testing.fuzzing import Finding, signature
from dicom_transports.testing.main import main
from dicom_transports.testing.scripted import run_scu
from dicom_transports.testing.shrinking import shrink, shrink_list
from dicom_transports.testing.target import Answer, NotLoopbackError, Target, require_loopback
from tests.planted import LARGEST, TOY, find


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("fault", "kind"), [("no command field", "died"), ("even context", "died"), ("second associate", "deaf")]
)
def test_a_planted_fault_is_found_and_made_small(fault: str, kind: str) -> None:
    told: list[str] = []
    (finding,) = find(fault, 2000, told.append)
    assert finding.kind == kind
    assert 0 < finding.size < LARGEST
    assert len(finding.conversations) == 1
    assert told[0].startswith(kind)


def test_without_a_fault_nothing_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = str(free_port())
    arguments = ["fuzz", "127.0.0.1", port, "--connections", "300", "--rate", "2000", "--keep", str(tmp_path)]
    assert main([*arguments, "--", sys.executable, "-IS", str(TOY), port]) == 0
    assert "300 connections in " in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_finding_is_kept_as_scripts_that_can_be_replayed(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["fuzz", "127.0.0.1", str(port), "--connections", "30", "--keep", str(tmp_path)]
    assert main([*arguments, "--", sys.executable, "-IS", str(TOY), str(port), "no command field"]) == 1
    (path,) = tmp_path.iterdir()
    target = Target(("127.0.0.1", port), [sys.executable, "-IS", str(TOY), str(port), "no command field"])
    try:
        target.start()
        run_scu(target.address, loads(path.read_text(encoding="ascii")))
        assert target.has_ended()
    finally:
        target.close()


def test_only_this_machine_is_a_target(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    require_loopback("127.0.0.1", 104)
    with pytest.raises(NotLoopbackError, match="--i-own-this-target"):
        require_loopback("192.0.2.1", 104)
    monkeypatch.setattr(Target, "start", lambda _: pytest.fail("it was started"))
    assert main(["fuzz", "192.0.2.1", "104"]) == 2
    assert "not this machine" in capsys.readouterr().err


def test_a_target_of_ones_own_is_fuzzed_slowly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(targets.Target, "start", lambda _: (_ for _ in ()).throw(TimeoutError("it is not there")))
    assert main(["fuzz", "192.0.2.1", "104", "--i-own-this-target"]) == 4
    assert "it is not there" in capsys.readouterr().err


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(targets, "_START", 0.0)
    assert main(["fuzz", "127.0.0.1", str(free_port()), "--patience", "0.1"]) == 4
    assert "answers no C-ECHO" in capsys.readouterr().err


def test_answers_are_told_apart_by_what_they_mean() -> None:
    def shown(data: str, end: str = "closed", seconds: float = 0.001) -> tuple[object, ...]:
        return signature(Answer(bytes.fromhex(data), end, seconds))

    abort = "07000000000400000201"
    assert shown(abort) == shown(abort, seconds=0.002) != shown("07000000000400000202")
    assert len({shown(abort, end) for end in ("closed", "reset", "open")}) == 3
    assert shown(abort) != shown(abort, seconds=3)
    assert shown("0400000000080000000401030000") != shown("")


def test_lists_are_made_as_short_as_they_can_be() -> None:
    assert shrink_list(list(range(100)), lambda some: {3, 77} <= set(some)) == [3, 77]
    assert shrink_list("abc", lambda some: "b" in some) == ["b"]
    assert shrink_list((), lambda _: True) == ()


def test_conversations_are_made_small_with_right_lengths() -> None:
    small = shrink(ECHO, lambda pdus: pdus[0][:1] == b"\1" and b"8.1.1" in b"".join(pdus))
    assert len(small) == 1
    assert len(small[0]) < 40
    assert mend_lengths(small[0])[:6] == small[0][:6]


def test_a_wrong_length_stays_where_it_matters() -> None:
    wrong = ECHO[0][:2] + b"\0\0\7\7" + ECHO[0][6:]
    small = shrink((wrong,), lambda pdus: pdus[0][2:6] == b"\0\0\7\7")
    assert small == (ECHO[0][:2] + b"\0\0\7\7",)


def test_a_finding_has_a_name_of_its_own() -> None:
    one, other = Finding("died", "", [ECHO]), Finding("died", "", [ECHO[:1]])
    assert one.name != other.name
    assert one.size == sum(map(len, ECHO))
