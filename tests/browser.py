"""A real browser for pages: headless Chromium, driven by Playwright, that reaches loopback addresses only."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Error, Page, Route, sync_playwright

ARGUMENTS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that Playwright installed; skipped without, unless VOSFW_CHROMIUM=required."""
    with sync_playwright() as playwright:
        try:
            found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        except Error as error:
            if os.environ.get("VOSFW_CHROMIUM") == "required":
                raise
            pytest.skip(f"needs Chromium (apt-get install chromium, or playwright install chromium): {error}")
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, address: str, *, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """A page that loaded; on leaving, no error may be on its console, and nothing asked of a network."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    troubles: list[str] = []

    def route(request: Route) -> None:
        parts = urlsplit(request.request.url)
        if parts.scheme in ("file", "data", "blob") or parts.hostname in LOOPBACK:
            request.continue_()
        else:
            troubles.append(f"asked for {request.request.url}")
            request.abort()

    context.route("**/*", route)
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(address)
    try:
        yield page
        assert not troubles, troubles
    finally:
        context.close()


def address_of(path: Path) -> str:
    """A local file as an address."""
    return path.resolve().as_uri()


def too_wide(page: Page) -> list[str]:
    """Elements that stick out of the window to the right, unless a part of the page scrolls them."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter(e => {
             const box = e.getBoundingClientRect();
             if (box.width === 0 || box.right <= document.documentElement.clientWidth + 1) return false;
             for (let p = e.parentElement; p; p = p.parentElement) {
               if (["auto", "scroll", "hidden"].includes(getComputedStyle(p).overflowX)) return false;
             }
             return true;
           }).map(e => e.outerHTML.slice(0, 80))"""
    )
    return found
