"""DIMSE status codes (PS3.7 Annex C): their category, their meaning, and which of them a service may send.

Stable.

A status is a plain integer of 16 bits everywhere in this package, because a peer may send any; this module only tells
what the standard says about it.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum, StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from dicom_proto._status_table import CONVENTION, FAILURE_REASONS, GENERAL, GROUPS
from dicom_proto.service_class import ServiceClass

__all__ = [
    "FAILURE_REASONS",
    "STATUSES",
    "Category",
    "ServiceClass",
    "Status",
    "StatusEntry",
    "code_to_category",
    "describe",
    "is_known",
    "lookup",
]


class Category(StrEnum):
    """What a status means for the operation that it answers (PS3.7 C.1)."""

    SUCCESS = "Success"
    WARNING = "Warning"
    FAILURE = "Failure"
    CANCEL = "Cancel"
    PENDING = "Pending"
    UNKNOWN = "Unknown"  # not allowed by the standard: treat it as a failure

    __hash__ = str.__hash__  # equal to its plain string, it has to be found under it as well; that of Enum is slow too


class Status(IntEnum):
    """The codes that are not the business of one service alone, under the names of PS3.7 Annex C."""

    SUCCESS = 0x0000
    OPTIONAL_ATTRIBUTES_NOT_SUPPORTED = 0x0001
    NO_SUCH_ATTRIBUTE = 0x0105
    INVALID_ATTRIBUTE_VALUE = 0x0106
    ATTRIBUTE_LIST_ERROR = 0x0107
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    NO_SUCH_SOP_INSTANCE = 0x0112
    NO_SUCH_EVENT_TYPE = 0x0113
    NO_SUCH_ARGUMENT = 0x0114
    INVALID_ARGUMENT_VALUE = 0x0115
    ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116
    INVALID_SOP_INSTANCE = 0x0117
    NO_SUCH_SOP_CLASS = 0x0118
    CLASS_INSTANCE_CONFLICT = 0x0119
    MISSING_ATTRIBUTE = 0x0120
    MISSING_ATTRIBUTE_VALUE = 0x0121
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION_TYPE = 0x0123
    NOT_AUTHORIZED = 0x0124
    DUPLICATE_INVOCATION = 0x0210
    UNRECOGNIZED_OPERATION = 0x0211
    MISTYPED_ARGUMENT = 0x0212
    RESOURCE_LIMITATION = 0x0213
    OUT_OF_RESOURCES = 0xA700
    CANNOT_COUNT_MATCHES = 0xA701
    CANNOT_PERFORM_SUBOPERATIONS = 0xA702
    MOVE_DESTINATION_UNKNOWN = 0xA801
    DOES_NOT_MATCH_SOP_CLASS = 0xA900
    SUBOPERATIONS_INCOMPLETE = 0xB000
    UNABLE_TO_PROCESS = 0xC000
    CANCEL = 0xFE00
    PENDING = 0xFF00
    PENDING_OPTIONAL_KEYS_NOT_SUPPORTED = 0xFF01

    @classmethod
    def add(cls, name: str, code: int) -> None:
        """Give a code a name of one's own, ``Status.name``; it is a plain integer, and no member.

        Raises
        ------
        AttributeError
            If the name is that of a member.
        """
        setattr(cls, name, code)


@frozen(kw_only=True)
class StatusEntry:
    """One row of the tables: a code, or a range of codes, and what it means there.

    Parameters
    ----------
    service_class : ServiceClass or None
        The service class that defines it; None if PS3.7 does.
    messages : tuple of str
        The DIMSE services whose responses may carry it (``"C-FIND"``).
    low, high : int
        First and last code of the range, both included; equal for a single code.
    meaning : str
        What it says, in a few words.
    scope : str
        The SOP class or action type inside the service class that it is limited to, in words; empty if to none.
    """

    service_class: ServiceClass | None
    messages: tuple[str, ...]
    low: int
    high: int
    meaning: str
    scope: str = ""

    @property
    def category(self) -> Category:
        """The category of all codes of the range, but for 0107H and 0116H: :func:`code_to_category` knows these."""
        return code_to_category(self.low)


def code_to_category(code: int) -> Category:
    """Return the category of a status code (PS3.7 Annex C); compares equal to its plain string, such as ``"Success"``.

    Every integer has one: what the standard does not allow is :attr:`Category.UNKNOWN`.
    """
    return _OF_CODE.get(code) or _OF_FIRST_BYTE.get(code >> 8) or _OF_FIRST_DIGIT.get(code >> 12, _UNKNOWN)


_OF_CODE: Final = {
    0x0000: Category.SUCCESS,
    **dict.fromkeys((0x0001, 0x0107, 0x0116), Category.WARNING),
    0xFE00: Category.CANCEL,
    **dict.fromkeys((0xFF00, 0xFF01), Category.PENDING),
}
_OF_FIRST_BYTE: Final = {0x01: Category.FAILURE, 0x02: Category.FAILURE}
_OF_FIRST_DIGIT: Final = {0xA: Category.FAILURE, 0xB: Category.WARNING, 0xC: Category.FAILURE}
_UNKNOWN: Final = Category.UNKNOWN

# What else a service class may send: the retrieve operations of these are those of Query/Retrieve (PS3.4 U.4.2, X.4.2,
# BB.4.2, HH.4.2, II.4.2, JJ.3), and a repository is queried with all its codes and two more (PS3.4 C.6.4).
_BASE: Final = dict.fromkeys(
    (
        ServiceClass.COLOR_PALETTE_QUERY_RETRIEVE,
        ServiceClass.DEFINED_PROCEDURE_PROTOCOL_QUERY_RETRIEVE,
        ServiceClass.HANGING_PROTOCOL_QUERY_RETRIEVE,
        ServiceClass.IMPLANT_TEMPLATE_QUERY_RETRIEVE,
        ServiceClass.INVENTORY_QUERY_RETRIEVE,
        ServiceClass.PROTOCOL_APPROVAL_QUERY_RETRIEVE,
        ServiceClass.REPOSITORY_QUERY,
    ),
    ServiceClass.QUERY_RETRIEVE,
)


def _bounds(codes: str) -> tuple[int, int]:
    low, _, high = codes.partition("-")
    return int(low, 16), int(high or low, 16)


def _entry(service: ServiceClass | None, messages: str, codes: str, meaning: str, scope: str = "") -> StatusEntry:
    low, high = _bounds(codes)
    return StatusEntry(
        service_class=service, messages=tuple(messages.split()), low=low, high=high, meaning=meaning, scope=scope
    )


def _entries() -> Iterator[StatusEntry]:
    for codes, messages, meaning in GENERAL:
        yield _entry(None, messages, codes, meaning)
    for group in GROUPS:
        for service in group.service_classes:
            for codes, meaning in group.codes.items():
                yield _entry(service, group.messages, codes, meaning, group.scope)


def _by_service_class(entries: Iterable[StatusEntry]) -> Mapping[ServiceClass | None, tuple[StatusEntry, ...]]:
    rows: dict[ServiceClass | None, tuple[StatusEntry, ...]] = dict.fromkeys((None, *ServiceClass), ())
    for entry in entries:
        rows[entry.service_class] += (entry,)
    return MappingProxyType(rows)


STATUSES: Final = _by_service_class(_entries())
"""All rows by the service class that defines them; those of PS3.7 Annex C under None."""

_CONVENTION: Final = tuple(_entry(None, GENERAL[0][1], codes, meaning) for codes, meaning in CONVENTION.items())


@lru_cache(maxsize=1024)
def _find(code: int, service_class: ServiceClass | None, message: str | None) -> StatusEntry | None:
    base = None if service_class is None else _BASE.get(service_class)
    for rows in (STATUSES[service_class], STATUSES[base], STATUSES[None]):
        for entry in rows:
            if entry.low <= code <= entry.high and (message is None or message in entry.messages):
                return entry
    return None


def lookup(code: int, service_class: ServiceClass | None = None, message: str | None = None) -> StatusEntry | None:
    """Find what a status code means.

    Parameters
    ----------
    code : int
        The status.
    service_class : ServiceClass or None
        Whose tables to search before those of PS3.7; None to search only the latter.
    message : str or None
        The DIMSE service (``"C-FIND"``) whose response carries it; None if any will do.

    Returns
    -------
    StatusEntry or None
        The first row that fits: of the service class, of the one that it builds on, of PS3.7 Annex C, or of the ranges
        that Annex C leaves to service classes. None for a code outside all of these.
    """
    found = _find(code, service_class, message)
    return found or next((entry for entry in _CONVENTION if entry.low <= code <= entry.high), None)


def is_known(code: int, service_class: ServiceClass | None = None, message: str | None = None) -> bool:
    """Tell whether the standard lists a status for a service class and DIMSE service; parameters as :func:`lookup`.

    The ranges that PS3.7 leaves to service classes do not count, so a service can check what its handler returns.
    """
    return _find(code, service_class, message) is not None


def describe(code: int, service_class: ServiceClass | None = None, message: str | None = None) -> str:
    """Describe a status code in one line for people, such as ``"0xA700 Failure: refused: out of resources"``.

    Parameters are those of :func:`lookup`.
    """
    entry = lookup(code, service_class, message)
    return f"0x{code:04X} {code_to_category(code)}" + (f": {entry.meaning}" if entry else "")


# pynetdicom's names for what a service may answer with.
_DICTIONARIES: Final[Mapping[str, tuple[ServiceClass | None, str]]] = {
    "APPLICATION_EVENT_LOGGING_SERVICE_CLASS_STATUS": (ServiceClass.APPLICATION_EVENT_LOGGING, "N-ACTION"),
    "GENERAL_STATUS": (None, ""),
    "MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS": (ServiceClass.MEDIA_CREATION_MANAGEMENT, ""),
    "MODALITY_WORKLIST_SERVICE_CLASS_STATUS": (ServiceClass.BASIC_WORKLIST_MANAGEMENT, "C-FIND"),
    "NON_PATIENT_SERVICE_CLASS_STATUS": (ServiceClass.NON_PATIENT_OBJECT_STORAGE, "C-STORE"),
    "PRINT_JOB_MANAGEMENT_SERVICE_CLASS_STATUS": (ServiceClass.PRINT_MANAGEMENT, ""),
    "PROCEDURE_STEP_STATUS": (ServiceClass.PROCEDURE_STEP, ""),
    "QR_FIND_SERVICE_CLASS_STATUS": (ServiceClass.QUERY_RETRIEVE, "C-FIND"),
    "QR_GET_SERVICE_CLASS_STATUS": (ServiceClass.QUERY_RETRIEVE, "C-GET"),
    "QR_MOVE_SERVICE_CLASS_STATUS": (ServiceClass.QUERY_RETRIEVE, "C-MOVE"),
    "RELEVANT_PATIENT_SERVICE_CLASS_STATUS": (ServiceClass.RELEVANT_PATIENT_INFORMATION_QUERY, "C-FIND"),
    "RT_MACHINE_VERIFICATION_SERVICE_CLASS_STATUS": (ServiceClass.RT_MACHINE_VERIFICATION, ""),
    "STORAGE_COMMITMENT_SERVICE_CLASS_STATUS": (ServiceClass.STORAGE_COMMITMENT, ""),
    "STORAGE_MANAGEMENT_SERVICE_CLASS_STATUS": (ServiceClass.STORAGE_MANAGEMENT, ""),
    "STORAGE_SERVICE_CLASS_STATUS": (ServiceClass.STORAGE, "C-STORE"),
    "SUBSTANCE_ADMINISTRATION_SERVICE_CLASS_STATUS": (ServiceClass.SUBSTANCE_ADMINISTRATION_QUERY, "C-FIND"),
    "UNIFIED_PROCEDURE_STEP_SERVICE_CLASS_STATUS": (ServiceClass.UNIFIED_PROCEDURE_STEP, ""),
    "VERIFICATION_SERVICE_CLASS_STATUS": (ServiceClass.VERIFICATION, "C-ECHO"),
}


def _dictionary(service_class: ServiceClass | None, message: str) -> dict[int, tuple[str, str]]:
    """Return category and meaning of each code of a service, and of the general ones."""
    rows = (*STATUSES[service_class], *STATUSES[None])
    meanings: dict[int, tuple[str, str]] = {}
    for entry in rows:
        if not message or message in entry.messages or entry.service_class is None:
            for code in range(entry.low, entry.high + 1):
                meanings.setdefault(code, (code_to_category(code), entry.meaning))
    return meanings


STATUS_SUCCESS: Final = Category.SUCCESS
STATUS_FAILURE: Final = Category.FAILURE
STATUS_WARNING: Final = Category.WARNING
STATUS_CANCEL: Final = Category.CANCEL
STATUS_PENDING: Final = Category.PENDING
STATUS_UNKNOWN: Final = Category.UNKNOWN


def __getattr__(name: str) -> Any:
    """Make a dictionary of codes, such as ``STORAGE_SERVICE_CLASS_STATUS``, when it is first asked for."""
    if name not in _DICTIONARIES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    dictionary = globals()[name] = _dictionary(*_DICTIONARIES[name])
    return dictionary
