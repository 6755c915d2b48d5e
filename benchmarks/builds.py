"""Builds of dicom-proto, each in an environment of its own, and sides of associations that run with them."""

import json
import selectors
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from attrs import frozen

__all__ = ["NOW", "Build", "Side", "UnknownBuildError", "build_of"]

_ROOT: Final = Path(__file__).parents[1]
_SIDE: Final = Path(__file__).with_name("side.py")
_BUILT: Final = _ROOT / "build" / "before"
_BESIDE: Final = ("attrs", "pydicom", "trio")
"""Packages that an environment gets in the version that is installed here, so that builds differ in nothing else."""
_PATIENCE: Final = 60.0  # seconds until a side has to answer
_FAREWELL: Final = 5.0  # seconds until a side is killed that does not end


class UnknownBuildError(Exception):
    """Nothing of which a build can be made."""


@frozen
class Side:
    """A process that is one side of associations; ``benchmarks/side.py`` tells what it understands."""

    process: "subprocess.Popen[str]"

    def answer(self) -> Any:
        """Wait for an answer.

        Raises
        ------
        RuntimeError
            If there is none.
        """
        stream = self.process.stdout
        if stream is None:
            raise ValueError("the process has no pipe")
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            line = stream.readline() if selector.select(_PATIENCE) else ""
        if not line:
            raise RuntimeError(f"{self.process.args!r} does not answer")
        return json.loads(line)

    def ask(self, command: str) -> Any:
        """Give a command, and return the answer."""
        if self.process.stdin is None:
            raise ValueError("the process has no pipe")
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return self.answer()


@frozen
class Build:
    """A build.

    Parameters
    ----------
    name : str
        What it is called in tables.
    python : str
        The Python of its environment.
    """

    name: str
    python: str

    @contextmanager
    def side(self, role: str, *options: str) -> Iterator[Side]:
        """Start a side; it is ended with the block."""
        command = [self.python, "-I", str(_SIDE), role, *options]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            try:
                yield Side(process)
                if process.stdin is not None:
                    process.stdin.close()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_FAREWELL)
            finally:
                process.kill()


NOW: Final = Build("now", sys.executable)
"""What is installed where this runs."""


def build_of(what: str) -> Build:
    """Return the build of a commit, which is made unless it was made already; or what a Python has installed.

    Parameters
    ----------
    what : str
        A commit, as git calls it, or the path of a Python.

    Raises
    ------
    UnknownBuildError
        If it is neither, or cannot be built.
    """
    if Path(what).is_file():
        return Build("before", what)
    try:
        commit = _output(["git", "rev-parse", "--verify", "--quiet", f"{what}^{{commit}}"]).decode().strip()
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise UnknownBuildError(f"{what!r} is no commit of this repository, and no Python") from error
    directory = _BUILT / f"{commit[:12]}-{sys.implementation.cache_tag}"
    python = directory / "env" / "bin" / "python"
    wanted = _requirements()
    made = directory / "made"  # what it was made with; written last
    if not made.exists() or made.read_text(encoding="utf-8").split() != wanted:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        try:
            _make(commit, directory, python, wanted)
        except subprocess.CalledProcessError as error:
            raise UnknownBuildError(f"{what!r} cannot be built: {error}") from error
        made.write_text("\n".join(wanted), encoding="utf-8")
    return Build("before", str(python))


def _make(commit: str, directory: Path, python: Path, wanted: list[str]) -> None:
    """Build the wheel of a commit and install it into an environment."""
    source, wheels = directory / "source", directory / "wheel"
    with tarfile.open(fileobj=BytesIO(_output(["git", "archive", commit]))) as archive:
        archive.extractall(source, filter="data")
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run([sys.executable, *pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(source)])
    _run([sys.executable, "-m", "venv", str(directory / "env")])
    _run([str(python), *pip, "install", *map(str, wheels.glob("*.whl")), *wanted])
    shutil.rmtree(source)


def _requirements() -> list[str]:
    found = []
    for package in _BESIDE:
        try:
            found.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            continue
    return found


def _output(command: list[str]) -> bytes:
    return subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE).stdout


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=_ROOT, check=True, stdout=sys.stderr)
