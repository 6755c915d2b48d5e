"""What a peer answers, for people and for programs: matches, counters and statuses."""

import argparse
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.exits import Exit, rate
from dicom_transports.apps.options import saying

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dicom_proto.service_class import ServiceClass

__all__ = ["Retrieval", "describe_status", "is_pending", "is_performed", "lines_of", "tell_match"]

_LONGEST: Final = 64
_COUNTERS: Final = {
    "completed": "NumberOfCompletedSuboperations",
    "failed": "NumberOfFailedSuboperations",
    "warning": "NumberOfWarningSuboperations",
    "remaining": "NumberOfRemainingSuboperations",
}


def is_pending(status: Any) -> bool:
    """Tell whether more responses follow."""
    from dicom_proto.status import Category, code_to_category  # noqa: PLC0415 - only what is used is loaded

    return "Status" in status and code_to_category(int(status.Status)) is Category.PENDING


def is_performed(status: Any) -> bool:
    """Tell whether the peer has done what it was asked, with a warning or without."""
    from dicom_proto.status import Category, code_to_category  # noqa: PLC0415

    return code_to_category(int(status.Status)) in {Category.SUCCESS, Category.WARNING}


def describe_status(status: Any, service_class: "ServiceClass", message: str) -> str:
    """Return the status of a response in words, with the comment of the peer."""
    from dicom_proto.status import describe  # noqa: PLC0415

    words = describe(int(status.Status), service_class, message)
    comment = str(status.get("ErrorComment") or "")
    return f"{words} ({comment})" if comment else words


def lines_of(dataset: "Dataset", indent: str = "") -> list[str]:
    """Return a data set for people: a line for each element, with its tag, keyword and value."""
    lines = []
    for element in dataset:
        name = element.keyword or element.name
        head = f"{indent}({element.tag.group:04X},{element.tag.element:04X}) {name}"
        if element.VR == "SQ":
            lines.append(head)
            for number, item in enumerate(element.value):
                lines += [f"{indent}  [{number}]", *lines_of(item, f"{indent}    ")]
            continue
        shown = str(element.value) if element.VM < 2 else "\\".join(map(str, element.value))
        text = saying.printable(shown)
        lines.append(f"{head}: {text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}")
    return lines


def tell_match(arguments: argparse.Namespace, number: int, match: "Dataset") -> None:
    """Print a match: results are printed even for those who want quiet."""
    if arguments.json:
        saying.say_json(arguments, {"match": match.to_json_dict(suppress_invalid_tags=True)})
    else:
        print("\n".join([f"# {number}", *lines_of(match)]), flush=True)


class Retrieval:
    """How far a C-GET or C-MOVE has come, as the peer counts it."""

    def __init__(self, arguments: argparse.Namespace, message: str) -> None:
        self._arguments = arguments
        self._message = message
        self._counts = dict.fromkeys(_COUNTERS, 0)
        self._has_counted = False
        self._code = 0

    def take(self, status: Any) -> None:
        """Take note of a response, and tell of the last one."""
        for name, keyword in _COUNTERS.items():
            if keyword in status:
                self._counts[name] = int(status[keyword].value)
                self._has_counted = True
        self._code = int(status.Status)
        if is_pending(status):
            if self._arguments.verbose:
                saying.say(self._arguments, self._words())
            return
        from dicom_proto.service_class import ServiceClass  # noqa: PLC0415

        words = describe_status(status, ServiceClass.QUERY_RETRIEVE, self._message)
        saying.say(self._arguments, f"{self._message}: {words}{'; ' + self._words() if self._has_counted else ''}")
        saying.say_json(self._arguments, {"status": self._code, "words": words, **self._counts})

    def _words(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self._counts.items() if count or name == "completed")

    def exit(self) -> Exit:
        """Return the exit status: by the counters, and by the status where there are none."""
        from dicom_proto.status import Category, code_to_category  # noqa: PLC0415

        done = self._counts["completed"] + self._counts["warning"]
        missing = self._counts["failed"] + self._counts["remaining"]
        if code_to_category(self._code) is Category.SUCCESS:
            return rate(1, missing)
        return rate(done, missing or 1)
