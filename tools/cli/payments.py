"""The API's calls as commands: pay, get, refund, capture, void, and stored cards."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from getpass import getpass
from typing import Annotated
from urllib.parse import urlsplit

import typer

from client import Authentication, CardData, CardSummary, Dispute, NextAction, Operation, Payment, PaymentsClient
from client.models import Exemption, ThreeDSecure
from functions.shared.contracts import is_test_card
from functions.shared.domain.card_rules import broken_rules
from tools.books.money import money, to_minor
from tools.cli.frame import JsonOption, StackOption, clear_errors, console, errors
from tools.deployment.paths import STACK_FILE
from tools.deployment.stack import Stack, StackError, new_payment_id
from tools.output import exit_unless, print_json
from tools.times import time_text

app = typer.Typer()

ApiOption = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        envvar="PAYMENTS_API_URL",
        help="The URL of a deployment's API, instead of a stack file. Credentials are found as by the AWS CLI.",
    ),
]
IdArgument = Annotated[str, typer.Argument(metavar="PAYMENT", help="The payment's id.")]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", help="The Idempotency-Key; default: a new one. A repeated key has no second effect."),
]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Don't wait for the outcome.")]
AmountArgument = Annotated[
    str | None, typer.Argument(help="The amount in major units, like 5.00; default: all that remains.")
]
CardOption = Annotated[
    str | None, typer.Option("--card", help="A published test card; default: the command prompts for a card.")
]

SecurityCodeOption = Annotated[
    bool, typer.Option("--security-code", help="Prompt for the card's security code too, which the gateway checks.")
]

# The customer's time at the bank is over by then, whatever the deployment allows.
_CUSTOMER_SECONDS = 35 * 60

_SUCCESSES = {
    "processing",
    "captured",
    "authorized",
    "stored",
    "voided",
    "refunded",
    "partially_refunded",
    "succeeded",
}


class Reason(StrEnum):
    """Why a merchant charges a stored card."""

    RECURRING = "recurring"
    INSTALLMENT = "installment"
    UNSCHEDULED = "unscheduled"


_REGION = re.compile(r"\.execute-api\.([a-z0-9-]+)\.")

cards = typer.Typer(no_args_is_help=True, help="Stored cards, each known by its token.")
app.add_typer(cards, name="cards")


def connect(stack_file: StackOption, api_url: str | None) -> PaymentsClient:
    """The client of the API at this URL, or else of the stack's API. Raises StackError."""
    if api_url is None:
        return Stack.load(stack_file).payments_client()
    import boto3  # reads the profile's region

    region = _REGION.search(urlsplit(api_url).netloc)
    name = region[1] if region else boto3.Session().region_name
    if name is None:
        raise StackError("Name the API's region: AWS_REGION=eu-west-1")
    try:
        return PaymentsClient(api_url, name)
    except ValueError as error:
        raise StackError(str(error)) from None


def prompted_card(*, security_code: bool) -> CardData:
    """Prompt for a card, perhaps with its security code, which keeps both out of the command line and the shell
    history."""

    def prompt(question: str) -> str:
        typer.echo(question, nl=False, err=True)
        return input()

    number = getpass("Card number: ").replace(" ", "")
    expiry_date, holder = prompt("Expiry date (MM/YY): "), prompt("Card holder: ")
    card = CardData(number, expiry_date, holder, _prompted_code() if security_code else None)
    for field, rule in broken_rules(asdict(card), datetime.now(UTC)).items():
        raise StackError(f"{field} {rule}.")
    return card


def _prompted_code() -> str:
    return getpass("Security code: ")


@app.command()
def pay(
    amount: Annotated[str, typer.Argument(help="The amount in major units, like 19.99.")],
    currency: Annotated[str, typer.Argument(help="The currency's ISO 4217 code, like USD.")],
    card: CardOption = None,
    security_code: SecurityCodeOption = False,
    token: Annotated[str | None, typer.Option(help="The token of a stored card, instead of a card.")] = None,
    authorize: Annotated[
        bool, typer.Option("--authorize", help="Only authorize the payment; capture it later.")
    ] = False,
    save_card: Annotated[bool, typer.Option("--save-card", help="Store the card and return its token.")] = False,
    reference: Annotated[str | None, typer.Option(help="Your own reference, such as an order number.")] = None,
    description: Annotated[str | None, typer.Option(help="What the customer pays for.")] = None,
    reason: Annotated[
        Reason | None,
        typer.Option(help="Why the merchant charges the stored card; default: the customer makes the payment."),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="NAME=TEXT", help="A text of your own, under a name. May be repeated.")
    ] = None,
    return_url: Annotated[
        str | None,
        typer.Option(help="Where the customer comes back to from the bank; without it, the bank can't ask."),
    ] = None,
    three_d_secure: Annotated[
        ThreeDSecure | None, typer.Option(help="Whether the bank asks the customer (3-D Secure); default: automatic.")
    ] = None,
    exemption: Annotated[Exemption | None, typer.Option(help="Why the bank need not ask the customer.")] = None,
    key: KeyOption = None,
    no_wait: NoWaitOption = False,
    as_json: JsonOption = False,
    api_url: ApiOption = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Pay with a card, which is sealed before it leaves this machine, or with a stored card's token.

    If the bank asks the customer (3-D Secure), the command names the page to open, and waits.
    """
    if token and security_code:
        raise typer.BadParameter("A stored card has no security code.")
    with clear_errors():
        amount_minor = _amount_minor(amount, currency)
        client, key = connect(stack, api_url), key or new_payment_id()
        _print_key(key)
        payment = client.pay(
            amount_minor=amount_minor,
            currency=currency,
            card=None if token else _card(card, security_code=security_code),
            token=token,
            capture=not authorize,
            save_card=save_card or None,
            merchant_reference=reference,
            description=description,
            metadata=dict(map(_named_text, metadata or ())) or None,
            initiator="merchant" if reason else None,
            reason=reason.value if reason else None,
            return_url=return_url,
            three_d_secure=three_d_secure,
            exemption=exemption,
            idempotency_key=key,
        )
        payment = payment if no_wait else client.wait(payment.payment_id)
        if not no_wait and payment.next_action:
            _print_next_action(payment.next_action)
            payment = client.wait(payment.payment_id, for_customer=True, timeout_seconds=_CUSTOMER_SECONDS)
    _show(payment, as_json)
    exit_unless(payment.status in _SUCCESSES)


@app.command()
def get(
    payment_id: IdArgument, as_json: JsonOption = False, api_url: ApiOption = None, stack: StackOption = STACK_FILE
) -> None:
    """Show a payment and its operations."""
    with clear_errors():
        payment = connect(stack, api_url).payment(payment_id)
    _show(payment, as_json)


@app.command()
def refund(
    payment_id: IdArgument,
    amount: AmountArgument = None,
    key: KeyOption = None,
    no_wait: NoWaitOption = False,
    as_json: JsonOption = False,
    api_url: ApiOption = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Refund a payment, fully or in part."""
    _operate("refund", payment_id, amount, key, no_wait, as_json, api_url, stack)


@app.command()
def capture(
    payment_id: IdArgument,
    amount: AmountArgument = None,
    key: KeyOption = None,
    no_wait: NoWaitOption = False,
    as_json: JsonOption = False,
    api_url: ApiOption = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Capture an authorized payment, fully or in part. This can be done once."""
    _operate("capture", payment_id, amount, key, no_wait, as_json, api_url, stack)


@app.command()
def void(
    payment_id: IdArgument,
    key: KeyOption = None,
    no_wait: NoWaitOption = False,
    as_json: JsonOption = False,
    api_url: ApiOption = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Void an authorized payment."""
    _operate("void", payment_id, None, key, no_wait, as_json, api_url, stack)


@cards.command()
def store(
    card: CardOption = None,
    security_code: SecurityCodeOption = False,
    verify: Annotated[bool, typer.Option("--verify", help="Ask the issuer first whether the card is good.")] = False,
    key: KeyOption = None,
    as_json: JsonOption = False,
    api_url: ApiOption = None,
    stack: StackOption = STACK_FILE,
) -> None:
    """Store a card without charging it, and show its token."""
    with clear_errors():
        client, key = connect(stack, api_url), key or new_payment_id()
        _print_key(key)
        stored = client.store_card(_card(card, security_code=security_code), verify=verify or None, idempotency_key=key)
    _show(stored, as_json)


@cards.command("get")
def show_card(
    token: str, as_json: JsonOption = False, api_url: ApiOption = None, stack: StackOption = STACK_FILE
) -> None:
    """Show a stored card, without its number."""
    with clear_errors():
        card = connect(stack, api_url).card(token)
    if as_json:
        print_json(card)
    else:
        console.print(_card_text(card), highlight=False, soft_wrap=True)


@cards.command()
def erase(token: str, api_url: ApiOption = None, stack: StackOption = STACK_FILE) -> None:
    """Erase a stored card. Its token can no longer be charged."""
    with clear_errors():
        if not connect(stack, api_url).erase_card(token):
            raise StackError("There is no stored card with this token.")
    console.print("Erased.")


def _operate(
    operation: str,
    payment_id: str,
    amount: str | None,
    key: str | None,
    no_wait: bool,
    as_json: bool,
    api_url: str | None,
    stack: StackOption,
) -> None:
    with clear_errors():
        client, key = connect(stack, api_url), key or new_payment_id()
        payment = client.payment(payment_id)
        amounts = () if amount is None else (_amount_minor(amount, payment.currency or ""),)
        _print_key(key)
        outcome: Operation = getattr(client, operation)(payment_id, *amounts, idempotency_key=key)
        outcome = outcome if no_wait else client.wait_for_operation(payment_id, outcome.operation_id)
    if as_json:
        print_json(outcome)
    else:
        console.print(_operation_text(outcome, payment.currency), highlight=False, soft_wrap=True)
    exit_unless(outcome.status in _SUCCESSES)


def _print_key(key: str) -> None:
    """Print the key before anything is sent: after a lost answer, the same call can be repeated with the same key."""
    errors.print(f"Idempotency-Key {key}", highlight=False, soft_wrap=True, style="dim")


def _print_next_action(action: NextAction) -> None:
    text = f"The bank asks the customer. Open {action.url}"
    errors.print(text, highlight=False, soft_wrap=True, markup=False)


def _named_text(argument: str) -> tuple[str, str]:
    name, equals, text = argument.partition("=")
    if not (name and equals and text):
        raise typer.BadParameter("Write --metadata as NAME=TEXT.")
    return name, text


def _card(test_card: str | None, *, security_code: bool) -> CardData:
    if test_card is None:
        return prompted_card(security_code=security_code)
    number = test_card.replace(" ", "")
    if not is_test_card(number):
        raise StackError("This is not a published test card. Leave out --card to be prompted for a card.")
    expiry_date = f"{datetime.now(UTC) + timedelta(days=365):%m/%y}"
    return CardData(number, expiry_date, "John Doe", _prompted_code() if security_code else None)


def _amount_minor(amount: str, currency: str) -> int:
    try:
        return to_minor(amount, currency)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _show(payment: Payment, as_json: bool) -> None:
    if as_json:
        print_json(payment)
        return
    why = payment.decline_code or payment.error
    facts = [payment.payment_id, payment.status, why, _amount(payment.amount_minor, payment.currency)]
    facts += [_card_text(payment.card) if payment.card else None, payment.merchant_reference, payment.reason]
    lines = ["  ".join(filter(None, facts))]
    if payment.next_action:
        since = time_text(payment.action_required_since) if payment.action_required_since else "now"
        lines.append(f"the bank asks the customer, since {since} UTC: {payment.next_action.url}")
    if payment.authentication:
        lines.append(_authentication_text(payment.authentication))
    if payment.captured_minor:
        totals = (("captured", payment.captured_minor), ("refunded", payment.refunded_minor))
        lines.append(" · ".join(f"{what} {_amount(amount, payment.currency)}" for what, amount in totals))
    lines += [_dispute_text(dispute, payment.currency) for dispute in payment.disputes]
    lines += [_operation_text(operation, payment.currency) for operation in payment.operations]
    console.print(*lines, sep="\n", highlight=False, soft_wrap=True, markup=False)


def _authentication_text(authentication: Authentication) -> str:
    liability = {True: "the issuer is liable for fraud", False: "the merchant is liable for fraud", None: None}
    facts = (f"3-D Secure {authentication.version or ''}".strip(), authentication.result)
    return "  ".join(filter(None, (*facts, liability[authentication.liability_shift])))


def _dispute_text(dispute: Dispute, currency: str | None) -> str:
    facts = ("disputed", _amount(dispute.amount_minor, currency), dispute.status, dispute.reason)
    return "  ".join(filter(None, (dispute.dispute_id, *facts)))


def _operation_text(operation: Operation, currency: str | None) -> str:
    facts = (operation.type, _amount(operation.amount_minor, currency), operation.status, operation.error)
    return "  ".join(filter(None, (operation.operation_id, *facts)))


def _card_text(card: CardSummary) -> str:
    return "  ".join(filter(None, (f"{card.brand} •••• {card.last4} {card.expiry}", card.token)))


def _amount(amount_minor: int | None, currency: str | None) -> str | None:
    return money(amount_minor, currency) if amount_minor is not None and currency else None
