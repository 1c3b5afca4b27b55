"""Pages in a headless Chromium, driven by Playwright. The browser is the system's own, or the one that `CHROMIUM`
names."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tools.deployment.paths import BUILD

SCREENSHOTS = BUILD / "screenshots"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium without windows, where a page takes a quarter of the time. It has no autofill.
_SHELL = "chromium-headless-shell"
_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_SIZES = {"wide": (1200, 800), "narrow": (360, 780)}


def chromium(names: Sequence[str] = (_SHELL, *_BROWSERS)) -> str:
    """The path of the first that is there. Skips the test if there is none."""
    if path := os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None):
        return path
    pytest.skip(f"{names[0]} is not on the PATH. Install Debian's package of that name, or set CHROMIUM.")


@contextmanager
def running_chromium(path: str) -> Iterator[Browser]:
    """A browser with an empty profile. While it runs, this thread has an event loop, so `asyncio.run` can't be used."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium(chromium()) as browser:
        yield browser


@pytest.fixture(scope="module")
def browser_with_autofill() -> Iterator[Browser]:
    with running_chromium(chromium(_BROWSERS)) as browser:
        yield browser


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """A page. On leaving it, check that it sent requests only to its own origin, and reported no errors."""
    with browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce") as context:
        page = context.new_page()
        origin = url if url.startswith("file:") else "/".join(url.split("/")[:3])
        urls: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        yield page
    assert [each for each in urls if not each.startswith(origin)] == []
    assert complaints == []


_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_OF_COLOURS = ["color-contrast", "link-in-text-block"]


def barriers(page: Page, *, of_colours: bool = False) -> list[str]:
    """Return the accessibility violations of the page, by the rules of WCAG 2.2 that axe-core can check, or only by
    those that look at colours."""
    rules = {"type": "rule", "values": _OF_COLOURS} if of_colours else _WCAG
    # axe-core lists all violations, but of each rule's other results only the first.
    options = {"runOnly": rules, "resultTypes": ["violations"]}
    violations = Axe().run(page, options=options).response["violations"]
    return [f"{each['id']}: {each['help']} {[node['html'] for node in each['nodes'][:3]]}" for each in violations]


def take_screenshots(page: Page, name: str) -> None:
    """Take screenshots of the whole page, light and dark, wide and narrow. It must not be wider than the narrow
    window."""
    for size, (width, height) in _SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}-{size}.jpg", quality=70, full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
