"""The system's Chromium, and pages that report script errors and requests leaving the machine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.pace import patience_s

# A machine with much else to do takes its time; what is waited for is a condition, never a moment.
expect.set_options(timeout=30_000)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOWN_CHARS = 4_000
OWN = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
IDLE = """() => {
  const app = document.querySelector('[data-testid=stApp]')
  return app?.dataset.testConnectionState === 'CONNECTED' && app.dataset.testScriptState === 'notRunning'
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; without it the tests are skipped, but fail in CI."""
    path = shutil.which("chromium")
    if path is None:
        _unavailable("chromium is not installed")
    if find_library("atomic") is None:
        _unavailable("libatomic, which Playwright's driver needs, is not installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must not skip the browser tests")
    pytest.skip(reason)


@contextmanager
def watched_page(browser: Browser, base_url: str) -> Iterator[Page]:
    """A page on which a script error or a request that leaves the machine fails the test.

    A test that fails prints the address and the words that the page showed.
    """
    errors: list[str] = []
    leaving: list[str] = []
    page = browser.new_page(viewport={"width": 1440, "height": 1000}, base_url=base_url)
    page.set_default_timeout(patience_s(15) * 1000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith(OWN) else leaving.append(sent.url))
    try:
        yield page
    except BaseException:
        print(f"the page was {page.url} and showed:\n{page.locator('body').inner_text()[:SHOWN_CHARS]}")
        raise
    page.close()
    assert (errors, leaving) == ([], [])


def settle(page: Page) -> None:
    """Wait until Streamlit is connected and idle, twice in a row, and has raised nothing."""
    deadline, quiet = time.monotonic() + patience_s(60), 0
    while quiet < 2:
        assert time.monotonic() < deadline, "the page did not settle"
        quiet = quiet + 1 if page.evaluate(IDLE) else 0
        page.wait_for_timeout(150)
    assert page.get_by_test_id("stException").count() == 0
