"""What a handler gets: the event, with the names that users of pynetdicom know.

Stable.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final, TypeVar

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_proto.buffers import Buffer, Pieces
from dicom_proto.dimse.messages import (
    KEYWORDS,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CStoreRQ,
    Message,
    NActionRQ,
    NCreateRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Request,
)
from dicom_proto.encoding.datasets import actual_syntax, check_vr_encoding, decode, file_preamble_and_meta
from dicom_proto.errors import InvalidNameError, LocalProtocolError
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.offers.contexts import PresentationContextTuple
from dicom_proto.upper_layer.negotiation import AcceptedContext

__all__ = ["Event", "MessageView", "RequestEvent"]


_R = TypeVar("_R", bound=Request)

_COMMAND_FIELD: Final = 0x00000100
_COMMAND_DATA_SET_TYPE: Final = 0x0800  # 0101H: none follows
_PREAMBLE: Final = 132  # bytes, "DICM" included (PS3.10 7.1)
# What the data set of a request is called (PS3.7 9.1, 10.1).
_DATA_SETS: Final[Mapping[str, str]] = {
    "C-STORE-RQ": "DataSet",
    **dict.fromkeys(("C-FIND-RQ", "C-GET-RQ", "C-MOVE-RQ"), "Identifier"),
    "N-EVENT-REPORT-RQ": "EventInformation",
    "N-SET-RQ": "ModificationList",
    "N-ACTION-RQ": "ActionInformation",
    "N-CREATE-RQ": "AttributeList",
}
# And that of a response, which a request has not.
_REPLIES: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys(_DATA_SETS, ()) | {
    "C-ECHO-RQ": (),
    "N-EVENT-REPORT-RQ": ("EventReply",),
    "N-GET-RQ": ("AttributeList",),
    "N-SET-RQ": ("AttributeList",),
    "N-ACTION-RQ": ("ActionReply",),
    "N-DELETE-RQ": (),
}
_NAMED: Final = frozenset(_DATA_SETS.values()).union(*_REPLIES.values())


class MessageView:
    """A DIMSE message under its DICOM keywords: ``view.MessageID``, ``view.AffectedSOPClassUID``.

    The encoded data set of a request has also the name that PS3.7 gives it: ``DataSet``, ``Identifier``,
    ``EventInformation``, ``ModificationList``, ``ActionInformation`` or ``AttributeList``. What only the response to a
    request has is ``None``.
    """

    __slots__ = ("_data", "_message")

    def __init__(self, message: Message, data: Buffer | Pieces | None) -> None:
        self._message = message
        self._data = data

    @property
    def msg_type(self) -> str:
        """The name of the message, as the standard writes it."""
        return self._message.name

    @property
    def data_set(self) -> BytesIO | None:
        """The encoded data set, if the message has one."""
        return None if self._data is None else BytesIO(_whole(self._data))

    @property
    def command_set(self) -> Dataset:
        """The elements of the command set (PS3.7 6.3), but for its length."""
        message, elements = self._message, Dataset()
        has_data = self._data is not None or isinstance(message, CStoreRQ)
        stated: dict[int, tuple[str, Any]] = {
            _COMMAND_FIELD: ("US", message.command_field),
            _COMMAND_DATA_SET_TYPE: ("US", 0x0001 if has_data else 0x0101),
        }
        stated |= {one.tag: (one.vr.name, getattr(message, one.attribute)) for one in message.elements}
        for tag, (vr, value) in sorted(stated.items()):
            if value is not None:
                given = list(value) if isinstance(value, tuple) else value
                elements.add(DataElement(tag, vr, given, validation_mode=IGNORE))
        return elements

    def __getattr__(self, keyword: str) -> Any:
        attribute = KEYWORDS.get(keyword)
        if attribute is None and keyword not in _NAMED:  # not to ask for the message, which copy.copy has not made yet
            raise AttributeError(f"{keyword} is not an element of DIMSE messages")
        message = self._message
        if _DATA_SETS.get(message.name) == keyword:
            return self.data_set
        if attribute is None or not hasattr(message, attribute):
            if isinstance(message, Request) and _is_answered_with(message, keyword, attribute):
                return None
            raise AttributeError(f"a {message.name} has no {keyword}")
        value = getattr(message, attribute)
        if keyword.endswith("UID") and value is not None:
            return UID(value, IGNORE)
        return [Tag(tag) for tag in value] if isinstance(value, tuple) else value

    def __repr__(self) -> str:
        return f"<{self._message.summary()}>"


class Event:
    """Something happened on an association.

    Parameters
    ----------
    kind : EventKind
        What it was.
    assoc : object
        The adapter's association.
    attributes
        What else there is to say, which differs from event to event.

    Attributes
    ----------
    called_at : float or None
        When the handler was called, in seconds since 1970 in UTC; the driver sets it, because the core has no clock.
    """

    def __init__(self, kind: EventKind, assoc: Any, **attributes: Any) -> None:
        self.event = kind
        self.assoc = assoc
        self.called_at: float | None = None
        if attributes:
            vars(self).update(attributes)

    @property
    def timestamp(self) -> datetime | None:
        """When the handler was called, in local time."""
        return None if self.called_at is None else datetime.fromtimestamp(self.called_at, UTC).astimezone()

    @property
    def name(self) -> str:
        """The name of the event."""
        return self.event.name

    @property
    def description(self) -> str:
        """What the event is, in words."""
        return self.event.description


class RequestEvent(Event):
    """The peer asks for an operation.

    Parameters
    ----------
    kind, assoc
        As for :class:`Event`.
    request : Request
        The message.
    data : buffer, Pieces or None
        Its data set, if it has one. A C-STORE request always has one: without it here, it goes elsewhere.
    context : AcceptedContext
        The context that it came on.
    is_cancelled : callable
        Tells whether the peer has cancelled the operation.
    get_source : callable
        Returns the AE title of who asks.
    decode : callable
        Returns a data set, decoded from its bytes and the UID of its transfer syntax.

    Attributes
    ----------
    pieces : callable or None
        What :meth:`chunks` calls.
    look_at : callable or None
        Called once with a data set that is handed out and was not decoded, and the UID of its transfer syntax.
    """

    def __init__(
        self,
        kind: EventKind,
        assoc: Any,
        *,
        request: Request,
        data: Buffer | Pieces | None,
        context: AcceptedContext,
        is_cancelled: Callable[[], bool],
        get_source: Callable[[], str] = str,
        decode: Callable[[bytes, str], Dataset] = decode,
    ) -> None:
        super().__init__(kind, assoc)
        self.message = request
        self.request = MessageView(request, data)
        self._accepted = context
        self._data = data
        self._is_cancelled = is_cancelled
        self._get_source = get_source
        self._decode = decode
        self.look_at: Callable[[bytes, str], object] | None = check_vr_encoding
        self._decoded: Dataset | None = None
        self.pieces: Callable[[], Any] | None = None

    @property
    def context(self) -> PresentationContextTuple:
        """The presentation context that it came on: ID, abstract syntax and transfer syntax."""
        context = self._accepted
        return PresentationContextTuple(
            context.context_id, UID(context.abstract_syntax, IGNORE), UID(context.transfer_syntax, IGNORE)
        )

    @property
    def source_ae_title(self) -> str:
        """The AE title of who asks; empty if this side has requested the association, and may have called it by any."""
        return self._get_source()

    @property
    def message_id(self) -> int | None:
        """The message ID of the request."""
        return self.message.message_id

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer has cancelled the operation (C-FIND, C-GET and C-MOVE); once it is, it stays so."""
        return self._is_cancelled()

    @property
    def dataset(self) -> Dataset:
        """The data set of a C-STORE request, decoded when it is first asked for; values are decoded one by one.

        Raises
        ------
        DataSetError
            If it is none in the negotiated transfer syntax.
        LocalProtocolError
            If it goes into a sink or in chunks, and is not kept here.
        """
        dataset = self._data_set("dataset", CStoreRQ)
        if not hasattr(dataset, "file_meta"):
            with suppress(InvalidNameError):  # the data set is what was asked for
                dataset.file_meta = self.file_meta
        return dataset

    @property
    def identifier(self) -> Dataset:
        """The identifier of a C-FIND, C-GET or C-MOVE request; raises as :attr:`dataset`."""
        return self._data_set("identifier", CFindRQ, CGetRQ, CMoveRQ)

    @property
    def attribute_list(self) -> Dataset:
        """The attribute list of an N-CREATE request, or that of an N-SET; raises as :attr:`dataset`."""
        return self._data_set("attribute_list", NCreateRQ, NSetRQ)

    @property
    def modification_list(self) -> Dataset:
        """The modification list of an N-SET request; raises as :attr:`dataset`."""
        return self._data_set("modification_list", NSetRQ)

    @property
    def action_information(self) -> Dataset:
        """The action information of an N-ACTION request; raises as :attr:`dataset`."""
        return self._data_set("action_information", NActionRQ)

    @property
    def event_information(self) -> Dataset:
        """The event information of an N-EVENT-REPORT request; raises as :attr:`dataset`."""
        return self._data_set("event_information", NEventReportRQ)

    @property
    def action_type(self) -> int:
        """The action type ID of an N-ACTION request."""
        return self._message("action_type", NActionRQ).action_type_id

    @property
    def event_type(self) -> int:
        """The event type ID of an N-EVENT-REPORT request."""
        return self._message("event_type", NEventReportRQ).event_type_id

    @property
    def attribute_identifiers(self) -> list[BaseTag]:
        """The tags that an N-GET request asks for; empty for all."""
        return [Tag(tag) for tag in self._message("attribute_identifiers", NGetRQ).attribute_identifier_list or ()]

    @property
    def move_destination(self) -> str:
        """The AE title that a C-MOVE request wants its objects sent to."""
        return self._message("move_destination", CMoveRQ).move_destination

    @property
    def file_meta(self) -> FileMetaDataset:
        """File Meta Information for the data set of a C-STORE request (PS3.10 7.1); raises as :meth:`file_head`."""
        meta = FileMetaDataset()
        data = b"" if self._data is None else self._kept("file_meta")
        for element in decode(self.file_head(data)[_PREAMBLE:], ExplicitVRLittleEndian):
            meta.add(element)
        return meta

    def chunks(self) -> Any:
        """Iterate over the data set of a C-STORE request as it arrives, in views that are read-only.

        In an async handler ``async for piece in event.chunks()``, in any other ``for piece in event.chunks()``. What is
        not asked for is dropped when the handler returns. What the peer is asked meanwhile, on the same association, it
        answers behind the data set: ask it after the last piece.

        Raises
        ------
        LocalProtocolError
            If the handler was not bound as :func:`~dicom_proto.services.storage.chunks.chunked`.
        """
        if self.pieces is None:
            raise LocalProtocolError("there are no chunks: bind the handler of EVT_C_STORE as chunked(handler)")
        return self.pieces()

    def encoded_dataset(self, include_meta: bool = True) -> bytes:
        """Return the data set of a C-STORE request as it was received, with what makes it a DICOM file before it.

        Parameters
        ----------
        include_meta : bool
            Whether preamble and File Meta Information go before it (PS3.10 7.1).

        Raises
        ------
        DataSetError
            If it has VRs where there should be none, or the reverse, and that is not tolerated.
        LocalProtocolError
            If it goes into a sink or in chunks, and is not kept here.
        InvalidNameError
            As :meth:`file_head`.
        """
        self._message("encoded_dataset", CStoreRQ)
        data = self._kept("encoded_dataset")
        if self.look_at is not None:
            self.look_at(data, self._accepted.transfer_syntax)
            self.look_at = None
        return self.file_head(data) + data if include_meta else data

    def file_head(self, data: Buffer = b"") -> bytes:
        """Return what makes a DICOM file of the data set of a C-STORE request when it precedes it (PS3.10 7.1).

        Parameters
        ----------
        data : Buffer
            The data set, or how it begins: a file states the transfer syntax that it is really in, see
            :func:`~dicom_proto.encoding.datasets.actual_syntax`; if there is none, that of its presentation context.

        Raises
        ------
        InvalidNameError
            If a UID of the request cannot name an object in a file: it is empty, not printable, or has a slash.
        """
        request = self._message("file_meta", CStoreRQ)
        return file_preamble_and_meta(
            request.affected_sop_class_uid,
            request.affected_sop_instance_uid,
            actual_syntax(data, self._accepted.transfer_syntax) or self._accepted.transfer_syntax,
            source_ae_title=self.source_ae_title,
        )

    def _message(self, what: str, kind: type[_R]) -> _R:
        """Return the request as the kind that has what was asked for."""
        if not isinstance(self.message, kind):
            raise AttributeError(f"a {self.message.name} has no {what}")
        return self.message

    def _data_set(self, what: str, *kinds: type[Request]) -> Dataset:
        if not isinstance(self.message, kinds):
            raise AttributeError(f"a {self.message.name} has no {what}")
        if self._decoded is None:
            self._decoded = self._decode(self._kept(what), self._accepted.transfer_syntax)
            self.look_at = None  # that has been looked at
        return self._decoded

    def _kept(self, what: str) -> bytes:
        """Return the data set as it was received, empty if the request has none."""
        if self._data is None and isinstance(self.message, CStoreRQ):
            raise LocalProtocolError(
                f"there is no event.{what}: the data set is not kept, it goes into the sink, or comes in chunks"
            )
        return b"" if self._data is None else _whole(self._data)


def _is_answered_with(request: Request, keyword: str, attribute: str | None) -> bool:
    """Tell whether the response to a request has an element, or that as its data set."""
    return keyword in _REPLIES[request.name] or any(one.attribute == attribute for one in request.response.elements)


def _whole(data: Buffer | Pieces) -> bytes:
    return data.join() if isinstance(data, Pieces) else bytes(data)
