"""What a peer accepts, found out by proposing it: one association after the other, and no more than are allowed.

An acceptor takes one transfer syntax of a presentation context. So what it has not taken is proposed again: first all
of them in one context, then in 2, 4, 8 ... contexts of the same abstract syntax. What is in a context that is rejected
has been refused, all of it; so a peer that takes little has soon been asked everything, and one that takes everything
is asked twice as many contexts as it takes transfer syntaxes.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from dicom_proto.errors import DicomProtoError
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.service_class import ServiceClass
from dicom_proto.sop_class import (
    ALL_TRANSFER_SYNTAXES,
    DEFAULT_TRANSFER_SYNTAXES,
    service_class_of,
    sop_classes,
    uid_to_sop_class,
)
from dicom_proto.upper_layer.extended import QueryOptions, RetrieveOptions, StorageOptions, WorklistOptions
from dicom_proto.upper_layer.items import PresentationContextResult, RoleSelection, UserIdentity
from dicom_proto.upper_layer.negotiation import Agreement, Implementation, LocalSide, build_offer
from dicom_proto.upper_layer.pdu import AAssociateRQ

__all__ = ["Ask", "Probe", "SOPClassAnswer", "every_sop_class"]

Ask: TypeAlias = Callable[[AAssociateRQ], Agreement]
"""Requests an association and releases it again; raises what there was instead of an agreement."""

_MOST_CONTEXTS: Final = 128  # of an association (PS3.8 7.1.1.13)
_MOST_SYNTAXES: Final = 50  # of a context: DCMTK 3.6.7 takes no more
_MOST_UIDS: Final = 2000  # of an association: some 60 KB, which peers take
_STORED: Final = frozenset({ServiceClass.STORAGE, ServiceClass.NON_PATIENT_OBJECT_STORAGE})
_VERIFICATION: Final = "1.2.840.10008.1.1"
_EVERY_QUERY: Final = QueryOptions(
    relational=True,
    combined_datetime=True,
    fuzzy_names=True,
    timezone_adjustment=True,
    view=True,
    empty_values=True,
    multiple_values=True,
)
_Group: TypeAlias = tuple[str, tuple[str, ...]]


def every_sop_class() -> list[str]:
    """Return all SOP classes that are not retired, those of verification first."""
    found = [_VERIFICATION, *(str(uid) for service in ServiceClass for uid in sop_classes(service))]
    return list(dict.fromkeys(found))


@define
class SOPClassAnswer:
    """What a peer has answered about one abstract syntax.

    Attributes
    ----------
    transfer_syntaxes : list of str
        Those that it takes, in the order in which it has taken them: the first is what it prefers.
    result : int
        Of the last context that it has rejected, why (PS3.8 Table 9-18).
    is_scp, is_scu : bool or None
        Which roles it takes, if roles are proposed; ``None`` if that was not found out (PS3.7 D.3.3.4).
    extended : dict of str to bool or int
        What it says in extended negotiation (PS3.7 D.3.3.5); ``None`` if it says nothing.
    """

    transfer_syntaxes: list[str] = field(factory=list)
    result: int = PresentationContextResult.NO_REASON
    is_scp: bool | None = None
    is_scu: bool | None = None
    extended: dict[str, Any] | None = None


@frozen
class _Peer:
    maximum_length: int
    window: tuple[int, int]
    implementation: Implementation
    is_identity_confirmed: bool


class Probe:
    """Asks a peer.

    Parameters
    ----------
    ask : callable
        Requests an association.
    called, calling : str
        AE titles.
    wanted : iterable of str
        The abstract syntaxes to propose.
    syntaxes : iterable of str, optional
        The transfer syntaxes to propose with each; by default those of PS3.6 with what is stored, and the uncompressed
        ones with everything else.
    identity : UserIdentity, optional
        Who is asking.
    most : int
        How many associations may be requested.

    Attributes
    ----------
    answers : dict of str to SOPClassAnswer
        What is known so far, by abstract syntax.
    peer : object or None
        What the peer says of itself: ``maximum_length``, ``window`` (operations that it may be asked to perform at a
        time, and that it invokes; 0 is unlimited), ``implementation`` and ``is_identity_confirmed``.
    associations : int
        How many have been requested.
    is_complete : bool
        Whether all has been asked that there was to ask.
    """

    def __init__(
        self,
        ask: Ask,
        called: str,
        calling: str,
        wanted: Iterable[str],
        *,
        syntaxes: Iterable[str] | None = None,
        identity: UserIdentity | None = None,
        most: int = 100,
    ) -> None:
        self._ask = ask
        self._called, self._calling = called, calling
        self._identity = identity
        self._most = most
        self._syntaxes = None if syntaxes is None else tuple(syntaxes)
        self.answers = {uid: SOPClassAnswer() for uid in wanted}
        self.peer: _Peer | None = None
        self.associations = 0
        self.is_complete = True

    def run(self) -> None:
        """Find out everything.

        Raises
        ------
        DicomProtoError, OSError
            What ``ask`` raises for the first association. From the second on there is an answer already, and a failure
            is the end: ``is_complete`` is False then.
        """
        open_groups = [(uid, self._proposed_with(uid)) for uid in self.answers]
        parts = 1
        while open_groups:
            groups = [piece for uid, some in open_groups for piece in _split(uid, some, parts)]
            accepted: dict[str, list[str]] = {}
            for batch in _batches(groups):
                agreement = self._request(batch)
                if agreement is None:
                    return
                for uid, rest in self._take(batch, agreement):
                    accepted.setdefault(uid, []).extend(rest)
            open_groups = [(uid, tuple(rest)) for uid, rest in accepted.items()]
            parts *= 2
        self._find_roles()

    def knows(self, title: str) -> Exception | None:
        """Ask whether the peer takes another called AE title; return why not, ``None`` if it does.

        Raises
        ------
        InvalidNameError
            If it is no AE title.
        """
        context = [(_VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)]
        offer = build_offer(title, self._calling, context, identity=self._identity)
        self.associations += 1
        try:
            self._ask(offer)
        except (DicomProtoError, OSError) as error:
            return error
        return None

    def _proposed_with(self, uid: str) -> tuple[str, ...]:
        if self._syntaxes is not None:
            return self._syntaxes
        is_stored = service_class_of(uid) in _STORED
        return tuple(map(str, ALL_TRANSFER_SYNTAXES if is_stored else DEFAULT_TRANSFER_SYNTAXES))

    def _request(self, groups: list[_Group], **items: Any) -> Agreement | None:
        """Propose contexts; ``None`` if that cannot be done any more."""
        if self.associations >= self._most:
            self.is_complete = False
            return None
        self.associations += 1
        local = LocalSide(maximum_invoked=0, maximum_performed=0)
        offer = build_offer(self._called, self._calling, groups, identity=self._identity, local=local, **items)
        try:
            agreement = self._ask(offer)
        except (DicomProtoError, OSError):
            if self.peer is None:
                raise
            self.is_complete = False
            return None
        self.peer = self.peer or _Peer(
            agreement.acceptor_maximum_length,
            (agreement.requestor_window, agreement.acceptor_window),
            agreement.acceptor_implementation,
            agreement.identity_response is not None,
        )
        return agreement

    def _take(self, batch: list[_Group], agreement: Agreement) -> Iterator[_Group]:
        """Note what was accepted; yield what is to be asked again of each context that was."""
        for number, (uid, proposed) in enumerate(batch):
            context = agreement.contexts.get(2 * number + 1)
            if context is None:
                self.answers[uid].result = agreement.rejected[2 * number + 1].result
                continue
            self.answers[uid].transfer_syntaxes.append(context.transfer_syntax)
            rest = tuple(one for one in proposed if one != context.transfer_syntax)
            if rest:
                yield uid, rest

    def _find_roles(self) -> None:
        """Propose both roles, and all that extended negotiation knows, for what is accepted."""
        groups: list[_Group] = [
            (uid, (one.transfer_syntaxes[0],)) for uid, one in self.answers.items() if one.transfer_syntaxes
        ]
        for batch in _batches(groups):
            uids = [uid for uid, _ in batch]
            options = {uid: known.encode() for uid in uids if (known := _options_of(uid)) is not None}
            agreement = self._request(
                batch, roles=[RoleSelection(uid, scu=True, scp=True) for uid in uids], extended=options
            )
            if agreement is None:
                return
            for context in agreement.contexts.values():
                answer = self.answers[context.abstract_syntax]
                answer.is_scp, answer.is_scu = context.acceptor_is_scp, context.acceptor_is_scu
                information = agreement.extended.get(context.abstract_syntax)
                if information is not None:
                    answer.extended = _decoded(context.abstract_syntax, information)


def _split(uid: str, syntaxes: tuple[str, ...], parts: int) -> Iterator[_Group]:
    """Yield so many contexts with some transfer syntaxes, or more if there are too many of these."""
    size = min(-(-len(syntaxes) // parts), _MOST_SYNTAXES)
    for at in range(0, len(syntaxes), size):
        yield uid, syntaxes[at : at + size]


def _batches(groups: list[_Group]) -> Iterator[list[_Group]]:
    """Yield what goes into one association each."""
    batch: list[_Group] = []
    uids = 0
    for group in groups:
        if batch and (len(batch) == _MOST_CONTEXTS or uids + len(group[1]) > _MOST_UIDS):
            yield batch
            batch, uids = [], 0
        batch.append(group)
        uids += len(group[1])
    if batch:
        yield batch


def _options_of(uid: str) -> Any:
    """Return all that can be offered for a SOP class in extended negotiation (PS3.4); ``None`` if nothing can."""
    service = service_class_of(uid)
    if service in _STORED:
        return StorageOptions()
    if service is ServiceClass.BASIC_WORKLIST_MANAGEMENT:
        return WorklistOptions(fuzzy_names=True, timezone_adjustment=True)
    if service is ServiceClass.QUERY_RETRIEVE:
        keyword = uid_to_sop_class(uid).keyword
        if keyword.endswith("Find"):
            return _EVERY_QUERY
        if keyword.endswith(("Move", "Get")):
            return RetrieveOptions(relational=True, view=True)
    return None


def _decoded(uid: str, information: bytes) -> dict[str, Any]:
    known = _options_of(uid)
    if known is None:
        return {"bytes": information.hex(" ")}
    decoded = type(known).decode(information)
    return {name: getattr(decoded, name) for name in decoded.__slots__ if not name.startswith("_")}
