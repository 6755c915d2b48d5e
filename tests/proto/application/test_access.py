"""Who gets a place: networks, titles, limits; and what a refusal says."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest
from attrs import define, evolve

from dicom_proto.application.access import (
    Network,
    Refusal,
    Visitor,
    admit,
    as_limits_by_network,
    as_limits_by_title,
    as_networks,
    place_of,
    refusal_of,
)
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.errors import InvalidNameError, InvalidSettingError
from dicom_proto.limits import Tolerance
from dicom_proto.upper_layer.pdu import AAssociateRQ
from dicom_proto.upper_layer.policy import (
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    NO_REASON_GIVEN,
    PROTOCOL_VERSION_NOT_SUPPORTED,
    USER_IDENTITY_REFUSED,
    Policy,
    Review,
    review,
)
from tests.proto.programs.script import IMPLICIT, VERIFICATION, offer_of
from tests.proto.rows import for_each

POLICY = Policy(supported={VERIFICATION: IMPLICIT})


@define
class Title:
    ae_title: str


class Client:
    """An association that asks for a place, or has one."""

    def __init__(self, address: str = "192.0.2.7", title: str = "CT1") -> None:
        self.peer_address = (address, 4711)
        self.peer = Title(title)


def offer(calling: str = "CT1") -> AAssociateRQ:
    return evolve(offer_of(VERIFICATION), calling_ae_title=calling)


def decided(*present: Visitor, client: Client | None = None, **settings: Any) -> Refusal | None:
    entity = ApplicationEntity("ARCHIVE")
    for name, value in settings.items():
        setattr(entity, name, value)
    asking = client or Client()
    return admit(entity, present, asking, offer(asking.peer.ae_title))


def test_by_default_everybody_gets_one_of_ten_places() -> None:
    clients = [Client() for _ in range(10)]
    assert decided(*clients[:9]) is None
    assert decided(*clients) == Refusal(LOCAL_LIMIT_EXCEEDED, "AE.maximum_associations", "all 10 places are taken")


@for_each(
    ("networks", "address", "is_within"),
    [
        ("192.0.2.0/24", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.7", True),
        (["198.51.100.0/24", "192.0.2.0/28"], "192.0.2.7", True),
        (["198.51.100.0/24", "2001:db8::/32"], "192.0.2.7", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("192.0.2.0/24", "::ffff:192.0.2.7", True),
        (IPv4Network("192.0.2.0/24"), "192.0.2.7", True),
        ("192.0.2.9/24", "192.0.2.7", True),  # an address with its mask
        ("0.0.0.0/0", "", False),  # of no network
    ],
)
def test_networks(networks: Any, address: str, is_within: bool) -> None:
    denied, allowed = (
        decided(client=Client(address), **{name: networks}) for name in ("deny_networks", "allow_networks")
    )
    assert denied == (Refusal(NO_REASON_GIVEN, "AE.deny_networks", f"{address} is denied") if is_within else None)
    assert allowed == (
        None if is_within else Refusal(NO_REASON_GIVEN, "AE.allow_networks", f"{address} is not allowed")
    )


def test_who_is_denied_is_so_although_it_is_allowed() -> None:
    refusal = decided(allow_networks="192.0.2.0/24", deny_networks=["192.0.2.7"], deny_calling_aet=["CT1"])
    assert refusal is not None
    assert refusal.decided_by == "AE.deny_networks"


def test_titles_that_are_denied() -> None:
    refusal = Refusal(CALLING_AE_TITLE_NOT_RECOGNIZED, "AE.deny_calling_aet", "'CT1' is denied")
    assert decided(deny_calling_aet=["MR1", "CT1"]) == refusal
    assert decided(client=Client(title="CT1 "), deny_calling_aet="CT1") == refusal
    assert decided(deny_calling_aet=["ct1"]) is None


def test_lists_count_before_limits() -> None:
    clients = [Client() for _ in range(10)]
    refusal = decided(*clients, deny_calling_aet=["CT1"])
    assert refusal is not None
    assert refusal.decided_by == "AE.deny_calling_aet"


@for_each(
    ("limits", "title", "most"),
    [
        (2, "CT1", 2),
        ({"CT1": 2}, "CT1", 2),
        ({"CT1": 2}, "MR1", None),
        ({"CT1": 2, None: 1}, "MR1", 1),
        (None, "CT1", None),
    ],
)
def test_limits_by_title(limits: Any, title: str, most: int | None) -> None:
    others = [Client(title="XA1") for _ in range(3)]
    for count in range(4):
        present = [Client(f"192.0.2.{number}", f"{title} ") for number in range(count)]
        refusal = decided(*others, *present, client=Client(title=title), maximum_by_calling_aet=limits)
        is_full = most is not None and count >= most
        expected = Refusal(LOCAL_LIMIT_EXCEEDED, "AE.maximum_by_calling_aet", f"{title!r} has {most} already")
        assert refusal == (expected if is_full else None)


@for_each(
    ("limits", "address", "most"),
    [
        (2, "192.0.2.7", 2),
        ({"192.0.2.0/24": 2}, "192.0.2.7", 2),
        ({"192.0.2.0/24": 2}, "198.51.100.1", None),
        ({"192.0.2.0/24": 2, None: 1}, "198.51.100.1", 1),
        ({"192.0.2.0/24": 3, "192.0.2.7": 1, "192.0.0.0/16": 2}, "192.0.2.7", 1),
        ({"192.0.2.0/24": 2, None: 1}, "", 1),
    ],
)
def test_limits_by_address(limits: Any, address: str, most: int | None) -> None:
    others = [Client("203.0.113.1") for _ in range(3)]
    for count in range(4):
        present = [Client(address, f"CT{number}") for number in range(count)]
        refusal = decided(*others, *present, client=Client(address), maximum_by_address=limits)
        expected = Refusal(LOCAL_LIMIT_EXCEEDED, "AE.maximum_by_address", f"{address} has {most} already")
        assert refusal == (expected if most is not None and count >= most else None)


# --- what users set ---------------------------------------------------------------------------------------------------


def test_networks_are_read() -> None:
    networks: tuple[Network, ...] = (IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::1/128"))
    assert as_networks(["192.0.2.0/24", "2001:db8::1"]) == networks
    assert as_networks(IPv4Address("192.0.2.1")) == (IPv4Network("192.0.2.1/32"),)
    assert as_networks(None) == as_networks("") == as_networks([]) == ()


@pytest.mark.parametrize("wrong", ["archive.example", ["192.0.2.0/33"], ["192.0.2.256"], [None], [1.5]])
def test_what_is_no_network(wrong: Any) -> None:
    with pytest.raises(InvalidSettingError, match="is no address and no network"):
        as_networks(wrong)


def test_limits_are_read() -> None:
    assert as_limits_by_title(3) == {None: 3}
    assert as_limits_by_title({b"CT1 ": 2, None: 1}) == {"CT1": 2, None: 1}
    assert as_limits_by_network({"192.0.2.0/24": 4}) == {IPv4Network("192.0.2.0/24"): 4}
    assert as_limits_by_title(None) == as_limits_by_network(None) == {}


@pytest.mark.parametrize("wrong", [0, -1, True, "2", {"CT1": 0}, {None: 1.5}])
def test_what_is_no_limit(wrong: Any) -> None:
    with pytest.raises(InvalidSettingError, match="is no limit"):
        as_limits_by_title(wrong)


def test_limits_of_what_is_no_title_and_no_network() -> None:
    with pytest.raises(InvalidNameError):
        as_limits_by_title({"A\\B": 1})
    with pytest.raises(InvalidSettingError, match="'CT1' is no address"):
        as_limits_by_network({"CT1": 1})


# --- what a refusal says ----------------------------------------------------------------------------------------------


@for_each(
    ("changes", "policy", "rejection", "decided_by", "detail"),
    [
        (
            {},
            {"called_ae_titles": "OTHER"},
            CALLED_AE_TITLE_NOT_RECOGNIZED,
            "AE.require_called_aet",
            "'CALLED' is not 'OTHER'",
        ),
        (
            {},
            {"calling_ae_titles": ["B", "A"]},
            CALLING_AE_TITLE_NOT_RECOGNIZED,
            "AE.require_calling_aet",
            "'CALLING' is not 'A' or 'B'",
        ),
        (
            {"calling_ae_title": " "},
            {"tolerance": Tolerance(blank_ae_titles=False)},
            CALLING_AE_TITLE_NOT_RECOGNIZED,
            "Tolerance.blank_ae_titles",
            "the AE title is blank",
        ),
        (
            {"called_ae_title": ""},
            {"called_ae_titles": "A"},
            CALLED_AE_TITLE_NOT_RECOGNIZED,
            "AE.require_called_aet",
            "'' is not 'A'",
        ),
        (
            {},
            {"identity_required": True},
            USER_IDENTITY_REFUSED,
            "AE.require_user_identity",
            "the request states no user identity",
        ),
        (
            {"application_context_name": "1.2.3"},
            {},
            APPLICATION_CONTEXT_NAME_NOT_SUPPORTED,
            "PS3.7 A.2.1",
            "the application context is '1.2.3'",
        ),
        ({"protocol_version": 2}, {}, PROTOCOL_VERSION_NOT_SUPPORTED, "PS3.8 9.3.2", "the protocol version is 0002H"),
    ],
)
def test_which_setting_has_decided(changes: Any, policy: Any, rejection: Any, decided_by: str, detail: str) -> None:
    request, rules = evolve(offer_of(VERIFICATION), **changes), evolve(POLICY, **policy)
    answer = review(request, rules)
    assert not isinstance(answer, Review)
    assert refusal_of(request, rules, answer) == Refusal(rejection, decided_by, detail)


def test_a_refusal_in_a_line() -> None:
    assert str(Refusal(LOCAL_LIMIT_EXCEEDED, "AE.maximum_by_address", "192.0.2.7 has 2 already")) == (
        "rejected for now by the service-provider (presentation): local limit exceeded (result 2, source 3, reason 2);"
        " decided by AE.maximum_by_address: 192.0.2.7 has 2 already"
    )


def test_addresses_in_words() -> None:
    assert [place_of(("192.0.2.7", 104)), place_of(("::1", 104))] == ["192.0.2.7:104", "[::1]:104"]
