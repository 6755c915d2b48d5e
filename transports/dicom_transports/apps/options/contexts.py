"""SOP classes and transfer syntaxes by name, and the options that say which of them are wanted."""

import argparse
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

from dicom_transports.apps.exits import CommandError

__all__ = [
    "add_proposed",
    "add_sop_classes",
    "add_syntaxes",
    "did_you_mean",
    "sop_classes_of",
    "support_storage",
    "syntaxes_of",
    "to_sop_class",
    "to_syntax",
]

_EXPLICIT, _IMPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
# The options of DCMTK: a letter, the transfer syntax that it stands for, and what that is called there.
_LETTERS: Final = {
    "e": (_EXPLICIT, "explicit VR little endian"),
    "b": (_BIG_ENDIAN, "explicit VR big endian"),
    "i": (_IMPLICIT, "implicit VR little endian"),
    "s": ("1.2.840.10008.1.2.4.70", "JPEG lossless"),
    "y": ("1.2.840.10008.1.2.4.50", "JPEG baseline"),
    "x": ("1.2.840.10008.1.2.4.51", "JPEG extended"),
    "v": ("1.2.840.10008.1.2.4.90", "JPEG 2000 lossless"),
    "w": ("1.2.840.10008.1.2.4.91", "JPEG 2000"),
    "t": ("1.2.840.10008.1.2.4.80", "JPEG-LS lossless"),
    "u": ("1.2.840.10008.1.2.4.81", "JPEG-LS near-lossless"),
    "r": ("1.2.840.10008.1.2.5", "RLE lossless"),
    "d": ("1.2.840.10008.1.2.1.99", "deflated explicit VR little endian"),
}
_ALL: Final = "all"
_UNCOMPRESSED: Final = "ebid"


def add_syntaxes(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the options that choose transfer syntaxes; ``verb`` is what is done with them, for the help."""
    group = parser.add_argument_group(
        "transfer syntaxes", "The first is preferred, and the uncompressed ones are the last."
    )
    group.add_argument(
        "--transfer-syntax",
        dest="syntaxes",
        action="append",
        metavar="NAME",
        help=f"{verb} this one (a UID, or a keyword of PS3.6 such as JPEGBaseline8Bit), may be repeated",
    )
    for letter, (uid, name) in _LETTERS.items():
        group.add_argument(f"+x{letter}", dest="syntaxes", action="append_const", const=uid, help=f"{verb} {name}")
    group.add_argument("+xa", dest="syntaxes", action="append_const", const=_ALL, help=f"{verb} all there are")


def add_proposed(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the transfer syntaxes in which uncompressed objects are proposed."""
    group = parser.add_argument_group(
        "transfer syntaxes", "Uncompressed objects are sent in one of these alone; the first is preferred."
    )
    for letter in _UNCOMPRESSED:
        uid, name = _LETTERS[letter]
        group.add_argument(
            f"-x{letter}", dest="proposed", action="append_const", const=uid, default=[], help=f"propose {name}"
        )


def syntaxes_of(arguments: argparse.Namespace) -> list[str]:
    """Return the transfer syntaxes that were chosen, the preferred first, and then the uncompressed ones.

    Raises
    ------
    CommandError
        If a name is unknown.
    """
    from dicom_proto.sop_class import ALL_TRANSFER_SYNTAXES, DEFAULT_TRANSFER_SYNTAXES  # noqa: PLC0415 - loaded when used

    chosen: list[str] = []
    for name in arguments.syntaxes or ():
        chosen += ALL_TRANSFER_SYNTAXES if name == _ALL else [to_syntax(name)]
    return list(dict.fromkeys([*map(str, chosen), *map(str, DEFAULT_TRANSFER_SYNTAXES)]))


def to_syntax(name: str) -> str:
    """Return the UID of a transfer syntax.

    Raises
    ------
    CommandError
        If there is none of that name.
    """
    from dicom_proto.names import is_valid_uid  # noqa: PLC0415
    from dicom_proto.sop_class import ALL_TRANSFER_SYNTAXES  # noqa: PLC0415

    if is_valid_uid(name):
        return name
    by_keyword = {uid.keyword: str(uid) for uid in ALL_TRANSFER_SYNTAXES if uid.keyword}
    return _look_up(name, by_keyword, "transfer syntax")


def add_sop_classes(group: argparse._ActionsContainer, verb: str) -> None:
    """Add the option that chooses storage SOP classes."""
    group.add_argument(
        "--sop-class",
        dest="sop_classes",
        action="append",
        metavar="NAME",
        help=f"{verb} this storage SOP class only (a UID, or a keyword such as CTImageStorage), may be repeated",
    )


def sop_classes_of(arguments: argparse.Namespace) -> list[str]:
    """Return the SOP classes that were chosen; none if all are wanted.

    Raises
    ------
    CommandError
        If a name is unknown.
    """
    return [to_sop_class(name) for name in arguments.sop_classes or ()]


def to_sop_class(name: str) -> str:
    """Return the UID of a SOP class.

    Raises
    ------
    CommandError
        If there is none of that name.
    """
    from dicom_proto.names import is_valid_uid  # noqa: PLC0415
    from dicom_proto.service_class import ServiceClass  # noqa: PLC0415
    from dicom_proto.sop_class import sop_classes  # noqa: PLC0415

    if is_valid_uid(name):
        return name
    by_keyword = {uid.keyword: str(uid) for service in ServiceClass for uid in sop_classes(service, retired=True)}
    return _look_up(name, by_keyword, "SOP class")


def _look_up(name: str, known: dict[str, str], what: str) -> str:
    if name in known:
        return known[name]
    raise CommandError(f"there is no {what} {name!r}{did_you_mean(name, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that names what is most like a name that is unknown; nothing if nothing is."""
    near = get_close_matches(name, list(known), 1)
    return f": do you mean {near[0]}?" if near else ""


def support_storage(ae: Any, arguments: argparse.Namespace) -> None:
    """Let an AE accept the storage SOP classes that were chosen, in the transfer syntaxes that were; or all in all.

    Raises
    ------
    CommandError
        If a name is unknown.
    """
    from dicom_proto.offers.contexts import AllStoragePresentationContexts  # noqa: PLC0415

    chosen = sop_classes_of(arguments)
    ae.unrestricted_storage = not chosen and not arguments.syntaxes
    if ae.unrestricted_storage:
        return
    syntaxes = syntaxes_of(arguments)
    for uid in chosen or [context.abstract_syntax for context in AllStoragePresentationContexts]:
        ae.add_supported_context(uid, syntaxes)
