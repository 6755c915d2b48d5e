"""What users may import: the names of ``dicom_proto`` and of each public module, and what each says of itself."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import dicom_proto

ROOT = Path(__file__).parent.parent
FILES = {
    ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for package in (ROOT / "dicom_proto", ROOT / "transports" / "dicom_transports")
    for path in sorted(package.rglob("*.py"))
}
PUBLIC = [name for name in FILES if not re.search(r"\._|\.apps", name)]

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


@pytest.mark.parametrize("name", ["blocking", "asyncio", "trio", "storage", "tls", "processes", "loops"])
def test_each_public_module_of_the_adapters_says_what_it_has(name: str) -> None:
    module = import_module(f"dicom_transports.{name}")
    assert sorted(module.__all__, key=str.casefold) == sorted(set(module.__all__), key=str.casefold)
    for exported in module.__all__:
        assert hasattr(module, exported), exported
    if name in {"blocking", "asyncio", "trio"}:
        assert {"AE", "Address", "Association", "build_context", "build_role", "evt"} <= set(module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_module_says_whether_it_may_change(name: str) -> None:
    text = ast.get_docstring(ast.parse(FILES[name].read_text(encoding="utf-8"))) or ""
    paragraphs = text.split("\n\n")[:2]
    assert any(re.match(r"(Stable|May change)[.:]", paragraph) for paragraph in paragraphs), name


def test_the_reference_has_each_public_module_once() -> None:
    listed = re.findall(r"automodule:: (\S+)", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"))
    modules = [name for name in PUBLIC if FILES[name].stem != "__init__"]
    assert sorted(listed) == sorted([*modules, "dicom_proto"])
