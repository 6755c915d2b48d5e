"""The two sides of an association, each as it has presented itself: what handlers look at to know whom they serve.

May change.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from attrs import evolve, field, frozen
from pydicom.config import IGNORE
from pydicom.uid import UID

from dicom_proto.dimse.connection import Connection
from dicom_proto.offers.contexts import PresentationContext, build_context
from dicom_proto.upper_layer.items import CommonExtendedNegotiation, OperationsWindow, RoleSelection, UserIdentity
from dicom_proto.upper_layer.negotiation import Agreement, LocalSide
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ

__all__ = ["NOWHERE", "Answer", "ServiceUser", "acceptor_of", "requestor_of"]

NOWHERE: Final = ("", 0)
"""The address of a side that is not known yet."""

Answer: TypeAlias = AAssociateAC | AAssociateRJ
"""What an acceptor says to a request."""

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


def _as_uid(uid: str | None) -> UID | None:
    return None if uid is None else UID(uid, IGNORE)  # a peer may have stated anything


@frozen(kw_only=True)
class ServiceUser:
    """One side of an association (DICOM UL service-user, PS3.8 7.1).

    Attributes
    ----------
    mode : str
        ``"requestor"`` or ``"acceptor"``.
    ae_title : str
        Its AE title: of a requestor, and of the acceptor as the requestor sees it, as the association request states
        it; an acceptor's own handlers see its own title, whatever it was called.
    address, port
        Host and port of its end of the transport connection.
    maximum_length : int
        Longest P-DATA-TF that it wants, in bytes; 0 for any (PS3.8 D.1).
    implementation_class_uid, implementation_version_name : str or None
        Which implementation it is (PS3.7 D.3.3.2).
    requested_contexts : list of PresentationContext
        What the requestor has proposed; empty for an acceptor.
    role_selection : mapping of str to RoleSelection
        The roles that it has proposed or accepted, by SOP Class UID (PS3.7 D.3.3.4).
    sop_class_extended : mapping of str to bytes
        Service class application information by SOP Class UID (PS3.7 D.3.3.5).
    sop_class_common_extended : mapping of str to CommonExtendedNegotiation
        What the requestor has declared (PS3.7 D.3.3.6).
    asynchronous_operations : tuple of int
        Most operations that the requestor invokes and performs at a time; 0 is unlimited (PS3.7 D.3.3.3).
    user_identity : UserIdentity, bytes or None
        What the requestor has stated, the acceptor has answered (PS3.7 D.3.3.7); never shown in a ``repr``.
    primitive : AAssociateRQ, AAssociateAC, AAssociateRJ or None
        The record of what it has said: the request, or the answer. That of a rejection has ``result_str``,
        ``source_str`` and ``reason_str``.
    """

    mode: Literal["requestor", "acceptor"]
    ae_title: str
    address: str
    port: int
    maximum_length: int
    implementation_class_uid: UID | None = field(converter=_as_uid)
    implementation_version_name: str | None
    requested_contexts: list[PresentationContext]
    role_selection: Mapping[str, RoleSelection] = _NONE
    sop_class_extended: Mapping[str, bytes] = _NONE
    sop_class_common_extended: Mapping[str, CommonExtendedNegotiation] = _NONE
    asynchronous_operations: tuple[int, int] = (1, 1)
    user_identity: UserIdentity | bytes | None = None
    primitive: AAssociateRQ | Answer | None = field(default=None, eq=False)

    @property
    def is_requestor(self) -> bool:
        """Whether it has requested the association."""
        return self.mode == "requestor"

    @property
    def is_acceptor(self) -> bool:
        """Whether it has accepted the association, or was asked to."""
        return self.mode == "acceptor"

    def __repr__(self) -> str:
        return f"<{self.mode} {self.ae_title!r} at {self.address}:{self.port}>"

    @property
    def info(self) -> dict[str, Any]:
        """The most important of it: ``mode``, ``ae_title``, ``address``, ``port``, ``pdv_size``."""
        return {
            "mode": self.mode,
            "ae_title": self.ae_title,
            "address": self.address,
            "port": self.port,
            "pdv_size": self.maximum_length,
        }


def requestor_of(connection: Connection, address: tuple[str, int]) -> ServiceUser:
    """Return the requestor of an association: what its request says, and before there is one, only where it is."""
    offer = connection.offer
    if offer is None:
        return _unheard("requestor", "", address)
    stated = offer.user_information
    window = stated.operations_window or OperationsWindow(1, 1)
    return ServiceUser(
        mode="requestor",
        ae_title=offer.calling_ae_title,
        address=address[0],
        port=address[1],
        maximum_length=stated.maximum_length or 0,
        implementation_class_uid=stated.implementation_class_uid,
        implementation_version_name=stated.implementation_version_name,
        requested_contexts=_proposed(offer),
        role_selection={role.sop_class_uid: role for role in stated.roles},
        sop_class_extended={item.sop_class_uid: item.information for item in stated.extended},
        sop_class_common_extended={item.sop_class_uid: item for item in stated.common_extended},
        asynchronous_operations=(window.invoked, window.performed),
        user_identity=stated.identity,
        primitive=offer,
    )


def acceptor_of(
    connection: Connection, local: LocalSide, ae_title: str, address: tuple[str, int], answer: Answer | None = None
) -> ServiceUser:
    """Return the acceptor of an association: what its answer says.

    Before there is one: what this side, if it is the acceptor, is going to say; of the peer only whom was asked for.
    ``ae_title`` is that of this side.
    """
    offer, agreement = connection.offer, connection.agreement
    title = offer.called_ae_title if connection.is_requestor and offer is not None else ae_title
    if agreement is not None:
        return evolve(_answered(agreement, title, address), primitive=answer)
    acceptor = evolve(_unheard("acceptor", title, address), primitive=answer)
    if connection.is_requestor:
        return acceptor
    return evolve(
        acceptor,
        maximum_length=local.maximum_length,
        implementation_class_uid=local.implementation_class_uid,
        implementation_version_name=local.implementation_version_name,
    )


def _answered(agreement: Agreement, ae_title: str, address: tuple[str, int]) -> ServiceUser:
    implementation = agreement.acceptor_implementation
    return ServiceUser(
        mode="acceptor",
        ae_title=ae_title,
        address=address[0],
        port=address[1],
        maximum_length=agreement.acceptor_maximum_length,
        implementation_class_uid=implementation.class_uid,
        implementation_version_name=implementation.version_name,
        requested_contexts=[],
        role_selection=agreement.roles,
        sop_class_extended=agreement.extended,
        asynchronous_operations=(agreement.requestor_window, agreement.acceptor_window),
        user_identity=agreement.identity_response,
    )


def _unheard(mode: Literal["requestor", "acceptor"], ae_title: str, address: tuple[str, int]) -> ServiceUser:
    """Return a side that has not said anything yet."""
    return ServiceUser(
        mode=mode,
        ae_title=ae_title,
        address=address[0],
        port=address[1],
        maximum_length=0,
        implementation_class_uid=None,
        implementation_version_name=None,
        requested_contexts=[],
    )


def _proposed(offer: AAssociateRQ) -> list[PresentationContext]:
    contexts = []
    for proposed in offer.presentation_contexts:
        context = build_context(proposed.abstract_syntax, proposed.transfer_syntaxes)
        context.context_id = proposed.context_id
        contexts.append(context)
    return contexts
