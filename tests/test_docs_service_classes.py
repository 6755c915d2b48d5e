"""The page about service classes has every SOP class that is not retired, and a program for each of its services."""

import csv
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "docs"))

from _ext.service_classes import ServiceClasses, SOPClasses

FACTS = Path(__file__).parent / "proto" / "data" / "service_classes.csv"


def rows_of(directive: Any) -> list[list[str]]:
    (table,) = directive.run(None)
    rows = [[cell.astext() for cell in row.children] for row in table.findall() if row.tagname == "row"]
    return rows[1:]


def test_every_sop_class_is_listed() -> None:
    with FACTS.open(newline="", encoding="utf-8") as file:
        facts = list(csv.DictReader(file))
    shown = {uid: keyword for keyword, uid, _, _ in rows_of(SOPClasses)}
    assert shown == {
        row["uid"]: row["keyword"] or row["pynetdicom_keyword"]
        for row in facts
        if row["retired"] == "no" or row["keyword"] == "VOILUTBox"  # which PS3.4 retires, and PS3.6 does not
    }
    listed = {service_class for _, _, service_class, _ in rows_of(SOPClasses)}
    assert {row[0] for row in rows_of(ServiceClasses)} == listed - {"Media Storage", "Real-Time Communication"}


def test_services_have_their_programs() -> None:
    rows = {row[0]: row[1:] for row in rows_of(ServiceClasses)}
    assert rows["Verification"] == ["1", "C-ECHO", "verification"]
    assert rows["Storage Commitment"] == ["1", "N-EVENT-REPORT, N-ACTION", "normalized, commitment"]
    assert rows["Basic Worklist Management"] == ["1", "C-FIND", "query"]
