"""The tables of Unified Procedure Steps."""

from collections.abc import Callable
from typing import Any

import pytest

from dicom_proto.services.ups_state import (
    CREATE_RULES,
    CREATED_EMPTY,
    FINAL_RULES,
    NOT_SETTABLE,
    SUPPORTED,
    ActionType,
    EventType,
    State,
    Subscriptions,
    UPSStatus,
    transition,
)
from dicom_proto.status import Category, ServiceClass, code_to_category, is_known

OLD, NEW = "1.2", "1.3"

# PS3.4 Table CC.1.1-2: wanted state, whether the Transaction UID is correct, the status for each current state
TRANSITIONS = [
    (State.IN_PROGRESS, True, (0x0000, 0xC302, 0xC300, 0xC300)),
    (State.IN_PROGRESS, False, (0xC301, 0xC301, 0xC301, 0xC301)),
    (State.SCHEDULED, True, (0xC303, 0xC303, 0xC303, 0xC303)),
    (State.SCHEDULED, False, (0xC303, 0xC303, 0xC303, 0xC303)),
    (State.COMPLETED, True, (0xC310, 0x0000, 0xB306, 0xC300)),
    (State.COMPLETED, False, (0xC301, 0xC301, 0xC301, 0xC301)),
    (State.CANCELED, True, (0xC310, 0x0000, 0xC300, 0xB304)),
    (State.CANCELED, False, (0xC301, 0xC301, 0xC301, 0xC301)),
]


@pytest.mark.parametrize(("wanted", "has_lock", "statuses"), TRANSITIONS)
def test_transition(wanted: State, has_lock: bool, statuses: tuple[int, ...]) -> None:
    assert tuple(transition(current, wanted, has_lock=has_lock) for current in State) == statuses


def test_statuses_are_those_of_the_standard() -> None:
    services = ("N-CREATE", "N-SET", "N-GET", "N-ACTION")
    for status in UPSStatus:
        assert any(is_known(status, ServiceClass.UNIFIED_PROCEDURE_STEP, service) for service in services)
        assert code_to_category(status) is (Category.WARNING if status < 0xC000 else Category.FAILURE)


def test_numbers_and_rules_are_those_of_the_standard() -> None:
    assert ([*ActionType], [*EventType]) == ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    assert FINAL_RULES.keys() == {State.COMPLETED, State.CANCELED}
    required = {rule.keyword for rule in CREATE_RULES}
    assert required > CREATED_EMPTY
    assert not required & {rule.keyword for rule in SUPPORTED}
    assert "ProcedureStepState" in required & NOT_SETTABLE


# --- subscriptions ----------------------------------------------------------------------------------------------------


def to_all(lock: bool) -> Callable[[Subscriptions], Any]:
    return lambda subscriptions: subscriptions.subscribe_to_all([OLD], "ME", lock=lock)


def to_one(lock: bool) -> Callable[[Subscriptions], Any]:
    return lambda subscriptions: subscriptions.subscribe(OLD, "ME", lock=lock)


# PS3.4 Table CC.2.3-2: what is done; what that makes of no, a locking and a plain subscription to a step that is there,
# and of one that is created after it
CHANGES = [
    (to_all(True), (True, True, False), True),
    (to_all(False), (False, True, False), False),
    (to_one(True), (True, True, True), None),
    (to_one(False), (False, False, False), None),
    (lambda subscriptions: subscriptions.unsubscribe(OLD, "ME"), (None, None, None), None),
    (lambda subscriptions: subscriptions.unsubscribe_from_all("ME"), (None, None, None), None),
    (lambda subscriptions: subscriptions.suspend("ME"), (None, True, False), None),
]


@pytest.mark.parametrize(("change", "after", "new"), CHANGES)
@pytest.mark.parametrize(("number", "before"), list(enumerate((None, True, False))))
def test_subscription(
    change: Callable[[Subscriptions], Any],
    after: tuple[bool | None, ...],
    new: bool | None,
    number: int,
    before: bool | None,
) -> None:
    steps: dict[str, dict[str, bool]] = {OLD: {"OTHER": False}}
    subscriptions = Subscriptions(steps)
    if before is not None:
        subscriptions.subscribe(OLD, "ME", lock=before)
    change(subscriptions)
    assert steps[OLD].get("ME") is after[number]
    assert steps[OLD]["OTHER"] is False
    assert subscriptions.is_locked(OLD) is bool(after[number])
    assert subscriptions.of(OLD) == (["OTHER"] if after[number] is None else ["OTHER", "ME"])
    assert subscriptions.add_step(NEW) == ([] if new is None else ["ME"])
    assert steps[NEW] == ({} if new is None else {"ME": new})


@pytest.mark.parametrize("ending", [Subscriptions.suspend, Subscriptions.unsubscribe_from_all])
def test_global_subscription_ends(ending: Callable[[Subscriptions, str], None]) -> None:
    subscriptions = Subscriptions()
    subscriptions.subscribe_to_all([], "ME", lock=True)
    subscriptions.subscribe_to_all([], "OTHER", lock=False)
    ending(subscriptions, "ME")
    assert subscriptions.to_all == {"OTHER": False}
    assert subscriptions.add_step(NEW) == ["OTHER"]


def test_initial_reports_are_about_what_is_new_and_locked() -> None:
    subscriptions = Subscriptions({OLD: {"ME": False}})
    assert subscriptions.subscribe_to_all([OLD, NEW], "ME", lock=True) == [NEW]
    assert subscriptions.subscribe_to_all([OLD, NEW], "YOU", lock=False) == []
    assert subscriptions.steps == {OLD: {"ME": False, "YOU": False}, NEW: {"ME": True, "YOU": False}}


def test_step_is_removed() -> None:
    subscriptions = Subscriptions({OLD: {"ME": True}}, {"YOU": False})
    assert subscriptions.everybody() == ["YOU", "ME"]
    for _ in range(2):
        subscriptions.remove_step(OLD)
    assert (subscriptions.steps, subscriptions.of(OLD), subscriptions.is_locked(OLD)) == ({}, [], False)
    assert subscriptions.everybody() == ["YOU"]
