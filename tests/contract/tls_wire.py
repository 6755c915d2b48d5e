"""Two ends of a TLS connection in memory, and the bytes between them cut anywhere."""

import ssl

from attrs import define, field

from dicom_transports._socket.tls_layer import TLSLayer


@define
class End:
    """One end, all that it has received, and the error that it ended with."""

    layer: TLSLayer
    plaintext: bytearray = field(factory=bytearray)
    error: ssl.SSLError | None = None

    def receive(self, data: bytes | memoryview) -> None:
        try:
            for block in self.layer.receive(data):
                self.plaintext += block
        except ssl.SSLError as error:
            assert self.error is None, "it raises once"
            self.error = error

    @property
    def reason(self) -> str:
        """Why it failed, in OpenSSL's words; of an alert of the peer which one it is."""
        return self.error.reason.rpartition("_ALERT_")[2] if self.error else ""


@define
class Wire:
    """Two ends, and what carries the bytes from one to the other in pieces."""

    client: End
    server: End
    cut: int | None = None

    def run(self) -> "Wire":
        """Carry bytes until neither end has any."""
        while self.client.layer.pending or self.server.layer.pending:
            for end, peer in ((self.client, self.server), (self.server, self.client)):
                data = memoryview(end.layer.to_send())
                for start in range(0, len(data), self.cut or len(data) or 1):
                    peer.receive(data[start : start + (self.cut or len(data))])
        return self

    @property
    def negotiated(self) -> tuple[str | None, str]:
        """The protocol version, and the name of the cipher suite."""
        assert self.client.layer.is_established
        assert self.server.layer.is_established
        assert (self.client.error, self.server.error) == (None, None)
        tls = self.client.layer.ssl_object
        return tls.version(), (tls.cipher() or ("", "", 0))[0]

    @property
    def reasons(self) -> tuple[str, str]:
        """Why the client and the server failed."""
        return self.client.reason, self.server.reason


def connect(
    client: ssl.SSLContext,
    server: ssl.SSLContext | TLSLayer,
    cut: int | None = None,
    hostname: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> Wire:
    layer = server if isinstance(server, TLSLayer) else TLSLayer(server, server_side=True)
    wire = Wire(End(TLSLayer(client, server_side=False, server_hostname=hostname)), End(layer), cut)
    if session is not None:
        wire.client.layer.ssl_object.session = session
    wire.server.layer.start()
    wire.client.layer.start()
    return wire
