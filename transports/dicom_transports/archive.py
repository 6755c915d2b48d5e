"""The archive: what its handlers do, for any of the adapters.

Stable.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from sqlalchemy.exc import SQLAlchemyError

from dicom_proto.encoding.character_sets import CharacterSets
from dicom_proto.encoding.datasets import decode
from dicom_proto.errors import DicomProtoError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import (
    EVT_C_FIND,
    EVT_C_GET,
    EVT_C_MOVE,
    EVT_C_STORE,
    EVT_SOP_EXTENDED,
    EventKind,
)
from dicom_proto.offers.contexts import (
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    PresentationContext,
    build_context,
)
from dicom_proto.offers.lists import contexts_of
from dicom_proto.sop_class import Verification
from dicom_proto.status import Status
from dicom_transports._archive.index.checking import Checker, Difference
from dicom_transports._archive.index.describing import NotIndexableError, describe
from dicom_transports._archive.index.identifiers import MODELS, IdentifierError, Query, read_query, read_retrieval
from dicom_transports._archive.index.opening import open_database
from dicom_transports._archive.index.querying import Found, Instance, find, instances
from dicom_transports._archive.index.rows import Encoder, field_of
from dicom_transports._archive.index.storing import Arrival, Writer
from dicom_transports._archive.keys import Level
from dicom_transports.storage import GroupCommit, store_to

__all__ = ["Archive", "Destination", "Watch"]

_log = logging.getLogger("dicom_transports.archive")

Duplicates = Literal["replace", "ignore"]

Destination = tuple[str, int] | tuple[str, int, Mapping[str, Any]]
"""Where a move destination listens: host, port, and what ``AE.associate`` takes besides."""

_FILES: Final = "objects"
_DATABASE: Final = "index.sqlite"
_TEMPLATE: Final = "{StudyInstanceUID}/{SeriesInstanceUID}/{SOPInstanceUID}.dcm"
_RELATIONAL: Final = b"\x01"
_PENDING: Final = 0xFF00
_SOME_NOT_SUPPORTED: Final = 0xFF01
_UNABLE: Final = 0xC000  # to process; to understand, of a C-STORE
_OUT_OF_RESOURCES: Final = 0xA700
_LONGEST_COMMENT: Final = 64  # characters (PS3.7 E.1)
_QUICK: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)


class Watch(Protocol):
    """Who is told what an archive does; what it raises fails the request."""

    def stored(self, event: RequestEvent, rows: Mapping[Level, Mapping[str, Any]], status: int) -> object:
        """Take note of an object that has come, with the rows of its patient, study, series and itself."""

    def asked(self, event: RequestEvent, found: Sequence[Instance]) -> object:
        """Take note of objects that are about to be sent for a C-GET or C-MOVE request."""


class Archive:
    """Keeps objects in files, finds them with an index in a database, and gives them out.

    Its handlers bind to servers of any adapter, plain ones which the adapters for asyncio and trio call in threads::

        with Archive("archive") as archive:
            ae = AE("ARCHIVE")
            ae.supported_contexts = archive.supported_contexts
            ae.start_server(("", 11112), evt_handlers=archive.handlers)

    Parameters
    ----------
    directory : path
        Where the objects are, and unless there is a URL the index. It is made if it is not there. Several processes
        and machines may have the same one.
    database : str, optional
        The URL of the index's database, as SQLAlchemy has it; by default SQLite in the directory.
    durability : {"group", "each", "none"}
        Whether an object and its row are on disk before they are answered with Success: together with others that
        arrive at the same time, each by itself, or when the system likes.
    duplicates : {"replace", "ignore"}
        What becomes of an object that is there already: it takes the place of the other one, or is dropped.
    destinations : mapping of str to Destination
        Where C-MOVE may send objects, by AE title. It may be changed while the archive is used.
    fuzzy : bool
        Whether names match by the beginnings of their parts, whatever their accents are.
    unknown_matches : bool
        Whether who has no value for a key matches whatever it has to be, as PS3.4 C.2.2.1.2 has it. Most archives,
        and this one unless told so, do not answer a query for one patient with all that have no Patient ID.

    Attributes
    ----------
    handlers : list
        To be given to ``start_server``, or bound one by one.
    engine : sqlalchemy.Engine
        The database of the index.
    watch : Watch or None
        Who is told of what is stored and fetched.
    supported_contexts : list of PresentationContext
        Verification, query and retrieval, and storage of all classes in all transfer syntaxes.

    Raises
    ------
    InvalidSettingError
        If a parameter has a value that it cannot have.
    OSError
        If the directory cannot be made.
    sqlalchemy.exc.SQLAlchemyError
        If the database cannot be opened.
    """

    def __init__(
        self,
        directory: str | Path,
        database: str | None = None,
        *,
        durability: Literal["group", "each", "none"] = "group",
        duplicates: Duplicates = "replace",
        destinations: Mapping[str, Destination] | None = None,
        fuzzy: bool = False,
        unknown_matches: bool = False,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.files = self.directory / _FILES
        self.destinations: Mapping[str, Destination] = {} if destinations is None else destinations
        self.watch: Watch | None = None
        self.fuzzy, self.unknown_matches = fuzzy, unknown_matches
        self._replaces = duplicates == "replace"
        committed: Any = GroupCommit() if durability == "group" else durability
        self._sink = store_to(
            self.files,
            _TEMPLATE,
            durability=committed,
            duplicates=duplicates,
            on_stored=self._stored,
        )
        url = database or f"sqlite:///{self.directory / _DATABASE}"
        self.engine = open_database(url, durable=durability != "none")
        self._writer = Writer(self.engine)
        self._checker = Checker(self.engine, self._writer, self.files)
        self._checker.recover()

    @property
    def handlers(self) -> list[tuple[EventKind, Any]]:
        """What to bind."""
        return [
            (EVT_C_STORE, self._sink),
            (EVT_C_FIND, self._find),
            (EVT_C_GET, self._get),
            (EVT_C_MOVE, self._move),
            (EVT_SOP_EXTENDED, self._extended),
        ]

    @property
    def supported_contexts(self) -> list[PresentationContext]:
        """What to support: roles included that a C-GET needs."""
        storage = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
        stored = contexts_of(storage, [ExplicitVRLittleEndian, *ALL_TRANSFER_SYNTAXES])  # the first is preferred
        for context in stored:
            context.scu_role = context.scp_role = True
        queries = contexts_of(list(MODELS), [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        return [build_context(Verification), *queries, *stored]

    def close(self) -> None:
        """Commit what is waiting, and close the database."""
        self._writer.close()
        self._checker.finish()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def verify(self, on_progress: Callable[[int, int], Any] | None = None) -> list[Difference]:
        """Compare index and files: each row has its file, each file its row, and the bytes are those that were stored.

        Parameters
        ----------
        on_progress : callable, optional
            Called with how many objects have been looked at, and how many there are.
        """
        return self._checker.verify(on_progress)

    def reindex(self, on_progress: Callable[[int, int], Any] | None = None) -> int:
        """Bring every file into the index anew, and take out what has no file; return how many there are."""
        return self._checker.reindex(on_progress)

    def delete(self, numbers: Sequence[int]) -> int:
        """Delete objects by the numbers of their rows; return how many files were removed.

        From the first moment on nobody finds them. What is not finished is when an archive is opened next.
        """
        self._checker.mark_leaving(list(numbers))
        return self._checker.remove_leaving()

    def paths(self) -> Iterator[Path]:
        """Return the files of all objects, whether the index has them or not."""
        return self._checker.paths()

    def bring_into_step(self) -> int:
        """Index what has come into the directory in another way, or was replaced there, and take out what is gone.

        Files that are as they were indexed are not read. Returns how many objects the index has then.
        """
        self._checker.bring_into_step()
        return self._checker.drop_without_file()

    # --- C-STORE ------------------------------------------------------------------------------------------------------

    def _stored(self, path: Path, event: RequestEvent) -> int:
        """Bring what is in a file now into the index (PS3.4 Annex B); Success only when that is durable."""
        rows = None
        try:
            description = describe(path)
            rows = description.rows
            name = path.relative_to(self.files).as_posix()
            arrival = Arrival(description, path, name, event.source_ae_title, replaces=self._replaces)
            left = self._writer.add(arrival)
        except NotIndexableError as error:
            _log.warning("an object is refused: %s", error)
            path.unlink(missing_ok=True)
            return _UNABLE
        except (SQLAlchemyError, OSError) as error:
            _log.error("the index cannot be written: %s", type(error).__name__)
            self._checker.note_gap()
            return self._tell(event, rows, _OUT_OF_RESOURCES)
        if left is not None:
            with suppress(OSError):
                (self.files / left).unlink()
        return self._tell(event, rows, int(Status.SUCCESS))

    def _tell(self, event: RequestEvent, rows: Mapping[Level, Mapping[str, Any]] | None, status: int) -> int:
        """Tell who watches of an object that has come, if it is known what it is; return the status."""
        if self.watch is not None and rows is not None:
            self.watch.stored(event, rows, status)
        return status

    # --- C-FIND -------------------------------------------------------------------------------------------------------

    def _find(self, event: RequestEvent) -> Iterator[tuple[Any, Any]]:
        """Answer a query (PS3.4 C.4.1)."""
        model = str(event.request.AffectedSOPClassUID)
        try:
            identifier = event.identifier
            query = read_query(identifier, model, is_relational=_is_relational(event, model))
        except (IdentifierError, DicomProtoError) as error:
            yield _refused(error), None
            return
        status = _SOME_NOT_SUPPORTED if query.has_unknown else _PENDING
        answers = _Answers(event, identifier, query)
        try:
            for one in find(self.engine, query, fuzzy=self.fuzzy, unknown_matches=self.unknown_matches):
                yield status, answers.encode(one)
        except SQLAlchemyError as error:
            _log.error("the index cannot be read: %s", type(error).__name__)
            yield _UNABLE, None

    # --- C-GET and C-MOVE ---------------------------------------------------------------------------------------------

    def _get(self, event: RequestEvent) -> Iterator[Any]:
        """Send what is asked for on this association (PS3.4 C.4.3)."""
        yield from self._give(event)

    def _move(self, event: RequestEvent) -> Iterator[Any]:
        """Send what is asked for to the move destination (PS3.4 C.4.2)."""
        where = self.destinations.get(str(event.move_destination).strip())
        if where is None:
            yield None, None
            return
        yield where
        yield from self._give(event)

    def _give(self, event: RequestEvent) -> Iterator[Any]:
        """Yield how many objects an identifier asks for, and their files; or why it is refused."""
        try:
            query = read_retrieval(event.identifier, str(event.request.AffectedSOPClassUID))
            found = instances(self.engine, query)
        except (IdentifierError, DicomProtoError) as error:
            yield _refused(error)
            return
        except SQLAlchemyError as error:
            _log.error("the index cannot be read: %s", type(error).__name__)
            yield _UNABLE, None
            return
        if self.watch is not None:
            self.watch.asked(event, found)
        yield len(found)
        for one in found:
            yield _PENDING, self.files / one.path

    def _extended(self, event: Any) -> dict[str, bytes]:
        """Take relational queries, and nothing else (PS3.4 C.5.1.1.1)."""
        return {
            uid: _RELATIONAL for uid, wanted in event.app_info.items() if uid in MODELS and wanted[:1] == _RELATIONAL
        }


class _Answers:
    """Makes identifiers of matches (PS3.4 C.4.1.1.3.2)."""

    def __init__(self, event: RequestEvent, identifier: Dataset, query: Query) -> None:
        syntax = str(event.context.transfer_syntax)
        fixed = {
            field_of("QueryRetrieveLevel"): query.level.name,
            field_of("RetrieveAETitle"): event.assoc.acceptor.ae_title,
            field_of("InstanceAvailability"): "ONLINE",
        }
        own: list[tuple[int, str]] = [(one.key.tag, one.key.vr) for one in query.wanted if one.key.vr != "SQ"]
        fields = sorted([*fixed, *own])
        self._places = [fields.index(field) for field in own]
        self._values: list[str | None] = [fixed.get(field) for field in fields]
        has_sequences = len(own) < len(query.wanted)
        self._is_quick = syntax in _QUICK and not has_sequences
        is_explicit = not self._is_quick or syntax == ExplicitVRLittleEndian
        wanted = CharacterSets.of(identifier.get("SpecificCharacterSet"))
        self._encode = Encoder(fields, is_explicit, wanted).compiled()

    def encode(self, found: Found) -> bytes | Dataset:
        """Return an identifier: encoded, or with sequences, or in some other syntax, as a data set."""
        values = self._values
        for place, value in zip(self._places, found.values, strict=True):
            values[place] = value
        encoded = self._encode(values)
        if self._is_quick:
            return encoded
        dataset = decode(encoded, ExplicitVRLittleEndian)
        for tag, items in found.sequences.items():
            dataset.add_new(tag, "SQ", items)
        return dataset


def _is_relational(event: RequestEvent, model: str) -> bool:
    """Tell whether relational queries have been negotiated."""
    agreed: Mapping[str, bytes] = event.assoc.acceptor.sop_class_extended
    return agreed.get(model, b"")[:1] == _RELATIONAL


def _refused(error: Exception) -> Dataset:
    """Return the status of an identifier that cannot be answered, with why, which names no values."""
    status = Dataset()
    status.Status = error.status if isinstance(error, IdentifierError) else _UNABLE
    status.ErrorComment = str(error)[:_LONGEST_COMMENT]
    return status
