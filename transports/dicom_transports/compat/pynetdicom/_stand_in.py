"""How the package comes to stand under pynetdicom's module names."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Final

__all__ = ["stand_in"]

NAME: Final = "pynetdicom"
_ITS_OWN: Final = ("apps", "tests")  # what uses the library, and is no part of it


class _Remainder(MetaPathFinder):
    """Finds what is taken from the pynetdicom that is installed: its applications and its tests."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package != NAME or name not in _ITS_OWN:
            return None
        installed = PathFinder.find_spec(NAME, sys.path)
        for place in (installed and installed.submodule_search_locations) or ():
            start = Path(place) / name / "__init__.py"
            if start.is_file():
                return spec_from_file_location(fullname, start, submodule_search_locations=[str(start.parent)])
        return None


def stand_in(package: str) -> None:
    """Put a package and all its modules under pynetdicom's names.

    Raises
    ------
    ImportError
        If pynetdicom itself has been imported: what has been taken from it cannot be replaced.
    """
    if sys.modules.get(NAME, sys.modules[package]) is not sys.modules[package]:
        raise ImportError(f"{NAME} is imported already; import {package} first")
    sys.modules[NAME] = sys.modules[package]
    for module in iter_modules(sys.modules[package].__path__):
        if module.name != "__main__":
            sys.modules[f"{NAME}.{module.name}"] = import_module(f"{package}.{module.name}")
    sys.meta_path.insert(0, _Remainder())
