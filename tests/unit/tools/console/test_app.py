import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from flask.testing import FlaskClient

from functions.shared.domain.ledger import capture_entry
from tests.mocked_aws import TABLE
from tests.samples import PAN, payment
from tests.unit.tools.console.conftest import Bench
from tools.console import payments as payments_module
from tools.console import records as ledger_module
from tools.console.app import create_app
from tools.deployment.stack import Gateway, Stack

HOST = "http://127.0.0.1:4568"


@pytest.fixture
def browser(bench: Bench) -> Iterator[FlaskClient]:
    with create_app(bench.stack).test_client() as client:
        yield client


@pytest.fixture
def idle() -> FlaskClient:
    """A console that never calls its stack."""
    return create_app(Stack("http://api", "eu-west-1", idle_arn(), "ledger", "/aws/lambda/p-")).test_client()


def idle_arn() -> str:
    return "arn:aws:states:eu-west-1:123456789012:stateMachine:payments-test-payment"


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


def test_of_several_gateways_a_payment_shows_its_own_and_is_found_by_it(bench: Bench, payment_id: str) -> None:
    gateways = {name: Gateway(f"https://{name}.example") for name in ("sparkle", "stripe")}
    with create_app(replace(bench.stack, gateways=gateways)).test_client() as browser:
        assert "<td>Sparkle</td>" in browser.get("/", base_url=HOST).text
        assert payment_id in browser.get("/?gateway=sparkle", base_url=HOST).text
        others = browser.get("/?gateway=stripe", base_url=HOST).text
    assert payment_id not in others
    assert '<option value="stripe" selected>Stripe</option>' in others


def test_the_only_gateway_is_not_asked_for(browser: FlaskClient, payment_id: str) -> None:
    assert "Sparkle" not in browser.get("/", base_url=HOST).text


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
    assert "In doubt for" in text
    assert 'href="/docs/runbook.md#payments-in-doubt"' in text


def test_every_page_says_how_many_are_in_doubt(bench: Bench, browser: FlaskClient) -> None:
    assert "badge" not in browser.get("/machines", base_url=HOST).text
    bench.record(payment("pay-1", "in_doubt"))
    with create_app(bench.stack).test_client() as later:
        text = later.get("/machines", base_url=HOST).text
        assert re.search(r'badge" aria-hidden="true">1</span><span class="unseen">1 payment</span>', text)


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


@pytest.mark.parametrize("payment_id", [None, "", 7, ["pay-1"], "pay-1"])
def test_an_execution_that_is_of_no_payment_has_a_page_too(
    bench: Bench, browser: FlaskClient, payment_id: object
) -> None:
    """Such as the execution of resolve for an operation."""
    states, machine = bench.aws.stepfunctions, bench.stack.machine_arn("resolve")
    states.create_state_machine(
        name=machine.rpartition(":")[2],
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
        roleArn="arn:aws:iam::123456789012:role/states",
    )
    execution_input = {"payment_id": payment_id, "operation_id": "refund-1"}
    arn = states.start_execution(stateMachineArn=machine, name="by-hand", input=json.dumps(execution_input))[
        "executionArn"
    ]
    page = browser.get(f"/executions/{arn}", base_url=HOST)
    assert (page.status_code, "of operation <code>refund-1</code>" in page.text) == (200, True)
    assert ('href="/payments/pay-1"' in page.text) is (payment_id == "pay-1")


def test_open_breaks_are_listed(bench: Bench, browser: FlaskClient) -> None:
    day = datetime.now(UTC).date().isoformat()
    bench.put(
        pk=f"BREAK#{day}",
        sk="missing#pay-1#1",
        type="missing_at_gateway",
        payment_id="pay-1",
        expected="1999 USD",
        found="nothing",
        seen_at=f"{day}T09:00:00Z",
    )
    text = browser.get("/breaks", base_url=HOST).text
    assert all(word in text for word in ("missing at gateway", "pay-1", "19.99 USD", "nothing"))


@pytest.mark.parametrize("path", ["/payments/pay-unknown", "/executions/pay-unknown", "/nowhere"])
def test_what_is_not_there_is_404(browser: FlaskClient, path: str) -> None:
    assert browser.get(path, base_url=HOST).status_code == 404


def test_aws_s_refusal_is_said(bench: Bench, browser: FlaskClient) -> None:
    bench.aws.dynamodb.delete_table(TableName=TABLE)
    answer = browser.get("/", base_url=HOST)
    assert answer.status_code == 502
    assert "AWS does not answer as it should" in answer.text
    assert "make up" not in answer.text


def test_a_local_stack_that_does_not_run_is_started_by_make_up() -> None:
    local = "http://127.0.0.1:9"
    stack = Stack(local, "us-east-1", idle_arn(), TABLE, "/p-", aws_endpoint_url=local, access_key_id="AK")
    stack = replace(stack, secret_access_key="s")  # pragma: allowlist secret
    answer = create_app(stack).test_client().get("/accounts", base_url=HOST)
    assert answer.status_code == 502
    assert 'data-copy="make up"' in answer.text


@pytest.mark.parametrize("query", ["first=yesterday", "last=2026-13-01", "least=a+lot", "most=1.2.3"])
def test_what_is_no_day_or_no_amount_is_refused(browser: FlaskClient, query: str) -> None:
    assert browser.get(f"/?{query}", base_url=HOST).status_code == 400


def test_a_search_is_kept_from_page_to_page(
    bench: Bench, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payments_module, "PAGE_SIZE", 2)
    now = datetime.now(UTC)
    for number in range(5):
        at = f"{now - timedelta(seconds=number):%Y-%m-%dT%H:%M:%S.000Z}"
        bench.record(payment(f"pay-{number}", created_at=at))
    links, listed, path = {}, [], "/?currency=usd&status=captured"
    while path:
        text = browser.get(path, base_url=HOST).text
        listed.append(re.findall('href="/payments/(pay-[0-9])"', text))
        links = {rel: unescape(href) for rel, href in re.findall('rel="(prev|next)" href="([^"]*)"', text)}
        path = links.get("next", "")
    assert listed == [["pay-0", "pay-1"], ["pay-2", "pay-3"], ["pay-4"]]
    assert "currency=usd" in links["prev"]
    before = browser.get(links["prev"], base_url=HOST).text
    assert re.findall('href="/payments/(pay-[0-9])"', before) == ["pay-2", "pay-3"]


def test_a_payment_has_its_money_and_commands_to_copy(browser: FlaskClient, payment_id: str) -> None:
    text = browser.get(f"/payments/{payment_id}", base_url=HOST).text
    money = re.findall(r"<dt>(Captured|Refunded|Net)</dt><dd>([^<]*)</dd>", text)
    assert money == [("Captured", "19.99"), ("Refunded", "0.00"), ("Net", "19.99 USD")]
    for command in ("inspect", "ledger"):
        assert f'data-copy="make {command} PAYMENT={payment_id}"' in text


def test_a_deployment_s_payment_leads_to_the_aws_console(browser: FlaskClient, payment_id: str) -> None:
    text = unescape(browser.get(f"/payments/{payment_id}", base_url=HOST).text)
    host = "https://eu-west-1.console.aws.amazon.com"
    arn = f"arn:aws:states:eu-west-1:123456789012:execution:payments-test-payment:{payment_id}"
    assert f'{host}/states/home?region=eu-west-1#/v2/executions/details/{arn}"' in text
    assert f"{host}/dynamodbv2/home?region=eu-west-1#edit-item?itemMode=2&pk=PAYMENT%23{payment_id}&sk=PAYMENT" in text


def test_the_runbook_is_there_with_an_anchor_at_each_section(idle: FlaskClient, browser: FlaskClient) -> None:
    text = browser.get("/docs/runbook.md", base_url=HOST).text
    assert '<h2 id="payments-in-doubt">' in text
    assert browser.get("/docs/nothing.md", base_url=HOST).status_code == 404
    assert browser.get("/docs/..%2fREADME.md", base_url=HOST).status_code == 404


def test_an_open_day_that_is_long_is_added_up_page_by_page(
    bench: Bench, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MAX_POSTINGS_ADDED", 4)
    for number in range(4):
        at = f"2026-11-23T09:00:0{number}.000Z"
        bench.record(payment(f"pay-{number}", updated_at=at), capture_entry("sparkle", 100, "USD"))
    texts = [browser.get("/accounts?day=2026-11-23", base_url=HOST).text]
    while "this page updates by itself" in texts[-1]:
        texts.append(browser.get("/accounts?day=2026-11-23", base_url=HOST).text)
    assert 1 < len(texts) < 6
    assert "4.00" in texts[-1]
