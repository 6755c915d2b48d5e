"""The adapter that a test runs against, one after the other; tests that are async functions run in a loop."""

import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.contract.adapters import ADAPTERS, Adapter, use
from tests.contract.stacks import STACKS, Stack


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    with use(request.param) as adapter:
        yield adapter


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> Stack:
    return STACKS[request.param]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is an async function in the loop of its fixture ``stack``."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments: dict[str, Any] = {
        name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters
    }
    arguments["stack"].run(partial(pyfuncitem.obj, **arguments))
    return True
