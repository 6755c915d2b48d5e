"""What a requestor negotiates besides presentation contexts, under the names that users of pynetdicom know.

Stable.

These items are filled in bit by bit: a value that cannot be right is refused when it is set, what is still missing when
an association is requested. ``None`` is what has not been set. The records of :mod:`dicom_proto.upper_layer.items` will
do as well.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from attrs import define, evolve, field, frozen
from attrs.converters import optional
from pydicom.uid import UID

from dicom_proto.errors import InvalidSettingError
from dicom_proto.names import check_uid, check_version_name
from dicom_proto.offers._settings import FLAG, MAXIMUM_LENGTH, OCTETS, OPTIONAL_FLAG, integer
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
)
from dicom_proto.upper_layer.negotiation import LocalSide

__all__ = [
    "AsynchronousOperationsWindowNegotiation",
    "ImplementationClassUIDNotification",
    "ImplementationVersionNameNotification",
    "MaximumLengthNotification",
    "NegotiationItem",
    "Proposals",
    "SCP_SCU_RoleSelectionNegotiation",
    "SOPClassCommonExtendedNegotiation",
    "SOPClassExtendedNegotiation",
    "UserIdentityNegotiation",
    "arrange",
]

_log = logging.getLogger("dicom_proto.association")
_T = TypeVar("_T")


def _as_uid(uid: str) -> UID:
    return UID(check_uid(uid))


def _as_uids(uids: Iterable[str]) -> list[UID]:
    if isinstance(uids, str) or not isinstance(uids, Iterable):
        raise InvalidSettingError(f"{uids!r} is not a list of UIDs")
    return [_as_uid(uid) for uid in uids]


def _needed(value: _T | None, what: str) -> _T:
    if value is None:
        raise InvalidSettingError(f"the {what} has not been set")
    return value


@define
class MaximumLengthNotification:
    """Longest P-DATA-TF that the requestor wants to receive, in bytes; 0 is no limit (PS3.8 D.1)."""

    maximum_length_received: int = field(default=1 << 17, validator=MAXIMUM_LENGTH)


@define
class ImplementationClassUIDNotification:
    """Which implementation the requestor is (PS3.7 D.3.3.2)."""

    implementation_class_uid: UID | None = field(default=None, converter=optional(_as_uid))


@define
class ImplementationVersionNameNotification:
    """Which version of it, 1 to 16 characters; ``None`` leaves it out (PS3.7 D.3.3.2)."""

    implementation_version_name: str | None = field(default=None, converter=optional(check_version_name))


@define
class AsynchronousOperationsWindowNegotiation:
    """How many operations may be outstanding in each direction; 0 is unlimited (PS3.7 D.3.3.3)."""

    maximum_number_operations_invoked: int = field(default=1, validator=integer(0, 0xFFFF))
    maximum_number_operations_performed: int = field(default=1, validator=integer(0, 0xFFFF))

    def to_item(self) -> OperationsWindow:
        """Return the record of the sub-item."""
        return OperationsWindow(self.maximum_number_operations_invoked, self.maximum_number_operations_performed)


@define
class SCP_SCU_RoleSelectionNegotiation:  # noqa: N801 - the name that users know
    """Roles that the requestor proposes for itself (PS3.7 D.3.3.4)."""

    sop_class_uid: UID | None = field(default=None, converter=optional(_as_uid))
    scu_role: bool | None = field(default=None, validator=OPTIONAL_FLAG)
    scp_role: bool | None = field(default=None, validator=OPTIONAL_FLAG)

    def to_item(self) -> RoleSelection:
        """Return the record of the sub-item.

        Raises
        ------
        InvalidSettingError
            If the SOP class has not been set, or no role.
        """
        uid = _needed(self.sop_class_uid, "SOP class of a role selection")
        if not (self.scu_role or self.scp_role):
            raise InvalidSettingError(f"neither the SCU nor the SCP role is proposed for {uid}")
        return RoleSelection(uid, scu=bool(self.scu_role), scp=bool(self.scp_role))


@define
class SOPClassExtendedNegotiation:
    """Service class application information for a SOP class (PS3.7 D.3.3.5).

    :mod:`dicom_proto.upper_layer.extended` makes the bytes.
    """

    sop_class_uid: UID | None = field(default=None, converter=optional(_as_uid))
    service_class_application_information: bytes | None = field(default=None, validator=OCTETS)

    def to_item(self) -> ExtendedNegotiation:
        """Return the record of the sub-item.

        Raises
        ------
        InvalidSettingError
            If the SOP class or the information has not been set.
        """
        return ExtendedNegotiation(
            _needed(self.sop_class_uid, "SOP class of an extended negotiation"),
            _needed(self.service_class_application_information, "information of an extended negotiation"),
        )


@define
class SOPClassCommonExtendedNegotiation:
    """What a SOP class is: its service class, and those it is a specialization of (PS3.7 D.3.3.6)."""

    sop_class_uid: UID | None = field(default=None, converter=optional(_as_uid))
    service_class_uid: UID | None = field(default=None, converter=optional(_as_uid))
    related_general_sop_class_identification: list[UID] = field(factory=list, converter=_as_uids)

    def to_item(self) -> CommonExtendedNegotiation:
        """Return the record of the sub-item.

        Raises
        ------
        InvalidSettingError
            If the SOP class or the service class has not been set.
        """
        return CommonExtendedNegotiation(
            _needed(self.sop_class_uid, "SOP class of a common extended negotiation"),
            _needed(self.service_class_uid, "service class of a common extended negotiation"),
            tuple(self.related_general_sop_class_identification),
        )


@define
class UserIdentityNegotiation:
    """Who the user is (PS3.7 D.3.3.7): a passcode travels in the clear unless the connection is encrypted.

    Attributes
    ----------
    user_identity_type : int or None
        1 username, 2 username and passcode, 3 Kerberos, 4 SAML, 5 JSON Web Token.
    primary_field : bytes or None
        The username in UTF-8, the ticket, the assertion or the token; never shown in a ``repr``.
    secondary_field : bytes or None
        The passcode in UTF-8, sent with type 2 only; never shown in a ``repr``.
    positive_response_requested : bool
        Whether the acceptor is to say that it accepts the identity.
    """

    user_identity_type: int | None = field(default=None, validator=integer(1, 5, None))
    primary_field: bytes | None = field(default=None, validator=OCTETS, repr=False)
    secondary_field: bytes | None = field(default=b"", validator=OCTETS, repr=False)
    positive_response_requested: bool = field(default=False, validator=FLAG)

    def to_item(self) -> UserIdentity:
        """Return the record of the sub-item.

        Raises
        ------
        InvalidSettingError
            If the type or the primary field has not been set.
        """
        return UserIdentity(
            _needed(self.user_identity_type, "type of a user identity"),
            _needed(self.primary_field, "primary field of a user identity"),
            (self.secondary_field if self.user_identity_type == 2 else None) or b"",
            self.positive_response_requested,
        )


_Record: TypeAlias = OperationsWindow | RoleSelection | ExtendedNegotiation | CommonExtendedNegotiation | UserIdentity
_Convertible: TypeAlias = (
    AsynchronousOperationsWindowNegotiation
    | SCP_SCU_RoleSelectionNegotiation
    | SOPClassExtendedNegotiation
    | SOPClassCommonExtendedNegotiation
    | UserIdentityNegotiation
)
NegotiationItem: TypeAlias = (
    _Convertible
    | _Record
    | MaximumLengthNotification
    | ImplementationClassUIDNotification
    | ImplementationVersionNameNotification
)
"""Whatever a requestor may negotiate besides presentation contexts."""


@frozen(kw_only=True)
class Proposals:
    """Negotiation items in the order in which :func:`~dicom_proto.upper_layer.negotiation.build_offer` wants them."""

    local: LocalSide
    roles: Sequence[RoleSelection]
    extended: Mapping[str, bytes]
    common_extended: Sequence[CommonExtendedNegotiation]
    identity: UserIdentity | None

    def about(self, sop_classes: Collection[str]) -> "Proposals":
        """Return these without what is about SOP classes that are not proposed, which the log names.

        Many programs state the roles of all SOP classes that they know, and propose those that they need.
        """
        uids = [*(role.sop_class_uid for role in self.roles), *self.extended]
        uids += [item.sop_class_uid for item in self.common_extended]
        idle = dict.fromkeys(uid for uid in uids if uid not in sop_classes)
        if not idle:
            return self
        for uid in idle:
            _log.info("what is to be negotiated for %s is left out: no presentation context proposes it", uid)
        return evolve(
            self,
            roles=[role for role in self.roles if role.sop_class_uid not in idle],
            extended={uid: information for uid, information in self.extended.items() if uid not in idle},
            common_extended=[item for item in self.common_extended if item.sop_class_uid not in idle],
        )


def arrange(items: Iterable[NegotiationItem], local: LocalSide) -> Proposals:
    """Sort negotiation items by what they are about; where there may be one only, the last one counts.

    Parameters
    ----------
    items : iterable
        What is proposed.
    local : LocalSide
        What this side states about itself where no item says otherwise.

    Raises
    ------
    InvalidSettingError
        If one is incomplete, or nothing that can be negotiated.
    """
    roles: list[RoleSelection] = []
    extended: dict[str, bytes] = {}
    common_extended: list[CommonExtendedNegotiation] = []
    identity = None
    for item in items:
        record = item.to_item() if isinstance(item, _Convertible) else item
        match record:
            case RoleSelection():
                roles.append(record)
            case ExtendedNegotiation():
                extended[record.sop_class_uid] = record.information
            case CommonExtendedNegotiation():
                common_extended.append(record)
            case UserIdentity():
                identity = record
            case OperationsWindow():
                local = evolve(local, maximum_invoked=record.invoked, maximum_performed=record.performed)
            case MaximumLengthNotification():
                local = evolve(local, maximum_length=record.maximum_length_received)
            case ImplementationClassUIDNotification():
                uid = _needed(record.implementation_class_uid, "implementation class UID")
                local = evolve(local, implementation_class_uid=uid)
            case ImplementationVersionNameNotification():
                local = evolve(local, implementation_version_name=record.implementation_version_name)
            case _:
                raise InvalidSettingError(f"{type(item).__name__} is not something to be negotiated")
    return Proposals(local=local, roles=roles, extended=extended, common_extended=common_extended, identity=identity)
