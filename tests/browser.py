"""Headless Chromium for tests of pages: launched once a session, with axe-core, and with eyes on what goes wrong.

`from browser import watched_page` and so on; the fixture `chromium` is here too: import it into the test module
(`from browser import chromium  # noqa: F401`). Where Chromium or Playwright is missing the tests skip and say why.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
SCREENSHOTS = "AHALAB_SCREENSHOTS"
"""Environment variable: the folder that `take_screenshot` writes to; the test's own temporary folder otherwise."""
LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A running headless Chromium; skips with the reason where it cannot be had."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright for Python is not installed")
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--headless=new", "--force-color-profile=srgb"]
        )
        yield browser
        browser.close()


@dataclass(slots=True)
class Watched:
    """A page, and everything it did that a good page does not do."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """Console errors and warnings of the security policy, uncaught exceptions, failed requests."""
    foreign: list[str] = field(default_factory=list)
    """Requests that would have left the machine; each was stopped."""
    dialogs: list[str] = field(default_factory=list)
    """alert() and its like: only hostile text that ran would open one."""

    def assert_clean(self) -> None:
        """Nothing of that kind happened."""
        assert self.errors == []
        assert self.foreign == []
        assert self.dialogs == []


@contextmanager
def watched_page(
    browser: Browser, scheme: Scheme = "light", width: int = 1280, height: int = 900, **context: Any
) -> Iterator[Watched]:
    """A fresh page (own storage) whose errors, foreign requests and dialogs are recorded. Motion is reduced."""
    opened = browser.new_context(
        color_scheme=scheme,
        reduced_motion="reduce",
        viewport={"width": width, "height": height},
        **context,
    )
    page = opened.new_page()
    page.set_default_timeout(15_000)
    watched = Watched(page)

    def decide(route: Any) -> None:
        parts = urlsplit(route.request.url)
        if parts.scheme in ("data", "blob", "file", "about") or parts.hostname in LOCAL:
            route.continue_()
        else:
            watched.foreign.append(route.request.url)
            route.abort()

    def dismiss(dialog: Any) -> None:
        watched.dialogs.append(dialog.message)
        dialog.dismiss()

    def console(message: Any) -> None:
        if message.type == "error" or "Content Security Policy" in message.text:
            watched.errors.append(message.text)

    def failed(request: Any) -> None:
        # A page that leaves a view stops what it had asked for.
        if request.failure != "net::ERR_ABORTED":
            watched.errors.append(f"{request.url}: {request.failure}")

    opened.route("**/*", decide)
    page.on("console", console)
    page.on("pageerror", lambda error: watched.errors.append(str(error)))
    page.on("dialog", dismiss)
    page.on("requestfailed", failed)
    try:
        yield watched
    finally:
        opened.close()


def serious_violations(page: Page) -> list[str]:
    """What axe-core calls serious or critical on the page as it stands, one line a place; skips without axe."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
    # Through the debugger, which the page's own security policy does not bind; a script element would be refused.
    if not page.evaluate("() => typeof window.axe === 'object'"):
        page.evaluate(axe.AXE_SCRIPT)
    found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")
    return [
        f"{one['id']} ({one['impact']}): {', '.join(map(str, node['target']))}: {node.get('failureSummary', '')}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def take_screenshot(page: Page, name: str, folder: Path, *, whole: bool = True) -> Path:
    """Write `name`.png to the folder that `AHALAB_SCREENSHOTS` names, else to `folder`; where it lies."""
    target = Path(os.environ.get(SCREENSHOTS) or folder)
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{name}.png"
    page.screenshot(path=path, full_page=whole)
    return path
