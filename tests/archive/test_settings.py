"""The file with an archive's settings: what it says, how mistakes are named, and what a second reading changes."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from dicom_proto.handlers.kinds import EVT_C_ECHO, EVT_C_FIND, EVT_C_MOVE, EVT_C_STORE, EVT_N_CREATE
from dicom_proto.sop_class import ModalityWorklistInformationFind, StudyRootQueryRetrieveInformationModelFind
from dicom_proto.upper_layer.policy import (
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    NO_REASON_GIVEN,
    USER_IDENTITY_REFUSED,
)
from dicom_transports._archive.access import Access, Rule, service_of
from dicom_transports._archive.settings import Settings, SettingsError, SettingsFile, read_settings
from dicom_transports.blocking import AE

FULL = """
ae_title = "ARCHIVE"
require_called = true
maximum_associations = 50

[user_identity]
check = "tests.archive.test_settings:check_identity"
required = false

[destinations.VIEWER]
host = "viewer.example.org"
port = 11112

[destinations."OTHER ONE"]
host = "192.0.2.7"
port = 104
ae_title = "OTHER"
associations = 4
maximum_pdu = 65536
contexts = [
    { sop_class = "CTImageStorage", transfer_syntaxes = ["JPEGLosslessSV1", "1.2.840.10008.1.2.1"] },
    { sop_class = "1.2.840.10008.5.1.4.1.1.4" },
]

[[access]]
calling = ["CT1", "CT2"]
networks = ["192.0.2.0/24"]
services = "write"
maximum_associations = 2
maximum_by_address = 3

[[access]]
calling = ["VIEWER"]
services = ["find", "move"]
user_identity = true
"""


def check_identity(event: Any) -> bool:
    return bool(event.primary_field == b"alice")


def written(folder: Path, text: str) -> Path:
    path = folder / "archive.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_full_file_says(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, FULL))
    ae = AE("X")
    settings.apply(ae)
    assert (settings.ae_title, ae.require_called_aet, ae.maximum_associations) == ("ARCHIVE", True, 50)
    assert ae.maximum_by_calling_aet == {"CT1": 2, "CT2": 2}
    assert list(ae.maximum_by_address.values()) == [3]  # type: ignore[union-attr] # set to a mapping
    assert not ae.require_user_identity
    assert settings.identify(SimpleNamespace(primary_field=b"alice")) is True
    assert settings.identify(SimpleNamespace(primary_field=b"mallory")) is False
    assert settings.destinations["VIEWER"].answer() == ("viewer.example.org", 11112, {"associations": 1})
    host, port, options = settings.destinations["OTHER ONE"].answer()
    assert (host, port, options["ae_title"], options["associations"], options["max_pdu"]) == (
        *("192.0.2.7", 104, "OTHER"),
        *(4, 65536),
    )
    assert [str(context.abstract_syntax)[-4:] for context in options["contexts"]] == [".1.2", ".1.4"]
    assert list(options["contexts"][0].transfer_syntax) == ["1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.1"]


def test_an_empty_file_lets_everybody_do_everything(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, ""))
    assert settings == Settings()
    assert settings.access.decide(asking("ANY", "203.0.113.9")) is True
    assert settings.identify(SimpleNamespace()) is True


V = "[destinations.V]\nhost = 'h'\nport = 1\n"
V_TLS = V + "[destinations.V.tls]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ae_titel = 'X'", "ae_titel: there is no such key: do you mean ae_title?"),
        ("something_else = 1", "something_else: there is no such key (there are ae_title, require_called"),
        ("ae_title = 'SEVENTEEN LETTERS'", "ae_title: 'SEVENTEEN LETTERS' is not an AE title"),
        ("require_called = 'yes'", "require_called: require_called is True, False or None, not str"),
        ("maximum_associations = 0", "maximum_associations: maximum_associations is an integer from 1"),
        ("destinations = 3", "destinations: this has to be a table of tables, such as [destinations.NAME]"),
        ("destinations.V = 3", "destinations.V: this has to be a table, not 3"),
        ("[destinations.V]\nhost = 'h'", "destinations.V.port: this key is required"),
        ("[destinations.V]\nhost = ''\nport = 1", "destinations.V.host: host is text that is not empty"),
        ("[destinations.V]\nhost = 'h'\nport = 'x'", "destinations.V.port: port is an integer from 1 to 65535"),
        (V + "associations = 65", "destinations.V.associations: "),
        ("[destinations.'A\\B']\nhost = 'h'\nport = 1", "destinations: 'A\\\\B' cannot be an AE title"),
        (
            V + "contexts = [{sop_class = 'CTImage'}]",
            "destinations.V.contexts[1].sop_class: there is no SOP class 'CTImage'",
        ),
        (
            V + "contexts = [{sop_class = 'CTImageStorage', transfer_syntaxes = ['JPEG']}]",
            "destinations.V.contexts[1].transfer_syntaxes: there is no transfer syntax 'JPEG'",
        ),
        (
            V + "contexts = [{sop_class = 'CTImageStorage', transfer_syntaxes = []}]",
            "destinations.V.contexts[1].transfer_syntaxes: [] is not a list of transfer syntaxes",
        ),
        (V + "contexts = 'CT'", "destinations.V.contexts: this has to be an array"),
        (V_TLS + "profile = 'B.1'", "destinations.V.tls.profile: 'B.1' is no profile: there are B.12"),
        (V_TLS + "ca_file = 3", "destinations.V.tls.ca_file: this has to be the path of a file, not 3"),
        (V_TLS + "ca_file = 'no.pem'", "destinations.V.tls: ca_file"),
        (V_TLS + "password_file = 'no.txt'", "destinations.V.tls: password_file cannot be read"),
        ("[[access]]\nservices = ['fetch']", "access[1].services: there is no service 'fetch': there are read, write"),
        ("[[access]]\ncalling = 3", "access[1].calling: 3 is not a list of text"),
        ("[[access]]\n[[access]]\nnetworks = ['nowhere']", "access[2].networks: 'nowhere' is no address"),
        ("[[access]]\nmaximum_associations = 1", "access[1]: maximum_associations is for each AE title of 'calling'"),
        ("[[access]]\nmaximum_by_address = 1", "access[1]: maximum_by_address is for each address of 'networks'"),
        ("[[access]]\nuser_identity = true", "access.user_identity: there is no [user_identity]"),
        ("[user_identity]", "user_identity.check: this key is required"),
        ("[user_identity]\ncheck = 'here'", "user_identity.check: 'here' is not of the form 'package.module:function'"),
        ("[user_identity]\ncheck = 'no.such:f'", "user_identity.check: 'no.such:f' cannot be imported"),
        ("[user_identity]\ncheck = 'os:sep'", "user_identity.check: 'os:sep' is not a function"),
        ("ae_title = ", "is no TOML: Invalid value"),
    ],
)
def test_mistakes_are_named_with_their_key(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_settings(tmp_path / "no.toml")
    path = tmp_path / "long.toml"
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(SettingsError, match="not longer than 1048576 bytes"):
        read_settings(path)
    path.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="is no TOML"):
        read_settings(path)


def test_tls_files_are_found_beside_the_settings(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    (tmp_path / "password").write_text("unused\n")
    text = (
        "[destinations.V]\nhost = '127.0.0.1'\nport = 2762\n"
        "tls = {ca_file = 'ca.pem', certificate = 'own.pem', password_file = 'password', check_hostname = false}"
    )
    context, host = read_settings(written(tmp_path, text)).destinations["V"].transport()["tls_args"]
    assert (context.check_hostname, host) == (False, "127.0.0.1")
    assert len(context.get_ca_certs()) == 1


def test_reading_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, "ae_title = 'ONE'")
    seen: list[Settings] = []
    file = SettingsFile(path, seen.append)
    written(tmp_path, "ae_title = 3")
    with caplog.at_level(logging.INFO, "dicom_transports"):
        assert not file.reload()
        assert file.current.ae_title == "ONE"
        written(tmp_path, "ae_title = 'TWO'")
        assert file.reload()
    assert file.current.ae_title == "TWO"
    assert [settings.ae_title for settings in seen] == ["TWO"]
    said = [record.getMessage() for record in caplog.records]
    assert "the settings stay as they were" in said[0]
    assert "ae_title: 3 is not an AE title" in said[0]
    assert "have been read again" in said[1]


# --- access -----------------------------------------------------------------------------------------------------------

RULES = Access(
    [
        Rule(calling=["CT1"], networks=["192.0.2.0/24"], services=["write"], maximum_associations=2),
        Rule(calling="CT1", services=[], maximum_associations=9),
        Rule(calling=["VIEWER"], services=["find", "move"], user_identity=True),
        Rule(networks=["198.51.100.0/24", "2001:db8::/32"], services="worklist", maximum_by_address=1),
    ]
)


def asking(title: str, address: str, identity: object = None) -> SimpleNamespace:
    return SimpleNamespace(calling_ae_title=title.ljust(16), address=(address, 4000), identity=identity)


@pytest.mark.parametrize(
    ("title", "address", "answer"),
    [
        ("CT1", "192.0.2.9", True),
        ("CT1", "::ffff:192.0.2.9", True),
        ("CT1", "203.0.113.1", NO_REASON_GIVEN),  # the second rule
        ("OTHER", "198.51.100.1", True),
        ("OTHER", "2001:db8::1%eth0", True),
        ("OTHER", "203.0.113.1", NO_REASON_GIVEN),  # the last rule is about every title
        ("VIEWER", "203.0.113.1", USER_IDENTITY_REFUSED),
    ],
)
def test_who_may_have_an_association(title: str, address: str, answer: object) -> None:
    assert RULES.decide(asking(title, address)) == answer


def test_an_unknown_title_is_not_recognized() -> None:
    access = Access([Rule(calling=["CT1"])])
    assert access.decide(asking("CT2", "192.0.2.1")) == CALLING_AE_TITLE_NOT_RECOGNIZED
    assert access.decide(asking("CT1", "192.0.2.1")) is True
    assert RULES.decide(asking("VIEWER", "203.0.113.1", identity=object())) is True


def test_the_first_rule_sets_the_limits() -> None:
    assert RULES.maximum_by_calling_aet == {"CT1": 2}
    assert {str(network): most for network, most in RULES.maximum_by_address.items()} == {
        "198.51.100.0/24": 1,
        "2001:db8::/32": 1,
    }


def requesting(kind: object, title: str, address: str, syntax: str = "") -> SimpleNamespace:
    return SimpleNamespace(
        event=kind,
        source_ae_title=title,
        assoc=SimpleNamespace(peer_address=(address, 4000)),
        context=SimpleNamespace(abstract_syntax=syntax),
    )


@pytest.mark.parametrize(
    ("kind", "syntax", "title", "allowed"),
    [
        (EVT_C_ECHO, "", "CT1", True),
        (EVT_C_STORE, "", "CT1", True),
        (EVT_N_CREATE, "", "CT1", True),
        (EVT_C_MOVE, "", "CT1", False),
        (EVT_C_MOVE, "", "VIEWER", True),
        (EVT_C_FIND, StudyRootQueryRetrieveInformationModelFind, "VIEWER", True),
        (EVT_C_FIND, ModalityWorklistInformationFind, "VIEWER", False),
        (EVT_C_ECHO, "", "UNKNOWN", False),
    ],
)
def test_what_a_requestor_may_do(kind: object, syntax: str, title: str, allowed: bool) -> None:
    assert RULES.allows(requesting(kind, title, "192.0.2.9", syntax)) is allowed


def test_worklists_are_a_service_of_their_own() -> None:
    assert service_of(requesting(EVT_C_FIND, "X", "", ModalityWorklistInformationFind)) == "worklist"
