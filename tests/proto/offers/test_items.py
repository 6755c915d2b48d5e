"""Negotiation items that are filled in bit by bit."""

from typing import Any

import pytest
from attrs import fields
from pydicom.uid import UID

from dicom_proto.errors import InvalidNameError, InvalidSettingError, LocalProtocolError
from dicom_proto.offers import items as n
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
)
from dicom_proto.upper_layer.negotiation import DEFAULT_LOCAL_SIDE, LocalSide
from tests.proto.rows import for_each

CT, STORAGE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.4.2"

NAMES = {  # what users of pynetdicom set
    n.UserIdentityNegotiation: (
        "user_identity_type",
        "primary_field",
        "secondary_field",
        "positive_response_requested",
    ),
    n.SCP_SCU_RoleSelectionNegotiation: ("sop_class_uid", "scu_role", "scp_role"),
    n.SOPClassExtendedNegotiation: ("sop_class_uid", "service_class_application_information"),
    n.SOPClassCommonExtendedNegotiation: (
        "sop_class_uid",
        "service_class_uid",
        "related_general_sop_class_identification",
    ),
    n.AsynchronousOperationsWindowNegotiation: (
        "maximum_number_operations_invoked",
        "maximum_number_operations_performed",
    ),
    n.MaximumLengthNotification: ("maximum_length_received",),
    n.ImplementationClassUIDNotification: ("implementation_class_uid",),
    n.ImplementationVersionNameNotification: ("implementation_version_name",),
}


@for_each(("kind", "names"), NAMES.items())
def test_every_item_begins_empty_and_has_the_known_names(kind: Any, names: tuple[str, ...]) -> None:
    assert tuple(attribute.name for attribute in fields(kind)) == names
    assert kind() == kind()


def filled(kind: Any, **values: Any) -> Any:
    """An item whose attributes are set one after the other, as users do it."""
    item = kind()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def test_operations_window() -> None:
    assert n.AsynchronousOperationsWindowNegotiation().to_item() == OperationsWindow(1, 1)
    item = filled(
        n.AsynchronousOperationsWindowNegotiation,
        maximum_number_operations_invoked=0,
        maximum_number_operations_performed=0xFFFF,
    )
    assert item.to_item() == OperationsWindow(0, 0xFFFF)


def test_role_selection() -> None:
    item = filled(n.SCP_SCU_RoleSelectionNegotiation, sop_class_uid=CT, scp_role=True)
    assert item.to_item() == RoleSelection(CT, scu=False, scp=True)
    assert isinstance(item.sop_class_uid, UID)


def test_extended_negotiation() -> None:
    item = filled(n.SOPClassExtendedNegotiation, sop_class_uid=CT, service_class_application_information=b"\2")
    assert item.to_item() == ExtendedNegotiation(CT, b"\2")


def test_common_extended_negotiation() -> None:
    item = filled(n.SOPClassCommonExtendedNegotiation, sop_class_uid=CT, service_class_uid=STORAGE)
    assert item.to_item() == CommonExtendedNegotiation(CT, STORAGE)
    item.related_general_sop_class_identification = ["1.2", "1.3"]
    assert item.to_item() == CommonExtendedNegotiation(CT, STORAGE, ("1.2", "1.3"))


def test_user_identity() -> None:
    item = filled(n.UserIdentityNegotiation, user_identity_type=1, primary_field=b"who", secondary_field=None)
    assert item.to_item() == UserIdentity(1, b"who")
    item.user_identity_type, item.secondary_field, item.positive_response_requested = 2, b"secret", True
    assert item.to_item() == UserIdentity(2, b"who", b"secret", True)
    item.user_identity_type = 1  # which has no passcode
    assert item.to_item() == UserIdentity(1, b"who", b"", True)
    assert "who" not in repr(item)
    assert "secret" not in repr(item)


@for_each(
    ("item", "missing"),
    [
        (n.SCP_SCU_RoleSelectionNegotiation(scu_role=True), "SOP class"),
        (n.SCP_SCU_RoleSelectionNegotiation(CT), "neither the SCU nor the SCP role"),
        (n.SCP_SCU_RoleSelectionNegotiation(CT, False, False), "neither the SCU nor the SCP role"),
        (n.SOPClassExtendedNegotiation(None, b""), "SOP class"),
        (n.SOPClassExtendedNegotiation(CT), "information"),
        (n.SOPClassCommonExtendedNegotiation(None, STORAGE), "SOP class"),
        (n.SOPClassCommonExtendedNegotiation(CT), "service class"),
        (n.UserIdentityNegotiation(primary_field=b"who"), "type"),
        (n.UserIdentityNegotiation(1), "primary field"),
    ],
)
def test_what_is_missing_is_said(item: Any, missing: str) -> None:
    with pytest.raises(InvalidSettingError, match=missing):
        item.to_item()


@for_each(
    ("item", "name", "value"),
    [
        (n.UserIdentityNegotiation(), "user_identity_type", 6),
        (n.UserIdentityNegotiation(), "primary_field", "who"),
        (n.UserIdentityNegotiation(), "positive_response_requested", None),
        (n.SCP_SCU_RoleSelectionNegotiation(), "scu_role", 1),
        (n.SOPClassExtendedNegotiation(), "service_class_application_information", "x"),
        (n.SOPClassCommonExtendedNegotiation(), "related_general_sop_class_identification", "1.2"),
        (n.SOPClassCommonExtendedNegotiation(), "related_general_sop_class_identification", None),
        (n.AsynchronousOperationsWindowNegotiation(), "maximum_number_operations_invoked", 0x10000),
        (n.AsynchronousOperationsWindowNegotiation(), "maximum_number_operations_performed", -1),
        (n.MaximumLengthNotification(), "maximum_length_received", 7),
    ],
)
def test_values_that_cannot_be_right(item: Any, name: str, value: object) -> None:
    before = repr(item)
    with pytest.raises(InvalidSettingError):
        setattr(item, name, value)
    assert repr(item) == before


@for_each(
    ("item", "name", "value"),
    [
        (n.SCP_SCU_RoleSelectionNegotiation(), "sop_class_uid", "CT"),
        (n.SOPClassCommonExtendedNegotiation(), "related_general_sop_class_identification", ["CT"]),
        (n.ImplementationClassUIDNotification(), "implementation_class_uid", "1.02"),
        (n.ImplementationVersionNameNotification(), "implementation_version_name", "x" * 17),
    ],
)
def test_names_that_are_none(item: Any, name: str, value: object) -> None:
    with pytest.raises(InvalidNameError):
        setattr(item, name, value)


def test_nothing_to_arrange() -> None:
    assert n.arrange([], DEFAULT_LOCAL_SIDE) == n.Proposals(
        local=DEFAULT_LOCAL_SIDE, roles=[], extended={}, common_extended=[], identity=None
    )


def test_items_and_records_are_arranged_alike() -> None:
    arranged = n.arrange(
        [
            n.SCP_SCU_RoleSelectionNegotiation("1.1", True),
            RoleSelection("1.2", scu=False, scp=True),
            n.SOPClassExtendedNegotiation("1.1", b"\1"),
            ExtendedNegotiation("1.2", b"\2"),
            n.SOPClassCommonExtendedNegotiation("1.1", STORAGE),
            CommonExtendedNegotiation("1.2", STORAGE),
            UserIdentity(1, b"replaced"),
            n.UserIdentityNegotiation(1, b"who"),
            n.AsynchronousOperationsWindowNegotiation(2, 3),
            n.MaximumLengthNotification(16382),
            n.ImplementationClassUIDNotification("1.2.3"),
            n.ImplementationVersionNameNotification("NAME"),
        ],
        DEFAULT_LOCAL_SIDE,
    )
    assert arranged == n.Proposals(
        local=LocalSide(
            maximum_length=16382,
            maximum_invoked=2,
            maximum_performed=3,
            implementation_class_uid="1.2.3",
            implementation_version_name="NAME",
        ),
        roles=[RoleSelection("1.1", scu=True, scp=False), RoleSelection("1.2", scu=False, scp=True)],
        extended={"1.1": b"\1", "1.2": b"\2"},
        common_extended=[CommonExtendedNegotiation("1.1", STORAGE), CommonExtendedNegotiation("1.2", STORAGE)],
        identity=UserIdentity(1, b"who"),
    )


def test_a_version_name_can_be_left_out() -> None:
    arranged = n.arrange([n.ImplementationVersionNameNotification()], DEFAULT_LOCAL_SIDE)
    assert arranged.local.implementation_version_name is None


def test_what_cannot_be_arranged() -> None:
    with pytest.raises(InvalidSettingError, match="implementation class UID"):
        n.arrange([n.ImplementationClassUIDNotification()], DEFAULT_LOCAL_SIDE)
    with pytest.raises(InvalidSettingError, match="str is not something to be negotiated"):
        n.arrange(["secret"], DEFAULT_LOCAL_SIDE)  # type: ignore[list-item]
    with pytest.raises(LocalProtocolError, match="number of operations"):
        n.arrange([OperationsWindow(-1, 1)], DEFAULT_LOCAL_SIDE)


def test_what_is_about_what_is_not_proposed_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "dicom_proto")
    both = n.Proposals(
        local=DEFAULT_LOCAL_SIDE,
        roles=[RoleSelection(CT, scu=True, scp=True), RoleSelection(STORAGE, scu=True, scp=True)],
        extended={CT: b"a", STORAGE: b"b"},
        common_extended=[CommonExtendedNegotiation(STORAGE, STORAGE)],
        identity=None,
    )
    assert both.about([CT, STORAGE]) is both
    assert caplog.messages == []
    left = both.about([CT])
    assert (list(left.roles), left.extended, list(left.common_extended)) == ([both.roles[0]], {CT: b"a"}, [])
    assert [STORAGE in message for message in caplog.messages] == [True]
