"""What users may import: the names of ``dicom_proto`` and of each public module, and what each says of itself."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import dicom_proto
from dicom_proto.offers import contexts

ROOT = Path(__file__).parent.parent
FILES = {
    ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for package in (ROOT / "dicom_proto", ROOT / "transports" / "dicom_transports")
    for path in sorted(package.rglob("*.py"))
}
PUBLIC = [name for name in FILES if not re.search(r"\._|\.(apps|compat|testing\.commands)|testing\.__main__", name)]

EXPORTS = """
    END HANDLING ApplicationEntity Association AssociationFailure AwaitedAssociation AwaitedVerbs Call CalledVerbs
    Connection Dial DicomProtoError Engine EntityAssociation Handlers Limits LocalProtocolError Policy
    PresentationContext Pull RemoteProtocolError Task Tasks Timeouts Tolerance Turn build_context build_offer build_role
    evt review
"""


def run(code: str) -> str:
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return finished.stdout.strip()


def test_dicom_proto_has_what_an_embedder_starts_from() -> None:
    assert dicom_proto.__all__ == EXPORTS.split()
    for name in dicom_proto.__all__:
        assert getattr(dicom_proto, name) is not None
    assert set(dicom_proto.__all__) <= set(dir(dicom_proto))


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match="'dicom_proto' has no attribute 'Peers'"):
        _ = dicom_proto.Peers


@pytest.mark.parametrize("names", ["", "Connection", "Association, Limits, Policy, build_offer, review"])
def test_nobody_loads_more_than_is_asked_for(names: str) -> None:
    wanted = f"from dicom_proto import {names}" if names else "import dicom_proto"
    assert run(f"import sys\n{wanted}\nprint('pydicom' in sys.modules)") == "False"


def test_the_package_itself_loads_nothing() -> None:
    loaded = run("import sys, dicom_proto\nprint(*[name for name in sys.modules if name.startswith('dicom_proto')])")
    assert loaded == "dicom_proto"


@pytest.mark.parametrize(
    "name", ["blocking", "asyncio", "trio", "storage", "tls", "processes", "logs", "metrics", "loops"]
)
def test_each_public_module_of_the_adapters_says_what_it_has(name: str) -> None:
    module = import_module(f"dicom_transports.{name}")
    assert sorted(module.__all__, key=str.casefold) == sorted(set(module.__all__), key=str.casefold)
    for exported in module.__all__:
        assert hasattr(module, exported), exported
    if name in {"blocking", "asyncio", "trio"}:
        assert {"AE", "Address", "Association", "build_context", "build_role", "evt"} <= set(module.__all__)


ADAPTERS = ["blocking", "asyncio", "trio"]
WORDS = """
    AE AllStoragePresentationContexts Association AssociationRejected AsynchronousOperationsWindowNegotiation Category
    DEFAULT_TRANSFER_SYNTAXES ALL_TRANSFER_SYNTAXES NoContextError NotStored PYNETDICOM_IMPLEMENTATION_UID
    PYNETDICOM_IMPLEMENTATION_VERSION PYNETDICOM_UID_PREFIX PresentationContext QueryRetrievePresentationContexts
    SCP_SCU_RoleSelectionNegotiation Status StoragePresentationContexts UserIdentityNegotiation
    VerificationPresentationContexts build_context build_role client_context code_to_category code_to_status
    debug_logger evt register_uid server_context store_in_file store_to
"""


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_is_one_place_to_import_from(name: str) -> None:
    module = import_module(f"dicom_transports.{name}")
    assert set(WORDS.split()) <= set(module.__all__) <= set(dir(module))
    assert set(contexts.__all__) - {"negotiated_contexts"} <= set(module.__all__)
    assert module.StoragePresentationContexts is contexts.StoragePresentationContexts
    assert {"Event", "EventHandlerType", "EVT_C_STORE"} <= set(dir(module.evt))
    with pytest.raises(AttributeError, match=f"'dicom_transports.{name}' has no attribute 'Peers'"):
        _ = module.Peers


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_loads_what_it_is_asked_for(name: str) -> None:
    loaded = run(
        f"import sys\nimport dicom_transports.{name} as adapter\n"
        "def loaded(): return [part for part in ('storage', 'tls') if f'dicom_transports.{part}' in sys.modules]\n"
        "print(loaded()); adapter.store_to; print(loaded())"
    )
    assert loaded == "[]\n['storage']"


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_module_says_whether_it_may_change(name: str) -> None:
    text = ast.get_docstring(ast.parse(FILES[name].read_text(encoding="utf-8"))) or ""
    paragraphs = text.split("\n\n")[:2]
    assert any(re.match(r"(Stable|May change)[.:]", paragraph) for paragraph in paragraphs), name


def test_the_reference_has_each_public_module_once() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    listed = re.findall(r"automodule:: (\S+)", pages)
    modules = [name for name in PUBLIC if FILES[name].stem != "__init__"]
    assert sorted(listed) == sorted([*modules, "dicom_proto"])
