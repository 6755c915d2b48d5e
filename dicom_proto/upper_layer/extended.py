"""What SOP class extended and common extended negotiation say, without their bytes (PS3.7 D.3.3.5, D.3.3.6, PS3.4).

Stable.

A requestor offers the ``encode()`` of a record. An acceptor answers with the ``answer()`` of the record that says what
it can do; as a storage SCP with its ``encode()``. What was answered is read with ``decode()``. Bytes that are missing
count as 0, those behind the known ones are ignored.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar, Final, Self

from attrs import asdict, astuple, field, fields, frozen

from dicom_proto.names import check_uid
from dicom_proto.service_class import SERVICE_CLASS_UIDS, ServiceClass
from dicom_proto.upper_layer.items import CommonExtendedNegotiation, as_member, check_integer
from dicom_proto.upper_layer.related_general import RELATED_GENERAL_SOP_CLASSES

__all__ = [
    "CompositeRetrieveOptions",
    "ElementCoercion",
    "QueryOptions",
    "RetrieveOptions",
    "StorageLevel",
    "StorageOptions",
    "WorklistOptions",
    "declare_storage",
]


class StorageLevel(IntEnum):
    """Which attributes of a stored instance an SCP keeps (PS3.4 B.3.1, B.4.1)."""

    LOCAL = 0
    BASE = 1
    FULL = 2
    NOT_APPLICABLE = 3  # the side is an SCU only


class ElementCoercion(IntEnum):
    """Whether an SCP may change attributes of what it stores (PS3.4 B.3.1)."""

    NONE = 0
    POSSIBLE = 1
    NOT_APPLICABLE = 2  # the side is an SCU only


@frozen(kw_only=True)
class StorageOptions:
    """What a side does as a storage SCP (PS3.4 B.3.1); by default it is none.

    An acceptor describes itself whatever was offered. ``digital_signature_level`` is 0 (not specified) to 3.
    """

    level: int = StorageLevel.NOT_APPLICABLE
    digital_signature_level: int = 0
    element_coercion: int = ElementCoercion.NOT_APPLICABLE

    def encode(self) -> bytes:
        """Return the 6 bytes.

        Raises
        ------
        LocalProtocolError
            If a number is out of its range.
        """
        level = check_integer(self.level, "level of storage support", 0, max(StorageLevel))
        signatures = check_integer(self.digital_signature_level, "level of digital signature support", 0, 3)
        coercion = check_integer(self.element_coercion, "element coercion", 0, max(ElementCoercion))
        return bytes((level, 0, signatures, 0, coercion, 0))

    @classmethod
    def decode(cls, information: bytes) -> Self:
        """Read the bytes of a peer; never fails, and keeps numbers that the standard does not list."""
        level, _, signatures, _, coercion, _ = information[:6].ljust(6, b"\0")
        return cls(
            level=as_member(StorageLevel, level),
            digital_signature_level=signatures,
            element_coercion=as_member(ElementCoercion, coercion),
        )


@frozen(kw_only=True)
class _Options:
    """Bytes that are 1 or 0, behind some that are fixed."""

    _FIXED: ClassVar[bytes] = b""
    _SHORTEST: ClassVar[int] = 1

    def encode(self) -> bytes:
        """Return the bytes, as few as say it all."""
        return (self._FIXED + bytes(astuple(self))).rstrip(b"\0").ljust(self._SHORTEST, b"\0")

    @classmethod
    def decode(cls, information: bytes) -> Self:
        """Read the bytes of a peer; never fails."""
        flags = information[len(cls._FIXED) :]
        return cls(**{option.name: flag == 1 for option, flag in zip(fields(cls), flags, strict=False)})

    def answer(self, offered: bytes) -> bytes:
        """Return the bytes with which an acceptor that can do all this accepts what it can of an offer."""
        theirs = asdict(self.decode(offered))
        return type(self)(**{name: theirs[name] and mine for name, mine in asdict(self).items()}).encode()


@frozen(kw_only=True)
class QueryOptions(_Options):
    """C-FIND of the Query/Retrieve service (PS3.4 C.5.1.1), 1 to 7 bytes.

    Parameters
    ----------
    relational : bool
        Relational queries.
    combined_datetime : bool
        A date and its time are matched together.
    fuzzy_names : bool
        Fuzzy semantic matching of person names.
    timezone_adjustment : bool
        Dates and times of queries are adjusted to the time zone.
    view : bool
        Query/Retrieve View: conversion to and from enhanced multi-frame images.
    empty_values, multiple_values : bool
        Empty value matching, multiple value matching.
    """

    relational: bool = field(default=False, converter=bool)
    combined_datetime: bool = field(default=False, converter=bool)
    fuzzy_names: bool = field(default=False, converter=bool)
    timezone_adjustment: bool = field(default=False, converter=bool)
    view: bool = field(default=False, converter=bool)
    empty_values: bool = field(default=False, converter=bool)
    multiple_values: bool = field(default=False, converter=bool)


@frozen(kw_only=True)
class RetrieveOptions(_Options):
    """C-MOVE and C-GET of the Query/Retrieve service (PS3.4 C.5.2.1, C.5.3.1), 1 or 2 bytes.

    ``relational`` is relational retrieval, ``view`` the Query/Retrieve View.
    """

    relational: bool = field(default=False, converter=bool)
    view: bool = field(default=False, converter=bool)


@frozen(kw_only=True)
class CompositeRetrieveOptions(_Options):
    """Composite Instance Root Retrieve, Retrieve Without Bulk Data (PS3.4 Y.5.1.1, Z.5.1), 2 bytes."""

    _FIXED: ClassVar[bytes] = b"\0"
    _SHORTEST: ClassVar[int] = 2

    view: bool = field(default=False, converter=bool)


@frozen(kw_only=True)
class WorklistOptions(_Options):
    """Basic Worklist and the services that refer to it (PS3.4 K.5.1), 3 or 4 bytes.

    These are Unified Procedure Step, Hanging Protocol, Color Palette, Implant Template, Defined Procedure Protocol and
    Protocol Approval. The other fields are as in :class:`QueryOptions`.
    """

    _FIXED: ClassVar[bytes] = b"\1\1"
    _SHORTEST: ClassVar[int] = 3

    fuzzy_names: bool = field(default=False, converter=bool)
    timezone_adjustment: bool = field(default=False, converter=bool)


_STORAGE_SERVICE_CLASS: Final = SERVICE_CLASS_UIDS[ServiceClass.STORAGE]


def declare_storage(sop_class_uid: str, related: Iterable[str] | None = None) -> CommonExtendedNegotiation:
    """Say that a SOP class is a storage SOP class, and which general ones are related to it (PS3.4 B.3.1.3).

    Parameters
    ----------
    sop_class_uid : str
        The SOP class, which may be a private one.
    related : iterable of str, optional
        UIDs of related general SOP classes; those of PS3.4 Table B.3-3 if left out.

    Raises
    ------
    InvalidNameError
        If one of them is not a UID.
    """
    if related is None:
        related = RELATED_GENERAL_SOP_CLASSES.get(sop_class_uid, ())
    return CommonExtendedNegotiation(check_uid(sop_class_uid), _STORAGE_SERVICE_CLASS, tuple(map(check_uid, related)))
