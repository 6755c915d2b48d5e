"""One connected socket, with TLS or without: what can be received and sent now, without waiting for anything."""

import logging
import socket
import ssl
from typing import Final

from dicom_proto.buffers import Buffer
from dicom_transports._socket.gather import GatherQueue
from dicom_transports._socket.mapping import note_sent
from dicom_transports._socket.sockets import LARGE_BLOCK, SMALL_BLOCK, acknowledge_at_once, prepare
from dicom_transports._socket.tls_layer import TLSLayer

__all__ = ["Channel"]

_log = logging.getLogger("dicom_transports")
_MOST_BLOCKS: Final = 3  # that are received at a time: the sender fills the next while they are looked at


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
    """

    def __init__(self, sock: socket.socket, tls: TLSLayer | None = None) -> None:
        prepare(sock)
        self._socket = sock
        self._tls = tls
        self._queue = GatherQueue()  # as it goes over the wire
        self.has_ended = False
        self.error: OSError | None = None
        if tls is not None:
            tls.start()

    def fileno(self) -> int:
        """Return the descriptor of the socket, -1 once it is closed."""
        return self._socket.fileno()

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
            acknowledge_at_once(self._socket)
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
        return blocks if self._tls is None else self._decrypted(self._tls, blocks)

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
        note_sent(buffers)
        if self._tls is None:
            self._queue.extend(buffers)
        else:
            self._tls.send(buffers)

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
                self._shut(socket.SHUT_RD)  # what the peer has said before, perhaps why, can still be received
                return progress
            progress = True

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

    def _shut(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError as error:
            _log.debug("! the connection has ended already: %s", error)

    def _lose(self, error: OSError) -> None:
        _log.debug("! receiving failed: %s", error)
        self.error = error
        self.has_ended = True
