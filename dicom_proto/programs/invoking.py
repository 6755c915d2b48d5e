"""An operation that this side invokes: request out, responses in. What every SCU program is made of.

May change.
"""

import struct
from typing import Final

from attrs import evolve

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.events import DataChunk, ResponseReceived
from dicom_proto.dimse.messages import Request, Response, RetrieveResponse
from dicom_proto.dimse.outgoing import STREAMED, Streamed
from dicom_proto.encoding.sources import Source
from dicom_proto.encoding.structure import DEFLATED
from dicom_proto.programs.effects import END, Await, Call, Program, Receive
from dicom_proto.programs.peer import Peer
from dicom_proto.status import Category, code_to_category
from dicom_proto.upper_layer.negotiation import AcceptedContext

__all__ = ["Invoking", "Reply", "invoke"]

_FAILED_LIST: Final = 0x00080058  # Failed SOP Instance UID List, the identifier of C-GET and C-MOVE responses
_SUCCESS: Final = 0x0000
_PENDING: Final = Category.PENDING  # looking up a member of an Enum in its class is slow before Python 3.12
_IMPLICIT_VR: Final = "1.2.840.10008.1.2"


class Reply:
    """A response, and its data set as it was received: encoded in the transfer syntax of the context."""

    __slots__ = ("context", "data", "response")

    def __init__(self, response: Response, data: Buffer | None, context: AcceptedContext) -> None:
        self.response = response
        self.data = data
        self.context = context

    @property
    def category(self) -> Category:
        """The category of its status."""
        return code_to_category(self.response.status)


class Invoking:
    """One operation that the peer has been asked for.

    Parameters
    ----------
    peer : Peer
        Who is asked.
    request : Request
        For what; a message ID that is ``None`` is given out here.
    context : AcceptedContext
        The presentation context.
    data : buffer or Source, optional
        The data set of the request, encoded; a source has to be fed (:meth:`feed`) before anything else is sent.

    Raises
    ------
    LocalProtocolError
        If the request cannot be sent.
    """

    def __init__(
        self, peer: Peer, request: Request, context: AcceptedContext, data: Buffer | Source | None = None
    ) -> None:
        self.peer = peer
        self.context = context
        self._source: Source | None = None
        sent: Buffer | Streamed | None
        if data is None or not isinstance(data, Source):
            sent = data
        else:
            self._source, sent = data, STREAMED
        self.inbox = peer.send(request, context_id=context.context_id, data=sent)
        self.message_id = self.inbox.key[0]
        self.is_over = False
        self.receive = Receive(self.inbox)
        self._operation = peer.connection.invoked[self.message_id]

    def feed(self) -> Program[int]:
        """Read the data set of the request and send it piece by piece, if it is a source; return its length in bytes.

        It is 0 for any other. What reading it raises is raised, and costs the association: a data set that has begun
        cannot be taken back.

        Raises
        ------
        AssociationFailure
            If the association ends before all of it has been queued.
        LocalProtocolError
            If it is empty, or of odd length without being deflated (PS3.8 E.1).
        """
        if self._source is None:
            return 0
        source, self._source, length = self._source, None, 0
        outgoing = self.peer.connection.open_data(self.message_id)

        def room() -> int | None:
            return outgoing.write_room or None

        pieces = source.pieces()
        try:
            while (piece := (yield Call(next, (pieces, END)))) is not END:
                yield Await(room)
                outgoing.write(piece)
                length += len(piece)
            if length % 2 and self.context.transfer_syntax in DEFLATED:
                yield Await(room)
                outgoing.write(b"\0")
                length += 1
            outgoing.finish()
        except BaseException:
            self.peer.association.abort_soon()
            raise
        return length

    def next_reply(self) -> Program[Reply | None]:
        """Wait for the next response and the whole of its data set; ``None`` after the final one."""
        if self.is_over:
            return None
        return (yield from self.reply())

    def reply(self) -> Program[Reply]:
        """Wait for a response that is known to come."""
        received: ResponseReceived = yield self.receive
        if received.aside and not received.has_data and isinstance(received.response, RetrieveResponse):
            reply = self._reply_of_command(received)
        else:
            reply = Reply(received.response, (yield from self.data()) if received.has_data else None, self.context)
        if reply.response.status == _SUCCESS or reply.category is not _PENDING:
            self.close()
        return reply

    def data(self) -> Program[bytes]:
        """Wait for the whole of the data set that comes with a response."""
        pieces: list[Buffer] = []
        while True:
            chunk: DataChunk = yield self.receive
            pieces.append(chunk.data)
            if chunk.last:
                return b"".join(pieces)

    def _reply_of_command(self, received: ResponseReceived) -> Reply:
        """Return a reply whose list of failed SOP Instances stands in the command set, instead of an identifier."""
        value = received.aside.get(_FAILED_LIST)
        if value is None:
            return Reply(received.response, None, self.context)
        value += b"\0" * (len(value) % 2)
        data = struct.pack("<HHI", _FAILED_LIST >> 16, _FAILED_LIST & 0xFFFF, len(value)) + value
        return Reply(received.response, data, evolve(self.context, transfer_syntax=_IMPLICIT_VR))

    def cancel(self) -> None:
        """Ask the peer to end the operation (C-CANCEL); its final response still comes. After the end it does nothing.

        Raises
        ------
        LocalProtocolError
            If it is none that can be cancelled: C-FIND, C-GET and C-MOVE can.
        """
        if self.peer.connection.invoked.get(self.message_id) is self._operation:
            self.peer.connection.send_cancel(self.message_id)

    def close(self) -> None:
        """Take no more interest in the operation: what still comes is dropped. The second time it does nothing."""
        self.is_over = True
        self.inbox.close()


def invoke(peer: Peer, request: Request, context: AcceptedContext, data: Buffer | None = None) -> Program[Reply]:
    """Invoke an operation that has one response, and wait for it."""
    invoking = Invoking(peer, request, context, data)
    try:
        received: ResponseReceived = yield invoking.receive
        return Reply(received.response, (yield from invoking.data()) if received.has_data else None, context)
    finally:
        invoking.close()
