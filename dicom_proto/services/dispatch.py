"""Which program performs a request of the peer: the table of services, and what becomes of requests that none fits."""

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, TypeAlias

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
from dicom_proto.errors import LimitExceededError
from dicom_proto.service_class import ServiceClass
from dicom_proto.services.echo import echo_scp
from dicom_proto.services.effects import Program
from dicom_proto.services.find import find_scp
from dicom_proto.services.get import get_scp
from dicom_proto.services.move import move_scp
from dicom_proto.services.normalized import EVENTS, normalized_scp
from dicom_proto.services.peer import Peer
from dicom_proto.services.performing import PROCESSING_FAILURE, Answer, Performing
from dicom_proto.services.store import store_scp
from dicom_proto.sop_class import dimse_services, service_class_of, sop_classes
from dicom_proto.status import Status

__all__ = ["SCP_PROGRAMS", "ScpProgram", "perform"]

_log = logging.getLogger("dicom_proto.services")

ScpProgram: TypeAlias = Callable[[Performing], Program[None]]

SCP_PROGRAMS: Final[Mapping[type[Request], ScpProgram]] = {
    CEchoRQ: echo_scp,
    CStoreRQ: store_scp,
    CFindRQ: find_scp,
    CGetRQ: get_scp,
    CMoveRQ: move_scp,
    **dict.fromkeys(EVENTS, normalized_scp),
}
_OUT_OF_RESOURCES: Final = Answer(Status.OUT_OF_RESOURCES)
_FAILURE: Final = Answer(PROCESSING_FAILURE)


def perform(peer: Peer, received: RequestReceived) -> Program[None]:
    """Perform an operation that the peer has asked for, to its final response.

    Raises
    ------
    AssociationFailure, LocalProtocolError
        Only if the association ends meanwhile. Any other exception is logged, and costs this operation only.
    """
    if received.message_id not in peer.connection.performed:
        _log.debug("! a %s came too late to be answered", received.request.name)
        peer.router.close((received.message_id, False))
        return
    performing = Performing(peer, received)
    try:
        yield from _perform(performing)
    except Exception as error:
        if not performing.is_outstanding:
            raise
        _log.exception("a %s failed", received.request.name)
        performing.respond(_OUT_OF_RESOURCES if isinstance(error, LimitExceededError) else _FAILURE)
    finally:
        performing.close()


def _perform(performing: Performing) -> Program[None]:
    refusal = _refusal(performing)
    if refusal is None:
        yield from SCP_PROGRAMS[type(performing.request)](performing)
    else:
        what = performing.request.summary()
        _log.error("%s for %s is refused with %04XH", what, performing.context.abstract_syntax, refusal)
        performing.respond(Answer(refusal))


def _refusal(performing: Performing) -> int | None:
    """Return the status for a request that does not fit its presentation context, or lacks its data set.

    A SOP class may come on a context of another one of its service class: meta SOP classes and UPS work so (PS3.7
    10.1), and some peers take that liberty elsewhere.
    """
    request, abstract_syntax = performing.request, performing.context.abstract_syntax
    uid = getattr(request, "affected_sop_class_uid", None) or getattr(request, "requested_sop_class_uid", None)
    is_composite = request.name.startswith("C-")
    service_class = service_class_of(abstract_syntax)
    if uid != abstract_syntax and service_class_of(uid or "") is not service_class:
        return Status.SOP_CLASS_NOT_SUPPORTED if is_composite else Status.NO_SUCH_SOP_CLASS
    services = None if service_class is None else _services_of(service_class)
    if services and request.name.removesuffix("-RQ") not in services:
        return Status.UNRECOGNIZED_OPERATION
    if request.data_set is DataSet.ALWAYS and not performing.has_data:
        return Status.UNABLE_TO_PROCESS if is_composite else Status.PROCESSING_FAILURE
    return None


@cache
def _services_of(service_class: ServiceClass) -> frozenset[str]:
    """Return the DIMSE services of a service class; empty if they are not known."""
    return frozenset(service for uid in sop_classes(service_class, retired=True) for service in dimse_services(uid))
