"""The harnesses of ``fuzz`` without a fuzzer: the committed inputs find nothing, but faults that are planted."""

import zlib
from collections.abc import Callable
from pkgutil import resolve_name
from random import Random
from typing import Any

import pytest

from dicom_proto.errors import DicomProtoError
from dicom_proto.upper_layer.items import OperationsWindow
from dicom_proto.upper_layer.remembered import Remembered
from dicom_proto.upper_layer.state_table import State
from fuzz import CORPUS, HARNESSES, association, connection, dialogue, engine, load, routing
from fuzz.__main__ import main
from fuzz.keep import choose, steps_through

LANGUAGES = {
    "association": association.LANGUAGE,
    "connection": connection.LANGUAGE,
    "dialogue": dialogue.LANGUAGE,
    "routing": routing.LANGUAGE,
    "engine": engine.LANGUAGE,
}


def corpus(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}


def replay(name: str) -> None:
    check = load(name).check
    for data in corpus(name).values():
        check(data)


@pytest.mark.parametrize("name", HARNESSES)
def test_corpus_finds_nothing(name: str) -> None:
    replay(name)


@pytest.mark.parametrize("name", HARNESSES)
def test_small_changes_find_nothing(name: str) -> None:
    harness = load(name)
    random = Random(zlib.crc32(name.encode()))
    for data in corpus(name).values():
        harness.check(harness.mutate(data, random))
        harness.check(random.randbytes(random.randrange(40)))


def test_corpus_is_small_and_has_the_seeds() -> None:
    total = 0
    for name in HARNESSES:
        files = corpus(name)
        assert load(name).seeds().items() <= files.items(), f"python -m fuzz.keep writes what is missing of {name}"
        assert len(files) <= 60
        assert max(map(len, files.values())) < 2048
        total += sum(map(len, files.values()))
    assert total < 200_000


@pytest.mark.parametrize("name", LANGUAGES)
def test_programs(name: str) -> None:
    language = LANGUAGES[name]
    used = set()
    for data in corpus(name).values():
        program = language.read(data)
        assert language.read(language.parse(language.describe(data))) == program
        used |= {step.name for step in program[1]}
    assert used == set(language.names)


def raise_key_error(*_args: Any, **_more: Any) -> Any:
    raise KeyError


def do_nothing(*_args: Any, **_more: Any) -> None:
    pass


def _never_full(router: Any, filed: Any) -> Any:
    router.is_full = False
    return filed


# The harness that finds a fault, what is broken, and what takes its place, made from what it was.
FAULTS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "a title loses a letter": (
        "pdu",
        "dicom_proto.upper_layer.pdu.decode_ae_title",
        lambda original: lambda raw: original(raw)[1:],
    ),
    "an unknown user identity type raises KeyError": (
        "pdu",
        "dicom_proto.upper_layer.items.UserIdentityType.__new__",
        lambda _: raise_key_error,
    ),
    "a command set is sent cut short": (
        "command_set",
        "dicom_proto.dimse.codec.join_elements",
        lambda original: lambda elements: original(elements)[:-1],
    ),
    "more operations are accepted than were proposed": (
        "negotiation",
        "dicom_proto.upper_layer.policy.clamp_window",
        lambda _: lambda window, _bound: OperationsWindow(window.invoked + 1, window.performed + 1),
    ),
    "timers never expire": (
        "association",
        "dicom_proto.upper_layer.timers.Timers.take_expired",
        lambda _: lambda *_: [],
    ),
    "single bytes are lost": (
        "association",
        "dicom_proto.upper_layer.inbound.Inbound.feed",
        lambda original: lambda inbound, data: original(inbound, data) if len(data) > 1 else None,
    ),
    "what a peer sends is taken without a bound": (
        "association",
        "dicom_proto.upper_layer.association.Association.wants_read",
        lambda original: property(lambda machine: original.fget(machine) or machine.state is State.Sta3),
    ),
    "a short command set raises KeyError": (
        "connection",
        "dicom_proto.dimse.exchange.decode_message",
        lambda original: lambda data: original(data) if len(data) > 60 else raise_key_error(),
    ),
    "PDUs are longer than the peer wants them": (
        "connection",
        "dicom_proto.upper_layer.outbound.Outbound.set_maximum_length",
        lambda original: lambda outbound, length: original(outbound, length + 2),
    ),
    "data is sent in the wrong order": (
        "dialogue",
        "dicom_proto.dimse.outgoing.Outbox.write",
        lambda original: lambda outbox, outgoing, data: original(outbox, outgoing, bytes(data)[::-1]),
    ),
    "responses are lost": ("dialogue", "dicom_proto.dimse.connection.Connection._take_response", lambda _: do_nothing),
    "a PDU that is too long is kept": (
        "tap",
        "dicom_proto.upper_layer.tap.PDUTap.__init__",
        lambda original: lambda tap, limit: original(tap, limit + 1),
    ),
    "a byte of each piece passes the tap unseen": (
        "tap",
        "dicom_proto.upper_layer.tap.PDUTap.feed",
        lambda original: lambda tap, data: original(tap, data[1:]),
    ),
    "what has been taken still counts": (
        "routing",
        "dicom_proto.dimse.routing.Router.forget",
        lambda _: lambda _router, event: event,
    ),
    "what belongs to one goes to another": (
        "routing",
        "dicom_proto.dimse.routing.Router.find",
        lambda original: lambda router, key: original(router, (key[0] ^ 3, key[1])),
    ),
    "more is pulled than may wait": (
        "routing",
        "dicom_proto.dimse.routing.Router.file",
        lambda original: lambda router, event: _never_full(router, original(router, event)),
    ),
    "who waits in vain is forgotten": (
        "routing",
        "dicom_proto.dimse.routing.Router.take_left",
        lambda _: lambda _r: [],
    ),
    "the end is not told to those who wait": (
        "engine",
        "dicom_proto.programs.engine.Engine._conclude",
        lambda _: do_nothing,
    ),
    "what is left open stays open": (
        "engine",
        "dicom_proto.programs.tasks._close_all",
        lambda original: lambda opened, value, error: opened.clear() or original([], value, error),
    ),
    "deadlines pass unseen": ("engine", "dicom_proto.programs.engine.Engine._expire", lambda _: do_nothing),
    "pauses never end": ("engine", "dicom_proto.programs.tasks.Tasks._wake_sleepers", lambda _: do_nothing),
    "what the peer's requests do wrong escapes": (
        "engine",
        "dicom_proto.programs.engine.Engine._note_end",
        lambda _: lambda _core, task: task.result(),
    ),
    "a data set that is cut short raises KeyError": (
        "datasets",
        "dicom_proto.encoding.structure.TruncatedError.__init__",
        lambda _: raise_key_error,
    ),
    "a data set is sent cut short": (
        "datasets",
        "fuzz.datasets.encode",
        lambda original: lambda dataset, transfer_syntax: original(dataset, transfer_syntax)[:-1],
    ),
    "the end of a file is never known": (
        "datasets",
        "fuzz.datasets.read_file_meta",
        lambda original: lambda prefix, **_: original(prefix),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, target, broken = FAULTS[fault]
    monkeypatch.setattr(Remembered, "get", do_nothing)  # what was worked out before would hide a fault, and
    monkeypatch.setattr(Remembered, "keep", do_nothing)  # what a fault has made would outlive it
    monkeypatch.setattr(target, broken(resolve_name(target)))
    with pytest.raises((AssertionError, DicomProtoError, KeyError, ValueError)):
        replay(name)


def test_replay_shows_what_it_finds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--harness", "association", "--replay", str(CORPUS / "association" / "release-expires")]
    assert main(command) == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("dicom_proto.upper_layer.timers.Timers.take_expired", lambda *_: [])
    assert main(command) == 1
    out = capsys.readouterr().out
    assert "6 0:\nwait 5;\nexpire 0;\nturn" in out
    assert "a deadline that has come is still there" in out


def test_what_is_kept_adds_something() -> None:
    check = load("pdu").check
    inputs = corpus("pdu")
    plain, full, cut = (inputs[name] for name in ("associate-rq", "associate-rq-full", "associate-rq-cut"))
    check(full)
    known = steps_through(check, plain)
    reached = {data: steps_through(check, data) for data in (plain, full, cut)}
    assert choose(reached, known, 9) == [full, cut]
    assert choose(reached, known, 1) == [full]
    assert choose(reached, known | reached[full] | reached[cut], 9) == []
