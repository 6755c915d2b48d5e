"""The log: the id of an association stands in front of its lines, and nobody else's."""

import logging
import re
from pathlib import Path

import pytest

from dicom_proto.logs import ASSOCIATION, LOGGERS, about, name_association

ROOT = Path(__file__).parents[2]
LOG = logging.getLogger("dicom_proto.association")


def test_lines_about_an_association(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dicom_proto")
    with about("12"):
        LOG.info("%s of %d", "one", 2)
    LOG.info("of nobody")
    assert caplog.messages == ["[12] one of 2", "of nobody"]
    assert [getattr(record, "association", None) for record in caplog.records] == ["12", None]
    assert ASSOCIATION.get() == ""


def test_a_line_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """Who has the filter on handlers of their own as well gets the id no second time."""
    with about("12"):
        LOG.warning("once")
        assert name_association(caplog.records[0])
    assert caplog.messages == ["[12] once"]


def test_it_ends_with_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), about("12"):
        raise ZeroDivisionError
    assert ASSOCIATION.get() == ""


def test_all_loggers_are_known() -> None:
    names: set[str] = set()
    for package in ("dicom_proto", "transports/dicom_transports"):
        for path in (ROOT / package).rglob("*.py"):
            names |= set(re.findall(r'getLogger\("(dicom_\w+[.\w]*)"\)', path.read_text(encoding="utf-8")))
    assert names <= set(LOGGERS)
