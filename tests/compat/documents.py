"""The example programs in pynetdicom's documentation: what its source distribution has, put together so that it runs.

What a program needs that its page does not say, such as where its files lie, is in programs.toml.
"""

import re
import subprocess
import sys
import tarfile
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from tests.compat.measure import BUILD, VERSION

__all__ = ["STATED", "Program", "fetch", "programs"]

PAGES: Final = ("README.rst", "docs/examples/*.rst", "docs/tutorials/*.rst", "docs/user/*.rst")
SOURCE: Final = BUILD / f"pynetdicom-{VERSION}"
STATED: Final = tomllib.loads(Path(__file__).with_name("programs.toml").read_text(encoding="utf-8"))
_DIRECTIVE: Final = re.compile(r"^(?P<indent> *)\.\. (?:code(?:-block)?:: *python|doctest::) *$")


@frozen
class Program:
    """One example.

    Attributes
    ----------
    name : str
        Page and line, ``"docs/examples/storage.rst:20"``.
    text : str
        Its code, or for a session what one types, with prompts, and is answered.
    tls : bool
        Whether its peer is to speak TLS.
    serves : bool or None
        Whether it is a server; ``None`` if its text says so.
    """

    name: str
    text: str
    tls: bool = False
    serves: bool | None = None

    @property
    def is_session(self) -> bool:
        """Whether it is typed at a prompt."""
        return self.text.lstrip().startswith(">>>")

    @property
    def is_server(self) -> bool:
        """Whether it waits for others; one that also calls itself needs nobody."""
        if self.serves is not None:
            return self.serves
        return "start_server(" in self.text and "associate(" not in self.text and not self.is_session

    @property
    def kind(self) -> str:
        """Return what it is called in a table."""
        return "session" if self.is_session else "server" if self.is_server else "client"


def fetch() -> None:
    """Bring the source distribution here, and unpack its documentation."""
    if SOURCE.is_dir():
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=pynetdicom"]
    subprocess.run([*command, "--dest", str(BUILD), f"pynetdicom=={VERSION}"], check=True)
    with tarfile.open(BUILD / f"pynetdicom-{VERSION}.tar.gz") as archive:
        archive.extractall(BUILD, filter="data")


def blocks(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the code of a page, each piece with the line where it begins."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if directive := _DIRECTIVE.match(line):
            body: list[str] = []
            for inner in lines[number + 1 :]:
                if inner.strip() and len(inner) - len(inner.lstrip()) <= len(directive["indent"]):
                    break
                body.append(inner)
            while body and (not body[0].strip() or body[0].lstrip().startswith(":")):
                del body[0]
            yield number + 1, _dedented(body)


def _dedented(body: list[str]) -> str:
    """Return a piece of code without its indentation; that of its first line may be a blank more than of the others."""
    text = textwrap.dedent("\n".join(body)).rstrip() + "\n"
    if not text.startswith(" "):
        return text
    return "\n".join(line.removeprefix(" ") for line in text.split("\n"))


def programs() -> Iterator[Program]:
    """Yield all programs of all pages, each as programs.toml says that it is completed."""
    fetch()
    pages = [page for pattern in PAGES for page in sorted(SOURCE.glob(pattern))]
    pieces = {f"{page.relative_to(SOURCE)}:{line}": text for page in pages for line, text in blocks(page)}
    stated: dict[str, Any] = {one["name"]: one for one in STATED["program"]}
    if unknown := stated.keys() - pieces.keys():
        raise SystemExit(f"programs.toml has what the documentation has not: {', '.join(sorted(unknown))}")
    for name in pieces:
        one = stated.get(name, {})
        yield Program(name, _completed(name, one, pieces), one.get("tls", False))


def _completed(name: str, one: dict[str, Any], pieces: dict[str, str]) -> str:
    """Return a piece of code with what programs.toml says of it."""
    text = pieces[name]
    if "within" in one:  # it stands in another program
        text = pieces[one["within"]].replace(one["before"], f"{text}\n{one['before']}", 1)
    before = "".join(pieces[piece] for piece in one.get("after", ()))
    text = f"{one.get('first', '')}{before}{text}{one.get('last', '')}"
    for old, new in {**STATED["instead"], **one.get("instead", {})}.items():
        text = text.replace(old, new)
    return text
