"""Finds patients, studies, series and instances (PS3.4 C.4.1.3).

Internal. Matches come in pages, each with a short transaction of its own: any number of them costs the memory of one
page, no store waits for a query, and whoever asks may take as long as they like.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final

from attrs import frozen
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, exists, func, or_, select
from sqlalchemy.sql import FromClause

from dicom_proto.encoding.datasets import decode
from dicom_proto.services import matching
from dicom_transports._archive.index.conditions import Comparison, comparison_of, name_narrowing, narrowing
from dicom_transports._archive.index.identifiers import Query, Wanted
from dicom_transports._archive.index.schema import PARENTS, TABLES
from dicom_transports._archive.keys import COMPUTED, SEQUENCES, UNIQUE, Key, Level

__all__ = ["Found", "Instance", "find", "instances"]

_PAGE: Final = 500  # rows
_SEQUENCES: Final = frozenset(key.tag for level in Level for key in SEQUENCES[level])
_COMPUTED: Final = frozenset(key.keyword for level in Level for key in COMPUTED[level])
_AGGREGATED: Final = {
    "ModalitiesInStudy": (Level.STUDY, Level.SERIES, "Modality"),
    "SOPClassesInStudy": (Level.STUDY, Level.IMAGE, "SOPClassUID"),
}
_COUNTED: Final = {
    "NumberOfPatientRelatedStudies": (Level.PATIENT, Level.STUDY),
    "NumberOfPatientRelatedSeries": (Level.PATIENT, Level.SERIES),
    "NumberOfPatientRelatedInstances": (Level.PATIENT, Level.IMAGE),
    "NumberOfStudyRelatedSeries": (Level.STUDY, Level.SERIES),
    "NumberOfStudyRelatedInstances": (Level.STUDY, Level.IMAGE),
    "NumberOfSeriesRelatedInstances": (Level.SERIES, Level.IMAGE),
}


@frozen
class Found:
    """A match.

    Parameters
    ----------
    values : list of (str or None)
        The values of the keys that are no sequences, in the order of the query; ``None`` for one that is unknown.
    sequences : dict
        Of the keys that are sequences, by tag, the items that match.
    """

    values: list[str | None]
    sequences: dict[int, list[Dataset]]


@frozen
class Instance:
    """An object that is to be sent.

    Parameters
    ----------
    path : str
        Its file, below the directory of the archive.
    sop_class_uid, sop_instance_uid, transfer_syntax : str
        What it is, and how it is encoded.
    study_instance_uid : str
        Of which study.
    """

    path: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    study_instance_uid: str


def find(engine: Engine, query: Query, *, fuzzy: bool = False, unknown_matches: bool = False) -> Iterator[Found]:
    """Return the matches of a query, in the order in which they came into the index.

    Parameters
    ----------
    engine : Engine
        The database.
    query : Query
        What is looked for.
    fuzzy : bool
        Whether names match by the beginnings of their parts, whatever their accents are.
    unknown_matches : bool
        Whether an entity whose value is unknown matches whatever it has to be (PS3.4 C.2.2.1.2).
    """
    plan = _Plan.of(query, fuzzy=fuzzy, unknown_matches=unknown_matches)
    last = 0
    while True:
        with engine.connect() as connection, connection.begin():
            rows = plan.page(connection, last)
            found = list(plan.matches(connection, rows))
        yield from found
        if len(rows) < _PAGE:
            return
        last = rows[-1]["id"]


def instances(engine: Engine, query: Query) -> list[Instance]:
    """Return the objects of the entities that a retrieval names, series by series."""
    conditions = [TABLES[one.key.level].c[one.key.keyword].in_(one.values) for one in query.wanted if one.values]
    image, study = TABLES[Level.IMAGE], TABLES[Level.STUDY]
    asked = (
        select(
            image.c.path, image.c.SOPClassUID, image.c.SOPInstanceUID, image.c.transfer_syntax,
            study.c.StudyInstanceUID,
        )
        .select_from(_joined(Level.PATIENT, Level.IMAGE))
        .where(and_(*conditions), image.c.is_leaving == 0)
        .order_by(image.c.series, image.c.id)
    )  # fmt: skip
    with engine.connect() as connection, connection.begin():
        return [Instance(*row) for row in connection.execute(asked)]


@cache
def _joined(top: Level, bottom: Level) -> FromClause:
    """Return the tables of some levels, joined."""
    joined: FromClause = TABLES[bottom]
    for number in range(bottom, top, -1):
        level = Level(number)
        above = TABLES[Level(number - 1)]
        joined = joined.join(above, TABLES[level].c[PARENTS[level]] == above.c.id)
    return joined


@frozen
class _Plan:
    """What to ask the database for, and what to do with what it finds."""

    query: Query
    columns: tuple[ColumnElement[Any], ...]
    conditions: tuple[ColumnElement[bool], ...]
    tests: tuple[tuple[str, Comparison], ...]
    sequences: tuple[Wanted, ...]
    fields: tuple[Key, ...]
    top: Level
    unknown_matches: bool

    @classmethod
    def of(cls, query: Query, *, fuzzy: bool, unknown_matches: bool) -> "_Plan":
        columns: list[ColumnElement[Any]] = [TABLES[query.level].c.id]
        conditions: list[ColumnElement[bool]] = []
        tests, sequences, fields = [], [], []
        top = query.level
        for one in query.wanted:
            key = one.key
            top = min(top, key.level)
            if key.tag in _SEQUENCES:
                sequences.append(one)
                continue
            fields.append(key)
            if key.keyword in _COMPUTED:
                conditions += _computed_condition(one)
                if key.keyword == "AvailableTransferSyntaxUID":
                    columns.append(TABLES[Level.IMAGE].c.transfer_syntax.label(key.keyword))
                continue
            columns.append(TABLES[key.level].c[key.keyword])
            if one.values:
                tests.append((key.keyword, comparison_of(one, fuzzy=fuzzy)))
                narrow = _narrow(one)
                if narrow is not None:
                    conditions.append(_or_unknown(one, narrow) if unknown_matches else narrow)
        levels = {one.key.level for one in sequences}
        columns += [TABLES[level].c.sequences.label(_packed(level)) for level in levels]
        counted = {key.level for key in fields if key.keyword in _COMPUTED}
        columns += [TABLES[level].c.id.label(_number(level)) for level in counted]
        if query.level is Level.IMAGE:
            conditions.append(TABLES[Level.IMAGE].c.is_leaving == 0)
        return cls(
            query, tuple(columns), tuple(conditions), tuple(tests), tuple(sequences), tuple(fields), top,
            unknown_matches,
        )  # fmt: skip

    def page(self, connection: Connection, last: int) -> Sequence[RowMapping]:
        """Return the next rows behind one."""
        own = TABLES[self.query.level]
        asked = (
            select(*self.columns)
            .select_from(_joined(self.top, self.query.level))
            .where(own.c.id > last, *self.conditions)
            .order_by(own.c.id)
            .limit(_PAGE)
        )
        return connection.execute(asked).mappings().all()

    def matches(self, connection: Connection, rows: Sequence[RowMapping]) -> Iterator[Found]:
        """Return those rows that match, with what is computed for them."""
        rows = [row for row in rows if self._is_match(row)]
        computed = {
            key.keyword: _compute(connection, key.keyword, {row[_number(key.level)] for row in rows})
            for key in self.fields
            if key.keyword in _AGGREGATED or key.keyword in _COUNTED
        }
        for row in rows:
            sequences = self._items(row)
            if sequences is None:
                continue
            values = [
                computed[key.keyword](row[_number(key.level)]) if key.keyword in computed else row[key.keyword]
                for key in self.fields
            ]
            yield Found(values, sequences)

    def _is_match(self, row: RowMapping) -> bool:
        for keyword, test in self.tests:
            value = row[keyword]
            if not value:
                if not self.unknown_matches:
                    return False
            elif not test(value):
                return False
        return True

    def _items(self, row: RowMapping) -> dict[int, list[Dataset]] | None:
        """Return the items of the sequences that are asked for, ``None`` if one has none that matches."""
        found: dict[int, list[Dataset]] = {}
        for one in self.sequences:
            packed = row[_packed(one.key.level)]
            items = list(decode(packed, ExplicitVRLittleEndian).get(one.key.keyword, [])) if packed else []
            if one.item is not None:
                wanted = one.item
                items = [matching.answer(wanted, item) for item in items if matching.matches(wanted, item)]
                if not items and not _asks_only(wanted):
                    return None
            found[one.key.tag] = items
        return found


def _asks_only(item: Dataset) -> bool:
    """Tell whether an item has no key but such that match everything."""
    return matching.matches(item, Dataset())


def _number(level: Level) -> str:
    return f"number of {level.name}"


def _packed(level: Level) -> str:
    return f"sequences of {level.name}"


def _narrow(wanted: Wanted) -> ColumnElement[bool] | None:
    key = wanted.key
    if key.keyword == "PatientName":
        return name_narrowing(wanted, TABLES[Level.PATIENT].c.folded_name)
    return None if key.vr == "PN" else narrowing(wanted, TABLES[key.level].c[key.keyword])


def _or_unknown(wanted: Wanted, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    if wanted.key.keyword in UNIQUE[1:]:
        return condition
    column = TABLES[wanted.key.level].c[wanted.key.keyword]
    return or_(condition, column.is_(None), column == "")


# --- what follows from other entities (PS3.4 C.3.4) -------------------------------------------------------------------


def _computed_condition(wanted: Wanted) -> list[ColumnElement[bool]]:
    """Return what a key that is computed leaves out; counters match everything, which they may."""
    if not wanted.values:
        return []
    image = TABLES[Level.IMAGE]
    if wanted.key.keyword == "AvailableTransferSyntaxUID":
        return [image.c.transfer_syntax.in_(wanted.values)]
    if wanted.key.keyword not in _AGGREGATED:
        return []
    above, below, keyword = _AGGREGATED[wanted.key.keyword]
    column = TABLES[below].c[keyword]
    narrow = narrowing(Wanted(Key.of(keyword, below), wanted.values), column)
    if narrow is None:
        return []
    own = TABLES[above]
    inner = TABLES[Level.SERIES].join(image) if below is Level.IMAGE else TABLES[Level.SERIES]
    return [exists().select_from(inner).where(TABLES[Level.SERIES].c.study == own.c.id, narrow)]


def _compute(connection: Connection, keyword: str, numbers: Collection[int]) -> Callable[[int], str | None]:
    """Return what gives the value of a computed attribute for each of some rows."""
    above, below = _COUNTED.get(keyword) or _AGGREGATED[keyword][:2]
    inner = _joined(Level(above + 1), below)
    parent = TABLES[Level(above + 1)].c[PARENTS[Level(above + 1)]]
    if keyword in _COUNTED:
        asked = select(parent, func.count()).select_from(inner).where(parent.in_(numbers)).group_by(parent)
        counts = {number: str(count) for number, count in connection.execute(asked)}
        return lambda number: counts.get(number, "0")
    column = TABLES[below].c[_AGGREGATED[keyword][2]]
    distinct = select(parent, column).select_from(inner).where(parent.in_(numbers)).distinct()
    several: dict[int, list[str]] = defaultdict(list)
    for number, value in connection.execute(distinct):
        if value:
            several[number].append(value)
    return lambda number: _listed(several.get(number, ()))


def _listed(values: Iterable[str]) -> str:
    return "\\".join(sorted(values))
