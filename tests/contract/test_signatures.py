"""Whoever knows one adapter knows all: the same names, with the same arguments."""

import inspect
from typing import Any

import pytest

from dicom_transports import asyncio, blocking, trio

CLASSES = ("AE", "Association", "AssociationServer")
LOOPS = {"trio": trio, "asyncio": asyncio}
ONLY_BLOCKING = {  # what a context or a task is for in a loop
    "AE": {"association_class", "dial_at_once"},
    "Association": {"flush", "live_at_once", "open", "request", "__enter__", "__exit__"},
    "AssociationServer": {"start", "wait", "__enter__", "__exit__"},
}
ONLY_LOOPS = {
    "AE": {"loop", "make_association", "dial_from", "serve"},
    "Association": {"dial", "wait_for"},
    "AssociationServer": {"serve"},
}
HOW_IT_LIVES = {"live"}  # a thread and a task begin with different things in hand


def face(cls: type[Any]) -> dict[str, Any]:
    """The public names of a class, and of its contexts."""
    cls = getattr(cls, "__origin__", cls)
    shown = {"__enter__", "__exit__", "__aenter__", "__aexit__"}
    return {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_") or name in shown}


def arguments(member: Any) -> list[tuple[str, Any, Any]] | None:
    """Names, kinds and defaults of what a method takes; what it returns differs by being awaited."""
    if not callable(member):
        return None
    return [(one.name, one.kind, one.default) for one in inspect.signature(member).parameters.values()]


def test_the_loops_are_alike() -> None:
    assert sorted(trio.__all__) == sorted(asyncio.__all__)
    for name in CLASSES:
        one, other = face(getattr(trio, name)), face(getattr(asyncio, name))
        assert sorted(one) == sorted(other)
        for member in one:
            assert arguments(one[member]) == arguments(other[member]), (name, member)
            assert inspect.iscoroutinefunction(one[member]) == inspect.iscoroutinefunction(other[member]), member


@pytest.mark.parametrize("module", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("name", CLASSES)
def test_a_loop_is_like_the_blocking_adapter(module: Any, name: str) -> None:
    one, other = face(getattr(blocking, name)), face(getattr(module, name))
    assert set(one) - set(other) <= ONLY_BLOCKING[name]
    assert set(other) - set(one) <= ONLY_LOOPS[name]
    for member in (set(one) & set(other)) - HOW_IT_LIVES:
        given, expected = arguments(other[member]), arguments(one[member])
        if member == "start_server" and expected:  # a context in a loop, which is left when it ends
            expected = [argument for argument in expected if argument[0] not in {"block", "finish_within"}]
        assert given == expected, member


@pytest.mark.parametrize("module", LOOPS.values(), ids=LOOPS)
def test_what_is_exported(module: Any) -> None:
    assert set(module.__all__) <= set(blocking.__all__)


# Those that every association has, but for what it is only given when it is made.
OFFERED = """
    abort accepted_contexts acceptor acse_timeout ae bind dimse_timeout get_events get_handlers get_scu is_active
    is_alive is_established join local mode network_timeout network_timeout_response rejected_contexts release remote
    requestor seconds send_c_cancel send_c_echo send_c_find send_c_get send_c_move send_c_store send_c_stores
    send_n_action send_n_create send_n_delete send_n_event_report send_n_get send_n_set tls unbind was_established
"""


@pytest.mark.parametrize("module", [blocking, asyncio, trio], ids=lambda module: module.__name__)
def test_completion_on_an_association_offers_what_users_call(module: Any) -> None:
    """What only a driver calls is no more than on the class."""
    association = module.Association.__new__(module.Association)
    offered = {name for name in dir(association) if not name.startswith("_")}
    assert offered - {"wait_for"} == set(OFFERED.split())
    assert ("wait_for" in offered) == (module is not blocking)
    assert {"__class__", "__init__"} < set(dir(association))
