"""Status codes: the tables against a copy of the facts, and what is looked up in them."""

import csv
import re
from pathlib import Path

import pytest

from dicom_proto import status as status_module
from dicom_proto.service_class import ServiceClass
from dicom_proto.status import (
    FAILURE_REASONS,
    STATUSES,
    Category,
    Status,
    StatusEntry,
    code_to_category,
    describe,
    is_known,
    lookup,
)
from tests.proto.rows import for_each

Row = dict[str, str]

with (Path(__file__).parent / "data" / "statuses.csv").open(newline="", encoding="utf-8") as file:
    ROWS = list(csv.DictReader(file))
REASONS = [row for row in ROWS if row["category"] == "Failure reason"]
CODES = [row for row in ROWS if row["category"] != "Failure reason" and row["service_class"] != "ranges"]
CONVENTION = [row for row in ROWS if row["service_class"] == "ranges"]

ALL_N = {"N-EVENT-REPORT", "N-GET", "N-SET", "N-ACTION", "N-CREATE", "N-DELETE"}


def bounds(row: Row) -> tuple[int, int]:
    low, _, high = row["code"].partition("-")
    return int(low, 16), int(high or low, 16)


def service_classes(row: Row) -> list[ServiceClass | None]:
    """The service classes that a name of the facts stands for."""
    names = row["service_class"].replace("Q/R", "Query/Retrieve").split("; ")
    if names == ["general"]:
        return [None]
    if names[0].startswith("MPPS"):
        return [ServiceClass.PROCEDURE_STEP]
    if names[0].startswith(("Application Event Logging", "Storage Management")):
        names = [names[0].partition(" (")[0]]
    return [ServiceClass(name) for name in names]


def messages(row: Row) -> set[str]:
    """The DIMSE services that the facts name."""
    if row["dimse_service"].startswith("(service-specific"):
        return ALL_N
    if row["dimse_service"] == "(retired)":
        return {"N-ACTION"}
    return set(re.findall(r"[CN]-[A-Z-]+", row["dimse_service"]))


def test_every_fact_is_in_the_tables() -> None:
    for row in CODES:
        low, high = bounds(row)
        for service_class in service_classes(row):
            entries = [
                entry
                for entry in STATUSES[service_class]
                if (entry.low, entry.high, entry.meaning) == (low, high, row["meaning"])
                and set(entry.messages) == messages(row)
            ]
            assert entries, row
            for entry in entries:
                assert entry.service_class == service_class
                assert entry.category == code_to_category(high) == row["category"], row


def test_every_fact_is_found() -> None:
    for row in CODES:
        low, high = bounds(row)
        for service_class in service_classes(row):
            for message in messages(row):
                assert is_known(low, service_class, message), row
                assert is_known(high, service_class, message), row
                found = lookup(low, service_class, message)
                assert found is not None
                assert found.service_class == service_class, row


def test_the_tables_have_nothing_else() -> None:
    facts = sum(len(service_classes(row)) for row in CODES)
    assert sum(len(entries) for entries in STATUSES.values()) == facts


def test_the_limits_of_a_row_are_told() -> None:
    scopes = {entry.scope for entries in STATUSES.values() for entry in entries}
    for row in CODES:
        scope = re.search(r"\((.+)\)", row["dimse_service"])
        if scope and row["service_class"] != "general":
            assert scope[1] in scopes


@for_each("row", CONVENTION, ids=lambda row: row["code"])
def test_what_no_service_class_lists_has_the_meaning_of_its_range(row: Row) -> None:
    low, high = bounds(row)
    code = (low + high) // 2 | 0x08
    if row["category"] != "Pending":
        entry = lookup(code, ServiceClass.VERIFICATION, "C-ECHO")
        assert entry is not None
        assert (entry.service_class, entry.low, entry.high) == (None, low, high)
        assert entry.category == row["category"]
        assert not is_known(code, ServiceClass.VERIFICATION, "C-ECHO")
    assert code_to_category(low) == row["category"]


@for_each(
    ("code", "category"),
    [
        (0x0000, "Success"),
        (0x0001, "Warning"),
        (0x0107, "Warning"),
        (0x0116, "Warning"),
        (0xB000, "Warning"),
        (0xBFFF, "Warning"),
        (0x0100, "Failure"),
        (0x01FF, "Failure"),
        (0x0200, "Failure"),
        (0x02FF, "Failure"),
        (0xA000, "Failure"),
        (0xAFFF, "Failure"),
        (0xC000, "Failure"),
        (0xCFFF, "Failure"),
        (0xFE00, "Cancel"),
        (0xFF00, "Pending"),
        (0xFF01, "Pending"),
        (0x0002, "Unknown"),
        (0x0300, "Unknown"),
        (0x9FFF, "Unknown"),
        (0xD000, "Unknown"),
        (0xFE01, "Unknown"),
        (0xFF02, "Unknown"),
        (0x1A000, "Unknown"),
        (-1, "Unknown"),
    ],
)
def test_category_of_a_code(code: int, category: str) -> None:
    assert code_to_category(code) == category
    assert code_to_category(code) is Category(category)
    assert {category: code}[code_to_category(code)] == code  # found under its plain string, as it is equal to it


def test_a_service_class_knows_the_codes_of_the_one_it_builds_on() -> None:
    assert is_known(0xA801, ServiceClass.HANGING_PROTOCOL_QUERY_RETRIEVE, "C-MOVE")
    assert is_known(0xB001, ServiceClass.REPOSITORY_QUERY, "C-FIND")
    assert is_known(0xFF01, ServiceClass.REPOSITORY_QUERY, "C-FIND")
    assert not is_known(0xB001, ServiceClass.QUERY_RETRIEVE, "C-FIND")


def test_a_code_is_known_only_where_it_is_listed() -> None:
    assert is_known(0xA801, ServiceClass.QUERY_RETRIEVE)
    assert not is_known(0xA801, ServiceClass.QUERY_RETRIEVE, "C-FIND")
    assert not is_known(0xA801, ServiceClass.STORAGE)
    assert not is_known(0xA801)
    assert is_known(0x0122, ServiceClass.STORAGE, "C-STORE")
    assert not is_known(0xD000)


def test_lookup_prefers_the_service_class() -> None:
    own, general = lookup(0x0000, ServiceClass.STORAGE, "C-STORE"), lookup(0x0000)
    assert own == StatusEntry(
        service_class=ServiceClass.STORAGE, messages=("C-STORE",), low=0, high=0, meaning="stored"
    )
    assert general is not None
    assert general.service_class is None
    assert lookup(0xD000, ServiceClass.STORAGE) is None


def test_describe() -> None:
    assert describe(0xA7FF, ServiceClass.STORAGE, "C-STORE") == "0xA7FF Failure: refused: out of resources"
    assert describe(0xA7FF) == "0xA7FF Failure: service-class specific failure or refusal"
    assert describe(0xD000) == "0xD000 Unknown"


def test_named_codes_are_all_listed() -> None:
    listed = [entry for entries in STATUSES.values() for entry in entries]
    for status in Status:
        assert any(entry.low <= status <= entry.high for entry in listed), status
    general = {entry.low for entry in STATUSES[None]}
    assert general <= set(Status)


def test_failure_reasons_of_storage_commitment() -> None:
    assert {int(row["code"], 16): row["meaning"] for row in REASONS} == FAILURE_REASONS


def test_a_code_can_be_given_a_name() -> None:
    try:
        Status.add("ALMOST", 0xB123)
        assert Status.ALMOST == 0xB123  # type: ignore[attr-defined]
        assert "ALMOST" not in Status.__members__
    finally:
        del Status.ALMOST  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        Status.add("CANCEL", 1)
    assert int(Status.CANCEL) == 0xFE00


def test_dictionaries_of_codes() -> None:
    stored = status_module.STORAGE_SERVICE_CLASS_STATUS
    assert stored is status_module.STORAGE_SERVICE_CLASS_STATUS
    assert stored[0xA7FF] == ("Failure", "refused: out of resources")
    assert 0xA801 not in stored
    assert 0x0110 in stored
    find, move = status_module.QR_FIND_SERVICE_CLASS_STATUS, status_module.QR_MOVE_SERVICE_CLASS_STATUS
    assert (0xFF01 in find, 0xFF01 in move, 0xA801 in move) == (True, False, True)
    general = status_module.GENERAL_STATUS
    assert general.keys() <= stored.keys() & status_module.VERIFICATION_SERVICE_CLASS_STATUS.keys()
    assert all(code_to_category(code) == category for code, (category, _) in stored.items())
    assert status_module.STATUS_WARNING is Category.WARNING


def test_what_is_no_dictionary_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"'dicom_proto.status' has no attribute 'OTHER_STATUS'"):
        _ = status_module.OTHER_STATUS
