"""The tables of status codes as they are written down: well formed, and nothing said twice."""

import re
from itertools import combinations, pairwise

from dicom_proto._status_table import CONVENTION, GENERAL, GROUPS
from dicom_proto.service_class import ServiceClass

DIMSE = {
    "C-STORE",
    "C-FIND",
    "C-GET",
    "C-MOVE",
    "C-ECHO",
    "N-EVENT-REPORT",
    "N-GET",
    "N-SET",
    "N-ACTION",
    "N-CREATE",
    "N-DELETE",
}


def bounds(codes: str) -> tuple[int, int]:
    low, _, high = codes.partition("-")
    return int(low, 16), int(high or low, 16)


def test_codes_are_written_as_the_standard_writes_them() -> None:
    written = [*(codes for codes, _, _ in GENERAL), *CONVENTION, *(codes for group in GROUPS for codes in group.codes)]
    for codes in written:
        assert re.fullmatch(r"[0-9A-F]{4}(-[0-9A-F]{4})?", codes), codes
        low, high = bounds(codes)
        assert (low < high) == ("-" in codes), codes


def test_the_services_are_those_of_dimse() -> None:
    """PS3.7 7.5, Table 7.5-1 and 7.5-2."""
    assert {name for _, messages, _ in GENERAL for name in messages.split()} == DIMSE
    for group in GROUPS:
        assert set(group.messages.split()) <= DIMSE
        assert group.service_classes


def test_no_code_has_two_meanings_in_one_response() -> None:
    """Within a service class, a DIMSE service and what the row is limited to."""
    rows: dict[tuple[ServiceClass, str, str], list[tuple[int, int]]] = {}
    for group in GROUPS:
        for service_class in group.service_classes:
            for message in group.messages.split():
                rows.setdefault((service_class, message, group.scope), []).extend(map(bounds, group.codes))
    for place, ranges in rows.items():
        for (low, high), (other_low, other_high) in combinations(ranges, 2):
            assert high < other_low or other_high < low or (low, high) == (other_low, other_high), place


def test_the_ranges_left_to_service_classes_do_not_overlap() -> None:
    """PS3.7 C.5: what a service class may add."""
    ranges = sorted(map(bounds, CONVENTION))
    assert all(high < low for (_, high), (low, _) in pairwise(ranges))
