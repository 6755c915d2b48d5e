"""The page of a trace in a browser: what it draws, what a click opens, what the filter leaves, how pages are turned."""

import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dicom_transports.apps.trace.page import Page
from tests.browsers import chromium, complaints
from tests.traces.packets import Wire, pcap, trace
from tests.traces.scenes import ECHO, STORE
from tests.traces.test_trace_command import HOSTILE, hostile_capture

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, through its driver."""
    with chromium() as driver:
        yield driver


def open_page(browser: Any, path: Path, capture: bytes, times: int = 1, **how: Any) -> None:
    out = io.StringIO()
    page = Page(out, "a <b>capture</b>")
    for entry in trace(capture, **how)[0] * times:
        page(entry)
    page.close()
    path.write_text(out.getvalue(), encoding="utf-8")
    browser.get(path.as_uri())


def find(browser: Any, selector: str) -> list[Any]:
    found: list[Any] = browser.find_elements("css selector", selector)
    return found


def text_of(browser: Any, selector: str) -> str:
    return " ".join(find(browser, selector)[0].text.split())


def test_arrows_open_their_fields(browser: Any, tmp_path: Path) -> None:
    steps = [*STORE, (False, b"\x09\0\0\0\0\4abcd")]
    open_page(browser, tmp_path / "page.html", pcap(Wire().play(steps, ends=False).packets), values=True)
    labels = find(browser, ".label")
    assert [label.text.split()[1] for label in labels[:4]] == ["TCP", "A-ASSOCIATE-RQ", "A-ASSOCIATE-AC", "C-STORE-RQ"]
    assert len(find(browser, ".arrow")) == 10
    labels[4].click()
    details = text_of(browser, "#details")
    assert "of C-STORE-RQ: 3108 bytes" in details
    assert "(0010,0010) PN PatientName 8 DOE^JANE" in details
    assert [one.text for one in find(browser, ".ends")] == ["10.0.0.1:40000", "10.0.0.2:104"]
    arrow = find(browser, ".hit")[1]
    browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", arrow)
    assert "calling AE title SCANNER" in text_of(browser, "#details")
    assert len(find(browser, ".mark")) == 3  # the connection, a violation, and the summary
    assert complaints(browser) == []
    assert browser.get_screenshot_as_png().startswith(b"\x89PNG")


def test_time_is_to_scale(browser: Any, tmp_path: Path) -> None:
    open_page(browser, tmp_path / "page.html", pcap(Wire().play(STORE).packets))
    heights = [float(line.get_attribute("y2")) for line in find(browser, ".arrow")][:2]
    slanted = find(browser, ".arrow.thick")[0]
    assert float(slanted.get_attribute("y2")) - float(slanted.get_attribute("y1")) == pytest.approx(
        3 * (heights[1] - heights[0]), rel=0.05
    )
    find(browser, "#scaled")[0].click()
    even = [float(line.get_attribute("y2")) for line in find(browser, ".arrow")]
    assert {round(b - a) for a, b in pairwise(even)} == {22}


def test_the_filter_leaves_what_fits(browser: Any, tmp_path: Path) -> None:
    capture = pcap([*Wire().play(STORE).packets, *Wire(port=41_000).play(ECHO).packets])
    open_page(browser, tmp_path / "page.html", capture)
    everything = len(find(browser, ".label"))
    find(browser, "#filter")[0].send_keys("success c-store")
    wait_for(browser, "2 shown")
    find(browser, "#filter")[0].clear()
    find(browser, "#filter")[0].send_keys("#2")
    wait_for(browser, "7 shown")
    find(browser, "#filter")[0].send_keys(" nothing has this")
    wait_for(browser, "0 shown")
    assert text_of(browser, "#ladder") == "Nothing fits the filter."
    browser.execute_script(
        "let f = document.getElementById('filter'); f.value = ''; f.dispatchEvent(new Event('input'))"
    )
    wait_for(browser, f"{everything} shown")
    find(browser, "input[data-kind=message]")[0].click()
    assert not [label for label in find(browser, ".label") if "C-STORE" in label.text and "data set" not in label.text]


def wait_for(browser: Any, words: str) -> None:
    from selenium.webdriver.support.wait import WebDriverWait  # noqa: PLC0415 - it may be missing

    WebDriverWait(browser, 20).until(lambda _: text_of(browser, "#page").startswith(words))


def test_thousands_of_arrows_are_turned_in_pages(browser: Any, tmp_path: Path) -> None:
    open_page(browser, tmp_path / "page.html", pcap(Wire().play(STORE).packets), times=400)
    shown = 400 * 12
    assert text_of(browser, "#page") == f"{shown} shown, page 1 of 3"
    assert browser.execute_script("return document.querySelectorAll('.label').length") == 2000
    find(browser, "#forth")[0].click()
    find(browser, "#forth")[0].click()
    assert text_of(browser, "#page") == f"{shown} shown, page 3 of 3"
    assert browser.execute_script("return document.querySelectorAll('.label').length") == shown - 4000
    assert not find(browser, "#forth")[0].is_enabled()
    assert complaints(browser) == []


def test_what_a_peer_says_is_text(browser: Any, tmp_path: Path) -> None:
    open_page(browser, tmp_path / "page.html", hostile_capture())
    assert HOSTILE.replace("\x1b", "") in find(browser, ".label")[1].text.replace("\x1b", "")
    find(browser, ".label")[1].click()
    assert not find(browser, "#details b")
    assert text_of(browser, "#about") == "a <b>capture</b>"
