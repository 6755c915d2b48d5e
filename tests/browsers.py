"""Chromium, through its driver: what looks at pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.interop.peers import require, require_module

__all__ = ["chromium", "complaints"]


@contextmanager
def chromium(width: int = 1440, height: int = 900) -> Iterator[Any]:
    """Run a browser without a screen."""
    require_module("selenium")
    from selenium import webdriver  # noqa: PLC0415 - it may be missing

    options = webdriver.ChromeOptions()
    options.binary_location = require("chromium")
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},{height}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(require("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def complaints(browser: Any) -> list[str]:
    """What the browser has to complain about: errors of scripts, and what a page's policy has kept away."""
    return [line["message"] for line in browser.get_log("browser")]
