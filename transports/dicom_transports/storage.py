"""Objects that are received go straight into files: sinks to bind to ``EVT_C_STORE``, for every adapter.

Stable.

What arrives is written as it arrives: an object of any size costs about a mebibyte of memory.
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from string import Formatter
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import define, field, frozen
from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.datasets import actual_syntax, read_text
from dicom_proto.encoding.structure import TruncatedError
from dicom_proto.errors import DataSetError, InvalidSettingError, LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.sinks import Receiving, Refused, Sink
from dicom_proto.status import Status
from dicom_transports._files.durability import Committer, GroupCommit, sync_directories
from dicom_transports._files.reading import IncomingFile, Sync, distinct, safe_path, sweep

__all__ = ["Duplicates", "Durability", "GroupCommit", "Mismatches", "store_in_file", "store_to", "sweep"]

_log = logging.getLogger("dicom_transports")

Durability: TypeAlias = Literal["each", "none"] | GroupCommit
"""Whether an object is on disk before it is answered with Success, by itself or with others, or may be lost."""

Duplicates: TypeAlias = Literal["replace", "ignore", "keep"]
"""What becomes of an object whose name is taken: it replaces the other one, is dropped, or gets another name."""

Mismatches: TypeAlias = Literal["refuse", "keep"]
"""What becomes of an object whose SOP class or instance is another one in its data set than in its request."""

OnStored: TypeAlias = Callable[[Path, RequestEvent], Any]

_FROM_REQUEST: Final[Mapping[str, Callable[[RequestEvent], str]]] = {
    "SOPInstanceUID": lambda event: str(event.request.AffectedSOPInstanceUID),
    "SOPClassUID": lambda event: str(event.request.AffectedSOPClassUID),
    "CallingAETitle": lambda event: event.source_ae_title,
}
_TEXT_VRS: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI"})
_DURABILITIES: Final = ("each", "none")
_UIDS: Final = (0x00080016, 0x00080018)  # SOP Class UID, SOP Instance UID
_NOTHING: Final = "_"  # stands for a value that is empty


def store_to(
    directory: str | os.PathLike[str],
    name: str = "{SOPInstanceUID}.dcm",
    *,
    durability: Durability = "each",
    duplicates: Duplicates = "replace",
    mismatches: Mismatches = "refuse",
    on_stored: OnStored | None = None,
) -> Sink:
    """Make a sink that stores objects as DICOM files (PS3.10) below a directory.

    An object is written under a temporary name, brought to disk, renamed, its name brought to disk, and only then
    answered with Success. So a file has all of its object, whatever happens; what a process leaves behind that is
    killed is removed when the next one calls this function.

    Parameters
    ----------
    directory : path
        Where; it is made if it is not there. All below it has to be on one file system.
    name : str
        How files are named: a path below the directory, with the keywords of elements in braces, whose values become
        parts of it: ``"{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm"``. ``SOPClassUID`` and ``SOPInstanceUID``
        are those of the request, and ``CallingAETitle`` is who sent it; all others are looked up in the data set and
        have to be text. Whatever a peer sends, each part stays one harmless component: what is not a letter, digit,
        dot, hyphen or underscore becomes an underscore, so does an empty value, and the end of what is longer than
        64 characters becomes a digest. So does that of a UID which is not of digits and dots, of any length: two
        objects never share a file because their UIDs look alike then.
    durability : {"each", "none"} or GroupCommit
        Whether each object is brought to disk before its answer, or left to the system, which is faster and loses
        objects that were answered with Success when the power fails. With a group commit each is brought to disk
        before its answer too, but objects that wait at the same time share what brings their names there.
    duplicates : {"replace", "ignore", "keep"}
        What becomes of an object when there is a file of its name: it replaces that, or is received and dropped, or
        gets a name with a random number in it.
    mismatches : {"refuse", "keep"}
        What becomes of an object whose request names another SOP class than its presentation context, or another SOP
        class or SOP instance than its data set: the answer is A900H (PS3.4 Table B.2-1), as DCMTK and Orthanc give
        it, and nothing is stored; or it is stored by what the request says, in a file that contradicts itself. What
        the data set does not state is no contradiction. So it is with a data set without VRs where only its
        presentation context says that it has some, and no file could (it is compressed, say): the answer is C000H.
    on_stored : callable, optional
        Called with the path of each new file and the event of its request. It may return another status than Success;
        if it raises, the answer is C211H. The file stays.

    Returns
    -------
    Sink
        To be bound: ``(evt.EVT_C_STORE, store_to("archive"))``.

    Raises
    ------
    InvalidSettingError
        If a parameter has a value that it cannot have.
    OSError
        If the directory cannot be made or read.
    """
    if not isinstance(durability, GroupCommit) and durability not in _DURABILITIES:
        raise InvalidSettingError(f"{durability!r} is no GroupCommit, and none of {', '.join(_DURABILITIES)}")
    if duplicates not in get_args(Duplicates):
        raise InvalidSettingError(f"{duplicates!r} is none of {', '.join(get_args(Duplicates))}")
    if mismatches not in get_args(Mismatches):
        raise InvalidSettingError(f"{mismatches!r} is none of {', '.join(get_args(Mismatches))}")
    template = _Template.of(name)
    committer = Committer(durability) if isinstance(durability, GroupCommit) else None
    sync = None if durability == "none" else sync_directories
    root = Path(directory)
    new = [one for one in (root, *root.parents) if not one.exists()]
    root.mkdir(parents=True, exist_ok=True)
    if sync is not None:
        sync([one.parent for one in new])
    if stale := len(sweep(root)):
        _log.warning("%d temporary files have been removed: whoever wrote them did not live to finish it", stale)
    is_quick = sync is None and on_stored is None
    return _Directory(root, template, duplicates, mismatches == "keep", on_stored, sync, committer, is_quick)


@frozen
class _Directory(Sink):
    root: Path
    template: "_Template"
    duplicates: Duplicates
    keeps_mismatches: bool
    on_stored: OnStored | None
    sync: Sync | None
    committer: Committer | None
    is_quick: bool  # there is no disk to be waited for, and nothing of the user's to be called

    def open(self, event: RequestEvent) -> Receiving:
        context = event.context
        if not self.keeps_mismatches and event.request.AffectedSOPClassUID != context.abstract_syntax:
            raise _mismatch("its request and its presentation context")
        return _Arriving(self, event, context.transfer_syntax)


def _head_for(data: Buffer, event: RequestEvent, transfer_syntax: str, head: bytes) -> bytes:
    """Return the head of a file that states what the data set is really in, whatever the peer has negotiated."""
    return head if actual_syntax(data, transfer_syntax) in {transfer_syntax, None} else event.file_head(data)


def _mismatch(between: str) -> Refused:
    _log.warning("! an object is refused: %s name different SOP classes or instances", between)
    return Refused(Status.DOES_NOT_MATCH_SOP_CLASS)


class _Arriving:
    """An object that is being written into a file."""

    def __init__(self, sink: _Directory, event: RequestEvent, transfer_syntax: str) -> None:
        self._head = event.file_head()
        self._head_length = 0  # as it has been written
        self._sink = sink
        self._event = event
        self._transfer_syntax = transfer_syntax
        self._file = IncomingFile(sink.root)
        self._sync = sink.sync
        if sink.committer is not None:
            sink.committer.expect(self)
            self._sync = partial(sink.committer.sync, self)
        self._is_unchecked = False  # at the end of the data set
        self.write = self._write_first

    def _write_first(self, data: Buffer) -> None:
        """Write the first piece of the data set; what has to be known of it is almost always there."""
        self.write = self._file.write
        if not self._sink.keeps_mismatches:
            try:
                self._check(data)
            except TruncatedError:
                self._is_unchecked = True
        self._write_head(data)
        self._file.write(data)

    def _write_head(self, data: Buffer) -> None:
        if not self._sink.keeps_mismatches and actual_syntax(data, self._transfer_syntax) is None:
            raise DataSetError("no transfer syntax says what this data set is in: a file would contradict itself")
        head = _head_for(data, self._event, self._transfer_syntax, self._head)
        self._head_length = len(head)
        self._file.write(head)

    def _check(self, data: Buffer) -> None:
        """Refuse an object that is another one than its request says."""
        try:
            stated = read_text(data, self._transfer_syntax, _UIDS)
        except TruncatedError:
            raise
        except (DataSetError, LocalProtocolError):  # that is for others to say
            return
        request = self._event.request
        wanted = (request.AffectedSOPClassUID, request.AffectedSOPInstanceUID)
        if any(stated.get(tag, str(uid)) != str(uid) for tag, uid in zip(_UIDS, wanted, strict=True)):
            raise _mismatch("its request and its data set")

    def finish(self) -> Any:
        if not self._head_length:
            self._write_head(b"")
        if self._is_unchecked:
            with suppress(TruncatedError):
                self._check(self._data())
        sink = self._sink
        names = sink.template.names(self._event, self._data)
        path = safe_path(sink.root, *names, suffix=sink.template.suffix)
        try:
            self._commit(path)
        except FileExistsError:
            if sink.duplicates == "ignore":
                self._file.close()
                _log.info("an object is there already: the new one is ignored")
                return Status.SUCCESS
            path = safe_path(sink.root, *names, suffix=f"-{token_hex(8)}{sink.template.suffix}")
            self._commit(path)
        self._file.close()
        status = None if sink.on_stored is None else sink.on_stored(path, self._event)
        return Status.SUCCESS if status is None else status

    def _data(self) -> memoryview:
        return self._file.content()[self._head_length :]

    def _commit(self, path: Path) -> None:
        self._file.commit(path, replace=self._sink.duplicates == "replace", sync=self._sync)

    def discard(self) -> None:
        self._file.close()
        if self._sink.committer is not None:
            self._sink.committer.forget(self)


@frozen
class _Template:
    """How files are named: components, each of literal text and keywords in turn."""

    components: tuple[tuple[tuple[str, str | None], ...], ...]
    suffix: str
    tags: Mapping[str, int] = field(factory=dict)  # of the keywords that are looked up in the data set

    @classmethod
    def of(cls, text: str) -> "_Template":
        components = []
        for component in text.split("/"):
            try:
                parts = list(Formatter().parse(component))
            except ValueError as error:
                raise InvalidSettingError(f"{text!r} is no template of a name: {error}") from error
            if not parts or any(spec or conversion for _, _, spec, conversion in parts):
                raise InvalidSettingError(f"{text!r} is no template of a name: 'directory/{{Keyword}}.dcm' is one")
            components.append([(literal, keyword) for literal, keyword, _, _ in parts])
        suffix = ""
        if len(components[-1]) > 1 and components[-1][-1][1] is None:
            suffix, _ = components[-1].pop()
        keywords = {keyword for parts in components for _, keyword in parts if keyword is not None}
        if not keywords:
            raise InvalidSettingError(f"{text!r} would be the name of every object")
        tags = {keyword: _tag_of(keyword) for keyword in keywords - _FROM_REQUEST.keys()}
        return cls(tuple(map(tuple, components)), suffix, tags)

    def names(self, event: RequestEvent, data: Callable[[], memoryview]) -> list[str]:
        """Return the names of an object's directories and file; its data set is asked for only if it is needed."""
        texts = read_text(data(), event.context.transfer_syntax, self.tags.values()) if self.tags else {}
        values = {keyword: texts.get(tag, "") for keyword, tag in self.tags.items()}
        values |= {keyword: value_of(event) for keyword, value_of in _FROM_REQUEST.items()}
        values |= {keyword: distinct(values[keyword]) for keyword in values if keyword.endswith("UID")}
        return [
            "".join(literal + ("" if keyword is None else values[keyword] or _NOTHING) for literal, keyword in parts)
            for parts in self.components
        ]


def _tag_of(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None or tag < 0x00080000 or dictionary_VR(tag) not in _TEXT_VRS:
        raise InvalidSettingError(f"{keyword!r} is not the keyword of an element that can be part of a name")
    return tag


def store_in_file(
    get_file: Callable[[RequestEvent], Any], then: Callable[[RequestEvent, Any], Any] | None = None
) -> Sink:
    """Make a sink that writes each object into a file which you open.

    Parameters
    ----------
    get_file : callable
        Called with the event of each request; returns a binary file object, open for writing, or a pair of one and
        the position at which ``then`` wants it. Preamble, File Meta Information and data set are written to it from
        where it stands; unless it says otherwise, that is the position for ``then``.
    then : callable, optional
        Called with the event and the file when the object is complete; returns the status, ``None`` for Success. The
        file is its to close. Without it, and if the object does not arrive, the file is closed.

    Returns
    -------
    Sink
        To be bound: ``(evt.EVT_C_STORE, store_in_file(get_file))``.
    """
    return _Files(get_file, then)


@frozen
class _Files(Sink):
    get_file: Callable[[RequestEvent], Any]
    then: Callable[[RequestEvent, Any], Any] | None

    def open(self, event: RequestEvent) -> Receiving:
        head = event.file_head()
        file = self.get_file(event)
        file, start = file if isinstance(file, tuple) else (file, None if self.then is None else file.tell())
        return _Filling(event, file, start, self.then, head)


@define
class _Filling:
    """An object that is being written into a file of the user."""

    event: RequestEvent
    file: Any
    start: int | None
    then: Callable[[RequestEvent, Any], Any] | None
    head: bytes | None  # that is still to be written

    def write(self, data: Buffer) -> None:
        if self.head is not None:
            head, self.head = self.head, None
            self.write(_head_for(data, self.event, self.event.context.transfer_syntax, head))
        view = memoryview(data)
        while view:
            written = self.file.write(view)
            view = view[len(view) if written is None else written :]

    def finish(self) -> Any:
        self.write(b"")
        if self.then is None:
            self.file.close()
            return Status.SUCCESS
        self.file.seek(self.start)
        status = self.then(self.event, self.file)
        return Status.SUCCESS if status is None else status

    def discard(self) -> None:
        self.file.close()
