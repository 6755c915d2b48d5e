"""What the DIMSE messages are declared with: elements, their usage and conditions, and the base classes.

May change.

:mod:`dicom_proto.dimse.messages` is the table; this module is its vocabulary.
"""

import inspect
import re
import reprlib
from enum import Enum, IntEnum
from typing import Any, ClassVar, Final, Literal, TypeVar, cast, dataclass_transform

from attrs import NOTHING, AttrsInstance, define, field, fields, frozen

from dicom_proto.dimse.command_set import UI, US, ValueRepresentation
from dicom_proto.errors import EncodingError, LocalProtocolError
from dicom_proto.status import Category, code_to_category

__all__ = [
    "CANCEL",
    "FAILURE",
    "PENDING",
    "PERFORMED",
    "PRIORITY",
    "REGISTRY",
    "SUCCESS",
    "WARNING",
    "Condition",
    "DataSet",
    "Element",
    "Message",
    "Priority",
    "Request",
    "Response",
    "Statuses",
    "codes",
    "conditional",
    "dimse_message",
    "mandatory",
    "optional",
    "span",
]


class Priority(IntEnum):
    """Priority (0000,0700) of a C-STORE, C-FIND, C-GET or C-MOVE request (PS3.7 9.3); a performer need not honour it.

    A received value that is not listed stays a plain :class:`int`.
    """

    MEDIUM = 0
    HIGH = 1
    LOW = 2


_PRIORITIES: Final = {priority.value: priority for priority in Priority}


def _encode_priority(value: object) -> bytes:
    if not isinstance(value, int) or value not in _PRIORITIES:
        raise EncodingError(f"{value!r} is not a priority: 0 (medium), 1 (high) or 2 (low)")
    return US.encode(value)


def _decode_priority(raw: bytes) -> int:
    value: int = US.decode(raw)
    return _PRIORITIES.get(value, value)


PRIORITY: Final = ValueRepresentation("US", _encode_priority, _decode_priority)


class DataSet(Enum):
    """Whether a data set follows the command set of a message (PS3.7 9.3, 10.3)."""

    NEVER = "never"
    ALWAYS = "always"
    OPTIONAL = "optional"


_NEVER: Final = DataSet.NEVER  # looking up a member of an Enum in its class is slow before Python 3.12
_ALWAYS: Final = DataSet.ALWAYS


@frozen
class Statuses:
    """A set of status codes that can say its name.

    Parameters
    ----------
    name : str
        How the set is called in documentation and errors.
    ranges : tuple of range
        The codes in it.
    categories : frozenset of Category
        The categories whose codes are in it as well.
    """

    name: str
    ranges: tuple[range, ...] = ()
    categories: frozenset[Category] = frozenset()

    def __contains__(self, status: object) -> bool:
        if not isinstance(status, int):
            return False
        if code_to_category(status) in self.categories:
            return True
        return bool(self.ranges) and any(status in codes for codes in self.ranges)

    def __or__(self, other: "Statuses") -> "Statuses":
        return Statuses(f"{self.name}, {other.name}", self.ranges + other.ranges, self.categories | other.categories)


def codes(*statuses: int) -> Statuses:
    """Return the set of some single statuses."""
    return Statuses(", ".join(map(_show_status, statuses)), tuple(range(status, status + 1) for status in statuses))


def span(first: int, last: int) -> Statuses:
    """Return the set of all statuses from the first to the last."""
    return Statuses(f"{_show_status(first)} to {_show_status(last)}", (range(first, last + 1),))


def _show_status(status: object) -> str:
    """Return a status as the standard prints it, such as ``FF00H``; what is not a status, through ``repr``."""
    return f"{status:04X}H" if isinstance(status, int) else repr(status)


SUCCESS, WARNING, FAILURE, CANCEL, PENDING = (
    Statuses(category.value, categories=frozenset({category}))
    for category in (Category.SUCCESS, Category.WARNING, Category.FAILURE, Category.CANCEL, Category.PENDING)
)

# What goes with Success goes with Warning too: that operation was performed as well. Some services need it: a printer
# may create a Film Box, choose its UID, and warn that it adjusted the density (B605H, PS3.4 H.4.2.2).
PERFORMED: Final = SUCCESS | WARNING


@frozen(kw_only=True)
class Condition:
    """When a conditional field, or data set, goes with a response.

    Parameters
    ----------
    only_with : Statuses or None
        It is not sent with any other status; ``None`` allows all.
    required_with : Statuses or None
        It is always sent with these.
    required_with_data_set : bool
        It is always sent when a data set follows.
    """

    only_with: Statuses | None = None
    required_with: Statuses | None = None
    required_with_data_set: bool = False
    requires: bool = field(init=False, repr=False, eq=False)  # it may have to be there at all

    @requires.default
    def _requires(self) -> bool:
        return self.required_with is not None or self.required_with_data_set

    def __str__(self) -> str:
        words = []
        if self.only_with is not None:
            words.append(f"only with {self.only_with.name}")
        if self.required_with is not None:
            words.append(f"required with {self.required_with.name}")
        if self.required_with_data_set:
            words.append("required with a data set")
        return "; ".join(words) or "with any status"

    def allows(self, present: bool, *, status: int, has_data_set: bool) -> bool:
        """Tell whether its presence, or absence, goes with the rest of the response."""
        if present:
            return self.only_with is None or status in self.only_with
        if self.required_with_data_set and has_data_set:
            return False
        return self.required_with is None or status not in self.required_with


@frozen(kw_only=True)
class Element:
    """One field of a message: a row of the standard's table.

    Parameters
    ----------
    attribute : str
        Name of the attribute that holds the value.
    tag : int
        Element number in group 0000, which is also the 32-bit tag.
    vr : ValueRepresentation
        How the value travels.
    usage : {"M", "U", "C"}
        Mandatory, user option or conditional.
    condition : Condition or None
        Of a conditional field.
    """

    attribute: str
    tag: int
    vr: ValueRepresentation
    usage: Literal["M", "U", "C"]
    condition: Condition | None = None

    @property
    def keyword(self) -> str:
        """The DICOM keyword, such as ``AffectedSOPClassUID``."""
        acronyms = {"sop": "SOP", "uid": "UID", "id": "ID"}
        return "".join(acronyms.get(word, word.capitalize()) for word in self.attribute.split("_"))

    def __str__(self) -> str:
        return f"{self.keyword} (0000,{self.tag:04X})"


def mandatory(tag: int, vr: ValueRepresentation, *, default: Any = NOTHING) -> Any:
    """Declare a field that is always sent."""
    return field(default=default, metadata={"tag": tag, "vr": vr, "usage": "M"})


def optional(tag: int, vr: ValueRepresentation) -> Any:
    """Declare a field that may be left out: user option."""
    return field(default=None, metadata={"tag": tag, "vr": vr, "usage": "U"})


def conditional(tag: int, vr: ValueRepresentation, condition: Condition) -> Any:
    """Declare a field that goes with some statuses only."""
    return field(default=None, metadata={"tag": tag, "vr": vr, "usage": "C", "condition": condition})


def _describe(cls: type["Message"]) -> str:
    """Return what the declaration of a message says, for its docstring."""
    rule = f"{cls.data_set.value}, {cls.data_set_condition}" if cls.data_set_condition else cls.data_set.value
    lines = [f"Command Field {cls.command_field:04X}H. Data set: {rule}.", "", "Attributes", "----------"]
    usages = {"M": "mandatory", "U": "optional", "C": "conditional"}
    for element in cls.elements:
        rule = f"{usages[element.usage]}, {element.condition}" if element.condition else usages[element.usage]
        lines += f"{element.attribute} : {element.vr.name}", f"    (0000,{element.tag:04X}), {rule}."
    return "\n".join(lines)


_M = TypeVar("_M", bound="Message")
REGISTRY: Final[dict[int, type["Message"]]] = {}  # by command field


# Type checkers take any other declaration than a call of mandatory for a field with a default, which is what they are.
@dataclass_transform(kw_only_default=True, field_specifiers=(mandatory,))
def dimse_message(cls: type[_M]) -> type[_M]:
    """Make a class of declared fields a slotted attrs class that knows its elements; enter it if it is a message."""
    cls = define(kw_only=True)(cls)
    rows = fields(cast("type[AttrsInstance]", cls))
    declared = (Element(attribute=row.name, **row.metadata) for row in rows)
    cls.elements = tuple(sorted(declared, key=lambda element: element.tag))
    cls.conditional = tuple((element, element.condition) for element in cls.elements if element.condition)
    if "command_field" in vars(cls):
        cls.name = "-".join(re.findall("RQ|RSP|[A-Z][a-z]*", cls.__name__)).upper()
        cls.__doc__ = f"{inspect.getdoc(cls)}\n\n{_describe(cls)}"
        REGISTRY[cls.command_field] = cls
    return cls


_SHORT = reprlib.Repr()
_SHORT.maxstring = 80
_SUMMARY = {
    "message_id": "id",
    "message_id_being_responded_to": "to",
    "status": "status",
    "affected_sop_class_uid": "class",
    "requested_sop_class_uid": "class",
    "event_type_id": "event",
    "action_type_id": "action",
    "move_destination": "destination",
}


@dimse_message
class Message:
    """Base of the 23 messages; what it says about a class is the same for all messages of that class."""

    name: ClassVar[str]  # as the standard writes it: C-STORE-RQ
    command_field: ClassVar[int]
    data_set: ClassVar[DataSet] = DataSet.NEVER
    data_set_condition: ClassVar[Condition | None] = None  # of the optional data set of a response
    elements: ClassVar[tuple[Element, ...]]  # its fields in the order of their tags
    conditional: ClassVar[tuple[tuple[Element, Condition], ...]]  # those of them that are

    def check(self, *, has_data_set: bool) -> None:
        """Check the message against the rules that are about more than one value.

        Raises
        ------
        LocalProtocolError
            If a data set follows that must not, or none does that must; or a conditional field breaks its condition.
        """
        if self.data_set is (_NEVER if has_data_set else _ALWAYS):
            raise LocalProtocolError(f"{self.name}: a data set follows {self.data_set.value}")

    def summary(self) -> str:
        """Describe the message in one line for logs: ids, status, SOP class; strings through a short ``repr``."""
        words = [self.name]
        for attribute, label in _SUMMARY.items():
            value = getattr(self, attribute, None)
            if value is not None:
                words.append(f"{label}={_show_status(value) if attribute == 'status' else _SHORT.repr(value)}")
        return " ".join(words)


@dimse_message
class Request(Message):
    """Base of the messages that are answered by a :class:`Response`."""

    response: ClassVar[type["Response"]]

    message_id: int | None = mandatory(0x0110, US, default=None)  # a connection gives it out


@dimse_message
class Response(Message):
    """Base of the messages that answer a :class:`Request`."""

    affected_sop_class_uid: str | None = optional(0x0002, UI)
    message_id_being_responded_to: int = mandatory(0x0120, US)
    status: int = mandatory(0x0900, US)

    def check(self, *, has_data_set: bool) -> None:
        """Check as for every message, and the conditions of the data set and of the conditional fields."""
        super().check(has_data_set=has_data_set)
        condition = self.data_set_condition
        if condition is not None and not condition.allows(has_data_set, status=self.status, has_data_set=has_data_set):
            raise self._breach("a data set", condition)
        for element, condition in self.conditional:
            present = getattr(self, element.attribute) is not None
            if (present or condition.requires) and not condition.allows(
                present, status=self.status, has_data_set=has_data_set
            ):
                raise self._breach(element, condition)

    def _breach(self, what: object, condition: Condition) -> LocalProtocolError:
        return LocalProtocolError(f"{self.name} with status {_show_status(self.status)}: {what} goes {condition}")
