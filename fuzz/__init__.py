"""Coverage-guided fuzzing of the core.

A harness is a module of this package. Its ``check`` takes any bytes and raises if the core does something with them
that it must not do; it is a plain function that needs nothing to be installed. ``python -m fuzz`` lets atheris look
for such bytes; the tests replay a small corpus of interesting ones.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Final, Protocol, cast

__all__ = ["CORPUS", "HARNESSES", "Harness", "load"]

HARNESSES: Final = (
    "pdu",
    "command_set",
    "negotiation",
    "association",
    "connection",
    "dialogue",
    "tap",
    "routing",
    "datasets",
    "engine",
)
CORPUS: Final = Path(__file__).parent / "corpus"


class Harness(Protocol):
    """What a module of this package has if it is a harness."""

    def check(self, data: bytes) -> None:
        """Raise, whatever it is, if the core mistreats some bytes; the same for the same bytes, always."""

    def mutate(self, data: bytes, random: Random) -> bytes:
        """Change some bytes in a way that keeps most of their structure."""

    def seeds(self) -> Mapping[str, bytes]:
        """Return inputs to start from, by names for their files."""


def load(name: str) -> Harness:
    """Import a harness."""
    return cast(Harness, import_module(f"fuzz.{name}"))
