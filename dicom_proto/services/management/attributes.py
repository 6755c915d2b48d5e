"""What the flows on top of the N-services share: which attributes they require, and how they refuse (PS3.7 10.1, C.5).

May change.

Which attributes a service requires is written as dotted paths of keywords. A path into a sequence applies to each of
its items, and so to none if the sequence is empty.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Final, TypeAlias, TypeVar

from attrs import frozen
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.handlers.registry import Bound
from dicom_proto.names import is_valid_uid
from dicom_proto.status import Status

__all__ = [
    "SUCCESS",
    "HandlerResult",
    "Refused",
    "Rules",
    "changed",
    "check_elements",
    "check_settable",
    "complete",
    "get_attributes",
    "guarded",
    "has_value",
    "items",
    "keywords",
    "merge",
    "new_instance_uid",
    "offending",
    "refusing",
    "rules",
    "select",
]

HandlerResult: TypeAlias = tuple[int | Dataset, Dataset | None]
"""What a handler of a DIMSE-N event returns: a status, and the data set of the response."""

SUCCESS: Final[HandlerResult] = (int(Status.SUCCESS), None)

_UTF_8: Final = "ISO_IR 192"

T = TypeVar("T")


class Refused(Exception):  # noqa: N818 - the standard's word
    """A request cannot be performed.

    Parameters
    ----------
    status : int
        The status that says why.
    data_set : pydicom.dataset.Dataset, optional
        The offending values, with a status that allows them.
    elements
        Further elements of the response, by keyword (``ErrorID``, ``AttributeIdentifierList``).
    """

    def __init__(self, status: int, data_set: Dataset | None = None, **elements: Any) -> None:
        super().__init__(f"status {status:04X}H")
        self.status = int(status)
        self.data_set = data_set
        self.elements = elements

    @property
    def result(self) -> HandlerResult:
        """What a handler returns that refuses: an integer as status, a Dataset if there is more to say."""
        if not self.elements:
            return self.status, self.data_set
        answer = Dataset()
        answer.Status = self.status
        for keyword, value in self.elements.items():
            setattr(answer, keyword, value)
        return answer, self.data_set


def refusing(method: Callable[[T, RequestEvent], HandlerResult]) -> Callable[[T, RequestEvent], HandlerResult]:
    """Make a method that raises :class:`Refused` into the body of a handler."""

    @wraps(method)
    def handler(self: T, event: RequestEvent) -> HandlerResult:
        try:
            return method(self, event)
        except Refused as refused:
            return refused.result

    return handler


def guarded(
    handlers: Mapping[EventKind, Callable[[RequestEvent], Any]], lock: AbstractContextManager[Any]
) -> list[Bound]:
    """Return handlers as they are bound, each of which holds a lock while it runs."""

    def guard(handler: Callable[[RequestEvent], Any]) -> Callable[[RequestEvent], Any]:
        @wraps(handler)
        def alone(event: RequestEvent) -> Any:
            with lock:
                return handler(event)

        return alone

    return [(kind, guard(handler)) for kind, handler in handlers.items()]


# --- values -----------------------------------------------------------------------------------------------------------


def keywords(text: str) -> frozenset[str]:
    """Return a set of keywords that are separated by white space."""
    return frozenset(text.split())


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none if it is absent, or something that is no sequence."""
    value = dataset.get(keyword)
    return list(value) if isinstance(value, Sequence) else []


def has_value(dataset: Dataset, keyword: str) -> bool:
    """Tell whether an attribute is there and not empty."""
    if keyword not in dataset:
        return False
    if dictionary_VR(keyword) == "SQ":
        return bool(items(dataset, keyword))
    return not dataset[keyword].is_empty


def select(dataset: Dataset, keywords: Iterable[str]) -> Dataset:
    """Return those of some attributes that a data set has, and its character set."""
    chosen = Dataset()
    for keyword in ("SpecificCharacterSet", *keywords):
        if keyword in dataset:
            chosen[keyword] = dataset[keyword]
    return chosen


def changed(dataset: Dataset, **values: Any) -> Dataset:
    """Return a copy with other values of some attributes; what is not changed is shared between the two."""
    copy = dataset[:]
    for keyword, value in values.items():
        copy.pop(keyword, None)  # for pydicom would change the element, which is shared
        setattr(copy, keyword, value)
    return copy


def offending(status: int, dataset: Dataset, *keywords: str) -> Refused:
    """Return the refusal of values, which go back with it (PS3.7 C.5.10, C.5.11, C.5.14); none if they are absent."""
    values = select(dataset, keywords)
    return Refused(status, values if any(keyword in values for keyword in keywords) else None)


# --- requirements -----------------------------------------------------------------------------------------------------


@frozen
class _Rule:
    path: tuple[str, ...]  # of the sequences around it
    keyword: str
    needs_value: bool

    def holders(self, dataset: Dataset) -> list[Dataset]:
        """Return what has to have the attribute: the data set, or the items of the innermost sequence."""
        holders = [dataset]
        for sequence in self.path:
            holders = [item for holder in holders for item in items(holder, sequence)]
        return holders


Rules: TypeAlias = tuple[_Rule, ...]


def rules(*, type_1: str = "", type_2: str = "") -> Rules:
    """Make rules of dotted paths, separated by spaces: attributes that need a value, and those that may be empty."""

    def parse(paths: str, *, needs_value: bool) -> Iterator[_Rule]:
        for path in paths.split():
            *sequences, keyword = path.split(".")
            yield _Rule(tuple(sequences), keyword, needs_value)

    return (*parse(type_1, needs_value=True), *parse(type_2, needs_value=False))


def _problems(dataset: Dataset, required: Rules) -> tuple[list[_Rule], list[_Rule]]:
    """Return which rules miss their attribute, and which its value."""
    missing, empty = [], []
    for rule in required:
        holders = rule.holders(dataset)
        if any(rule.keyword not in holder for holder in holders):
            missing.append(rule)
        elif rule.needs_value and not all(has_value(holder, rule.keyword) for holder in holders):
            empty.append(rule)
    return missing, empty


def check_elements(dataset: Dataset, required: Rules, *, is_new: bool = True) -> None:
    """Check what a peer sent against rules.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        What it sent, or what that makes of a stored instance.
    required : Rules
        What is required of it.
    is_new : bool
        False for N-SET, which does not have the status 0120H: an attribute that is missing is a value that is missing.

    Raises
    ------
    Refused
        With 0120H, and the tags, if attributes are missing (PS3.7 C.5.13); else with 0121H, and the attributes, if
        values are missing (C.5.14): those of items within the sequences that they are in.
    """
    missing, empty = _problems(dataset, required)
    if not is_new:
        missing, empty = [], [*missing, *empty]
    if missing:
        tags = sorted({tag_for_keyword(rule.keyword) or 0 for rule in missing})
        raise Refused(Status.MISSING_ATTRIBUTE, AttributeIdentifierList=tags)
    if empty:
        raise offending(Status.MISSING_ATTRIBUTE_VALUE, dataset, *((*rule.path, rule.keyword)[0] for rule in empty))


def complete(dataset: Dataset, required: Rules) -> Dataset:
    """Add what may be empty and is missing to what this side sends, and return it.

    Raises
    ------
    LocalProtocolError
        If a value that rules require is missing.
    """
    for rule in required:
        if not rule.needs_value:
            for holder in rule.holders(dataset):
                if rule.keyword not in holder:
                    setattr(holder, rule.keyword, [] if dictionary_VR(rule.keyword) == "SQ" else None)
    missing, empty = _problems(dataset, required)
    if missing or empty:
        names = ", ".join(".".join((*rule.path, rule.keyword)) for rule in (*missing, *empty))
        raise LocalProtocolError(f"values are missing that the service requires: {names}")
    return dataset


def check_settable(changes: Dataset, fixed: frozenset[str]) -> None:
    """Check a modification list that this side sends.

    Raises
    ------
    LocalProtocolError
        If it has something that cannot be set.
    """
    refused = sorted(keyword for keyword in fixed if keyword in changes)
    if refused:
        raise LocalProtocolError(f"the service does not let these be set: {', '.join(refused)}")


def new_instance_uid(event: RequestEvent, stored: Container[str]) -> str:
    """Return the SOP Instance UID that an N-CREATE request gives, where the service wants the SCU to give it.

    Raises
    ------
    Refused
        With 0117H if there is none, or a malformed one (PS3.7 C.5.12); with 0111H if it is in use (C.5.8).
    """
    uid = event.request.AffectedSOPInstanceUID
    if not is_valid_uid(uid):
        raise Refused(Status.INVALID_SOP_INSTANCE)
    if uid in stored:
        raise Refused(Status.DUPLICATE_SOP_INSTANCE)
    return str(uid)


def merge(stored: Mapping[str, Dataset], uid: str, changes: Dataset, fixed: frozenset[str]) -> tuple[Dataset, set[str]]:
    """Apply a modification list to a copy of a stored instance; sequences are replaced as a whole (PS3.7 10.1.3).

    Parameters
    ----------
    stored : mapping
        Instances by UID.
    uid : str
        Which of them.
    changes : pydicom.dataset.Dataset
        The modification list.
    fixed : frozenset of str
        Keywords of what cannot be set. Sending the value that is stored is no change.

    Returns
    -------
    tuple
        The changed copy, and the keywords of what has changed. Where the two have different character sets the copy is
        in UTF-8, which can hold both.

    Raises
    ------
    Refused
        With 0106H if something fixed would change; with 0105H if something was not created (PS3.7 C.5.17).
    """
    step = stored[uid][:]
    charset = changes.get("SpecificCharacterSet")
    if charset and charset != step.get("SpecificCharacterSet"):
        step = changed(step, SpecificCharacterSet=_UTF_8)
    modified = {
        element.tag: element.keyword
        for element in changes
        if element.keyword != "SpecificCharacterSet" and _differs(step, element)
    }
    refused = sorted(fixed.intersection(modified.values()))
    if refused:
        raise offending(Status.INVALID_ATTRIBUTE_VALUE, changes, *refused)
    unknown = [tag for tag in modified if tag not in step]
    if unknown:
        raise Refused(Status.NO_SUCH_ATTRIBUTE, AttributeIdentifierList=unknown)
    for tag in modified:
        step[tag] = changes[tag]
    return step, set(modified.values())


def _differs(stored: Dataset, element: DataElement) -> bool:
    if element.tag not in stored:
        return True
    own = stored[element.tag]
    return own.value != element.value and not (own.is_empty and element.is_empty)


def get_attributes(stored: Dataset, tags: Iterable[int]) -> HandlerResult:
    """Return what an N-GET request asks for: some attributes, or all if it names none.

    The status is the warning 0001H if some are not there.
    """
    wanted = list(tags)
    if not wanted:
        return int(Status.SUCCESS), stored
    found = select(stored, ())
    for tag in wanted:
        if tag in stored:
            found[tag] = stored[tag]
    has_all = all(tag in stored for tag in wanted)
    return int(Status.SUCCESS if has_all else Status.OPTIONAL_ATTRIBUTES_NOT_SUPPORTED), found
