"""The peers that are here to be measured beside."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["with_pynetdicom"]

with_pynetdicom: Any = import_module("benchmarks.with_pynetdicom") if find_spec("pynetdicom") else None
