"""What is asked for: ``-k``, files with queries, and the information model of the query."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.exits import CommandError
from dicom_transports.apps.options.contexts import did_you_mean, to_sop_class

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["add_arguments", "add_key", "add_models", "identifiers_of", "model_of", "read_identifier", "set_key"]

_TAG: Final = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")
_PART: Final = re.compile(r"(\(?[0-9A-Fa-f]{4},?[0-9A-Fa-f]{4}\)?|\w+)(?:\[(\d+)\])?")
_INTEGERS: Final = frozenset({"US", "UL", "SS", "SL", "UV", "SV", "AT"})
_REALS: Final = frozenset({"FL", "FD"})
_UTF_8: Final = "ISO_IR 192"
# The information models by the options that both toolkits have for them: the keyword without its end.
_MODELS: Final = {
    "patient": ("-P", "--patient", "PatientRootQueryRetrieveInformationModel", "patient root"),
    "study": ("-S", "--study", "StudyRootQueryRetrieveInformationModel", "study root"),
    "psonly": ("-O", "--psonly", "PatientStudyOnlyQueryRetrieveInformationModel", "patient/study only (retired)"),
}
_FIND_ONLY: Final = {
    "worklist": ("-W", "--worklist", "ModalityWorklistInformationModelFind", "modality worklist"),
    "ups": ("-U", "--ups", "UnifiedProcedureStepPull", "unified procedure steps"),
}

_LEVELS: Final = {"PatientRoot": "PATIENT", "StudyRoot": "STUDY", "PatientStudyOnly": "PATIENT"}  # PS3.4 C.6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is asked for."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="files with queries (DICOM, or DICOM JSON); -k adds to each",
    )
    add_key(parser.add_argument_group("query"))


def add_key(group: Any) -> None:
    """Add the option that sets an element."""
    group.add_argument(
        "-k",
        "--key",
        dest="keys",
        metavar="KEY[=VALUE]",
        action="append",
        help="a key by keyword or tag, and in sequences: PatientName=Doe*, 0010,0020=7,"
        " ScheduledProcedureStepSequence[0].Modality=CT; without a value it is asked for; may be repeated",
    )


def add_models(parser: argparse.ArgumentParser, service: str) -> None:
    """Add the options that choose the information model; ``service`` is ``Find``, ``Get`` or ``Move``."""
    group = parser.add_argument_group("information model").add_mutually_exclusive_group()
    for short, long, keyword, name in (*_MODELS.values(), *(_FIND_ONLY.values() if service == "Find" else ())):
        of_model = keyword if keyword in dict.fromkeys(row[2] for row in _FIND_ONLY.values()) else f"{keyword}{service}"
        is_default = " (the default)" if short == "-S" else ""
        group.add_argument(short, long, dest="model", action="store_const", const=of_model, help=f"{name}{is_default}")
    group.add_argument(
        "--model",
        metavar="NAME",
        help="any other: a UID, or a keyword such as HangingProtocolInformationModelFind",
    )
    parser.set_defaults(model=f"{_MODELS['study'][2]}{service}")


def model_of(arguments: argparse.Namespace) -> str:
    """Return the UID of the information model.

    Raises
    ------
    CommandError
        If there is none of that name.
    """
    return to_sop_class(arguments.model)


def identifiers_of(arguments: argparse.Namespace) -> "list[Dataset]":
    """Return what is asked for: a data set for each file, or one of the keys alone.

    A query of Query/Retrieve that has no level gets the highest of its model.

    Raises
    ------
    CommandError
        If nothing is asked for, a file cannot be read, or a key is none.
    """
    from pydicom.dataset import Dataset  # noqa: PLC0415 - only what is used is loaded

    level = _LEVELS.get(arguments.model.partition("QueryRetrieve")[0])
    identifiers = [read_identifier(Path(name)) for name in arguments.files] or [Dataset()]
    for identifier in identifiers:
        for key in arguments.keys or ():
            set_key(identifier, key)
        if not len(identifier):
            raise CommandError("nothing is asked for: give keys, such as -k PatientID=7, or a file with a query")
        if level and "QueryRetrieveLevel" not in identifier:
            identifier.QueryRetrieveLevel = level
    return identifiers


def read_identifier(path: Path) -> "Dataset":
    """Return the data set of a file: a DICOM file, or one with the DICOM JSON model.

    Raises
    ------
    CommandError
        If it is neither, or cannot be read.
    """
    from pydicom import dcmread  # noqa: PLC0415
    from pydicom.dataset import Dataset  # noqa: PLC0415
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415

    try:
        content = path.read_bytes()
        if content.lstrip().startswith(b"{"):
            return Dataset.from_json(content.decode())
        read = dcmread(path, force=False)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    except (InvalidDicomError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path} holds no query: neither a DICOM file nor the DICOM JSON model") from error
    return Dataset({element.tag: element for element in read})


def set_key(identifier: "Dataset", text: str) -> None:
    """Set an element of a query.

    Parameters
    ----------
    identifier : Dataset
        The query.
    text : str
        The path of the element, and its value behind an equals sign.

    Raises
    ------
    CommandError
        If the path leads nowhere, or the value is none for that element.
    """
    from pydicom.dataset import Dataset  # noqa: PLC0415

    path, _, value = text.partition("=")
    *sequences, last = _parts(path)
    dataset = identifier
    for tag, index in sequences:
        dataset = _item(dataset, tag, index or 0, text)
    tag, index = last
    if index is not None:
        _item(dataset, tag, index, text)
        return
    vr = _vr_of(tag)
    if vr == "SQ":
        if value:
            raise CommandError(f"-k {text}: a sequence has no value: {path}[0].PatientID={value} sets one of an item")
        _put(dataset, tag, vr, [Dataset()] if tag not in dataset else dataset[tag].value)
        return
    _put(dataset, tag, vr, _value(vr, value, text))
    if not value.isascii() and "SpecificCharacterSet" not in identifier:
        identifier.SpecificCharacterSet = _UTF_8


def _parts(path: str) -> list[tuple[int, int | None]]:
    parts = []
    for part in path.strip().split("."):
        found = _PART.fullmatch(part)
        if found is None:
            raise CommandError(f"-k {path}: {part!r} is neither a keyword nor a tag: PatientName and 0010,0010 are")
        parts.append((_tag_of(found[1]), None if found[2] is None else int(found[2])))
    return parts


def _tag_of(name: str) -> int:
    from pydicom.datadict import keyword_dict, tag_for_keyword  # noqa: PLC0415

    tag = tag_for_keyword(name)
    if tag is not None:
        return tag
    if numbers := _TAG.fullmatch(name):
        return int(numbers[1] + numbers[2], 16)
    raise CommandError(f"there is no element {name!r}{did_you_mean(name, keyword_dict)}")


def _vr_of(tag: int) -> str:
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415

    try:
        return dictionary_VR(tag).partition(" or ")[0]
    except KeyError:  # private, or newer than the dictionary
        return "LO"


def _item(dataset: "Dataset", tag: int, index: int, text: str) -> "Dataset":
    """Return an item of a sequence, which is made if it is the next one."""
    from pydicom.dataset import Dataset  # noqa: PLC0415

    if _vr_of(tag) != "SQ":
        raise CommandError(f"-k {text}: ({tag >> 16:04X},{tag & 0xFFFF:04X}) is no sequence, and has no items")
    items = list(dataset[tag].value) if tag in dataset else []
    if index > len(items):
        raise CommandError(f"-k {text}: there is no item {index}: the next one is {len(items)}")
    if index == len(items):
        _put(dataset, tag, "SQ", [*items, Dataset()])
    item: Dataset = dataset[tag].value[index]
    return item


def _value(vr: str, text: str, key: str) -> Any:
    values: Sequence[Any] = text.split("\\")
    try:
        if vr == "AT":
            values = [_tag_of(value) for value in values if value]
        elif vr in _INTEGERS:
            values = [int(value) for value in values if value]
        elif vr in _REALS:
            values = [float(value) for value in values if value]
    except ValueError:
        raise CommandError(f"-k {key}: {text!r} is no number") from None
    return values[0] if len(values) == 1 else list(values)


def _put(dataset: "Dataset", tag: int, vr: str, value: Any) -> None:
    """Set an element as it is: what is asked with may be a range or have wildcards, which no value has."""
    from pydicom.config import IGNORE  # noqa: PLC0415
    from pydicom.dataelem import DataElement  # noqa: PLC0415

    dataset[tag] = DataElement(tag, vr, value, validation_mode=IGNORE)
