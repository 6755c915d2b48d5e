"""The version that is stood in for."""

from typing import Final

__version__: Final = "3.0.4"
