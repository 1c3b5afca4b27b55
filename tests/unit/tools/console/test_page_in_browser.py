"""The console's script in Chromium, beside a stack that stops and starts again."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect

from tests.chromium import browser as browser
from tools.console.app import serve
from tools.console.payments import Page, Payments
from tools.deployment.stack import Stack

ARN = "arn:aws:states:us-east-1:000000000000:stateMachine:payments-local-payment"
WITHIN_MS = 15_000


@contextmanager
def listening(port: int = 0) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", port)) as server:
        yield int(server.getsockname()[1])


def test_a_page_says_how_to_start_the_stack_and_goes_on_once_it_is_there(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Payments, "page", lambda *_: Page([]))
    monkeypatch.setattr(Payments, "doubt_count", lambda _: 0)
    with listening() as port:
        local = f"http://127.0.0.1:{port}"
        stack = Stack(local, "us-east-1", ARN, "ledger", "/p-", local, "AK", "s")
        console = serve(stack, 0)
        thread = threading.Thread(target=console.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        url = f"http://localhost:{console.port}"
        was_open = browser.new_page()
        was_open.goto(url)
        expect(was_open.get_by_role("heading", level=1)).to_have_text("Payments")
    told = was_open.locator("#live-state")
    expect(told).to_have_text("The stack is not running: make up", timeout=WITHIN_MS)
    opened_now = browser.new_page()
    opened_now.goto(url)
    expect(opened_now.locator(".command")).to_have_text("make up")
    with listening(port):
        expect(told).to_have_text("live", timeout=WITHIN_MS)
        expect(opened_now.get_by_role("heading", level=1)).to_have_text("Payments", timeout=WITHIN_MS)
    console.shutdown()
    thread.join()
    for page in (was_open, opened_now):
        page.close()
