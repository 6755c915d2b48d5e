"""Reads identifiers of C-FIND, C-GET and C-MOVE (PS3.4 C.4.1.1.3, C.4.2.1.4): what is asked for, and whether it may be.

Internal.
"""

from typing import Final

from attrs import frozen
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_proto.names import is_valid_uid
from dicom_proto.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    PatientStudyOnlyQueryRetrieveInformationModelFind,
    PatientStudyOnlyQueryRetrieveInformationModelGet,
    PatientStudyOnlyQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
from dicom_transports._archive.index.describing import texts_of
from dicom_transports._archive.keys import KEYS, UNIQUE, Key, Level

__all__ = ["MODELS", "IdentifierError", "Query", "Wanted", "read_query", "read_retrieval"]

_ROOTS: Final = {
    "Patient Root": (Level.PATIENT, Level.IMAGE),
    "Study Root": (Level.STUDY, Level.IMAGE),
    "Patient/Study Only": (Level.PATIENT, Level.STUDY),
}
_OF: Final = {
    "Patient Root": (
        PatientRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelGet,
        PatientRootQueryRetrieveInformationModelMove,
    ),
    "Study Root": (
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
    ),
    "Patient/Study Only": (
        PatientStudyOnlyQueryRetrieveInformationModelFind,
        PatientStudyOnlyQueryRetrieveInformationModelGet,
        PatientStudyOnlyQueryRetrieveInformationModelMove,
    ),
}
MODELS: Final = {str(uid): name for name, uids in _OF.items() for uid in uids}
"""The information models that are served (PS3.4 C.6), by the UID of each SOP class."""

_NO_KEYS: Final = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC"})
_WITHOUT_MEANING: Final = frozenset(
    {"RetrieveAETitle", "InstanceAvailability", "QueryRetrieveView", "StorageMediaFileSetID", "StorageMediaFileSetUID"}
)
_WILDCARDS: Final = frozenset("*?")
_MOST_KEYS: Final = 512  # elements of an identifier
_MOST_UIDS: Final = 10_000
_LONGEST: Final = 16_384  # characters of a key that is no UID: what is longer is not in the index either
_LONGEST_NAME: Final = 1024  # each of its parts is looked for


class IdentifierError(Exception):
    """An identifier that cannot be answered; the text names elements and never their values.

    Attributes
    ----------
    status : int
        What to answer: A900H, Identifier does not match SOP Class (PS3.4 Tables C.4-1, C.4-2, C.4-3).
    """

    status: Final = 0xA900


@frozen
class Wanted:
    """A key of an identifier.

    Parameters
    ----------
    key : Key
        Which.
    values : tuple of str
        What its value has to be, any of them; none if it matches everything.
    items : pydicom.dataset.Dataset or None
        The item of a sequence with keys of its own.
    """

    key: Key
    values: tuple[str, ...] = ()
    item: Dataset | None = None

    @property
    def is_universal(self) -> bool:
        """Whether every entity matches (PS3.4 C.2.2.2.3)."""
        return not self.values and self.item is None


@frozen
class Query:
    """What an identifier asks for.

    Parameters
    ----------
    level : Level
        Of the entities that are looked for.
    wanted : tuple of Wanted
        The keys, in the order of their tags.
    has_unknown : bool
        Whether there are keys besides that are not supported: the matches are then FF01H (PS3.4 C.4.1.1.4).
    top : Level
        The highest level of the model.
    """

    level: Level
    wanted: tuple[Wanted, ...]
    has_unknown: bool = False
    top: Level = Level.PATIENT

    def value(self, keyword: str) -> tuple[str, ...]:
        """Return the values of a key; none if it is not there, or matches everything."""
        return next((one.values for one in self.wanted if one.key.keyword == keyword), ())


def read_query(identifier: Dataset, model: str, *, is_relational: bool = False) -> Query:
    """Read the identifier of a C-FIND.

    More is taken than the standard lets a requestor send: a unique key of a level above that is there and empty matches
    everything, keys of levels above are keys, and the unique key of its own level may be missing.

    Parameters
    ----------
    identifier : pydicom.dataset.Dataset
        The identifier.
    model : str
        The UID of the SOP class.
    is_relational : bool
        Whether relational queries have been negotiated (PS3.4 C.5.1.1.1): then no key has to be there.

    Raises
    ------
    IdentifierError
        If there is no level, or none of the model, or a unique key above it is missing, or is no list of UIDs.
    """
    query = _read(identifier, model)
    if not is_relational:
        stated = {one.key.keyword for one in query.wanted}
        for above in range(query.top, query.level):
            if UNIQUE[above] not in stated:
                raise IdentifierError(f"{UNIQUE[above]} is missing, the unique key of the level {Level(above).name}")
            if len(query.value(UNIQUE[above])) > 1:
                raise IdentifierError(f"{UNIQUE[above]} has several values above the level of the query")
    return query


def read_retrieval(identifier: Dataset, model: str) -> Query:
    """Read the identifier of a C-GET or C-MOVE: the unique key of its level, and those above if they are there.

    Raises
    ------
    IdentifierError
        If there is no level, or none of the model, or the unique key of the level is missing, empty or has wild cards.
    """
    query = _read(identifier, model)
    own = UNIQUE[query.level]
    values = query.value(own)
    if not values:
        raise IdentifierError(f"{own} has no value, the unique key of the level {query.level.name}")
    if query.level is Level.PATIENT and len(values) > 1:
        raise IdentifierError("PatientID has several values")
    for one in query.wanted:
        if one.key.keyword in UNIQUE and any(_WILDCARDS.intersection(value) for value in one.values):
            raise IdentifierError(f"{one.key.keyword} has wild cards")
    unique = tuple(one for one in query.wanted if one.key.keyword in UNIQUE and one.key.level <= query.level)
    return Query(query.level, unique, top=query.top)


def _read(identifier: Dataset, model: str) -> Query:
    top, bottom = _ROOTS[MODELS[model]]
    level = _level(identifier)
    if not top <= level <= bottom:
        raise IdentifierError(f"the {MODELS[model]} model has no level {level.name}")
    if len(identifier) > _MOST_KEYS:
        raise IdentifierError(f"it has more than {_MOST_KEYS} elements")
    wanted, has_unknown = [], False
    for element in identifier:
        if element.keyword in _NO_KEYS or element.keyword in _WITHOUT_MEANING:
            continue
        key = KEYS.get(element.tag)
        if key is None or key.level > level:
            has_unknown = has_unknown or not element.is_private
            continue
        wanted.append(_wanted(key, element))
    return Query(level, tuple(wanted), has_unknown, top)


def _level(identifier: Dataset) -> Level:
    stated = identifier.get("QueryRetrieveLevel")
    if not stated:
        raise IdentifierError("QueryRetrieveLevel is missing")
    try:
        return Level[str(stated).strip()]
    except KeyError:
        raise IdentifierError("QueryRetrieveLevel is none of PATIENT, STUDY, SERIES, IMAGE") from None


def _wanted(key: Key, element: DataElement) -> Wanted:
    if (element.VR == "SQ") != (key.vr == "SQ"):
        raise IdentifierError(f"{key.keyword} is not encoded with its VR")
    if key.vr == "SQ":
        if len(element.value) > 1:
            raise IdentifierError(f"{key.keyword} has more than one item")
        has_keys = bool(element.value) and len(element.value[0]) > 0
        return Wanted(key, item=element.value[0] if has_keys else None)
    values = tuple(value for value in texts_of(element.value) if value)
    if any(set(value) == {"*"} for value in values):
        values = ()
    if key.vr == "UI":
        _check_uids(key, values)
    elif sum(map(len, values)) > (longest := _LONGEST_NAME if key.vr == "PN" else _LONGEST):
        raise IdentifierError(f"{key.keyword} has more than {longest} characters")
    return Wanted(key, values)


def _check_uids(key: Key, values: tuple[str, ...]) -> None:
    if len(values) > _MOST_UIDS:
        raise IdentifierError(f"{key.keyword} has more than {_MOST_UIDS} values")
    if any(not is_valid_uid(value) and not _is_kept(value) for value in values):
        raise IdentifierError(f"{key.keyword} is no list of UIDs")


def _is_kept(value: str) -> bool:
    """Tell whether a value may be the UID of an object that exists: those are kept as they are, irregular or not."""
    return value.isascii() and value.isprintable() and len(value) <= 64 and not _WILDCARDS.intersection(value)
