"""What one application entity is, asks for and accepts (PS3.7 A.2, PS3.8 7.1): configuration, no I/O.

Stable.

Adapters add what needs a network: each has a class ``AE`` of its own, built on :class:`ApplicationEntity`.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar

from attrs import Factory, define, evolve, field
from attrs.converters import optional
from attrs.validators import optional as optional_validator
from pydicom.uid import UID

from dicom_proto.application.access import (
    Network,
    as_limits_by_network,
    as_limits_by_title,
    as_networks,
    place_of,
)
from dicom_proto.application.counters import Counters, Tally
from dicom_proto.application.service_user import NOWHERE
from dicom_proto.encoding.rules import DEFAULT_RULES, EncodingRules
from dicom_proto.errors import InvalidSettingError, NoContextError, NothingRequestedError
from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE, Limits, Tolerance
from dicom_proto.names import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    check_ae_title,
    check_uid,
    check_version_name,
)
from dicom_proto.offers._settings import FLAG, MAXIMUM_LENGTH, SECONDS, Validator, as_seconds, check, integer
from dicom_proto.offers.contexts import PresentationContext
from dicom_proto.offers.items import MaximumLengthNotification, NegotiationItem, arrange
from dicom_proto.offers.lists import (
    add,
    as_context,
    complete,
    contexts_of,
    described,
    merge,
    proposable,
    split,
    without,
)
from dicom_proto.programs.user_programs import ScpProgram, ScuProgram, check_scp, sop_classes_of
from dicom_proto.sop_class import ALL_TRANSFER_SYNTAXES, ServiceClass, sop_classes
from dicom_proto.upper_layer.events import Tolerated
from dicom_proto.upper_layer.negotiation import LocalSide, build_offer
from dicom_proto.upper_layer.pdu import AAssociateRQ
from dicom_proto.upper_layer.policy import Policy, Supported
from dicom_proto.upper_layer.timers import Timeouts

__all__ = ["ApplicationEntity"]

_P = TypeVar("_P")
_log = logging.getLogger("dicom_proto.association")
_MOST_REMEMBERED: Final = 1024  # habits of peers that the log has named
_STORED: Final = (ServiceClass.STORAGE, ServiceClass.NON_PATIENT_OBJECT_STORAGE)


def _as_ae_titles(titles: str | bytes | Iterable[str | bytes]) -> list[str]:
    if titles in ("", b""):  # as an entry of a configuration that was left empty
        return []
    if not isinstance(titles, Iterable):
        raise InvalidSettingError(f"{titles!r} is not a list of AE titles")
    return [check_ae_title(title) for title in ([titles] if isinstance(titles, str | bytes) else titles)]


def _as_implementation_uid(uid: str) -> UID:
    return UID(check_uid(uid))


def _is_a(kind: type) -> Validator:
    return check(lambda value: isinstance(value, kind), f"a {kind.__name__}")


# A setting is checked whenever it is set; the constructor takes the title only.
@define(eq=False, repr=False)
class ApplicationEntity:
    """One application entity: its title, its contexts, its limits.

    Parameters
    ----------
    ae_title : str or bytes
        1 to 16 printable ASCII characters without a backslash; as a requestor the calling AE title.

    Attributes
    ----------
    acse_timeout : float or None
        Seconds to wait for answers about the association itself: to requests and releases, and until the peer closes
        the connection. Of this and the other timeouts ``None`` is for ever, and 0 is ``None``.
    dimse_timeout : float or None
        Seconds to wait for a word from the peer while a DIMSE response is outstanding.
    network_timeout : float or None
        Seconds without traffic, while nothing is being done, after which an association is aborted.
    connection_timeout : float or None
        Seconds to wait for a TCP connection.
    implementation_class_uid : UID
        Which implementation this is (PS3.7 D.3.3.2); may be set to a ``str``.
    implementation_version_name : str or None
        Its version, 1 to 16 characters; ``None`` leaves it out (PS3.7 D.3.3.2).
    maximum_pdu_size : int
        Longest P-DATA-TF that is wanted, in bytes; 0 for any (PS3.8 D.1).
    maximum_operations_invoked, maximum_operations_performed : int
        Most operations that are kept outstanding at a peer, and performed for one at a time: 1 is synchronous, 0 is
        unlimited (PS3.7 D.3.3.3).
    maximum_associations : int
        How many associations a server takes at a time.
    maximum_connections : int
        How many connections a server keeps, those included that have requested nothing yet; the one of these that has
        been silent longest gives way to a new one. By default 100 more than associations.
    require_called_aet : bool
        Whether a requestor has to call this AE title.
    require_calling_aet : list of str
        The AE titles that may call; empty for any. This and the other settings of what is required count for the next
        association of servers that run already, and may be changed by a handler of ``EVT_CONN_OPEN``.
    allow_networks, deny_networks : tuple of networks
        From where associations may be requested, and from where not; may be set to addresses and networks of
        :mod:`ipaddress`, or text of them. Empty for any, and for none.
    deny_calling_aet : list of str
        The AE titles that may not call.
    maximum_by_calling_aet : mapping of str to int
        How many of ``maximum_associations`` each calling AE title may have. May be set to a number for all of them;
        ``None`` in a mapping stands for all that it does not name.
    maximum_by_address : mapping of networks to int
        The same for each address of a network.
    require_user_identity : bool
        Whether a requestor has to state a user identity, and a handler to accept it (PS3.7 D.3.3.7).
    unrestricted_storage : bool
        Accept every storage SOP class, private ones among them, in every transfer syntax of PS3.6, whatever the
        supported contexts say. Every SOP class that is not known to be something else counts as one.
    related_general : bool
        Accept SOP classes that a requestor declares to be related to one that is supported (PS3.7 D.3.3.6).
    requestor_order : bool
        Take the first transfer syntax of a requestor that is supported, not the first supported one that is proposed.
    most_transfer_syntaxes : int
        How many transfer syntaxes are proposed in one presentation context; those beyond go into another one of the
        same abstract syntax. DCMTK 3.6.7, and what is built on it, takes 50, and does not answer more.
    counts_sub_operations : bool
        Refuse a C-GET or C-MOVE of more than 65,535 objects, which no counter can say. Without, it is served, with no
        Pending responses and no counters (PS3.4 C.4.2, C.4.3).
    encoding_rules : EncodingRules
        What becomes of data sets that cannot be sent as they are: text outside their character set, long values.
    limits : Limits
        Bounds on what an association keeps.
    tolerance : Tolerance
        Habits of peers that are accepted.

    Raises
    ------
    InvalidNameError
        If a title, UID or version name is set that is none.
    InvalidSettingError
        If anything else is set to what it cannot be.
    """

    ae_title: str = field(default="DICOM_PROTO", converter=check_ae_title)
    acse_timeout: float | None = field(default=30.0, converter=as_seconds, validator=SECONDS, init=False)
    dimse_timeout: float | None = field(default=30.0, converter=as_seconds, validator=SECONDS, init=False)
    network_timeout: float | None = field(default=60.0, converter=as_seconds, validator=SECONDS, init=False)
    connection_timeout: float | None = field(default=None, converter=as_seconds, validator=SECONDS, init=False)
    implementation_class_uid: str = field(
        default=UID(IMPLEMENTATION_CLASS_UID), converter=_as_implementation_uid, init=False
    )
    implementation_version_name: str | None = field(
        default=IMPLEMENTATION_VERSION_NAME, converter=optional(check_version_name), init=False
    )
    maximum_pdu_size: int = field(default=1 << 17, validator=MAXIMUM_LENGTH, init=False)
    maximum_operations_invoked: int = field(default=1, validator=integer(0, 0xFFFF), init=False)
    maximum_operations_performed: int = field(default=1, validator=integer(0, 0xFFFF), init=False)
    maximum_associations: int = field(default=10, validator=integer(1, 1 << 31), init=False)
    _most_connections: int | None = field(default=None, validator=optional_validator(integer(1, 1 << 31)), init=False)
    require_called_aet: bool = field(default=False, validator=FLAG, init=False)
    require_calling_aet: list[str] = field(factory=list, converter=_as_ae_titles, init=False)
    allow_networks: Sequence[str | Network] = field(default=(), converter=as_networks, init=False)
    deny_networks: Sequence[str | Network] = field(default=(), converter=as_networks, init=False)
    deny_calling_aet: list[str] = field(factory=list, converter=_as_ae_titles, init=False)
    maximum_by_calling_aet: Mapping[str | None, int] | int | None = field(
        default=None, converter=as_limits_by_title, init=False
    )
    maximum_by_address: Mapping[Any, int] | int | None = field(default=None, converter=as_limits_by_network, init=False)
    require_user_identity: bool = field(default=False, validator=FLAG, init=False)
    unrestricted_storage: bool = field(default=False, validator=FLAG, init=False)
    related_general: bool = field(default=False, validator=FLAG, init=False)
    requestor_order: bool = field(default=False, validator=FLAG, init=False)
    most_transfer_syntaxes: int = field(default=50, validator=integer(1, 1 << 16), init=False)
    counts_sub_operations: bool = field(default=True, validator=FLAG, init=False)
    limits: Limits = field(default=DEFAULT_LIMITS, validator=_is_a(Limits), init=False)
    encoding_rules: EncodingRules = field(default=DEFAULT_RULES, validator=_is_a(EncodingRules), init=False)
    tolerance: Tolerance = field(default=DEFAULT_TOLERANCE, validator=_is_a(Tolerance), init=False)
    _requested: list[PresentationContext] = field(factory=list, init=False)
    _supported: dict[str, PresentationContext] = field(factory=dict, init=False)
    _habits: dict[tuple[str, str], None] = field(factory=dict, init=False)
    _scps: dict[str, ScpProgram] = field(factory=dict, init=False)
    _scus: dict[str, ScuProgram] = field(factory=dict, init=False)
    _numbers: Iterator[int] = field(default=Factory(lambda: count(1)), init=False)
    tally: Tally = field(factory=Tally, init=False)

    def __repr__(self) -> str:
        counts = f"{len(self._requested)} requested, {len(self._supported)} supported presentation contexts"
        return f"<{type(self).__name__} {self.ae_title!r}: {counts}>"

    def __str__(self) -> str:
        """Say what it proposes and accepts, how long it waits, and whom it takes."""
        kinds = {"requested": self._requested, "supported": self.supported_contexts}
        timeouts = ("acse", "dimse", "network", "connection")
        return "\n".join(
            [
                f"Application entity {self.ae_title}",
                *(line for kind, contexts in kinds.items() for line in described(kind, contexts)),
                *(f"  {name} timeout: {getattr(self, f'{name}_timeout')} s" for name in timeouts),
                f"  required: called AE title {self.require_called_aet}, calling {self.require_calling_aet or 'any'}",
                f"  most associations: {self.maximum_associations}",
            ]
        )

    # --- its presentation contexts ------------------------------------------------------------------------------------

    @property
    def maximum_connections(self) -> int:
        """How many connections a server keeps, whether they have requested an association or not."""
        return self._most_connections or self.maximum_associations + 100

    @maximum_connections.setter
    def maximum_connections(self, count: int | None) -> None:
        self._most_connections = count

    @property
    def requested_contexts(self) -> list[PresentationContext]:
        """What is proposed to acceptors, at most 128; setting it copies the contexts."""
        return self._requested

    @requested_contexts.setter
    def requested_contexts(self, contexts: Iterable[PresentationContext] | None) -> None:
        self._requested = [context.copy() for context in proposable(contexts or ())]

    @property
    def supported_contexts(self) -> list[PresentationContext]:
        """What is accepted from requestors, ordered by UID; setting it merges contexts of one abstract syntax."""
        return sorted(self._supported.values(), key=lambda context: context.abstract_syntax)

    @supported_contexts.setter
    def supported_contexts(self, contexts: Iterable[PresentationContext] | None) -> None:
        self._supported = merge(context.copy() for context in complete(contexts or ()))

    def add_requested_context(
        self, abstract_syntax: str | PresentationContext, transfer_syntax: str | Iterable[str] | None = None
    ) -> None:
        """Propose a presentation context, by default with the four uncompressed transfer syntaxes.

        Raises
        ------
        InvalidSettingError
            If there are 128 already, or no transfer syntax is given.
        InvalidNameError
            If a UID is none.
        """
        context = as_context(abstract_syntax, transfer_syntax)
        proposable([*self._requested, context])
        self._requested.append(context)

    def remove_requested_context(
        self, abstract_syntax: str, transfer_syntax: str | Iterable[str] | None = None
    ) -> None:
        """Propose an abstract syntax no more, or no more with some transfer syntaxes."""
        self._requested = without(self._requested, abstract_syntax, transfer_syntax)

    def add_supported_context(
        self,
        abstract_syntax: str | PresentationContext,
        transfer_syntax: str | Iterable[str] | None = None,
        scu_role: bool | None = None,
        scp_role: bool | None = None,
    ) -> None:
        """Accept an abstract syntax; transfer syntaxes are added to those that it was accepted with before.

        Parameters
        ----------
        abstract_syntax : str or PresentationContext
            The SOP class; a context brings its own transfer syntaxes and roles.
        transfer_syntax : str or iterable of str, optional
            In order of preference; the four uncompressed ones by default.
        scu_role, scp_role : bool, optional
            Whether a requestor that proposes to be the SCU, the SCP may be (PS3.7 D.3.3.4). Without both of them its
            proposals are not answered, and it is the SCU.

        Raises
        ------
        InvalidSettingError
            If both roles are False, or one is no bool, or no transfer syntax is given.
        InvalidNameError
            If a UID is none.
        """
        context = as_context(abstract_syntax, transfer_syntax)
        if not isinstance(abstract_syntax, PresentationContext):
            context.scu_role, context.scp_role = scu_role, scp_role
        add(self._supported, context)

    def remove_supported_context(
        self, abstract_syntax: str, transfer_syntax: str | Iterable[str] | None = None
    ) -> None:
        """Accept an abstract syntax no more, or no more with some transfer syntaxes."""
        self._supported = merge(without(self._supported.values(), abstract_syntax, transfer_syntax))

    # --- its user's own service programs ------------------------------------------------------------------------------

    @property
    def scp_programs(self) -> Mapping[str, ScpProgram]:
        """What has been bound with :meth:`add_scp`, by abstract syntax."""
        return MappingProxyType(self._scps)

    @property
    def scu_programs(self) -> Mapping[str, ScuProgram]:
        """What has been bound with :meth:`add_scu`, by abstract syntax."""
        return MappingProxyType(self._scus)

    def add_scp(
        self,
        program: ScpProgram,
        transfer_syntax: str | Iterable[str] | None = None,
        scu_role: bool | None = None,
        scp_role: bool | None = None,
    ) -> Self:
        """Accept the SOP classes of a program, and let it perform what is asked for on their contexts.

        Associations that exist take part at once. A program that was bound to one of the SOP classes is replaced.

        Parameters
        ----------
        program : callable
            Decorated with :func:`~dicom_proto.programs.user_programs.sop_classes`.
        transfer_syntax, scu_role, scp_role
            As for :meth:`add_supported_context`.

        Returns
        -------
        Self
            This entity, for the next call.

        Raises
        ------
        LocalProtocolError
            If the program is not decorated, is no generator function, or cannot be called with one argument; and as
            for :meth:`add_supported_context`. Nothing is changed then.
        """
        uids = check_scp(program)
        supported = self._supported.copy()
        for context in contexts_of(uids, transfer_syntax):
            add(supported, evolve(context, scu_role=scu_role, scp_role=scp_role))
        self._supported = supported
        self._scps.update(dict.fromkeys(uids, program))
        return self

    def remove_scp(self, program: ScpProgram) -> Self:
        """Unbind a program, and accept its SOP classes no more; one that is not bound changes nothing."""
        for uid in _unbind(self._scps, program):
            self.remove_supported_context(uid)
        return self

    def add_scu(self, program: ScuProgram, transfer_syntax: str | Iterable[str] | None = None) -> Self:
        """Propose the SOP classes of a program, and let :func:`~dicom_proto.programs.user_programs.scu_for` find it.

        A program that was bound to one of the SOP classes is replaced.

        Parameters
        ----------
        program : callable
            Decorated with :func:`~dicom_proto.programs.user_programs.sop_classes`.
        transfer_syntax : str or iterable of str, optional
            As for :meth:`add_requested_context`.

        Returns
        -------
        Self
            This entity, for the next call.

        Raises
        ------
        LocalProtocolError
            If the program is not decorated, or is no generator function; and as for :meth:`add_requested_context`.
            Nothing is changed then.
        """
        uids = sop_classes_of(program)
        contexts = contexts_of(uids, transfer_syntax)
        proposable([*self._requested, *contexts])
        self._requested.extend(contexts)
        self._scus.update(dict.fromkeys(uids, program))
        return self

    def remove_scu(self, program: ScuProgram) -> Self:
        """Unbind a program, and propose its SOP classes no more; one that is not bound changes nothing."""
        for uid in _unbind(self._scus, program):
            self.remove_requested_context(uid)
        return self

    # --- what follows from it -----------------------------------------------------------------------------------------

    @property
    def timeouts(self) -> Timeouts:
        """How long an association waits for what; the standard's own timer, ARTIM, never waits for ever."""
        return _timeouts_of(self.acse_timeout, self.dimse_timeout, self.network_timeout)

    def offer(
        self,
        called_ae_title: str | bytes,
        contexts: Iterable[PresentationContext] | None = None,
        *,
        maximum_length: int | None = None,
        items: Iterable[NegotiationItem] | None = None,
    ) -> AAssociateRQ:
        """Make the request for an association.

        Parameters
        ----------
        called_ae_title : str or bytes
            Whom it is requested from.
        contexts : iterable of PresentationContext, optional
            What is proposed; by default :attr:`requested_contexts`.
        maximum_length : int, optional
            Instead of :attr:`maximum_pdu_size`.
        items : iterable of NegotiationItem, optional
            Roles, extended negotiation, user identity, operations window, and what overrides the settings.

        Raises
        ------
        NothingRequestedError
            If there are no contexts.
        InvalidSettingError
            If there are more than 128 contexts, those included that :attr:`most_transfer_syntaxes` makes of one; or
            one of them or an item is incomplete.
        LocalProtocolError
            If something else breaks a rule of the standard, as for
            :func:`~dicom_proto.upper_layer.negotiation.build_offer`.
        """
        whole = proposable(self._requested if contexts is None else contexts)
        proposed = proposable(split(whole, self.most_transfer_syntaxes))
        if not proposed:
            raise NothingRequestedError("no presentation contexts are requested: call add_requested_context() first")
        length = [] if maximum_length is None else [MaximumLengthNotification(maximum_length)]
        proposals = arrange([*length, *(items or ())], self.local_side).about({one.abstract_syntax for one in proposed})
        return build_offer(
            check_ae_title(called_ae_title),
            self.ae_title,
            [(context.abstract_syntax, context.transfer_syntax) for context in proposed],
            roles=proposals.roles,
            extended=proposals.extended,
            common_extended=proposals.common_extended,
            identity=proposals.identity,
            local=proposals.local,
        )

    def policy(
        self, contexts: Iterable[PresentationContext] | None = None, *, ae_title: str | bytes | None = None
    ) -> Policy:
        """Make the rules by which requests are answered; after a change of the settings see :meth:`required`.

        Parameters
        ----------
        contexts : iterable of PresentationContext, optional
            What is accepted; by default :attr:`supported_contexts`.
        ae_title : str or bytes, optional
            The title that has to be called if :attr:`require_called_aet` is true; by default :attr:`ae_title`.

        Raises
        ------
        NoContextError
            If nothing is supported.
        InvalidSettingError
            If a context is incomplete.
        """
        supported = merge(complete(self._supported.values() if contexts is None else contexts))
        if not (supported or self.unrestricted_storage):
            raise NoContextError("no presentation contexts are supported: call add_supported_context() first")
        no_storage = _no_storage() if self.unrestricted_storage else frozenset()
        return Policy(
            supported={
                uid: _as_supported(context, any_transfer_syntax=self.unrestricted_storage and uid not in no_storage)
                for uid, context in supported.items()
            },
            unrestricted=_ANY_STORAGE if self.unrestricted_storage else None,
            unrestricted_except=no_storage,
            **self.required(ae_title),
        )

    def required(self, ae_title: str | bytes | None = None) -> dict[str, Any]:
        """Return what is required of a requestor and stated to it, as fields of :class:`Policy`.

        They are few and cheap, and a server looks at them for each association; which contexts are supported it keeps.
        """
        return {
            "called_ae_titles": check_ae_title(ae_title or self.ae_title) if self.require_called_aet else None,
            "calling_ae_titles": tuple(self.require_calling_aet),  # which may be appended to
            "requestor_order": self.requestor_order,
            "tolerance": self.tolerance,
            "identity_required": self.require_user_identity,
            "related_general": self.related_general,
            **self._stated(),
        }

    @property
    def counters(self) -> Counters:
        """What it has done until now, in numbers."""
        return self.tally.counters()

    def next_id(self) -> str:
        """Return a short name for another association."""
        return str(next(self._numbers))

    def note_tolerated(self, ae_title: str, tolerated: Tolerated, address: tuple[str, int] = NOWHERE) -> None:
        """Log what a peer was allowed although it breaks the standard: once for each kind and AE title.

        1,024 pairs are remembered; for the oldest that has been forgotten there is another line. It may be called in
        any thread.
        """
        habit = (tolerated.kind, ae_title)
        if habit in self._habits:
            _log.debug("! %s from %r", tolerated.detail, ae_title)
            return
        _log.warning(
            "%r%s breaks the standard, which Tolerance.%s allows: %s (said once)",
            ae_title,
            "" if address == NOWHERE else f" at {place_of(address)}",
            tolerated.kind,
            tolerated.detail,
        )
        self._habits[habit] = None
        if len(self._habits) > _MOST_REMEMBERED:
            self._habits.pop(next(iter(self._habits), habit), None)

    @property
    def local_side(self) -> LocalSide:
        """What this entity states about itself in every association."""
        return LocalSide(**self._stated())

    def _stated(self) -> dict[str, Any]:
        """Return what this entity states about itself in every association: the fields of :class:`LocalSide`."""
        return {
            "maximum_length": self.maximum_pdu_size,
            "maximum_invoked": self.maximum_operations_invoked,
            "maximum_performed": self.maximum_operations_performed,
            "implementation_class_uid": self.implementation_class_uid,
            "implementation_version_name": self.implementation_version_name,
        }


def _unbind(programs: dict[str, _P], program: _P) -> list[str]:
    """Take a program out of what is bound; return the abstract syntaxes that it was bound to."""
    uids = [uid for uid, bound in programs.items() if bound == program]
    for uid in uids:
        del programs[uid]
    return uids


# Of unrestricted storage: who asks for objects with C-GET may propose to be their SCP.
_ANY_STORAGE: Final = Supported(tuple(ALL_TRANSFER_SYNTAXES), scu_role=True, scp_role=True)


def _as_supported(context: PresentationContext, *, any_transfer_syntax: bool) -> Supported:
    """Return what a policy takes; roles are answered only if both are stated, as pynetdicom does."""
    others = ALL_TRANSFER_SYNTAXES if any_transfer_syntax else ()
    roles = (context.scu_role, context.scp_role)
    return Supported((*context.transfer_syntax, *others), *((None, None) if None in roles else roles))


@lru_cache(maxsize=64, typed=True)
def _timeouts_of(acse: float | None, dimse: float | None, network: float | None) -> Timeouts:
    artim = {} if acse is None else {"artim": acse}
    return Timeouts(request=acse, release=acse, response=dimse, idle=network, **artim)


def _no_storage() -> frozenset[str]:
    """Return all SOP classes that are known to be something else than objects to be stored."""
    return frozenset(
        uid for service in ServiceClass if service not in _STORED for uid in sop_classes(service, retired=True)
    )
