"""A page that tells how an archive is, and the same as JSON: for who looks after it, and for what watches it.

May change.

``/`` is the page, ``/status.json`` what it shows. One request is answered at a time, and each has seconds and kilobytes
for its head, so whoever connects costs the archive next to nothing. The page has no script and loads nothing.
"""

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, socket
from socketserver import TCPServer
from threading import Thread
from time import monotonic
from typing import Any, Final, Self

from dicom_proto.logs import LOGGERS

__all__ = ["Failures", "StatusPage", "render"]

_log = logging.getLogger("dicom_transports")

Status = Mapping[str, Any]

_MOST_SECONDS: Final = 5.0  # for the head of a request, and for the answer to be taken
_MOST_BYTES: Final = 8192  # of the head of a request
_KEPT: Final = 50  # failures
_REFRESH: Final = 5  # seconds until a browser asks again


class Failures(logging.Handler):
    """Keeps the last warnings and errors of the log, which has no patient data at these levels.

    It is a context manager, and listens inside.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: deque[dict[str, str]] = deque(maxlen=_KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
        self._kept.append({"time": when, "level": record.levelname, "message": record.getMessage()[:500]})

    def latest(self) -> list[dict[str, str]]:
        """Return them, the last one first."""
        return list(reversed(tuple(self._kept)))

    def __enter__(self) -> Self:
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self)


class StatusPage:
    """Serves the page in a thread of its own; it is a context manager, and serves inside.

    Parameters
    ----------
    address : tuple of str and int
        Where to listen; with port 0 the system chooses one, see :attr:`address`. On the loopback interface, it answers
        those alone that ask for it by a name of that: no page of another server can read it through a browser.
    read : callable
        Returns what is to be shown: plain values that JSON can hold, under the names that :func:`render` shows.

    Attributes
    ----------
    address : tuple of str and int
        Where it listens.

    Raises
    ------
    OSError
        If the address cannot be used.
    """

    def __init__(self, address: tuple[str, int], read: Callable[[], Status]) -> None:
        self._server = _Server(address, read)
        host, port, *_ = self._server.server_address
        self.address = (str(host), int(port))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="status page")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(TCPServer):
    allow_reuse_address = True
    request_queue_size = 8

    def __init__(self, address: tuple[str, int], read: Callable[[], Status]) -> None:
        host = address[0]
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self.read = read
        super().__init__(address, BaseHTTPRequestHandler)  # see finish_request
        self.is_local = ip_address(str(self.server_address[0])).is_loopback

    def finish_request(self, request: Any, client_address: Any) -> None:
        head = _head_of(request)
        if head:
            _Handler(request, client_address, self, head)

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        _log.debug("a request for the status page has failed", exc_info=True)


def _head_of(connection: socket) -> bytes:
    """Receive the head of a request; nothing if it does not come in time, or is too long."""
    deadline, head = monotonic() + _MOST_SECONDS, b""
    while b"\r\n\r\n" not in head and len(head) <= _MOST_BYTES:
        left = deadline - monotonic()
        if left <= 0:
            return b""
        connection.settimeout(left)
        more = connection.recv(_MOST_BYTES)
        if not more:
            return b""
        head += more
    connection.settimeout(_MOST_SECONDS)
    return head if len(head) <= _MOST_BYTES else b""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request, whose head has been received."""

    server: _Server
    server_version, sys_version = "dicom-proto", ""

    def __init__(self, request: Any, client_address: Any, server: _Server, head: bytes) -> None:
        self._head = head
        super().__init__(request, client_address, server)

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = BytesIO(self._head)  # all that is read

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def _answer(self, *, has_body: bool) -> None:
        if self.server.is_local and not _is_local_name(self.headers.get("Host", "")):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"ask for localhost\n", has_body=has_body)
            return
        match self.path.partition("?")[0]:
            case "/":
                kind, show = "text/html; charset=utf-8", render
            case "/status.json":
                kind, show = "application/json", _as_json
            case _:
                self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is / and /status.json\n", has_body=has_body)
                return
        try:
            body = show(self.server.read()).encode()
        except Exception:  # noqa: BLE001 - whatever cannot be read now, the page says so
            _log.debug("the status cannot be read", exc_info=True)
            message = b"the status cannot be read now\n"
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", message, has_body=has_body)
            return
        self._send(HTTPStatus.OK, kind, body, has_body=has_body)

    def _send(self, status: HTTPStatus, kind: str, body: bytes, *, has_body: bool) -> None:
        self.close_connection = True
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is http.server's
        _log.debug("status page: " + format, *arguments)


def _as_json(status: Status) -> str:
    return json.dumps(status)


def _is_local_name(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition("]")[2].startswith(":") or host.count(":") == 1 else host
    name = name.strip("[]")
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


# --- the page ---------------------------------------------------------------------------------------------------------

_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #1c2733 }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem }
p { margin: .2rem 0; color: #5a6b7b }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .8rem; margin: 1.2rem 0 }
dl div { background: #f2f5f8; border-radius: .5rem; padding: .7rem .9rem } dt { color: #5a6b7b; font-size: .85rem }
dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; width: 100% } th { text-align: left; color: #5a6b7b; font-weight: 600 }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #dde4ea; vertical-align: top }
td { overflow-wrap: break-word }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.ERROR, .CRITICAL { color: #b3261e } .WARNING { color: #8a5a00 }
@media (prefers-color-scheme: dark) {
  body { background: #14191f; color: #d6dee6 } dl div { background: #1f2730 } th, td { border-color: #2c3641 }
  p, dt, th { color: #93a3b2 } .ERROR, .CRITICAL { color: #ff8a80 } .WARNING { color: #ffc46b }
}
"""


def render(status: Status) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    status : mapping
        ``ae_title``, ``version``, ``process`` and ``started``; ``figures``, numbers by their names, of which those
        whose name ends in ``bytes`` are sizes; and ``tables``: by their headings, mappings with ``columns`` and
        ``rows``. In a column named ``level`` stands how bad a row is.
    """
    title = f"{status['ae_title']}: status"
    figures = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(_figure(name, value))}</dd></div>"
        for name, value in status["figures"].items()
    )
    tables = "".join(_table(name, table["columns"], table["rows"]) for name, table in status["tables"].items())
    about = f"dicom-proto {status['version']}, process {status['process']}, since {status['started']}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{_REFRESH}"><title>{escape(title)}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(str(status['ae_title']))}</h1><p>{escape(about)}</p><dl>{figures}</dl>{tables}</body></html>"
    )


def _figure(name: str, value: Any) -> str:
    if value is None:
        return "\N{EM DASH}"
    return _size(value) if name.endswith("bytes") else f"{value:,}"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def _table(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return f"<h2>{escape(name)}</h2><p>None.</p>"
    are_numbers = [all(isinstance(row[at], int) for row in rows) for at in range(len(columns))]
    head = "".join(_cell("th", column, is_number) for column, is_number in zip(columns, are_numbers, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, ['td'] * len(columns), row, are_numbers, columns))}</tr>" for row in rows)
    return f"<h2>{escape(name)}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(tag: str, value: Any, is_number: bool, column: str = "") -> str:
    text = f"{value:,}" if is_number and tag == "td" else str(value)
    kind = "number" if is_number else escape(text, quote=True) if column == "level" else ""
    return f'<{tag} class="{kind}">{escape(text)}</{tag}>' if kind else f"<{tag}>{escape(text)}</{tag}>"
