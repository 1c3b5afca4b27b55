"""The API's calls on the command line, with a client that records its calls."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from typer.testing import CliRunner, Result

from client import Authentication, CardSummary, Dispute, NextAction, NotFound, Operation, Payment
from tests.samples import HOLDER, PAN
from tests.scripted_api import ScriptedApi
from tests.scripted_api import api as api
from tests.sealers import header_in, issued_key
from tools.cli import payments
from tools.cli.__main__ import app
from tools.deployment.stack import Stack
from tools.output import ExitCode

CARD = CardSummary(None, "fp_1", "visa", "424242", "4242", "12/30")
TOKEN = f"tok_{'a' * 52}"
DECLINES = "4000000000009995"
PAYMENT_ID = "payment-of-order-1001"


CHALLENGED = "4000002500003155"
URL = "https://bank.test/challenge/ch_1[b]"


class FakeClient:
    """Accepts every payment except with one card, asks the customer about another, and accepts every refund of at most
    10.00."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.declined = False
        self.challenged = False

    def pay(self, **order: Any) -> Payment:
        self.calls.append(("pay", (), order))
        number = order["card"] and order["card"].card_number
        self.declined, self.challenged = number == DECLINES, number == CHALLENGED
        return Payment(payment_id=order["idempotency_key"], status="processing")

    def store_card(self, card: Any, *, verify: bool | None, idempotency_key: str) -> Payment:
        self.calls.append(("store_card", (card,), {"verify": verify}))
        return Payment(payment_id=idempotency_key, status="processing")

    def payment(self, payment_id: str) -> Payment:
        if payment_id == "pay-unknown":
            raise NotFound(404, "not_found", "There is no such payment.")
        refund = Operation(operation_id="op-1", type="refund", status="succeeded", amount_minor=500)
        if self.challenged:
            since = datetime(2026, 11, 29, 9, tzinfo=UTC)
            url = NextAction("redirect", URL)
            return Payment(
                payment_id=payment_id, status="action_required", next_action=url, action_required_since=since
            )
        return Payment(
            payment_id=payment_id,
            status="declined" if self.declined else "partially_refunded",
            decline_code="insufficient_funds" if self.declined else None,
            amount_minor=1999,
            currency="USD",
            captured_minor=0 if self.declined else 1999,
            refunded_minor=0 if self.declined else 500,
            card=CARD,
            operations=() if self.declined else (refund,),
        )

    def wait(self, payment_id: str, *, for_customer: bool = False, timeout_seconds: float = 60) -> Payment:
        if not for_customer:
            return self.payment(payment_id)
        self.calls.append(("wait", (payment_id,), {"timeout_seconds": timeout_seconds}))
        self.challenged = False
        return replace(self.payment(payment_id), authentication=Authentication("authenticated", "2.2.0", True))

    def _operate(self, type: str, payment_id: str, *amounts: int, idempotency_key: str) -> Operation:
        self.calls.append((type, (payment_id, *amounts), {}))
        self.too_much = bool(amounts) and amounts[0] > 1000
        return Operation(operation_id=idempotency_key, type="refund", status="processing")

    def refund(self, *arguments: Any, **key: str) -> Operation:
        return self._operate("refund", *arguments, **key)

    def capture(self, *arguments: Any, **key: str) -> Operation:
        return self._operate("capture", *arguments, **key)

    def void(self, *arguments: Any, **key: str) -> Operation:
        return self._operate("void", *arguments, **key)

    def wait_for_operation(self, payment_id: str, operation_id: str) -> Operation:
        if self.too_much:
            error = "amount_exceeds_captured"
            return Operation(operation_id=operation_id, type="refund", status="rejected", error=error)
        return Operation(operation_id=operation_id, type="refund", status="succeeded", amount_minor=500)

    def card(self, token: str) -> CardSummary:
        return CARD

    def erase_card(self, token: str) -> bool:
        self.calls.append(("erase", (token,), {}))
        return token == TOKEN


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(payments, "connect", lambda stack, api_url: fake)
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_payment_is_paid_and_shown_as_people_read_it(client: FakeClient) -> None:
    result = run("pay", "1,234.50", "USD", "--card", "4242 4242 4242 4242", "--reference", "order-1", "--key", "k" * 16)
    assert result.exit_code == 0, result.output
    [(_, _, order)] = client.calls
    assert (order["amount_minor"], order["currency"], order["merchant_reference"]) == (123450, "USD", "order-1")
    assert (order["card"].card_number, order["capture"], order["save_card"]) == ("4242424242424242", True, None)
    assert result.stdout.splitlines() == [
        f"{'k' * 16}  partially_refunded  19.99 USD  visa •••• 4242 12/30",
        "captured 19.99 USD · refunded 5.00 USD",
        "op-1  refund  5.00 USD  succeeded",
    ]
    assert result.stderr.split() == ["Idempotency-Key", "k" * 16]


def test_a_disputed_payment_says_what_is_disputed_and_why(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    dispute = Dispute(dispute_id="dp_1", status="open", amount_minor=700, reason="fraudulent")
    disputed = replace(client.payment("pay-1"), disputes=(dispute,), disputed_minor=700)
    monkeypatch.setattr(client, "payment", lambda payment_id: disputed)
    assert run("get", "pay-1").stdout.splitlines()[2] == "dp_1  disputed  7.00 USD  open  fraudulent"


def test_a_payment_in_json_is_what_the_api_shows(client: FakeClient) -> None:
    body = json.loads(run("get", "pay-1", "--json").stdout)
    assert (body["payment_id"], body["captured_minor"], body["operations"][0]["status"]) == (
        "pay-1",
        1999,
        "succeeded",
    )


def test_a_decline_is_shown_and_fails(client: FakeClient) -> None:
    result = run("pay", "5", "USD", "--card", DECLINES)
    assert result.exit_code == ExitCode.FOUND
    assert "declined  insufficient_funds" in result.stdout


@pytest.mark.parametrize(
    ("amount", "currency", "message"),
    [
        ("1.999", "USD", "USD has 2 decimals"),
        ("1", "XXY", "not a currency"),
        ("-1", "USD", "not an amount"),
        ("1.5", "JPY", "0"),
    ],
)
def test_an_invalid_amount_is_not_sent(client: FakeClient, amount: str, currency: str, message: str) -> None:
    result = run("pay", "--card", "4242424242424242", "--", amount, currency)
    assert result.exit_code == ExitCode.USAGE
    assert message in " ".join(result.stderr.split())
    assert client.calls == []


def test_a_payment_that_the_bank_asks_about_names_the_page_and_waits(client: FakeClient) -> None:
    flags = ("--return-url", "http://localhost:8080/", "--three-d-secure", "required", "--exemption", "low_value")
    result = run("pay", "19.99", "USD", "--card", CHALLENGED, *flags)
    assert result.exit_code == 0, result.output
    assert f"The bank asks the customer. Open {URL}\n" in result.stderr
    assert "3-D Secure 2.2.0  authenticated  the issuer is liable for fraud" in result.stdout.splitlines()
    (_, _, order), (call, _, options) = client.calls
    sent = {name: order[name] for name in ("return_url", "three_d_secure", "exemption")}
    assert sent == {"return_url": "http://localhost:8080/", "three_d_secure": "required", "exemption": "low_value"}
    assert (call, options["timeout_seconds"] > 30 * 60) == ("wait", True)


def test_nobody_is_waited_for_without_a_wait(client: FakeClient) -> None:
    result = run("pay", "19.99", "USD", "--card", CHALLENGED, "--no-wait")
    assert (result.exit_code, [call for call, _, _ in client.calls]) == (0, ["pay"])


def test_a_payment_that_waits_for_the_customer_shows_since_when_and_where(client: FakeClient) -> None:
    client.challenged = True
    lines = run("get", "pay-1").stdout.splitlines()
    assert f"the bank asks the customer, since 2026-11-29 09:00:00.000 UTC: {URL}" in lines


@pytest.mark.parametrize("reason", ["recurring", None])
def test_a_payment_with_a_reason_is_the_merchants(client: FakeClient, reason: str | None) -> None:
    assert run("pay", "5", "USD", "--token", TOKEN, *(("--reason", reason) if reason else ())).exit_code == 0
    order = client.calls[0][2]
    assert (order["initiator"], order["reason"]) == ("merchant" if reason else None, reason)


def test_a_number_that_is_no_published_test_card_is_refused_and_not_repeated(client: FakeClient) -> None:
    result = run("pay", "5", "USD", "--card", "4000056655665556")
    assert result.exit_code == ExitCode.FAILED
    assert "not a published test card" in result.stderr
    assert "4000056655665556" not in result.output
    assert client.calls == []


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["refund", "pay-1", "5.00"], ("refund", ("pay-1", 500), {})),
        (["refund", "pay-1"], ("refund", ("pay-1",), {})),
        (["capture", "pay-1", "1"], ("capture", ("pay-1", 100), {})),
        (["void", "pay-1"], ("void", ("pay-1",), {})),
        (["cards", "erase", TOKEN], ("erase", (TOKEN,), {})),
    ],
)
def test_each_command_makes_its_call(client: FakeClient, arguments: list[str], call: tuple[Any, ...]) -> None:
    assert run(*arguments).exit_code == 0
    assert client.calls == [call]


def test_a_card_that_is_not_there_is_not_said_to_be_erased(client: FakeClient) -> None:
    result = run("cards", "erase", TOKEN.replace("a", "b"))
    assert (result.exit_code, result.stdout) == (ExitCode.FAILED, "")
    assert result.stderr == "StackError: There is no stored card with this token.\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["get", "pay-1"], "payment_id"),
        (["refund", "pay-1"], "payment_id"),
        (["cards", "get", "tok_1"], "token"),
        (["cards", "erase", "tok_1"], "token"),
    ],
)
def test_what_can_t_be_an_id_is_reported_as_the_id_of_nothing(tmp_path: Path, arguments: list[str], name: str) -> None:
    arn = "arn:aws:states:us-east-1:1:stateMachine:payments-local-payment"
    stack = Stack("http://127.0.0.1:1", "us-east-1", arn, "ledger", "/aws/lambda/", None, "key", "secret")
    stack.save(tmp_path / "stack.json")
    result = run(*arguments, "--stack", str(tmp_path / "stack.json"))
    assert (result.exit_code, result.stdout) == (ExitCode.FAILED, "")
    assert f"with this {name}: this is no {name}" in result.stderr


def test_a_rejected_refund_says_why_and_fails(client: FakeClient) -> None:
    result = run("refund", "pay-1", "15.00")
    assert result.exit_code == ExitCode.FOUND
    assert "rejected  amount_exceeds_captured" in result.stdout


def test_a_stored_card_is_shown_without_its_number(client: FakeClient) -> None:
    assert run("cards", "get", TOKEN).stdout == "visa •••• 4242 12/30\n"
    assert run("cards", "store", "--card", "4242424242424242").exit_code == 0


def test_an_error_of_the_api_is_on_standard_error(client: FakeClient) -> None:
    result = run("get", "pay-unknown")
    assert (result.exit_code, result.stdout) == (ExitCode.FAILED, "")
    assert result.stderr == "NotFound: 404 not_found: There is no such payment.\n"


class TestTheDeployment:
    def test_the_api_is_that_of_the_stack_file(self, tmp_path: Path) -> None:
        file = tmp_path / "stack.json"
        Stack("http://127.0.0.1:1", "us-east-1", "arn", "ledger", "/aws/", None, "key", "secret").save(file)
        client: Any = payments.connect(file, None)
        assert client._transport._api_url == "http://127.0.0.1:1"

    def test_or_the_api_at_a_url_which_names_its_region(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        client: Any = payments.connect(Path("none"), "https://a1b2.execute-api.eu-west-1.amazonaws.com/v1")
        assert client._transport._signature._region == "eu-west-1"


@pytest.mark.parametrize("command", [("pay", "5", "USD"), ("cards", "store")])
def test_a_security_code_is_prompted_for_only_when_asked_for(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return "737"

    monkeypatch.setattr(payments, "getpass", answer)
    for options in ((), ("--security-code",)):
        result = run(*command, "--card", "4242424242424242", *options)
        assert not re.search(r"\b737\b", result.output)  # a payment's id may contain it
    codes = [(order.get("card") or cards[0]).security_code for _, cards, order in client.calls]
    assert codes == [None, "737"]
    assert prompts == ["Security code: "]


def test_a_stored_card_is_asked_for_no_security_code(client: FakeClient) -> None:
    result = run("pay", "5", "USD", "--token", TOKEN, "--security-code")
    assert result.exit_code == ExitCode.USAGE
    assert client.calls == []


@pytest.mark.parametrize("code", ["737", None])
def test_a_card_is_sealed_with_the_payments_own_key(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch, code: str | None
) -> None:
    pair, key = issued_key()
    answers = iter([PAN, code])
    monkeypatch.setattr(payments, "getpass", lambda _: next(answers))
    monkeypatch.setattr(Stack, "load", lambda _: Stack(api.url, "us-east-1", "", "", "", None, "AKIDEXAMPLE", "secret"))
    api.script((201, key))
    arguments = ["seal", "--payment-id", PAYMENT_ID, *(("--security-code",) if code else ())]
    result = CliRunner().invoke(app, arguments, input=f"12/44\n{HOLDER}\n")
    assert result.exit_code == 0, result.output
    sealed = result.stdout.splitlines()[-1]
    assert (header_in(sealed)["payment_id"], header_in(sealed)["kid"]) == (PAYMENT_ID, key["kid"])
    registry = jwe.JWERegistry(algorithms=[key["alg"], key["enc"]])
    registry.strict_check_header = False  # it doesn't know `payment_id`
    card = json.loads(jwe.decrypt_compact(sealed, pair, registry=registry).plaintext or b"")
    code_in_card = {"security_code": code} if code else {}
    assert card == {"card_number": PAN, "expiry_date": "12/44", "card_holder": HOLDER} | code_in_card
    assert [call.headers["Idempotency-Key"] for call in api.calls] == [PAYMENT_ID]
