"""Chromium without a window, for tests of pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from cli.paths import BUILD

SCREENSHOTS = BUILD / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """Where Chromium is: what CHROMIUM says, or the first of its names on the PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser, for as long as the context lasts. Skips the test where there is none."""
    executable = chromium()
    if executable is None:
        pytest.skip("There is no Chromium. Install it, or say in CHROMIUM where it is.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, headless=True, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, *, width: int = 1440, height: int = 900, dark: bool = False) -> Iterator[Page]:
    """A page. When it is left, it must have asked nobody but its own origin for anything, and complained of nothing."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        # An animation may be anywhere when its picture is taken.
        reduced_motion="reduce",
    )
    page = context.new_page()
    origin = url if url.startswith("file:") else "/".join(url.split("/")[:3])
    complaints: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(origin) else complaints.append(request.url))
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    yield page
    context.close()
    assert complaints == []


def screenshot(page: Page, name: str) -> Path:
    """Take a picture of the whole page into build/screenshots, for people to look at."""
    file = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=file, full_page=True)
    return file


def barriers(page: Page) -> list[str]:
    """What keeps some people out of the page, by the rules of WCAG 2 that a machine can check (axe-core)."""
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{each['id']}: {each['help']} {[node['html'] for node in each['nodes'][:3]]}" for each in found]
