"""``dicom-proto trace``: its output in each form, its exit status, and what it says of files that are no captures."""

import io
import json
import sys
from pathlib import Path

import pytest
from attrs import evolve

from dicom_proto.upper_layer.pdu import encode_pdu
from dicom_transports.apps.exits import Exit
from dicom_transports.apps.main import main
from dicom_transports.apps.trace.page import Page
from tests.traces.packets import Wire, pcap, trace
from tests.traces.scenes import FIND, OFFER, PATIENT, STORE


@pytest.fixture
def capture(tmp_path: Path) -> str:
    path = tmp_path / "store.pcap"
    path.write_bytes(pcap(Wire().play(STORE).packets))
    return str(path)


def test_a_ladder(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", capture]) == Exit.ALL
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == (
        "    0.000000    #1   Sta5 -------> Sta3    A-ASSOCIATE-RQ: SCANNER calls ARCHIVE, 3 presentation contexts"
    )
    assert lines[3].startswith("    0.002000    #1   Sta6 -------> Sta6    C-STORE-RQ: message 1, CT Image Storage")
    assert lines[4].startswith("    0.005000    #1   Sta6 =======> Sta6    data set: of C-STORE-RQ: 3108 bytes")
    assert lines[5].startswith("    0.006000    #1   Sta6 <------- Sta6    C-STORE-RSP: to message 1, 0x0000 Success")
    assert lines[-1].endswith("* summary: TCP connections: 1 with DICOM")


def test_a_ladder_with_all_fields(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", capture, "--fields", "--values", "--pdus"]) == Exit.ALL
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert f"(0010,0010) PN PatientName, 8 bytes = {PATIENT}" in lines
    assert "(0008,1140) SQ ReferencedImageSequence, 16 bytes, 2 items" in lines
    assert "called AE title: ARCHIVE" in lines
    assert "primary field: jane" in lines


def test_json_lines(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", capture, "--json"]) == Exit.ALL
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["name"] for record in records][3:6] == ["C-STORE-RQ", "data set", "C-STORE-RSP"]
    response = records[5]
    assert (response["direction"], response["status"], response["states"]) == ("back", "success", ["Sta6", "Sta6"])
    assert response["fields"]["status"] == "0000H"
    assert records[4]["seconds"] == pytest.approx(0.003)


@pytest.mark.parametrize("form", [[], ["--json"], ["--fields"], ["--pdus"], ["--html"]])
def test_no_form_tells_of_patients_without_being_asked(
    form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "find.pcap").write_bytes(pcap(Wire().play(FIND).packets))
    page = tmp_path / "page.html"
    given = [*form, str(page)] if "--html" in form else form
    for values in ([], ["--values"]):
        assert main(["trace", str(tmp_path / "find.pcap"), *given, *values]) == Exit.ALL
        output = capsys.readouterr().out + (page.read_text() if page.exists() else "")
        is_shown = bool(values) and form not in ([], ["--pdus"])  # a line has no room for them
        assert (PATIENT in output) is is_shown


def test_the_standard_input(capture: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(Path(capture).read_bytes())

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert main(["trace", "-"]) == Exit.ALL
    assert "C-STORE-RQ" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, Exit.USAGE, "No such file or directory"),
        (b"", Exit.USAGE, "nothing was captured"),
        (b"not a capture at all", Exit.USAGE, "neither a pcap nor a pcapng file"),
        (pcap([]), Exit.NONE, "there is no DICOM in it that can be read: TCP connections: none"),
        (pcap(Wire().play(STORE).packets)[:-30], Exit.SOME, ""),
    ],
)
def test_what_cannot_be_traced(
    content: bytes | None, code: Exit, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.pcap"
    if content is not None:
        path.write_bytes(content)
    assert main(["trace", str(path)]) == code
    error = capsys.readouterr().err
    assert words in error
    assert (str(path) in error) is bool(words)
    assert error.count("\n") == bool(words)


def test_a_page_that_cannot_be_written(capture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", capture, "--html", str(tmp_path / "nowhere" / "page.html")]) == Exit.LOCAL
    assert "nowhere" in capsys.readouterr().err


HOSTILE = "<b>\x1b[2J</b>"


def hostile_capture() -> bytes:
    """A capture whose AE title would clear a terminal and change a page."""
    offer = bytearray(encode_pdu(evolve(OFFER, calling_ae_title="X" * len(HOSTILE))))
    at = offer.index(b"X" * len(HOSTILE))
    offer[at : at + len(HOSTILE)] = HOSTILE.encode("latin-1")
    return pcap(Wire().play([(False, bytes(offer)), *STORE[1:]]).packets)


def test_what_a_peer_says_cannot_move_the_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hostile.pcap").write_bytes(hostile_capture())
    for form in ([], ["--fields"], ["--json"]):
        assert main(["trace", str(tmp_path / "hostile.pcap"), *form]) == Exit.ALL
        output = capsys.readouterr().out
        assert "\x1b" not in output
        assert "[2J" in output


def test_what_a_peer_says_is_no_markup(tmp_path: Path) -> None:
    (tmp_path / "<i>.pcap").write_bytes(hostile_capture())
    page = tmp_path / "page.html"
    assert main(["trace", str(tmp_path / "<i>.pcap"), "--html", str(page)]) == Exit.ALL
    content = page.read_text()
    assert "<b>" not in content
    assert "<i>" not in content
    assert "u003cb\\u003e" in content


def test_a_page_needs_nothing_else() -> None:
    out = io.StringIO()
    Page(out, "nothing").close()
    content = out.getvalue()
    assert "http" not in content.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "src=" not in content
    assert "url(" not in content
    assert "default-src 'none'" in content


def test_a_page_is_written_as_the_entries_come() -> None:
    out = io.StringIO()
    page = Page(out, "many")
    entries, _ = trace(pcap(Wire().play(STORE).packets))
    length = len(out.getvalue())
    for _ in range(100):
        for entry in entries:
            page(entry)
    assert len(out.getvalue()) > length + 100 * len(entries) * 50
