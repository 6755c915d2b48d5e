"""One connected socket, with TLS or without: what can be received and sent now, without waiting for anything."""

import errno
import logging
import socket
import ssl
from typing import Final

from dicom_proto.application.access import TLSState
from dicom_proto.buffers import Buffer
from dicom_transports._socket.gather import GatherQueue
from dicom_transports._socket.mapping import Mapping, copied, note_sent, shortened
from dicom_transports._socket.sockets import LARGE_BLOCK, SMALL_BLOCK, acknowledge_at_once, prepare
from dicom_transports._socket.tls_layer import TLSLayer

__all__ = ["Channel"]

_log = logging.getLogger("dicom_transports")
_MOST_BLOCKS: Final = 3  # that are received at a time: the sender fills the next while they are looked at
_TOLD: Final = 2  # bytes that tell what a peer speaks

_ENDED_AT_ONCE: Final = "the peer has closed the connection without a word"
_SILENT: Final = "the peer has not said a word"
_WITHOUT_TLS: Final = ": perhaps its port is one without TLS"
_ASSOCIATE_RQ: Final = 0x01  # PS3.8 9.3.2


class Channel:
    """The bytes of one connection, in both directions.

    Parameters
    ----------
    sock : socket.socket
        A connected TCP socket; the channel owns it from now on.
    tls : TLSLayer, optional
        What encrypts and decrypts.

    Attributes
    ----------
    has_ended : bool
        Whether nothing more will come: the peer has closed, or the connection is lost.
    error : OSError or None
        Why it is lost, if the system or TLS says so.
    source_error : OSError or None
        Why an object that was being sent cannot be sent to its end: its file has become shorter. What there was of it
        has not left in full, so the association has to be aborted; nothing more is received.
    """

    def __init__(self, sock: socket.socket, tls: TLSLayer | None = None) -> None:
        prepare(sock)
        self._socket = sock
        self._tls = tls
        self._queue = GatherQueue()  # as it goes over the wire
        self._sources: set[Mapping] = set()  # files that what waits to be sent is in
        self._first = b""  # bytes that were received
        self._has_asked = False  # for an association
        self.has_ended = False
        self.error: OSError | None = None
        self.source_error: OSError | None = None
        if tls is not None:
            tls.start()

    def tls_state(self) -> TLSState | None:
        """Return what TLS has come to; ``None`` without TLS, and before the handshake is done."""
        return None if self._tls is None else self._tls.state()

    def fileno(self) -> int:
        """Return the descriptor of the socket, -1 once it is closed."""
        return self._socket.fileno()

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS has a say in when something is to be sent."""
        return self._tls is not None

    @property
    def wants_write(self) -> bool:
        """Whether something waits to be sent."""
        return self._queue.length > 0 or (self._tls is not None and self._tls.pending > 0)

    @property
    def backlog(self) -> int:
        """How many bytes wait to be sent."""
        return self._queue.length

    def receive(self) -> list[Buffer]:
        """Take what has arrived: blocks that are not empty, none if there is nothing now or :attr:`has_ended`."""
        blocks: list[Buffer] = []
        room = SMALL_BLOCK
        try:
            while len(blocks) < _MOST_BLOCKS:
                data = self._socket.recv(room)
                if not data:
                    self.has_ended = True
                    break
                blocks.append(data)
                if len(data) < room:
                    break
                room = LARGE_BLOCK
        except OSError as error:
            if not isinstance(error, BlockingIOError):  # that says only that there is no more now
                self._lose(error)
        if len(self._first) < _TOLD and blocks:
            self._first = (self._first + blocks[0][:_TOLD])[:_TOLD]
        return blocks if self._tls is None else self._decrypted(self._tls, blocks)

    def receive_into(self, room: bytearray | memoryview) -> int:
        """Take what has arrived into a block without TLS; return how many bytes, 0 also if there is nothing now."""
        try:
            count = self._socket.recv_into(room)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self._lose(error)
            return 0
        self.has_ended = not count
        return count

    def _decrypted(self, tls: TLSLayer, received: list[Buffer]) -> list[Buffer]:
        blocks: list[Buffer] = []
        try:
            for data in received:
                blocks.extend(tls.receive(data))
            if self.has_ended and self.error is None:
                tls.receive_eof()
        except ssl.SSLError as error:
            self._lose(error)
        self.has_ended = self.has_ended or tls.is_closed
        self.send()  # the handshake goes on, or an alert says why it does not
        return blocks

    def put(self, buffers: list[Buffer]) -> None:
        """Queue buffers to be sent; they must not change until they have left."""
        if not self._first and buffers and buffers[0][0] == _ASSOCIATE_RQ:
            self._has_asked = True
        if self._tls is not None:
            self._tls.send(self.secure(buffers))
            return
        sources = note_sent(buffers)
        if sources and any(source.is_cut for source in sources):
            self._lose_source()
        else:
            self._sources |= sources
            self._queue.extend(buffers)

    def secure(self, buffers: list[Buffer]) -> list[Buffer]:
        """Return buffers that may be read before they are put: what is in a file that may shrink is copied.

        Otherwise to read it may kill this process. If the file has become shorter there are none, and a
        :attr:`source_error`.
        """
        sources = note_sent(buffers)
        try:
            return copied(buffers, sources) if sources else buffers
        except OSError as error:
            _log.debug("! a file cannot be read: %s", error.strerror)
            self._lose_source()
            return []

    def transmit(self, buffers: list[Buffer]) -> bool:
        """Put buffers, and send until nothing is left or the kernel takes no more; return whether something waits.

        Nearly always that is one short piece that nothing waits in front of; nothing is noted down for it.
        """
        if len(buffers) == 1 and self._first and not self._queue.length and self._tls is None:
            (data,) = buffers
            if type(data) is bytes:
                try:
                    sent = self._socket.send(data)
                except OSError:  # or BlockingIOError; send() sees to both
                    sent = 0
                if sent == len(data):
                    return False
                buffers = [memoryview(data)[sent:]]
        self.put(buffers)
        self.send()
        return self.wants_write

    def send(self) -> bool:
        """Send until nothing is left or the kernel takes no more; return whether anything was sent."""
        progress = False
        while True:
            encrypted = self._tls.to_send() if self._tls is not None else b""
            if encrypted:
                self._queue.extend([encrypted])
            if not self._queue.length:
                return progress
            try:
                self._queue.send(self._socket)
            except BlockingIOError:
                return progress
            except OSError as error:
                _log.debug("! sending failed: %s", error)
                self._queue.clear()
                if self._sources and error.errno == errno.EFAULT:
                    self._lose_source()
                self._shut(socket.SHUT_RD)  # what the peer has said before, perhaps why, can still be received
                return progress
            progress = True
            if self._sources and not self._queue.length:
                sources, self._sources = self._sources, set()
                if any(source.is_cut for source in sources):  # zeros have left in place of its end
                    self._lose_source()

    def acknowledge(self) -> None:
        """Acknowledge what has arrived at once: the peer may wait for that before it sends the rest."""
        acknowledge_at_once(self._socket)

    def end_output(self) -> None:
        """Tell the peer that nothing more will come, behind what has been sent."""
        if self._tls is not None:
            self._tls.close()
            self.send()
        self._shut(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket."""
        if self._tls is not None and self.fileno() >= 0:
            self._tls.close()
            self.send()
        self._socket.close()

    @property
    def suspicion(self) -> str | None:
        """What is probably wrong with a connection that comes to nothing: one side speaks TLS and the other does not.

        It is judged by the first bytes that came (a TLS record: RFC 8446 5.1; an A-ASSOCIATE-RQ: PS3.8 9.3.2), or that
        there were none. It means something as long as no association has been established. Later, there is what is
        wrong with a file that was being sent: the :attr:`source_error`.
        """
        if self.source_error is not None:
            return self.source_error.strerror
        return self._suspicion_without_tls() if self._tls is None else self._suspicion_with(self._tls)

    def _suspicion_without_tls(self) -> str | None:
        match self._first:
            case b"\x16\x03":
                return "the peer speaks TLS, and this connection is without TLS"
            case b"\x15\x03":
                return "the peer answers in TLS: its port is one for TLS"
            case b"" if self.has_ended and self._has_asked:
                return f"{_ENDED_AT_ONCE}: perhaps its port is one for TLS, or it accepts nobody from this address"
        return None

    def _suspicion_with(self, tls: TLSLayer) -> str | None:
        if tls.is_established:
            return None
        match self._first, tls.is_server:
            case b"", False:
                return (_ENDED_AT_ONCE if self.has_ended else _SILENT) + " when it was asked for TLS" + _WITHOUT_TLS
            case ((b"\x16\x03" | b"\x15\x03"), _):
                return None  # TLS itself says what is wrong
            case b"\x01\x00", True:
                return "the peer speaks DICOM without TLS, and this port is one for TLS"
            case first, is_server if len(first) == _TOLD:
                return "the peer does not speak TLS" + ("" if is_server else _WITHOUT_TLS)
        return None

    def _lose_source(self) -> None:
        """Give up the connection, for what was promised cannot be sent."""
        self.source_error = shortened()
        self._sources.clear()
        _log.debug("! %s", self.source_error.strerror)
        self._shut(socket.SHUT_RD)

    def _shut(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError as error:
            _log.debug("! the connection has ended already: %s", error)

    def _lose(self, error: OSError) -> None:
        _log.debug("! receiving failed: %s", error)
        self.error = error
        self.has_ended = True
