"""Run packages that are built on pynetdicom, unchanged, on it and under ``dicom_transports.compat.pynetdicom``.

    python -m tests.compat.packages PYTHON [PART_OF_A_NAME ...]

PYTHON is an interpreter that all of them take. The packages, of pinned versions, are installed into an environment in
build/pynetdicom; packages.toml has their names, and the folder packages a program of ours for each, which calls what
it does on a connection. What is compared is said in comparing.py; lines that may differ are in packages.toml.
"""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.compat import measure
from tests.compat.comparing import HERE, STACK, STARTED, UNCHANGED, Expected, Flavour, compare
from tests.compat.documents import Program

STATED_IN: Final = HERE / "packages.toml"
STATED: Final = tomllib.loads(STATED_IN.read_text(encoding="utf-8"))
ENVIRONMENT: Final = measure.BUILD / "packages"
INSTALLED: Final = ENVIRONMENT / "installed.toml"


def install(python: str) -> str:
    """Return the interpreter of an environment that has all packages and what they need."""
    interpreter = str(ENVIRONMENT / "bin" / "python")
    if INSTALLED.exists() and INSTALLED.read_bytes() == STATED_IN.read_bytes():
        return interpreter
    subprocess.run([python, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    needs = {need for package in STATED["package"] for need in package["needs"]}
    pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "attrs", f"pynetdicom=={measure.VERSION}", *sorted(needs)], check=True)
    # Some want another pynetdicom, or much that is not called here.
    packages = [f"{package['name']}=={package['version']}" for package in STATED["package"]]
    subprocess.run([*pip, "--no-deps", *packages], check=True)
    INSTALLED.write_bytes(STATED_IN.read_bytes())
    return interpreter


def programs() -> Iterator[Program]:
    """Yield the programs of all packages, each with the name and version of its package."""
    for package in STATED["package"]:
        for role in ("clients", "servers"):
            for name in package.get(role, ()):
                text = Path(HERE / "packages" / f"{name}.py").read_text(encoding="utf-8")
                yield Program(f"{package['name']} {package['version']} {name}", text, serves=role == "servers")


def main(arguments: list[str]) -> int:
    """Run the programs, print a table and what differs; return the exit status."""
    if not arguments:
        print("name an interpreter of Python 3.13 or newer, which the packages need", file=sys.stderr)
        return 1
    python = install(arguments[0])
    reference = Flavour("pynetdicom", [STARTED], path="", python=python)
    flavours = [Flavour("compat", UNCHANGED, path=STACK, python=python)]
    known = [Expected(**one) for one in STATED["difference"]]
    return compare(programs(), reference, flavours, known, arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
