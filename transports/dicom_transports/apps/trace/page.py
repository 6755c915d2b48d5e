"""A trace as one HTML page that needs nothing else: the ladder drawn, each arrow opens its fields.

May change.

The entries stand in the page as data, in pieces that are read when they are shown. Whatever a peer has sent gets into
the page as text only: here nothing of it can end the data, and the script puts it nowhere but into text nodes.
"""

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Final, TextIO

from dicom_transports.apps.trace.entries import Entry, as_json

__all__ = ["Page"]

_IN_PIECE: Final = 500  # entries
_ENTRIES: Final = "$entries"
# What could end a script element, or be taken for the beginning of a comment in it.
_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


class Page:
    """Writes entries into a page, as they come.

    Parameters
    ----------
    out : text file
        Where to; it is not closed.
    title : str
        What was traced.
    """

    def __init__(self, out: TextIO, title: str) -> None:
        self._out = out
        self._waiting: list[str] = []
        folder = files("dicom_transports.apps.trace")
        template, style, script = (
            (folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")
        )
        digest = b64encode(sha256(script.encode()).digest()).decode("ascii")
        before, _, after = template.partition(_ENTRIES)
        words = {"title": escape(title), "style": style, "script": script, "script_hash": f"sha256-{digest}"}
        self._after = Template(after).substitute(words)
        out.write(Template(before).substitute(words))

    def __call__(self, entry: Entry) -> None:
        """Write an entry."""
        self._waiting.append(json.dumps(as_json(entry)).translate(_ESCAPES))
        if len(self._waiting) == _IN_PIECE:
            self._write_piece()

    def close(self) -> None:
        """Write the rest of the page."""
        self._write_piece()
        self._out.write(self._after)
        self._out.flush()

    def _write_piece(self) -> None:
        if self._waiting:
            self._out.write('<script type="application/json" class="entries">[')
            self._out.write(",\n".join(self._waiting))
            self._out.write("]</script>\n")
            self._waiting.clear()
