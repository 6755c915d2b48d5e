"""Hypothesis strategies of the 23 DIMSE messages (PS3.7): everything that may be sent, and nothing else.

May change. Needs Hypothesis: ``pip install "dicom-proto[testing]"``.
"""

from typing import Any, Final

from dicom_proto.dimse.declaration import Element
from dicom_proto.dimse.messages import (
    MESSAGES,
    DataSet,
    Message,
    Priority,
    Response,
    RetrieveResponse,
)
from dicom_proto.testing._hypothesis import st
from dicom_proto.testing.strategies import PRINTABLE, ae_titles, bits16, uids

__all__ = ["MESSAGE_STRATEGIES", "STATUSES", "comments", "messages", "sendable", "tag_lists", "values"]

PENDING: Final = 0xFF00
STATUSES: Final = (
    *(0x0000, 0x0001, 0x0105, 0x0106, 0x0107, 0x0110, 0x0112, 0x0113, 0x0115, 0x0117, 0x0120, 0x0123, 0x0124, 0x0210),
    *(0xA700, 0xA702, 0xA900, 0xAA04, 0xB000, 0xB605, 0xC000, 0xCFFF, 0xFE00, PENDING, 0xFF01),
)
"""Statuses of each category (PS3.7 Annex C)."""

comments: st.SearchStrategy[str] = (
    st.text(PRINTABLE.replace("\\", ""), min_size=1, max_size=64)
    .map(lambda text: text.strip(" "))
    .filter(lambda text: text != "")
)
"""Error Comment (PS3.7 C.4): a text of up to 64 characters."""
tag_lists: st.SearchStrategy[tuple[int, ...]] = st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=5).map(tuple)
"""Offending Element, Attribute Identifier List: tags as numbers."""
_VALUES: Final[dict[str, st.SearchStrategy[Any]]] = {
    "AE": ae_titles,
    "AT": tag_lists,
    "LO": comments,
    "UI": uids,
    "US": bits16,
}


_priorities = st.sampled_from(Priority)
_statuses = st.sampled_from(STATUSES)


def values(element: Element) -> st.SearchStrategy[Any]:
    """Return every value that a field may have."""
    return _priorities if element.attribute == "priority" else _VALUES[element.vr.name]


def _one_of(draw: st.DrawFn, choices: list[bool]) -> bool:
    return draw(st.booleans()) if len(choices) == 2 else choices[0]


@st.composite
def sendable(draw: st.DrawFn, cls: type[Message]) -> tuple[Message, bool]:
    """Draw a message of a class that may be sent, and whether a data set follows it."""
    status = draw(_statuses)
    choices = {DataSet.NEVER: [False], DataSet.ALWAYS: [True], DataSet.OPTIONAL: [False, True]}[cls.data_set]
    if cls.data_set_condition is not None:
        choices = [c for c in choices if cls.data_set_condition.allows(c, status=status, has_data_set=c)]
    has_data_set = _one_of(draw, choices)
    known: dict[str, Any] = {}
    for element in cls.elements:
        presence = [True] if element.usage == "M" else [False, True]
        if element.condition is not None:
            presence = [p for p in presence if element.condition.allows(p, status=status, has_data_set=has_data_set)]
        if _one_of(draw, presence):
            known[element.attribute] = draw(values(element))
    if issubclass(cls, Response):
        known["status"] = status
    if (
        issubclass(cls, RetrieveResponse)
        and status not in {PENDING, 0xFF01}
        and "number_of_failed_suboperations" in known
    ):
        known["number_of_failed_suboperations"] = draw(st.integers(1, 0xFFFF)) if has_data_set else 0
    return cls(**known), has_data_set


MESSAGE_STRATEGIES: Final = {command_field: sendable(cls) for command_field, cls in MESSAGES.items()}
"""The messages of each class by its Command Field, each with whether a data set follows."""
messages: st.SearchStrategy[tuple[Message, bool]] = st.sampled_from(sorted(MESSAGE_STRATEGIES)).flatmap(
    MESSAGE_STRATEGIES.__getitem__
)
"""Messages of all classes, each with whether a data set follows."""
