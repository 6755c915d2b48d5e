"""Who may do what with an archive: by AE title, by network, by service.

May change.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen

from dicom_proto.application.access import Network, as_networks, is_within
from dicom_proto.errors import InvalidSettingError
from dicom_proto.handlers.kinds import (
    EVT_C_ECHO,
    EVT_C_FIND,
    EVT_C_GET,
    EVT_C_MOVE,
    EVT_C_STORE,
    EVT_N_ACTION,
    EVT_N_CREATE,
    EVT_N_GET,
    EVT_N_SET,
)
from dicom_proto.names import check_ae_title
from dicom_proto.offers._settings import FLAG, integer
from dicom_proto.sop_class import ModalityWorklistInformationFind
from dicom_proto.upper_layer.pdu import AAssociateRJ
from dicom_proto.upper_layer.policy import (
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    NO_REASON_GIVEN,
    USER_IDENTITY_REFUSED,
)

__all__ = ["SERVICES", "Access", "Rule", "service_of"]

_READING: Final = ("find", "get", "move", "worklist")
_WRITING: Final = ("store", "mpps", "commitment")
SERVICES: Final[Mapping[str, tuple[str, ...]]] = {
    "read": _READING,
    "write": _WRITING,
    **{name: (name,) for name in (*_READING, *_WRITING)},
}
"""What a rule can name, and the services that it stands for. Everybody who may have an association may C-ECHO."""

_SERVICE_OF: Final = {
    EVT_C_STORE: "store",
    EVT_C_FIND: "find",
    EVT_C_GET: "get",
    EVT_C_MOVE: "move",
    EVT_N_CREATE: "mpps",
    EVT_N_SET: "mpps",
    EVT_N_GET: "mpps",
    EVT_N_ACTION: "commitment",
}


def service_of(event: Any) -> str:
    """Return what a request asks for: a name of :data:`SERVICES`, or ``"echo"``."""
    if event.event is EVT_C_ECHO:
        return "echo"
    if event.event is EVT_C_FIND and event.context.abstract_syntax == ModalityWorklistInformationFind:
        return "worklist"
    return _SERVICE_OF[event.event]


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    texts = tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(isinstance(one, str) for one in texts):
        raise InvalidSettingError(f"{value!r} is not a list of text")
    return texts


def _as_titles(value: Any) -> tuple[str, ...]:
    return tuple(map(check_ae_title, _texts(value)))


def _as_networks(value: Any) -> tuple[Network, ...]:
    return as_networks(_texts(value))


def _as_services(value: Any) -> frozenset[str]:
    names = _texts(value)
    for name in names:
        if name not in SERVICES:
            raise InvalidSettingError(f"there is no service {name!r}: there are {', '.join(SERVICES)}")
    return frozenset(service for name in names for service in SERVICES[name])


_PLACES: Final = integer(1, 1 << 31, None)


@frozen(kw_only=True)
class Rule:
    """Who may do what.

    Parameters
    ----------
    calling : sequence of str
        The calling AE titles that it is about; empty for all.
    networks : sequence of str
        The addresses and networks that it is about; empty for all.
    services : sequence of str
        What they may do, in words of :data:`SERVICES`; by default everything. What they may not is answered with 0124H
        (not authorized); nothing at all means that they may not have an association.
    user_identity : bool
        Whether they have to state a user identity; who decides about it is said elsewhere.
    maximum_associations : int, optional
        How many associations each of the titles may have at a time.
    maximum_by_address : int, optional
        How many each address of the networks may have.
    """

    calling: tuple[str, ...] = field(default=(), converter=_as_titles)
    networks: tuple[Network, ...] = field(default=(), converter=_as_networks)
    services: frozenset[str] = field(default=("read", "write"), converter=_as_services)
    user_identity: bool = field(default=False, validator=FLAG)
    maximum_associations: int | None = field(default=None, validator=_PLACES)
    maximum_by_address: int | None = field(default=None, validator=_PLACES)

    def __attrs_post_init__(self) -> None:
        if self.maximum_associations is not None and not self.calling:
            raise InvalidSettingError("maximum_associations is for each AE title of 'calling': name some")
        if self.maximum_by_address is not None and not self.networks:
            raise InvalidSettingError("maximum_by_address is for each address of 'networks': name some")

    def knows(self, title: str) -> bool:
        """Whether it is about a calling AE title."""
        return not self.calling or title in self.calling

    def is_about(self, title: str, address: str) -> bool:
        """Whether it is about a calling AE title at an address."""
        return self.knows(title) and (not self.networks or is_within(address, self.networks))


_ANYBODY: Final = Rule()


def _as_rules(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(rules)


@frozen
class Access:
    """The rules; the first that is about a requestor counts. Without rules everybody may do everything.

    Parameters
    ----------
    rules : sequence of Rule
        In order.
    """

    rules: tuple[Rule, ...] = field(default=(), converter=_as_rules)

    def rule_for(self, title: str, address: str) -> Rule | None:
        """Return the rule that counts for a calling AE title at an address; ``None`` if they are unknown."""
        if not self.rules:
            return _ANYBODY
        return next((rule for rule in self.rules if rule.is_about(title, address)), None)

    def decide(self, event: Any) -> bool | AAssociateRJ:
        """Say who may have an association: a handler of ``EVT_ACCESS``.

        Who calls by a title that no rule knows is told that it is not recognized; the right title at the wrong address,
        or one that may do nothing, is told no reason (PS3.8 Table 9-21).
        """
        title = event.calling_ae_title.strip(" ")
        rule = self.rule_for(title, event.address[0])
        if rule is None:
            is_known = any(rule.knows(title) for rule in self.rules)
            return NO_REASON_GIVEN if is_known else CALLING_AE_TITLE_NOT_RECOGNIZED
        if rule.user_identity and event.identity is None:
            return USER_IDENTITY_REFUSED
        return True if rule.services else NO_REASON_GIVEN

    def allows(self, event: Any) -> bool:
        """Whether a request may be performed: its requestor may use the service."""
        service = service_of(event)
        rule = self.rule_for(event.source_ae_title, event.assoc.peer_address[0])
        return rule is not None and (service == "echo" or service in rule.services)

    @property
    def maximum_by_calling_aet(self) -> dict[str | None, int]:
        """How many associations a calling AE title may have, as the setting of an AE; the first rule counts."""
        return {
            title: rule.maximum_associations
            for rule in reversed(self.rules)
            for title in rule.calling
            if rule.maximum_associations is not None
        }

    @property
    def maximum_by_address(self) -> dict[Network | None, int]:
        """How many each address of a network may have, as the setting of an AE."""
        return {
            network: rule.maximum_by_address
            for rule in reversed(self.rules)
            for network in rule.networks
            if rule.maximum_by_address is not None
        }
