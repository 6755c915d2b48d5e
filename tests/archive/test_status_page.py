"""The status page: what it answers, what it costs whoever connects, and how a browser shows it."""

import http.client
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_transports._archive import status_page
from dicom_transports._archive.status_page import Failures, StatusPage, render
from tests.browsers import chromium, complaints

HOSTILE = "<script>alert(1)</script>"
STATUS: dict[str, Any] = {
    "ae_title": "ARCHIVE",
    "version": "1.0",
    "process": 1234,
    "started": "2026-01-02T03:04:05+00:00",
    "figures": {"associations": 2, "studies": 1234, "stored bytes": 5 * 1024**4, "quota bytes": None, "sent bytes": 12},
    "tables": {
        "Associations": {"columns": ["calling", "address"], "rows": [["CT1", "192.0.2.1"], [HOSTILE, "192.0.2.2"]]},
        "Operations": {"columns": ["operation", "status", "count"], "rows": [["C-STORE", "0000", 2000]]},
        "Last failures": {"columns": ["level", "message"], "rows": [["ERROR", "the disk is full"]]},
        "Nothing": {"columns": ["a"], "rows": []},
    },
}


@pytest.fixture
def page() -> Iterator[StatusPage]:
    with StatusPage(("127.0.0.1", 0), lambda: STATUS) as made:
        yield made


def ask(page: StatusPage, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection(*page.address, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_the_page_and_its_data(page: StatusPage) -> None:
    status, headers, body = ask(page, "/")
    text = body.decode()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "<dd>1,234</dd>" in text
    assert "<dd>5.0 TiB</dd>" in text
    assert "<dd>12 B</dd>" in text
    assert '<td class="number">2,000</td>' in text
    assert '<td class="ERROR">ERROR</td>' in text
    assert "None." in text
    assert HOSTILE not in text
    status, headers, body = ask(page, "/status.json?x=1")
    assert (status, headers["Content-Type"], json.loads(body)) == (200, "application/json", STATUS)
    status, headers, body = ask(page, "/", "HEAD")
    assert (status, int(headers["Content-Length"]) > 1000, body) == (200, True, b"")


@pytest.mark.parametrize(
    ("path", "method", "host", "status"),
    [
        ("/other", "GET", "localhost", 404),
        ("/", "POST", "localhost", 501),
        ("/", "GET", "localhost", 200),
        ("/", "GET", "127.0.0.1:8080", 200),
        ("/", "GET", "[::1]:8080", 200),
        ("/", "GET", "[::1]", 200),
        ("/", "GET", "evil.example", 403),
        ("/status.json", "GET", "evil.example:80", 403),
        ("/", "GET", "", 403),
    ],
)
def test_whom_it_answers(page: StatusPage, path: str, method: str, host: str, status: int) -> None:
    assert ask(page, path, method, Host=host)[0] == status


def test_elsewhere_it_has_any_name() -> None:
    with StatusPage(("0.0.0.0", 0), lambda: STATUS) as page:
        page.address = ("127.0.0.1", page.address[1])
        assert ask(page, "/", Host="archive.example")[0] == 200


def test_what_cannot_be_read_is_said() -> None:
    def fail() -> Any:
        raise RuntimeError("secret")

    with StatusPage(("127.0.0.1", 0), fail) as page:
        status, _, body = ask(page, "/")
    assert (status, body) == (503, b"the status cannot be read now\n")


def test_who_says_nothing_or_too_much_is_let_go(page: StatusPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_page, "_MOST_SECONDS", 0.05)
    for words in (b"", b"GET / HTTP/1.0\r\n", b"x" * 20_000):
        with socket.create_connection(page.address, 20) as connection:
            connection.sendall(words)
            received = b""
            try:
                received = connection.recv(100)
            except ConnectionError:
                assert len(words) > 8192  # what was not read is thrown back
            assert received == b""
    assert ask(page, "/status.json")[0] == 200


def test_the_last_failures_of_the_log() -> None:
    log = logging.getLogger("dicom_transports")
    with Failures() as failures:
        for number in range(60):
            log.warning("failure %d", number)
        log.info("not a failure")
        kept = failures.latest()
    log.warning("later")
    assert len(kept) == 50
    assert [(one["level"], one["message"]) for one in kept][:2] == [
        ("WARNING", "failure 59"),
        ("WARNING", "failure 58"),
    ]
    assert failures.latest() == kept


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB"), (7 << 30, "7.0 GiB")]
)
def test_sizes(count: int, words: str) -> None:
    assert f"<dd>{words}</dd>" in render(STATUS | {"figures": {"bytes": count}, "tables": {}})


@pytest.mark.interop
def test_a_browser_shows_it(page: StatusPage, tmp_path: Path) -> None:
    with chromium(1100, 800) as browser:
        browser.get(f"http://127.0.0.1:{page.address[1]}/")
        assert browser.title == "ARCHIVE: status"
        cells = [cell.text for cell in browser.find_elements("css selector", "td")]
        assert cells == [
            *("CT1", "192.0.2.1", HOSTILE, "192.0.2.2"),
            *("C-STORE", "0000", "2,000", "ERROR", "the disk is full"),
        ]
        assert not browser.find_elements("css selector", "script")
        assert [line for line in complaints(browser) if "favicon" not in line] == []
        picture = tmp_path / "status.png"
        picture.write_bytes(browser.get_screenshot_as_png())
        assert picture.read_bytes().startswith(b"\x89PNG")
