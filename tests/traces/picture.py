"""Makes the picture of the README: ``python -m tests.traces.picture docs/trace.png``, with Chromium."""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from dicom_transports.apps.trace.page import Page
from tests.interop.peers import require
from tests.traces.packets import Wire, pcap, trace
from tests.traces.scenes import QUERY, RELEASED, begun, element, image, match, stores

__all__: list[str] = []

SIZE = "1180,620"
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking")


def main(target: Path) -> None:
    """Draw a conversation of a scanner with an archive, and take its picture."""
    found = element(0x00100010, b"DOE^JANE")
    asked = [(False, QUERY), (True, match(0xFF00, found)), (True, match(0xFF00, found)), (True, match(0x0000))]
    steps = [*begun(), *stores(image()), *stores(image(100), 2), *asked, *RELEASED]
    out = io.StringIO()
    page = Page(out, "scanner and archive")
    for entry in trace(pcap(Wire().play(steps).packets))[0]:
        page(entry)
    page.close()
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "page.html")
        source.write_text(out.getvalue(), encoding="utf-8")
        where = [f"--user-data-dir={directory}/profile", f"--window-size={SIZE}", f"--screenshot={target.absolute()}"]
        subprocess.run([require("chromium"), *OPTIONS, *where, source.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
