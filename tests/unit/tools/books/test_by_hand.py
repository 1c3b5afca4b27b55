"""What adopting and anchoring by hand print."""

import io
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
from rich.console import Console

from tools.books.adoption import adopt
from tools.books.anchors import anchor
from tools.deployment.stack import Stack, StackError

PAYMENT_ID = "pay-1-of-the-tests"
PAID = {"status": "captured", "captured_minor": 123450, "refunded_minor": 0, "currency": "USD", "operations": []}
VOID = {"operation_id": "op-1", "type": "void", "status": "succeeded", "amount_minor": None}
REFUND = {"operation_id": "op-2", "type": "refund", "status": "rejected", "amount_minor": 3450}


def adopted(*later: dict[str, Any]) -> str:
    """What `adopt` prints if the payment has these operations afterwards."""
    seen = iter([PAID, PAID | {"refunded_minor": 3450, "operations": list(later)}])
    stack = SimpleNamespace(payment=lambda payment_id: next(seen), invoke=lambda function, event: {})
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


def anchored(invoke: Any) -> str:
    """What `anchor` prints if this invokes the function."""
    out = io.StringIO()
    anchor(cast(Stack, SimpleNamespace(invoke=invoke)), "2026-11-23", Console(file=out, width=160))
    return out.getvalue()


@pytest.mark.parametrize(
    ("payments", "entries", "held"),
    [(1, 1, "1 payment with 1 entry"), (1000, 2000, "1,000 payments with 2,000 entries")],
)
def test_an_anchor_says_what_it_holds(payments: int, entries: int, held: str) -> None:
    summary = {"number": 3, "payments": payments, "entries": entries, "root": "00"}
    assert anchored(lambda function, event: summary | event).splitlines() == [
        f"Anchor 3, of 2026-11-23: {held}.",
        "Its root: 00",
    ]


def test_a_day_that_was_not_anchored_is_an_error() -> None:
    with pytest.raises(StackError, match=r"(?s)^AnchorExists: It is there\..*not anchored yet"):
        anchored(Mock(side_effect=StackError("AnchorExists: It is there.")))
