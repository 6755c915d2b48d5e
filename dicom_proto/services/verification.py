"""Verification (PS3.4 Annex A, PS3.7 9.1.5): C-ECHO.

May change.
"""

from typing import Final

from dicom_proto.dimse.messages import CEchoRQ
from dicom_proto.handlers.kinds import EVT_C_ECHO
from dicom_proto.programs.effects import Program
from dicom_proto.programs.invoking import Reply, invoke
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.performing import PROCESSING_FAILURE, Answer, Performing

__all__ = ["echo_scp", "echo_scu"]

VERIFICATION: Final = "1.2.840.10008.1.1"
_SUCCESS: Final = Answer(0x0000)


def echo_scu(peer: Peer, *, message_id: int | None = None) -> Program[Reply]:
    """Verify that the peer answers.

    Raises
    ------
    LocalProtocolError
        If no presentation context for Verification was accepted.
    """
    request = CEchoRQ(message_id=message_id, affected_sop_class_uid=VERIFICATION)
    return invoke(peer, request, peer.context(VERIFICATION))


def echo_scp(performing: Performing) -> Program[None]:
    """Answer with the status that the handler of ``EVT_C_ECHO`` returns; with Success if there is none."""
    if performing.has_data:  # there should be none; whoever sends some has to be read to its end
        yield from performing.receive_data()
    result: object = _SUCCESS
    if performing.peer.handlers.binding(EVT_C_ECHO) is not None:
        result = yield from performing.call(EVT_C_ECHO, None, failed=PROCESSING_FAILURE)
    performing.respond(performing.read_status(result))
