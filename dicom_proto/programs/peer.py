"""The peer at the other end of an association, as service programs see it.

Stable.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final, Protocol, runtime_checkable

from pydicom.dataset import Dataset

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.messages import Request
from dicom_proto.dimse.outgoing import Data
from dicom_proto.dimse.routing import Inbox, Router
from dicom_proto.encoding.datasets import check_vr_encoding, decode, encode_on
from dicom_proto.encoding.rules import DEFAULT_RULES, EncodingRules
from dicom_proto.errors import InvalidNameError, LocalProtocolError, NoContextError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE, Limits, Tolerance
from dicom_proto.offers.contexts import PresentationContext
from dicom_proto.upper_layer.failures import AssociationClosed, AssociationFailure
from dicom_proto.upper_layer.negotiation import AcceptedContext
from dicom_proto.upper_layer.pdu import AAssociateRQ

__all__ = ["Entity", "Peer", "RunsPrograms"]


@runtime_checkable
class RunsPrograms(Protocol):
    """What programs need of an association that is driven somewhere: ``Peer.association`` of one that was dialled."""

    def submit(self, program: Any, on_end: Callable[[Any], None]) -> Any:
        """Run a program there, and call a function with the finished task; may be called in any thread."""

    def part(self) -> Any:
        """Return the program that releases the association."""

    def abort_soon(self) -> None:
        """Have the association aborted in a turn of its driver; may be called in any thread."""


class Entity(Protocol):
    """What programs need of the application entity that they run in."""

    @property
    def scp_programs(self) -> Mapping[str, Callable[..., Any]]:
        """What the user has bound to abstract syntaxes; see :mod:`dicom_proto.programs.user_programs`."""

    @property
    def scu_programs(self) -> Mapping[str, Callable[..., Any]]:
        """The same for the other role."""

    @property
    def requested_contexts(self) -> Sequence[PresentationContext]:
        """What it proposes where nobody says what."""

    @property
    def counts_sub_operations(self) -> bool:
        """Whether more sub-operations than can be counted are refused."""

    def offer(
        self,
        called_ae_title: str,
        contexts: Sequence[PresentationContext],
        *,
        maximum_length: int | None,
        items: Iterable[Any],
    ) -> AAssociateRQ:
        """Make the request for an association; see :meth:`dicom_proto.application.entity.ApplicationEntity.offer`."""


class Peer:
    """One association, seen from one side.

    Parameters
    ----------
    connection : Connection
        The association.
    handlers : Handlers
        What the user has bound to its events.
    association : object
        What handlers get as ``event.assoc``: the adapter's own object.
    entity : Entity, optional
        The application entity on this side; without it no other association can be dialled, and C-MOVE requests fail,
        and the user has no programs of their own.
    data_limit : int
        Longest data set, in bytes, of a request that is kept in memory.

    Attributes
    ----------
    read : callable
        Returns what can be stored for what a user gave, by default the same: drivers that know about files read them
        here. It raises an ``OSError`` or a ``DicomProtoError`` for one that cannot be read.
    allocate : callable
        Returns a writable buffer of so many bytes, for a large data set that is kept in memory; a driver can have one
        whose memory goes back to the system.
    is_handling : callable
        Tells whether a handler of this association is asking: what it would wait for may need it to return.
    look : callable
        Called when a handler asks whether its operation is cancelled: a driver that receives nothing while the handler
        runs takes in what has arrived (:meth:`~dicom_proto.programs.engine.Engine.look`), by default nothing.
    end : callable
        Returns a new exception for those who wait for something that will not happen any more.
    is_strict : bool
        Whether what a user calls raises an ``AssociationFailure`` if the association ends before the response, instead
        of returning an empty status.
    limits : Limits
        What data sets are decoded within.
    tolerance : Tolerance
        What they may be.
    rules : EncodingRules
        How data sets are encoded.
    """

    def __init__(
        self,
        connection: Connection,
        handlers: Handlers,
        association: Any = None,
        *,
        entity: Entity | None = None,
        data_limit: int = DEFAULT_LIMITS.data_set,
    ) -> None:
        self.connection = connection
        self.router = Router()
        self.handlers = handlers
        self.association = association
        self.entity = entity
        self.data_limit = data_limit
        self.read: Callable[[Any], Any] = _as_it_is
        self.allocate: Callable[[int], Any] = bytearray
        self.is_strict = False
        self.is_handling: Callable[[], bool] = _never
        self.look: Callable[[], object] = _nothing
        self.end: Callable[[], AssociationFailure] = _no_association
        self.limits: Limits = DEFAULT_LIMITS
        self.tolerance: Tolerance = DEFAULT_TOLERANCE
        self.rules: EncodingRules = DEFAULT_RULES
        self._found: dict[tuple[str, bool], AcceptedContext] = {}  # what is accepted never changes

    @property
    def ae_title(self) -> str:
        """The AE title of the peer as it stood in the association request; empty if it was blank."""
        offer = self.connection.offer
        if offer is None:
            return ""
        return offer.called_ae_title if self.connection.is_requestor else offer.calling_ae_title

    def contexts(self, abstract_syntax: str, *, as_scu: bool = True) -> Iterator[AcceptedContext]:
        """Yield the accepted contexts of an abstract syntax on which this side has a role (PS3.7 D.3.3.4)."""
        is_requestor = self.connection.is_requestor
        for context in self.connection.contexts.values():
            scu, scp = (context.requestor_is_scu, context.requestor_is_scp)
            if not is_requestor:
                scu, scp = scp, scu
            if context.abstract_syntax == abstract_syntax and (scu if as_scu else scp):
                yield context

    def context(self, abstract_syntax: str, *, as_scu: bool = True) -> AcceptedContext:
        """Return the first accepted context of an abstract syntax on which this side has a role.

        Raises
        ------
        NoContextError
            If there is none; the message says what was accepted.
        """
        found = self._found.get((abstract_syntax, as_scu))
        if found is not None:
            return found
        for context in self.contexts(abstract_syntax, as_scu=as_scu):
            self._found[abstract_syntax, as_scu] = context
            return context
        accepted = sorted({context.abstract_syntax for context in self.connection.contexts.values()})
        role = "SCU" if as_scu else "SCP"
        raise NoContextError(
            f"no presentation context for {abstract_syntax} with the {role} role was accepted; accepted are {accepted}"
        )

    def decode(self, data: Buffer, transfer_syntax: str) -> Dataset:
        """Decode a data set of the peer; raises as :func:`dicom_proto.encoding.datasets.decode`. Any thread may ask."""
        note = self.connection.note_tolerated
        return decode(data, transfer_syntax, limits=self.limits, tolerance=self.tolerance, on_tolerated=note)

    def check_vr_encoding(self, head: Buffer, transfer_syntax: str) -> None:
        """Look at the beginning of a data set that is not decoded.

        Raises
        ------
        DataSetError
            If it has VRs where there should be none, or the reverse, and that is not tolerated.
        """
        note = self.connection.note_tolerated
        check_vr_encoding(head, transfer_syntax, tolerance=self.tolerance, on_tolerated=note)

    def encode(self, dataset: Dataset, abstract_syntax: str, *, as_scu: bool = True) -> tuple[AcceptedContext, bytes]:
        """Encode a data set for an accepted context of an abstract syntax, and return that context too.

        Raises
        ------
        NoContextError
            As :meth:`context`.
        LocalProtocolError
            If the data set cannot be encoded.
        """
        self.context(abstract_syntax, as_scu=as_scu)  # or there is none
        return encode_on(dataset, self.contexts(abstract_syntax, as_scu=as_scu), rules=self.rules)

    def lowest_free_id(self) -> int:
        """Return a message ID that can be given to a request: all responses to an earlier one have been read."""
        return next(filter(self._is_free, count(1)))

    def _is_free(self, message_id: int) -> bool:
        return message_id not in self.connection.invoked and self.router.find((message_id, True)) is None

    def send(self, request: Request, *, context_id: int, data: Data = None) -> Inbox:
        """Send a request, and return the inbox in which its responses are received.

        Raises
        ------
        LocalProtocolError
            As ``Connection.send_request``, if the message ID is that of an operation whose responses are still to be
            asked for, or if the UID of the SOP Instance is longer than the limits allow.
        """
        instance = getattr(request, "affected_sop_instance_uid", None) or getattr(request, _REQUESTED, None)
        if instance is not None and len(instance) > self.limits.instance_uid:
            raise InvalidNameError(f"the SOP Instance UID has {len(instance)} characters: see Limits.instance_uid")
        if request.message_id is None:
            if self.router.has_waiting:  # what has been answered and not been read keeps its ID
                request.message_id = self.lowest_free_id()
        elif self.router.find((request.message_id, True)) is not None:
            raise LocalProtocolError(f"message ID {request.message_id} is in use: not all its responses have been read")
        return self.router.open((self.connection.send_request(request, context=context_id, data=data), True))


_REQUESTED: Final = "requested_sop_instance_uid"


def _nothing() -> None:
    """Look at nothing."""


def _never() -> bool:
    return False


def _no_association() -> AssociationFailure:
    return AssociationClosed("there is no association")


def _as_it_is(value: Any) -> Any:
    return value
