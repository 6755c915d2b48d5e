"""Results as users get them: status data sets, and the results of an operation that has many.

May change.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.messages import (
    MESSAGES,
    NCreateRSP,
    NEventReportRSP,
    NormalizedResponse,
    Response,
    RetrieveResponse,
)
from dicom_proto.errors import DataSetError, InvalidSettingError, LocalProtocolError
from dicom_proto.programs.effects import Program
from dicom_proto.programs.invoking import Invoking, Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.streams import Stream
from dicom_proto.status import Category
from dicom_proto.upper_layer.failures import AssociationFailure

__all__ = ["Result", "Results", "code_to_status", "forgive", "forgiving", "next_result", "read_reply", "status_of"]

_T = TypeVar("_T")
_Otherwise = TypeVar("_Otherwise")
_log = logging.getLogger("dicom_proto.services")

Result: TypeAlias = tuple[Dataset, Dataset | None]
"""A status, and the data set that came with it."""


# What a response says about its status (PS3.7 Annex C), and what users are told with it because it is news to them.
_ABOUT_STATUS: Final = frozenset(
    {"status", "offending_element", "error_comment", "error_id", "attribute_identifier_list"}
    | {element.attribute for element in RetrieveResponse.elements if element.attribute.startswith("number_of_")}
)
_NEWS: Final[dict[type[Response], frozenset[str]]] = {
    NCreateRSP: frozenset({"affected_sop_instance_uid"}),
    NEventReportRSP: frozenset({"affected_sop_class_uid", "affected_sop_instance_uid", "event_type_id"}),
}

# Attribute, tag and VR of what a status shows of a response.
_SHOWN: Final = {
    kind: [
        (element.attribute, BaseTag(element.tag), element.vr.name)
        for element in kind.elements
        if element.attribute in _ABOUT_STATUS | _NEWS.get(kind, frozenset())
    ]
    for kind in MESSAGES.values()
    if issubclass(kind, Response)
}


def status_of(response: Response) -> Dataset:
    """Return the status of a response, and what it says about it, as a data set of command elements.

    That of an N-CREATE has the Affected SOP Instance UID as well, which the peer may have given; that of an
    N-EVENT-REPORT says what it answers.
    """
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    for attribute, tag, vr in _SHOWN[type(response)]:
        value = getattr(response, attribute)
        if value is None:
            continue
        if isinstance(value, int) or (isinstance(value, str) and len(value) <= 64):
            element = elements[tag] = _NEW(DataElement)  # the caller may change its own
            element.__dict__.update(_remembered_element(tag, vr, value).__dict__)
        else:
            elements[tag] = _make_element(tag, vr, list(value) if isinstance(value, tuple) else value)
    return _dataset_of(elements)


def _make_element(tag: BaseTag, vr: str, value: Any) -> DataElement:
    # What a peer sent need not keep the rules of its VR, and is no reason to warn the user.
    return DataElement(tag, vr, value, validation_mode=IGNORE)


# pydicom takes longer to make them than it takes to decode the whole response.
_remembered_element = lru_cache(maxsize=256, typed=True)(_make_element)
_NEW: Final = object.__new__
_EMPTY: Final = Dataset()
_OWN: Final = tuple(name for name, value in vars(_EMPTY).items() if isinstance(value, dict))  # what no two may share


def _dataset_of(elements: dict[BaseTag, DataElement | RawDataElement]) -> Dataset:
    """Return ``Dataset(elements)``."""
    dataset = _NEW(Dataset)
    own = dataset.__dict__
    own.update(_EMPTY.__dict__)
    for name in _OWN:
        own[name] = own[name].copy()
    own["_dict"] = elements
    return dataset


def code_to_status(code: Any) -> Dataset:
    """Return a status as a data set, to which a handler may add further elements of its response (PS3.7 Annex C).

    Raises
    ------
    InvalidSettingError
        If it is no unsigned integer of 16 bits.
    """
    if not isinstance(code, int) or not 0 <= code <= 0xFFFF:
        raise InvalidSettingError(f"{code!r} is not a status: an integer from 0 to 65535")
    dataset = Dataset()
    dataset.Status = int(code)
    return dataset


def forgiving(peer: Peer, program: Program[_T], otherwise: Callable[[], _Otherwise]) -> Program[_T | _Otherwise]:
    """Run a program for a user.

    If the association ends before it does, and the peer is not strict, return what ``otherwise`` returns.

    Raises
    ------
    AssociationFailure
        If it ends, and the peer is strict.
    """
    try:
        return (yield from program)
    except AssociationFailure as error:
        forgive(peer, error)
        return otherwise()


def forgive(peer: Peer, error: AssociationFailure) -> None:
    """Log that no response has arrived, for a user who gets an empty status; raise it if the peer is strict."""
    if peer.is_strict:
        raise error
    _log.error("no response has arrived: %s", error)


def read_reply(reply: Reply | None, *, if_damaged: int | None, decode: Callable[[Buffer, str], Dataset]) -> Result:
    """Return status and data set of a reply.

    Where one would go with the status and none came there is one all the same: it is empty behind a DIMSE-N service
    that was performed, and behind a C-GET or C-MOVE that has failed; behind one that ended with a warning, or was
    cancelled, its Failed SOP Instance UID List is, which no SCP sends that has nothing to put there (PS3.4
    C.4.2.1.4.2). A data set that cannot be decoded by ``decode`` is ``None``;
    that is logged, and ``if_damaged`` becomes the status.
    """
    if reply is None:
        return Dataset(), None
    status = status_of(reply.response)
    if reply.data is None:
        return status, _in_place_of_data(reply)
    try:
        return status, decode(reply.data, reply.context.transfer_syntax)
    except (DataSetError, LocalProtocolError) as error:  # the latter for a private transfer syntax
        _log.error("the data set of a %s cannot be decoded: %s", reply.response.name, error)
        if if_damaged is not None:
            status.Status = if_damaged
        return status, None


def _in_place_of_data(reply: Reply) -> Dataset | None:
    """Return what is handed out where no data set came: ``None`` if there never is one with such a status."""
    match reply.response, reply.category:
        case NormalizedResponse(), (Category.SUCCESS | Category.WARNING):
            return Dataset()
        case RetrieveResponse(), (Category.WARNING | Category.CANCEL):
            dataset = Dataset()
            dataset.FailedSOPInstanceUIDList = ""
            return dataset
        case RetrieveResponse(), Category.FAILURE:
            return Dataset()
    return None


def next_result(invoking: Invoking) -> Program[Result | None]:
    """Wait for the next response of a C-FIND, C-GET or C-MOVE; return status and identifier.

    After the last one, or the first that is missing, it is ``None``.
    """
    if invoking.is_over:
        return None
    reply = yield from forgiving(invoking.peer, invoking.reply(), invoking.close)
    return read_reply(reply, if_damaged=None, decode=invoking.peer.decode)


class Results(Stream[Result]):
    """The results of a C-FIND, C-GET or C-MOVE; who takes no more interest in them has the operation cancelled."""

    def __init__(self, invoking: Invoking) -> None:
        self._invoking = invoking

    @property
    def is_over(self) -> bool:
        """Whether the final response has been read."""
        return self._invoking.is_over

    def next(self) -> Program[Result | None]:
        """See :func:`next_result`."""
        return next_result(self._invoking)

    def dismiss(self) -> None:
        """Make room, so that what has arrived is read: the final response may be among it."""
        self._invoking.close()

    def abandon(self) -> None:
        """Cancel the operation, and drop what still comes; when the final response has arrived it does nothing."""
        self._invoking.cancel()
        self._invoking.close()
