"""Who may have an association: the lists and limits of an entity, and what a refusal is (PS3.8 9.3.4, Table 9-21).

Stable.

Nothing here waits or remembers. An adapter's server asks :func:`admit` for each request, with those that have a place
already; so what is set on the entity counts for the next request.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from attrs import frozen

from dicom_proto.errors import InvalidSettingError
from dicom_proto.names import check_ae_title
from dicom_proto.upper_layer.pdu import AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.policy import (
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    NO_REASON_GIVEN,
    USER_IDENTITY_REFUSED,
    Policy,
)
from dicom_proto.upper_layer.reasons import describe_rejection

__all__ = [
    "Network",
    "Refusal",
    "Rules",
    "TLSState",
    "Visitor",
    "admit",
    "as_limits_by_network",
    "as_limits_by_title",
    "as_networks",
    "place_of",
    "refusal_of",
]

Network: TypeAlias = IPv4Network | IPv6Network
_NONE: Final[Mapping[Any, int]] = MappingProxyType({})
_PLACES: Final = 1 << 31


@frozen
class TLSState:
    """What TLS of a connection has come to.

    Parameters
    ----------
    version : str
        Such as ``"TLSv1.3"``.
    cipher : str
        The name of the cipher suite.
    certificate : mapping or None
        That of the peer as ``ssl.SSLSocket.getpeercert()`` returns it, if it was verified: ``subject``, ``issuer``,
        ``subjectAltName``, ``notAfter`` and more.
    der : bytes or None
        The same, or one that was not verified, in DER.
    """

    version: str
    cipher: str
    certificate: Mapping[str, Any] | None = None
    der: bytes | None = None


@frozen
class Refusal:
    """The answer to a request that is refused, and why.

    Parameters
    ----------
    rejection : AAssociateRJ
        What the requestor is told.
    decided_by : str
        The setting that has decided it, such as ``"AE.require_called_aet"``.
    detail : str
        What was the matter, in words.
    """

    rejection: AAssociateRJ
    decided_by: str
    detail: str

    def __str__(self) -> str:
        """Say it all in a line: in words, in the numbers of Table 9-21, and by which setting."""
        result, source, reason = self.rejection.result, self.rejection.source, self.rejection.reason
        words = describe_rejection(result, source, reason)
        numbers = f"result {int(result)}, source {int(source)}, reason {int(reason)}"
        return f"{words} ({numbers}); decided by {self.decided_by}: {self.detail}"


class Rules(Protocol):
    """What an application entity says about who may have an association; each is explained there.

    What may be set to several types is what ``as_networks``, ``as_limits_by_title`` and ``as_limits_by_network`` make
    of it.
    """

    allow_networks: Any
    deny_networks: Any
    deny_calling_aet: list[str]
    maximum_associations: int
    maximum_by_calling_aet: Any
    maximum_by_address: Any


@runtime_checkable
class Visitor(Protocol):
    """An association, as far as its place is concerned."""

    peer_address: tuple[str, int]
    peer: Any


def place_of(address: tuple[str, int]) -> str:
    """Write host and port in one."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# --- what users set ---------------------------------------------------------------------------------------------------


def _as_network(value: Any) -> Network:
    try:
        return ip_network(value, strict=False)
    except (TypeError, ValueError) as error:
        raise InvalidSettingError(f"{value!r} is no address and no network: {error}") from None


def as_networks(values: Any) -> tuple[Network, ...]:
    """Return networks that a user has stated: addresses or networks of :mod:`ipaddress`, or text of them.

    Raises
    ------
    InvalidSettingError
        If one is none.
    """
    if not values:
        return ()
    if isinstance(values, str | IPv4Network | IPv6Network | IPv4Address | IPv6Address):
        values = [values]
    return tuple(map(_as_network, values))


def _as_limit(count: Any) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _PLACES:
        raise InvalidSettingError(f"{count!r} is no limit: it is a number of associations, 1 or more")
    return count


def _as_limits(stated: Any) -> Mapping[Any, int]:
    if stated is None:
        return _NONE
    limits = stated if isinstance(stated, Mapping) else {None: stated}
    return {who: _as_limit(count) for who, count in limits.items()}


def as_limits_by_title(stated: Any) -> Mapping[str | None, int]:
    """Return limits by calling AE title: a number for each, or a mapping, in which ``None`` is everybody else.

    Raises
    ------
    InvalidNameError, InvalidSettingError
        If a title or a number is none.
    """
    limits = _as_limits(stated).items()
    return MappingProxyType({None if title is None else check_ae_title(title): count for title, count in limits})


def as_limits_by_network(stated: Any) -> Mapping[Network | None, int]:
    """Return limits by address: a number for each, or a mapping of networks, of whose addresses each has that limit.

    Raises
    ------
    InvalidSettingError
        If a network or a number is none.
    """
    limits = _as_limits(stated).items()
    return MappingProxyType({None if where is None else _as_network(where): count for where, count in limits})


# --- what is decided by it --------------------------------------------------------------------------------------------


def admit(rules: Rules, present: Iterable[Visitor], visitor: Visitor, offer: AAssociateRQ) -> Refusal | None:
    """Decide whether a request gets a place; ``None`` if it does.

    Who is on a list of those to be denied learns nothing else; then the limits are looked at.

    Parameters
    ----------
    rules : Rules
        The application entity.
    present : iterable of Visitor
        Those that have a place.
    visitor : Visitor
        Who asks for one.
    offer : AAssociateRQ
        With this request.
    """
    address, title = visitor.peer_address[0], offer.calling_ae_title.strip(" ")
    refusal = _listed(rules, address, title)
    if refusal is not None:
        return refusal
    places = list(present)
    if len(places) >= rules.maximum_associations:
        return _full("AE.maximum_associations", f"all {rules.maximum_associations} places are taken")
    most = _limit_of_title(rules.maximum_by_calling_aet, title)
    if most is not None and sum(other.peer.ae_title.strip(" ") == title for other in places) >= most:
        return _full("AE.maximum_by_calling_aet", f"{title!r} has {most} already")
    most = _limit_of_address(rules.maximum_by_address, address)
    if most is not None and sum(other.peer_address[0] == address for other in places) >= most:
        return _full("AE.maximum_by_address", f"{address} has {most} already")
    return None


def _listed(rules: Rules, address: str, title: str) -> Refusal | None:
    if rules.deny_networks and is_within(address, rules.deny_networks):
        return Refusal(NO_REASON_GIVEN, "AE.deny_networks", f"{address} is denied")
    if rules.allow_networks and not is_within(address, rules.allow_networks):
        return Refusal(NO_REASON_GIVEN, "AE.allow_networks", f"{address} is not allowed")
    if title in rules.deny_calling_aet:
        return Refusal(CALLING_AE_TITLE_NOT_RECOGNIZED, "AE.deny_calling_aet", f"{title!r} is denied")
    return None


def _full(setting: str, detail: str) -> Refusal:
    return Refusal(LOCAL_LIMIT_EXCEEDED, setting, detail)


def _as_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read the address of a socket; an IPv4 one that an IPv6 socket shows is an IPv4 one."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:  # of no network: a pipe, or a name
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_within(text: str, networks: Iterable[Network]) -> bool:
    address = _as_address(text)
    return address is not None and any(address in network for network in networks)


def _limit_of_title(limits: Mapping[str | None, int], title: str) -> int | None:
    return limits.get(title, limits.get(None))


def _limit_of_address(limits: Mapping[Network | None, int], text: str) -> int | None:
    """Return the limit of the smallest network that an address is in."""
    stated = [network for network in limits if network is not None]
    address = _as_address(text) if stated else None
    networks = [network for network in stated if address is not None and address in network]
    return limits[max(networks, key=lambda network: network.prefixlen)] if networks else limits.get(None)


def refusal_of(offer: AAssociateRQ, policy: Policy, rejection: AAssociateRJ) -> Refusal:
    """Say which setting has decided what :func:`~dicom_proto.upper_layer.policy.review` has."""
    called, calling = offer.called_ae_title.strip(" "), offer.calling_ae_title.strip(" ")
    if rejection == CALLED_AE_TITLE_NOT_RECOGNIZED:
        return _title_refused(rejection, "AE.require_called_aet", called, policy.called_ae_titles)
    if rejection == CALLING_AE_TITLE_NOT_RECOGNIZED:
        return _title_refused(rejection, "AE.require_calling_aet", calling, policy.calling_ae_titles)
    if rejection == USER_IDENTITY_REFUSED:
        return Refusal(rejection, "AE.require_user_identity", "the request states no user identity")
    if rejection == APPLICATION_CONTEXT_NAME_NOT_SUPPORTED:
        return Refusal(rejection, "PS3.7 A.2.1", f"the application context is {offer.application_context_name[:64]!r}")
    return Refusal(rejection, "PS3.8 9.3.2", f"the protocol version is {offer.protocol_version:04X}H")


def _title_refused(rejection: AAssociateRJ, setting: str, title: str, recognized: Iterable[str]) -> Refusal:
    if not title and not recognized:
        return Refusal(rejection, "Tolerance.blank_ae_titles", "the AE title is blank")
    wanted = " or ".join(map(repr, sorted(recognized)[:10]))
    return Refusal(rejection, setting, f"{title!r} is not {wanted}")
