"""The tables of Unified Procedure Steps."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from dicom_proto.services.management.attributes import Rules
from dicom_proto.services.ups.state import (
    CREATE_RULES,
    CREATED_EMPTY,
    FINAL_RULES,
    NOT_SETTABLE,
    SET_RULES,
    SUPPORTED,
    ActionType,
    EventType,
    State,
    Subscriptions,
    UPSStatus,
    transition,
)
from dicom_proto.status import Category, ServiceClass, code_to_category, is_known
from tests.proto.programs.script import dataset_of
from tests.proto.rows import for_each

OLD, NEW = "1.2", "1.3"
TABLE = Path(__file__).parents[2] / "data" / "ups_attributes.csv"

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


@for_each(("wanted", "has_lock", "statuses"), TRANSITIONS)
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
    assert {rule.keyword for rule in CREATE_RULES} > CREATED_EMPTY


def paths(rules: Rules) -> dict[str, bool]:
    return {".".join((*rule.path, rule.keyword)): rule.needs_value for rule in rules}


def test_rules_are_those_of_the_table() -> None:
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}

    def required(column: str) -> dict[str, bool]:
        """What the SCU has to send."""
        return {path: row[column][0] == "1" for path, row in rows.items() if row[column] in {"1/1", "2/1", "2/2"}}

    assert paths(CREATE_RULES) == required("n_create")
    assert paths(SET_RULES) == required("n_set")
    supported = {path for path, row in rows.items() if "." not in path and row["n_create"][-2:] in {"/2", "2C"}}
    assert paths(SUPPORTED) == dict.fromkeys(supported - required("n_create").keys(), False)
    fixed = {path for path, row in rows.items() if "." not in path and row["n_set"] in {"not allowed", "-/1"}}
    assert fixed == NOT_SETTABLE
    # The time of the last modification is there if the driver tells the time, the state as a matter of course.
    always = {"ScheduledProcedureStepModificationDateTime", "ProcedureStepState"}
    for state, letter in ((State.COMPLETED, "P"), (State.CANCELED, "X")):
        final = {path for path, row in rows.items() if row["final"] in {"R", letter}} - always
        assert paths(FINAL_RULES[state]) == {
            path: not rows[path]["n_set"].endswith("/2") or "." not in path for path in final
        }


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


@for_each(("change", "after", "new"), CHANGES)
@for_each(("number", "before"), list(enumerate((None, True, False))))
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
    assert subscriptions.add_step(NEW, Dataset()) == ([] if new is None else ["ME"])
    assert steps[NEW] == ({} if new is None else {"ME": new})


@for_each("ending", [Subscriptions.suspend, Subscriptions.unsubscribe_from_all])
def test_global_subscription_ends(ending: Callable[[Subscriptions, str], None]) -> None:
    subscriptions = Subscriptions()
    subscriptions.subscribe_to_all([], "ME", lock=True)
    subscriptions.subscribe_to_all([], "OTHER", lock=False)
    ending(subscriptions, "ME")
    assert subscriptions.to_all == {"OTHER": False}
    assert subscriptions.add_step(NEW, Dataset()) == ["OTHER"]


def test_initial_reports_are_about_what_is_new_and_locked() -> None:
    subscriptions = Subscriptions({OLD: {"ME": False}})
    assert subscriptions.subscribe_to_all([OLD, NEW], "ME", lock=True) == [NEW]
    assert subscriptions.subscribe_to_all([OLD, NEW], "YOU", lock=False) == []
    assert subscriptions.steps == {OLD: {"ME": False, "YOU": False}, NEW: {"ME": True, "YOU": False}}


def test_subscription_to_what_matches() -> None:
    male, female = (dataset_of(PatientSex=sex) for sex in "MF")
    subscriptions = Subscriptions()
    assert subscriptions.subscribe_to_matches({OLD: male, NEW: female}, "ME", male, lock=False) == [OLD]
    assert subscriptions.subscribe_to_matches(
        {OLD: male, NEW: female}, "YOU", dataset_of(PatientSex=""), lock=False
    ) == [
        OLD,
        NEW,
    ]
    assert subscriptions.steps == {OLD: {"ME": False, "YOU": False}, NEW: {"YOU": False}}
    assert subscriptions.add_step("1.4", female) == ["YOU"]
    assert subscriptions.subscribe_to_matches({}, "YOU", female, lock=True) == []
    assert subscriptions.subscribe_to_matches({}, "YOU", dataset_of(PatientSex=""), lock=False) == []
    assert subscriptions.add_step("1.5", female) == ["YOU"]
    assert subscriptions.steps["1.5"] == {"YOU": True}  # if any of the filters says so
    assert subscriptions.everybody() == ["ME", "YOU"]
    subscriptions.suspend("YOU")
    assert subscriptions.add_step("1.6", female) == []


def test_step_is_removed() -> None:
    subscriptions = Subscriptions({OLD: {"ME": True}}, {"YOU": False})
    assert subscriptions.everybody() == ["YOU", "ME"]
    for _ in range(2):
        subscriptions.remove_step(OLD)
    assert (subscriptions.steps, subscriptions.of(OLD), subscriptions.is_locked(OLD)) == ({}, [], False)
    assert subscriptions.everybody() == ["YOU"]
