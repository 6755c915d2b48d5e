"""The one name for "bytes that may be looked at": what the core takes in and hands out."""

from typing import TypeAlias

__all__ = ["Buffer"]

Buffer: TypeAlias = bytes | bytearray | memoryview
