"""The TLS context for each new connection of a server: certificates can change, and sessions are not kept."""

import logging
import ssl
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, TypeAlias

from dicom_proto.errors import InvalidSettingError
from dicom_transports._socket.tls_layer import TLSLayer

__all__ = ["ServerTLS", "TLSContexts"]

_log = logging.getLogger("dicom_transports")

ServerTLS: TypeAlias = ssl.SSLContext | Callable[[], ssl.SSLContext]
"""A context for the server's side, or a function that makes one whenever it is called."""

_KEEPS_SESSIONS: Final = "! TLS: this SSLContext keeps sessions of TLS 1.2: pass a function that makes one"
_RENEW: Final = "renewed"  # the method of a context that can be made anew: dicom_transports.tls.ServerContext


class TLSContexts:
    """Gives the context for each new connection.

    One that can be made anew, as :func:`dicom_transports.tls.server_context` makes it, or that a function makes, is
    used until OpenSSL has kept a session of TLS 1.2 in it, which nobody can forbid: then the next connection gets
    another one. So no session is resumed, and those that are kept go with the last connection of their context. A
    context that cannot be made anew is used as it is, with a warning in the log if it has TLS 1.2.

    Parameters
    ----------
    source : ssl.SSLContext or callable
        The context, or what makes it.

    Raises
    ------
    InvalidSettingError
        If it is neither, or the context is one for clients.
    """

    def __init__(self, source: ServerTLS) -> None:
        self._lock = Lock()
        self._has_warned = False
        self._source = source
        self._context = _checked(source if isinstance(source, ssl.SSLContext) else _made(source))
        if not self._can_renew and _has_tls_1_2(self._context):
            _log.warning(_KEEPS_SESSIONS)

    def layer(self) -> TLSLayer:
        """Return the server's side of TLS for a new connection; any thread may call this."""
        with self._lock:
            if self._can_renew and self._context.session_stats()["number"]:
                self._renew()
            context = self._context
        return TLSLayer(context, server_side=True)

    @property
    def _can_renew(self) -> bool:
        return not isinstance(self._source, ssl.SSLContext) or hasattr(self._source, _RENEW)

    def _renew(self) -> None:
        try:
            another = self._another()
            if another is self._context and not self._has_warned:  # a function that does not make one
                _log.warning(_KEEPS_SESSIONS)
            self._has_warned = another is self._context
            self._context = another
        except Exception as error:  # noqa: BLE001 - a function may be the user's, and who wants to be served is there
            if not self._has_warned:  # without the text of others, which may name a file
                reason = str(error) if isinstance(error, InvalidSettingError) else type(error).__name__
                _log.warning("! TLS: no context can be made, the one before is used on: %s", reason)
            self._has_warned = True

    def _another(self) -> ssl.SSLContext:
        source = self._source
        return _checked(_made(getattr(source, _RENEW) if isinstance(source, ssl.SSLContext) else source))

    def reload(self, source: ServerTLS | None = None) -> None:
        """Read certificates, keys and revocation lists again, or take others, for the connections to come.

        Parameters
        ----------
        source : ssl.SSLContext or callable, optional
            What is used from now on, instead of what was given before.

        Raises
        ------
        InvalidSettingError
            If that cannot be used, or the context that was given cannot be made anew. What was used is used on.
        OSError
            If a file cannot be read; likewise.
        """
        if source is not None:
            fresh = TLSContexts(source)
            with self._lock:
                self._source, self._context = fresh._source, fresh._context
            return
        if not self._can_renew:
            raise InvalidSettingError("this SSLContext cannot be made anew: pass another one, or a function")
        with self._lock:
            self._context = self._another()
            self._has_warned = False


def _has_tls_1_2(context: ssl.SSLContext) -> bool:
    return context.minimum_version < ssl.TLSVersion.TLSv1_3 and not context.options & ssl.OP_NO_TLSv1_2


def _made(make: Any) -> Any:
    if not callable(make):
        raise InvalidSettingError(f"{make!r} is not an SSLContext")
    return make()


def _checked(context: Any) -> ssl.SSLContext:
    if not isinstance(context, ssl.SSLContext):
        raise InvalidSettingError(f"{context!r} is not an SSLContext")
    TLSLayer(context, server_side=True)  # so that a context for clients is noticed now
    return context
