"""For pytest: run pynetdicom's tests with what stands in for it, those of behaviour alone."""

import faulthandler
import importlib.abc
import importlib.util
import signal
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dicom_transports.compat.pynetdicom import AE
from tests.compat.rules import Module

SECONDS = 20  # for one test
_modules: dict[Path, Module] = {}
_kinds: Counter[str] = Counter()


class _Absent:
    """What is imported at the top of a test module and is not there; who uses it is not run, or fails."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __mro_entries__(self, _bases: Any) -> tuple[type, ...]:
        return (object,)

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError(f"{self.__name__} is not there")


class _AbsentModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{self.__name__}.{name}")


class _Absence(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of pynetdicom that are not there."""

    def find_spec(self, fullname: str, _path: Any, _target: Any = None) -> Any:
        if fullname.startswith("pynetdicom.") and fullname.count(".") == 1:
            return importlib.util.spec_from_loader(fullname, self)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        return _AbsentModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


sys.meta_path.append(_Absence())
for _name, _module in list(sys.modules.items()):
    if _name.startswith("pynetdicom.") and not hasattr(_module, "__getattr__"):
        _module.__getattr__ = _AbsentModule(_name).__getattr__  # type: ignore[method-assign]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        module = _modules.get(item.path) or _modules.setdefault(item.path, Module(item.path))
        owner = getattr(item, "cls", None)
        kind = module.kind_of(owner.__name__ if owner else None, getattr(item, "originalname", item.name))
        _kinds[kind] += 1
        (kept if kind == "behaviour" else dropped).append(item)
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line("kinds: " + " ".join(f"{kind}={count}" for kind, count in sorted(_kinds.items())))


def _any_text(check: Any) -> Any:
    """Make a check of what is raised indifferent to its wording."""

    def checked(*expected: Any, match: Any = None, **options: Any) -> Any:  # noqa: ARG001
        return check(*expected, **options)

    return checked


pytest.raises, pytest.warns = _any_text(pytest.raises), _any_text(pytest.warns)
_servers: list[Any] = []
_make_server = AE.make_server


def _remembered(self: Any, *arguments: Any, **options: Any) -> Any:
    server = _make_server(self, *arguments, **options)
    _servers.append(server)
    return server


AE.make_server = _remembered  # type: ignore[method-assign]


def _stop(_number: int, _frame: Any) -> None:
    faulthandler.dump_traceback()
    raise TimeoutError(f"the test has taken more than {SECONDS} seconds")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Any:
    signal.signal(signal.SIGALRM, _stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    signal.alarm(SECONDS)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        while _servers:  # what a test that has failed has left running
            _servers.pop().shutdown()
