import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient

from cli.stack import Stack
from console.app import create_app
from functions.shared.domain.ledger import capture_entry
from tests.samples import PAN, payment
from tests.unit.console.conftest import Bench

HOST = "http://127.0.0.1:4568"


@pytest.fixture
def browser(bench: Bench) -> Iterator[FlaskClient]:
    with create_app(bench.stack).test_client() as client:
        yield client


@pytest.fixture
def idle() -> FlaskClient:
    """A console whose stack is never asked."""
    arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:payments-test-payment"
    return create_app(Stack("http://api", "eu-west-1", arn, "ledger", "/aws/lambda/p-")).test_client()


@pytest.fixture
def payment_id(bench: Bench) -> str:
    """A captured payment."""
    payment_id = bench.run(card_data={"card_number": PAN})
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    bench.record(payment(payment_id, updated_at=now), capture_entry("sparkle", 1999, "USD"))
    return payment_id


PAGES = (
    "/",
    "/?status=captured&text=order",
    "/doubts",
    "/accounts",
    "/accounts?day=2026-11-23",
    "/breaks",
    "/machines",
)


def test_a_rejected_payment_s_text_may_be_any(bench: Bench, browser: FlaskClient) -> None:
    payment_id = bench.run(end="rejected", merchant_reference="order-\ud800")
    for path in ("/", f"/payments/{payment_id}"):
        answer = browser.get(path, base_url=HOST)
        assert answer.status_code == 200, path
        assert "order-?" in answer.text


def test_every_page_answers_and_allows_nothing_from_elsewhere(browser: FlaskClient, payment_id: str) -> None:
    for path in (*PAGES, f"/payments/{payment_id}", "/static/console.css", "/static/console.mjs", "/static/icon.svg"):
        answer = browser.get(path, base_url=HOST)
        policy = answer.headers["Content-Security-Policy"]
        assert answer.status_code == 200, path
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert PAN not in answer.text


@pytest.mark.parametrize("host", [HOST, "http://localhost:4568"])
def test_its_own_names_are_served(idle: FlaskClient, host: str) -> None:
    assert idle.get("/static/icon.svg", base_url=host).status_code == 200


@pytest.mark.parametrize("header", ["Host", "Origin", "Sec-Fetch-Site"])
def test_another_sites_page_is_served_nothing(idle: FlaskClient, header: str) -> None:
    value = {"Host": "rebound.example", "Origin": "https://shop.example", "Sec-Fetch-Site": "same-site"}[header]
    answer = idle.get("/payments/pay-1", base_url=HOST, headers={header: value})
    assert (answer.status_code, answer.mimetype) == (403, "text/plain")


def test_another_sites_page_may_have_a_link_to_it(browser: FlaskClient) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert browser.get("/doubts", base_url=HOST, headers=link).status_code == 200
    assert browser.get("/doubts", base_url=HOST, headers=link | {"Sec-Fetch-Dest": "iframe"}).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/payments/pay-1", "/doubts"])
def test_nothing_can_be_changed(idle: FlaskClient, path: str, method: str) -> None:
    assert idle.open(path, method=method, base_url=HOST).status_code == 405


def test_payments_are_listed_with_a_link_to_each(browser: FlaskClient, payment_id: str) -> None:
    text = browser.get("/", base_url=HOST).text
    assert f'href="/payments/{payment_id}"' in text
    assert all(word in text for word in ("captured", "19.99 USD", "4242", "order-1001"))


def test_what_has_not_changed_is_not_sent_again(browser: FlaskClient, payment_id: str) -> None:
    first = browser.get(f"/payments/{payment_id}", base_url=HOST)
    again = browser.get(f"/payments/{payment_id}", base_url=HOST, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")


def test_only_a_payment_that_runs_is_looked_at_again(bench: Bench, browser: FlaskClient, payment_id: str) -> None:
    running = bench.run(end="running")
    assert 'data-live="1000"' in browser.get(f"/payments/{running}", base_url=HOST).text
    assert "data-live" not in browser.get(f"/payments/{payment_id}", base_url=HOST).text


def test_doubts_are_the_oldest_first_with_their_age(bench: Bench, browser: FlaskClient) -> None:
    for payment_id, since in (("pay-young", "2026-11-23T09:00:00.000Z"), ("pay-old", "2026-11-21T09:00:00.000Z")):
        bench.record(payment(payment_id, "in_doubt", updated_at=since))
    text = browser.get("/doubts", base_url=HOST).text
    assert 0 < text.index("pay-old") < text.index("pay-young")
    assert "in doubt for" in text


def test_accounts_show_a_day_and_whether_it_balances(browser: FlaskClient, payment_id: str) -> None:
    text = browser.get("/accounts", base_url=HOST).text
    assert all(word in text for word in ("asset:gateway:sparkle", "liability:merchant", "balances"))
    assert "Nothing was posted" in browser.get("/accounts?day=2020-01-01", base_url=HOST).text
    assert browser.get("/accounts?day=yesterday", base_url=HOST).status_code == 400


def test_an_operation_leads_to_its_execution(bench: Bench, browser: FlaskClient) -> None:
    operation = {"operation_id": "refund-1", "type": "refund", "amount_minor": 500, "status": "succeeded"}
    operation |= {"error": None, "created_at": "2026-11-23T10:00:00.000Z"}
    bench.put(
        pk="PAYMENT#pay-1",
        sk="PAYMENT",
        status="partially_refunded",
        currency="USD",
        operations=[operation],
        created_at="2026-11-23T09:00:00.000Z",
    )
    text = browser.get("/payments/pay-1", base_url=HOST).text
    assert re.search('href="/executions/arn:aws:states:[^"]*:execution:payments-test-operation:refund-1"', text)


def test_open_breaks_are_listed(bench: Bench, browser: FlaskClient) -> None:
    day = datetime.now(UTC).date().isoformat()
    bench.put(
        pk=f"BREAK#{day}",
        sk="missing#pay-1#1",
        type="missing_at_gateway",
        payment_id="pay-1",
        expected="19.99 USD",
        found="nothing",
        seen_at=f"{day}T09:00:00Z",
    )
    text = browser.get("/breaks", base_url=HOST).text
    assert all(word in text for word in ("missing at gateway", "pay-1", "19.99 USD", "nothing"))


@pytest.mark.parametrize("path", ["/payments/pay-unknown", "/executions/pay-unknown", "/nowhere"])
def test_what_is_not_there_is_404(browser: FlaskClient, path: str) -> None:
    assert browser.get(path, base_url=HOST).status_code == 404


def test_aws_s_refusal_is_said(bench: Bench, browser: FlaskClient) -> None:
    answer = browser.get("/?token=nonsense", base_url=HOST)
    assert answer.status_code == 502
    assert "AWS does not answer as it should" in answer.text
