"""Which program performs a request of the peer: the table of services, and what becomes of requests that none fits.

May change.
"""

import logging
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final

from dicom_proto.dimse.events import RequestReceived
from dicom_proto.dimse.messages import (
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CStoreRQ,
    DataSet,
    Request,
)
from dicom_proto.errors import DicomProtoError, LimitExceededError
from dicom_proto.programs.effects import Program
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.performing import PROCESSING_FAILURE, Answer, Performing
from dicom_proto.programs.user_programs import ScpProgram
from dicom_proto.service_class import ServiceClass
from dicom_proto.services.management.normalized import EVENTS, normalized_scp
from dicom_proto.services.query import find_scp
from dicom_proto.services.retrieve.get import get_scp
from dicom_proto.services.retrieve.move import move_scp
from dicom_proto.services.storage.store import store_scp
from dicom_proto.services.verification import echo_scp
from dicom_proto.sop_class import dimse_services, service_class_of, sop_classes, uid_to_sop_class
from dicom_proto.status import Status
from dicom_proto.upper_layer.state_table import State

__all__ = ["SCP_PROGRAMS", "perform"]

_log = logging.getLogger("dicom_proto.services")

SCP_PROGRAMS: Final[Mapping[type[Request], ScpProgram]] = {
    CEchoRQ: echo_scp,
    CStoreRQ: store_scp,
    CFindRQ: find_scp,
    CGetRQ: get_scp,
    CMoveRQ: move_scp,
    **dict.fromkeys(EVENTS, normalized_scp),
}
_SOP_CLASS: Final = {  # what a request calls the SOP class that it is about
    kind: next(element.attribute for element in kind.elements if element.attribute.endswith("_sop_class_uid"))
    for kind in SCP_PROGRAMS
}
_SOP_INSTANCE: Final = {  # and what the instance
    kind: next((element.attribute for element in kind.elements if element.attribute.endswith("_sop_instance_uid")), "")
    for kind in SCP_PROGRAMS
}
_ALWAYS: Final = DataSet.ALWAYS  # looking up a member of an Enum in its class is slow before Python 3.12
_OUT_OF_RESOURCES: Final = Answer(Status.OUT_OF_RESOURCES)
_FAILURE: Final = Answer(PROCESSING_FAILURE)
_ENDED: Final = frozenset({State.Sta1, State.Sta13})


def perform(peer: Peer, received: RequestReceived) -> Program[None]:
    """Perform an operation that the peer has asked for, to its final response.

    Raises
    ------
    AssociationFailure, LocalProtocolError
        Only if the association ends meanwhile. Any other exception is logged, and costs this operation only.
    """
    if received.message_id not in peer.connection.performed:
        _log.debug("! a %s came too late to be answered", received.request.name)
        inbox = peer.router.find((received.message_id, False))
        if inbox is not None:
            inbox.close()
        return
    performing = Performing(peer, received)
    own = _own_program(performing) if peer.entity is not None and peer.entity.scp_programs else None
    try:
        refusal = _refusal(performing, own)
        if refusal is not None:
            what = performing.request.summary()
            _log.error("%s for %s is refused with %04XH", what, performing.context.abstract_syntax, refusal)
            performing.respond(Answer(refusal))
        elif own is not None:
            yield from _run_own(own, performing)
        else:
            yield from SCP_PROGRAMS[type(performing.request)](performing)
    except Exception as error:
        if not performing.is_outstanding:
            raise
        _log.exception("a %s failed", received.request.name)
        performing.respond(_OUT_OF_RESOURCES if isinstance(error, LimitExceededError) else _FAILURE)
    finally:
        if performing.inbox.is_open:
            performing.close()


def _run_own(program: ScpProgram, performing: Performing) -> Program[None]:
    """Run a program of the user's own, which may do more than it should: end too early, or fail too late."""
    try:
        yield from program(performing)
    except Exception as error:
        has_ended = performing.peer.connection.state in _ENDED
        if performing.is_outstanding or (has_ended and isinstance(error, DicomProtoError)):
            raise
        _log.exception("%r raised when its %s was over", program, performing.request.name)
    if performing.is_outstanding:
        _log.error("%r ended without a final response: the answer is %04XH", program, PROCESSING_FAILURE)
        performing.respond(_FAILURE)


def _own_program(performing: Performing) -> ScpProgram | None:
    """Return the program that the user has bound to the abstract syntax of the context.

    It is for the SCP: where this side is only the SCU, as for a notification, handlers are asked as always.
    """
    peer, abstract_syntax = performing.peer, performing.context.abstract_syntax
    program = _bound(peer, abstract_syntax)
    if program is None or performing.context not in peer.contexts(abstract_syntax, as_scu=False):
        return None
    return program


def _bound(peer: Peer, uid: str) -> ScpProgram | None:
    return None if peer.entity is None else peer.entity.scp_programs.get(uid)


def _refusal(performing: Performing, own: ScpProgram | None) -> int | None:
    """Return the status for a request that does not fit its context, lacks its data set, or goes past a bound.

    A SOP class may come on a context of another one of its service class: meta SOP classes and UPS work so (PS3.7
    10.1), and some peers take that liberty elsewhere. It may come on any that the user has bound to the same program.
    Which DIMSE services a private SOP class has is up to the program that the user has bound to it.
    """
    request, abstract_syntax = performing.request, performing.context.abstract_syntax
    uid = getattr(request, _SOP_CLASS[type(request)])
    instance = _SOP_INSTANCE[type(request)]
    if instance and len(getattr(request, instance) or "") > performing.peer.limits.instance_uid:
        return Status.INVALID_SOP_INSTANCE
    is_free = own is not None and uid_to_sop_class(abstract_syntax).is_private
    has_own = own is not None and _bound(performing.peer, uid) == own
    refusal = _unfit(request.name, uid, abstract_syntax, has_own, is_free)
    if refusal is None and request.data_set is _ALWAYS and not performing.has_data:
        return Status.UNABLE_TO_PROCESS if request.name.startswith("C-") else Status.PROCESSING_FAILURE
    return refusal


@lru_cache(maxsize=256)
def _unfit(name: str, uid: str, abstract_syntax: str, has_own: bool, is_free: bool) -> int | None:
    """Return the status for a request that does not fit its presentation context."""
    service_class = service_class_of(abstract_syntax)
    if uid != abstract_syntax and service_class_of(uid) is not service_class and not has_own:
        return Status.SOP_CLASS_NOT_SUPPORTED if name.startswith("C-") else Status.NO_SUCH_SOP_CLASS
    services = None if service_class is None or is_free else _services_of(service_class)
    if services and name.removesuffix("-RQ") not in services:
        return Status.UNRECOGNIZED_OPERATION
    return None


@cache
def _services_of(service_class: ServiceClass) -> frozenset[str]:
    """Return the DIMSE services of a service class; empty if they are not known."""
    return frozenset(service for uid in sop_classes(service_class, retired=True) for service in dimse_services(uid))
