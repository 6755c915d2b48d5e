"""TLS without I/O: ciphertext in and out as bytes, so that every adapter drives it as it drives the core.

One turn of an adapter: what the socket received goes into :meth:`TLSLayer.receive`, the plaintext that comes out goes
into the core, what the core has to send goes into :meth:`TLSLayer.send`, and :meth:`TLSLayer.to_send` says what the
socket sends. The handshake, answers to post-handshake messages and alerts need no calls of their own: they come out of
``to_send`` after any of the other calls.
"""

import ssl
from collections import deque
from contextlib import suppress
from typing import Final, cast

from dicom_proto.application.access import TLSState
from dicom_proto.buffers import Buffer
from dicom_proto.errors import InvalidSettingError

__all__ = ["TLSLayer"]

RECORD: Final = 1 << 14  # bytes of plaintext in a record, at most (RFC 8446 5.1)
JOINED: Final = 1 << 16  # bytes of small buffers that are joined, at most


class TLSLayer:
    """TLS of one connection, under the upper layer (PS3.8 9.1.1 says nothing changes above it).

    Nothing blocks. What is held is bounded by what the caller feeds and leaves undrained.

    Parameters
    ----------
    context : ssl.SSLContext
        Certificates, versions and cipher suites; :mod:`dicom_transports.tls` makes those of the profiles of PS3.15.
    server_side : bool
        Whether the peer opened the connection, whichever side requests or performs services.
    server_hostname : str, optional
        DNS name or IP address that the certificate of the server must carry, and the name it is asked for (SNI).

    Attributes
    ----------
    is_server : bool
        Whether the peer opened the connection.
    ssl_object : ssl.SSLObject
        Tells what was negotiated: ``version()``, ``cipher()``, ``getpeercert()``.
    is_established : bool
        The handshake has finished on this side. A TLS 1.3 server may refuse the client's certificate later than that:
        :meth:`receive` raises then.
    is_closed : bool
        The peer has sent its close_notify or closed the connection: nothing more will be received.
    is_ragged : bool
        The peer closed the connection without close_notify. Tolerated, because many do and the PDUs of DICOM have
        lengths of their own: a PDU or association cut off is noticed by the core.

    Raises
    ------
    InvalidSettingError
        The context is for the other side, or checks host names and ``server_hostname`` is none.
    """

    __slots__ = (
        "_error",
        "_has_failed",
        "_incoming",
        "_outgoing",
        "_unsent",
        "_wants_close",
        "is_closed",
        "is_established",
        "is_ragged",
        "is_server",
        "ssl_object",
    )

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None) -> None:
        if context.check_hostname and not server_side and not server_hostname:  # wrap_bio would check nothing
            raise InvalidSettingError("the context checks the name of the server, and there is none to check")
        self.is_server = server_side
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self.ssl_object = context.wrap_bio(
                self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
            )
        except (ssl.SSLError, TypeError, ValueError) as error:
            raise InvalidSettingError(f"TLS cannot be used like this: {error}") from error
        self._unsent: deque[Buffer] = deque()  # plaintext that waits for a handshake
        self._wants_close = self._has_failed = False
        self._error: ssl.SSLError | None = None  # why it has failed, until it is raised
        self.is_established = self.is_closed = self.is_ragged = False

    def start(self) -> None:
        """Begin the handshake: a client's hello is there to be sent. A server waits for it.

        Raises
        ------
        ssl.SSLError
            The context leaves no protocol version or cipher suite to offer.
        """
        self._advance()
        self._raise_error()

    def receive(self, data: Buffer) -> list[Buffer]:
        """Take ciphertext, and return the plaintext of all records that are complete.

        Parameters
        ----------
        data : Buffer
            What was received, cut anywhere. Ignored when nothing more is expected.

        Returns
        -------
        list of Buffer
            The plaintext, read-only, in blocks that are as large as possible: none or one.

        Raises
        ------
        ssl.SSLError
            The handshake or a record failed, or the peer says in an alert that it did. Raised once: by the next call if
            this one has plaintext to return. An alert for the peer may still be there to be sent. Nothing more is
            received, and what is sent is dropped.
        """
        self._raise_error()
        if self.is_closed or self._has_failed:
            return []
        self._incoming.write(data)
        self._advance()
        plaintext = self._read() if self.is_established else b""
        self._write()  # what waited for this
        if plaintext:
            return [plaintext]
        self._raise_error()
        return []

    def receive_eof(self) -> None:
        """Take note that the peer has closed the connection.

        Raises
        ------
        ssl.SSLError
            An error that the last :meth:`receive` kept back in favour of plaintext.
        """
        if not self.is_closed:
            self.is_closed = self.is_ragged = True
        self._raise_error()

    def send(self, buffers: list[Buffer]) -> None:
        """Encrypt plaintext; before the handshake is done it is kept until then.

        Parameters
        ----------
        buffers : list of Buffer
            In order, not to be changed until :meth:`to_send` has handed them out. Small ones share records, large ones
            are not copied before they are encrypted. Dropped after :meth:`close`, and when the connection has failed.
        """
        if not self._wants_close and not self._has_failed:
            self._unsent.extend(filter(len, buffers))
            self._write()

    def to_send(self) -> bytes:
        """Hand out the ciphertext that is to be sent now, each byte once; empty if there is none."""
        return self._outgoing.read()

    @property
    def pending(self) -> int:
        """How many bytes :meth:`to_send` would hand out."""
        return self._outgoing.pending

    def state(self) -> TLSState | None:
        """Return version, cipher suite and the peer's certificate; ``None`` before the handshake is done."""
        version, cipher = self.ssl_object.version(), self.ssl_object.cipher()
        if not self.is_established or version is None or cipher is None:
            return None
        certificate = self.ssl_object.getpeercert()  # empty if it was not verified
        return TLSState(version, cipher[0], certificate or None, self.ssl_object.getpeercert(binary_form=True))

    def close(self) -> None:
        """Queue this side's close_notify behind what was sent; data of the peer is still received.

        The peer's close_notify is not waited for (RFC 8446 6.1, RFC 5246 7.2.1).
        """
        if not self._wants_close:
            self._wants_close = True
            self._write()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _fail(self, error: ssl.SSLError) -> None:
        self._error = error
        self._has_failed = True
        self._unsent.clear()

    def _advance(self) -> None:
        """Go on with the handshake."""
        if self.is_established:
            return
        try:
            with suppress(ssl.SSLWantReadError):  # the peer has to go on
                self.ssl_object.do_handshake()
                self.is_established = True
        except ssl.SSLError as error:
            self._fail(error)

    def _read(self) -> Buffer:
        """Decrypt all complete records into one block."""
        # Records shrink when they are decrypted; the first part of one may already be inside OpenSSL.
        block = memoryview(bytearray(self._incoming.pending + RECORD))
        length = 0
        try:
            with suppress(ssl.SSLWantReadError):  # the rest of a record has not arrived
                while count := cast(int, self.ssl_object.read(RECORD, block[length:])):  # a length: there is a buffer
                    length += count
                self.is_closed = True
        except ssl.SSLZeroReturnError:  # closed as well, when this side has closed before
            self.is_closed = True
        except ssl.SSLError as error:
            self._fail(error)
        plaintext = block[:length]
        # Whoever keeps a small part of a record should not keep room for a large one.
        return plaintext.toreadonly() if 2 * length > len(block) else bytes(plaintext)

    def _write(self) -> None:
        """Encrypt what waits, as far as the handshake allows, and close behind it if that is wanted."""
        if not self.is_established or self._has_failed:
            return
        block: Buffer = b""
        try:
            while block or self._unsent:
                block = memoryview(block or self._next_block())
                block = block[self.ssl_object.write(block) :]  # one record at a time
        except ssl.SSLWantReadError:  # renegotiation has to be finished first
            self._unsent.appendleft(block)
        except ssl.SSLError as error:
            self._fail(error)
        else:
            if self._wants_close:
                with suppress(ssl.SSLError):  # it waits for the peer's, which nobody else does
                    self.ssl_object.unwrap()

    def _next_block(self) -> Buffer:
        """Take the next large buffer, or the next small ones joined."""
        first = self._unsent.popleft()
        if len(first) >= RECORD:
            return first
        parts, length = [first], len(first)
        while self._unsent and len(self._unsent[0]) < RECORD and length < JOINED:
            parts.append(self._unsent.popleft())
            length += len(parts[-1])
        return b"".join(parts)
