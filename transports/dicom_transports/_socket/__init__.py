"""One connected socket, with TLS or without: bytes in and out, never waiting."""
