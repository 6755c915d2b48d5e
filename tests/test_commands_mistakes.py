"""Mistakes that users make: each gets one clear line that says what to do, and the right exit status."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from dicom_proto.handlers import evt
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_transports.apps.exits import Exit
from dicom_transports.apps.main import main
from dicom_transports.blocking import AE
from dicom_transports.tls import server_context
from tests.contract import certificates
from tests.contract.certificates import Authority

authority = certificates.authority
HOST = "127.0.0.1"
IMAGE = str(get_testdata_file("CT_small.dcm", download=False))
STORED = [(evt.EVT_C_STORE, lambda _: 0x0000)]


class Told:
    """Runs a command, and looks at what is said about it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, code: Exit, said: str, *arguments: Any) -> str:
        """Run a command that has to end with a status and one line; return what else it has printed."""
        ended = main([str(argument) for argument in arguments])
        output, errors = self._capsys.readouterr()
        assert (ended, said in errors, errors.count("\n")) == (code, True, 1), errors
        assert errors.startswith(f"dicom-proto {arguments[0]}: ")
        return output


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    return Told(capsys)


def entity() -> AE:
    ae = AE("ARCHIVE")
    ae.require_called_aet = True
    for uid in (Verification, CTImageStorage):
        ae.add_supported_context(uid)
    return ae


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with entity().start_server((HOST, 0), block=False, evt_handlers=STORED) as server:
        yield server.address[1]


@pytest.fixture(scope="module")
def tls_port(authority: Authority) -> Iterator[int]:
    """A server whose certificate is for another host."""
    issued = authority.issue("elsewhere", "archive.example.org")
    context = server_context(issued.certificate, issued.key)
    with entity().start_server((HOST, 0), block=False, ssl_context=context) as server:
        yield server.address[1]


@contextmanager
def mute(answer: bytes | None) -> Iterator[int]:
    """Listen, and answer the first bytes with others and the end; or with nothing at all, for ``None``."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1 << 16)
                if answer is not None:
                    sock.sendall(answer)
                    return
                sock.recv(1 << 16)  # until the other side ends it

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as sock:
        number: int = sock.getsockname()[1]
        return number


# --- where to ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["echoscu"], ["storescu", "--retries", "0"], ["findscu", "-k", "PatientID"]])
def test_wrong_port(told: Told, command: list[str]) -> None:
    name, *options = command
    where = [HOST, free_port()] + ([IMAGE] if name == "storescu" else [])
    told(Exit.NO_ASSOCIATION, "nobody listens there: is the port right?", name, *where, *options)


@pytest.mark.parametrize("port", ["0", "70000", "dicom", "-1"])
def test_no_port(told: Told, port: str) -> None:
    told(Exit.USAGE, "argument", "echoscu", HOST, port)


def test_wrong_host(told: Told) -> None:
    told(Exit.NO_ASSOCIATION, "is the host name right?", "echoscu", "archive.invalid", 104)


def test_wrong_called_ae_title(told: Told, port: int) -> None:
    told(
        Exit.NO_ASSOCIATION, "it is not 'ARCHVE', give the right one with -aec", "echoscu", HOST, port, "-aec", "ARCHVE"
    )


def test_wrong_calling_ae_title(told: Told) -> None:
    ae = entity()
    ae.require_calling_aet = ["SCANNER"]
    with ae.start_server((HOST, 0), block=False) as server:
        arguments = ["findscu", *server.address, "-aec", "ARCHIVE", "-k", "PatientID"]
        told(Exit.NO_ASSOCIATION, "it does not know 'DICOM_PROTO', give one that it knows with -aet", *arguments)


def test_no_ae_title(told: Told, port: int) -> None:
    told(Exit.USAGE, "is not an AE title: 1 to 16", "echoscu", HOST, port, "-aec", "SEVENTEEN_LETTERS")


def test_a_peer_that_is_none(told: Told) -> None:
    with mute(b"HTTP/1.1 400 Bad Request\r\n\r\n") as other:
        told(Exit.NO_ASSOCIATION, f"{HOST} port {other}: ", "echoscu", HOST, other)


def test_a_peer_that_says_nothing(told: Told) -> None:
    with mute(None) as other:
        told(Exit.NO_ASSOCIATION, "has not answered in time: wait longer with -ta", "echoscu", HOST, other, "-ta", 0.1)


def test_a_service_that_the_peer_does_not_have(told: Told, port: int) -> None:
    output = told(Exit.NO_ASSOCIATION, "", "findscu", HOST, port, "-aec", "ARCHIVE", "-k", "PatientID")
    assert output == ""


def test_a_port_that_is_taken(told: Told, port: int, tmp_path: Path) -> None:
    told(Exit.LOCAL, f"take another port than {port}", "storescp", port, "-ba", HOST, "-od", tmp_path)


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_tls_where_there_is_none(told: Told, port: int) -> None:
    told(Exit.NO_ASSOCIATION, "TLS", "echoscu", HOST, port, "--tls", "-ta", 1)


def test_no_tls_where_there_is_some(told: Told, tls_port: int) -> None:
    told(Exit.NO_ASSOCIATION, "does it want TLS? Then add +tls or --tls", "echoscu", HOST, tls_port)


@pytest.mark.parametrize("command", ["echoscu", "findscu"])
def test_a_certificate_of_an_unknown_authority(told: Told, tls_port: int, command: str) -> None:
    options = ["-k", "PatientID"] if command == "findscu" else []
    told(Exit.NO_ASSOCIATION, "name its authority with +cf", command, HOST, tls_port, "--tls", *options)


def test_a_certificate_for_another_host(told: Told, tls_port: int, authority: Authority) -> None:
    arguments = ["echoscu", HOST, tls_port, "--tls", "+cf", authority.ca_file]
    told(Exit.NO_ASSOCIATION, "connect by the name in the certificate, or see --no-check-hostname", *arguments)


def test_a_key_that_belongs_to_another_certificate(told: Told, tls_port: int, authority: Authority) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    told(Exit.USAGE, f"{one.certificate}: ", "echoscu", HOST, tls_port, "+tls", other.key, one.certificate)


@pytest.mark.parametrize("option", ["+cf", "--crl-file"])
def test_a_file_with_certificates_that_is_not_there(told: Told, tls_port: int, option: str) -> None:
    told(Exit.USAGE, "/missing.pem: ", "echoscu", HOST, tls_port, "--tls", option, "/missing.pem")


def test_authorities_without_tls(told: Told, port: int, authority: Authority) -> None:
    told(Exit.USAGE, "+cf is for TLS: add +tls", "echoscu", HOST, port, "+cf", authority.ca_file)


def test_a_key_whose_passphrase_is_not_given(told: Told, authority: Authority, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - for this test alone
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    issued = authority.issue("locked")
    key = load_pem_private_key(issued.key.read_bytes(), None)
    locked = tmp_path / "locked-key.pem"
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open")))
    arguments = ["echoscu", HOST, free_port(), "+tls", locked, issued.certificate]
    told(Exit.USAGE, f"{locked}: the private key is encrypted, and there is no password", *arguments)
    (tmp_path / "passphrase").write_text("open\n")
    arguments += ["--key-password-file", tmp_path / "passphrase"]
    told(Exit.NO_ASSOCIATION, "nobody listens there", *arguments)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(told: Told, port: int) -> None:
    told(Exit.USAGE, "/missing.dcm: No such file or directory", "storescu", HOST, port, IMAGE, "/missing.dcm")


def test_a_file_that_is_no_dicom(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, and all others are sent all the same."""
    (tmp_path / "letter.txt").write_text("Dear reader, " * 100)
    arguments = ["storescu", "-aec", "ARCHIVE", HOST, str(port), str(tmp_path / "letter.txt"), IMAGE]
    assert main(arguments) == Exit.SOME
    output, errors = capsys.readouterr()
    assert errors.startswith(f"{tmp_path / 'letter.txt'}: a file cannot be read: ")
    assert "1 of 2 files stored" in output


def test_a_file_that_has_been_cut_short(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cut.dcm").write_bytes(Path(IMAGE).read_bytes()[:-1000])
    assert main(["storescu", "-aec", "ARCHIVE", HOST, str(port), str(tmp_path)]) == Exit.NONE
    assert "cut.dcm: a file cannot be read: it has been cut short" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written_to(told: Told, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    where = tmp_path / "file" / "below"
    told(Exit.LOCAL, f"nothing can be stored in {where}", "storescp", free_port(), "-od", where)


def test_a_file_where_a_directory_should_be(told: Told, port: int) -> None:
    arguments = ["getscu", HOST, port, "-k", "PatientID", "-od", IMAGE]
    told(Exit.USAGE, f"{IMAGE!r} is a file, and has to be a directory", *arguments)


def test_a_report_that_cannot_be_written(told: Told, port: int) -> None:
    arguments = ["storescu", HOST, port, IMAGE, "--report", "/missing/report"]
    told(Exit.LOCAL, "the report /missing/report cannot be written: No such file or directory", *arguments)


def test_a_report_that_is_none(told: Told, port: int) -> None:
    arguments = ["storescu", HOST, port, IMAGE, "--resume", "--report"]
    told(Exit.USAGE, "is no report of storescu", *arguments, IMAGE)
    told(Exit.USAGE, "--resume needs --report FILE", *arguments[:-1])


def test_a_password_whose_file_is_not_there(told: Told, port: int) -> None:
    arguments = ["echoscu", HOST, port, "--password-file", "/missing"]
    told(Exit.USAGE, "--password-file needs --user NAME", *arguments)
    told(Exit.USAGE, "/missing: No such file or directory", *arguments, "--user", "joe")


# --- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("PatientNam=Doe", "there is no element 'PatientNam': do you mean PatientName?"),
        ("Patient Name=Doe", "'Patient Name' is neither a keyword nor a tag"),
        ("PatientName[0].PatientID=7", "(0010,0010) is no sequence, and has no items"),
        ("ScheduledProcedureStepSequence=CT", "a sequence has no value"),
        ("ScheduledProcedureStepSequence[1].Modality=CT", "there is no item 1: the next one is 0"),
        ("Rows=many", "'many' is no number"),
    ],
)
def test_a_key_that_is_none(told: Told, port: int, key: str, said: str) -> None:
    told(Exit.USAGE, said, "findscu", HOST, port, "-k", key)


def test_no_key_at_all(told: Told, port: int) -> None:
    told(Exit.USAGE, "nothing is asked for: give keys, such as -k PatientID=7", "findscu", HOST, port)


def test_a_file_that_holds_no_query(told: Told, port: int, tmp_path: Path) -> None:
    for content in ("PatientID=7", '{"PatientID": 7}'):
        (tmp_path / "query").write_text(content)
        told(Exit.USAGE, "holds no query", "findscu", HOST, port, "-k", "PatientID", tmp_path / "query")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["findscu", HOST, "1", "-k", "PatientID", "--model", "Worklist"], "there is no SOP class 'Worklist'"),
        (["storescp", "1", "--sop-class", "CTImageStorag"], "do you mean CTImageStorage?"),
        (["storescp", "1", "--transfer-syntax", "JPEG"], "there is no transfer syntax 'JPEG'"),
        (["storescp", "1", "-od", "/tmp", "--template", "file.dcm"], "would be the name of every object"),
        (
            ["storescp", "1", "-od", "/tmp", "--template", "{PatientNam}"],
            "'PatientNam' is not the keyword of an element",
        ),
        (["echoscu", HOST, "1", "--repeet", "2"], "unknown arguments: --repeet"),
        (["echoscu", HOST, "1", "-pdu", "12"], "'12' is not a maximum length: 0, or from 4096 bytes"),
        (["echoscu", HOST, "1", "-to", "soon"], "'soon' is not a time in seconds"),
        (["echoscu", HOST], "the following arguments are required: PORT"),
    ],
)
def test_an_option_that_makes_no_sense(told: Told, command: list[str], said: str) -> None:
    told(Exit.USAGE, said, *command)


def test_a_defect_is_called_one(told: Told, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from dicom_transports.apps.commands import echoscu  # noqa: PLC0415 - for this test alone

    def break_down(_: Any) -> int:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(echoscu, "run", break_down)
    told(Exit.LOCAL, "this is a defect of dicom-proto: ZeroDivisionError: oh (-d shows where)", "echoscu", HOST, port)


def test_tracebacks_are_for_who_wants_them(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["echoscu", HOST, str(port), "-aec", "NOBODY", "-d"]) == Exit.NO_ASSOCIATION
    assert "Traceback (most recent call last)" in capsys.readouterr().err
