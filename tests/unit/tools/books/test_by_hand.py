"""What adopting and anchoring by hand print."""

import io
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from tools.books.adoption import adopt
from tools.books.anchors import anchor
from tools.deployment.stack import Stack, StackError

PAYMENT_ID = "pay-1-of-the-tests"
PAID = {"status": "captured", "captured_minor": 123450, "refunded_minor": 0, "currency": "USD", "operations": []}
VOID = {"operation_id": "op-1", "type": "void", "status": "succeeded", "amount_minor": None}
REFUND = {"operation_id": "op-2", "type": "refund", "status": "rejected", "amount_minor": 3450}


def adopted(*later: dict[str, Any], answer: Any = None) -> str:
    """What `adopt` prints if the payment has these operations afterwards."""
    seen = iter([PAID, PAID | {"refunded_minor": 3450, "operations": list(later)}])
    stack = SimpleNamespace(payment=lambda payment_id: next(seen), invoke=lambda function, event: answer or {})
    out = io.StringIO()
    adopt(cast(Stack, stack), PAYMENT_ID, Console(file=out, width=160))
    return out.getvalue()


def test_what_was_adopted_is_shown_as_people_write_amounts() -> None:
    shown = adopted(VOID | {"source": "gateway", "error": None}, REFUND | {"source": None, "error": "card_closed"})
    assert shown.splitlines() == [
        "the gateway's void: succeeded",
        "our refund of 34.50 USD: rejected (card_closed)",
        "captured: captured 1,234.50 USD, refunded 34.50 USD",
    ]


def test_if_nothing_was_done_the_books_agree() -> None:
    assert adopted().splitlines()[0] == "The books agree with the gateway."


def test_what_resolve_can_t_do_is_an_error() -> None:
    with pytest.raises(StackError, match=r"^LedgerUnavailable: No answer\.$"):
        adopted(answer={"errorType": "LedgerUnavailable", "errorMessage": "No answer."})


def anchored(answer: dict[str, Any], **error: str) -> str:
    """What `anchor` prints if the function gives this answer."""
    payload = {"Payload": io.BytesIO(json.dumps(answer).encode()), **error}
    client = SimpleNamespace(invoke=lambda **call: payload)
    session = SimpleNamespace(client=lambda *arguments, **options: client)
    stack = SimpleNamespace(session=lambda: session, aws_endpoint_url=None, function_name=str)
    out = io.StringIO()
    anchor(cast(Stack, stack), "2026-11-23", Console(file=out, width=160))
    return out.getvalue()


@pytest.mark.parametrize(
    ("payments", "entries", "held"),
    [(1, 1, "1 payment with 1 entry"), (1000, 2000, "1,000 payments with 2,000 entries")],
)
def test_an_anchor_says_what_it_holds(payments: int, entries: int, held: str) -> None:
    summary = {"number": 3, "day": "2026-11-23", "payments": payments, "entries": entries, "root": "00"}
    assert anchored(summary).splitlines() == [f"Anchor 3, of 2026-11-23: {held}.", "Its root: 00"]


def test_a_day_that_was_not_anchored_is_an_error() -> None:
    with pytest.raises(StackError, match=r"(?s)^AnchorExists: It is there\..*not anchored yet"):
        anchored({"errorType": "AnchorExists", "errorMessage": "It is there."}, FunctionError="Unhandled")
