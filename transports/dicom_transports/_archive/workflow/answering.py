"""Waits for the answer to a request to leave: what is to happen then is known to whoever performs the request.

May change.
"""

from collections.abc import Callable
from typing import Any, Final

from dicom_proto.handlers.kinds import EVT_DIMSE_SENT

__all__ = ["when_answered"]

_PENDING: Final = frozenset({0xFF00, 0xFF01})


def when_answered(event: Any, then: Callable[[Any], object]) -> None:
    """Call a function when the final response to a request has left.

    If the association ends first it is not called.

    Parameters
    ----------
    event : RequestEvent
        The request that is being performed.
    then : callable
        Called with the response, a :class:`~dicom_proto.handlers.event.MessageView`.
    """
    association, message_id = event.assoc, event.message_id

    def look(sent: Any) -> None:
        message = sent.message
        if not message.msg_type.endswith("-RSP") or message.MessageIDBeingRespondedTo != message_id:
            return
        if message.Status not in _PENDING:
            association.unbind(EVT_DIMSE_SENT, look)
            then(message)

    association.bind(EVT_DIMSE_SENT, look)
