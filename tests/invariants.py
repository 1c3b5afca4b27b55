"""What must hold for every payment, whatever failed."""

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

import requests

from functions.shared.domain.payment import NEXT_STATUSES, Status
from tests.stack.driver import PAYMENT
from tools.deployment.stack import Stack
from tools.trials.audit import audit


def broken(stack: Stack, payment_ids: Collection[str]) -> Iterator[tuple[str | None, str]]:
    """The violations, by payment (None for all payments together): balance, a single charge, equal amounts, nothing
    lost and nothing reversed twice, as `payments audit` checks them; and that the same keys lead to the same payments
    and operations."""
    for finding in audit(stack, payment_ids).findings:
        yield finding.payment_id, f"{finding.kind}: expected {finding.expected}, found {finding.found}"
    for payment_id in payment_ids:
        if problem := _repeated(stack, payment_id):
            yield payment_id, problem


def _repeated(stack: Stack, payment_id: str) -> str | None:
    before = stack.payment(payment_id)
    calls = {payment_id: ("/payments", PAYMENT)}
    for operation in before["operations"]:
        if operation["source"] == "gateway":
            continue  # nobody requested it
        calls[operation["operation_id"]] = (f"/payments/{payment_id}/{operation['type']}s", {})
    for key, (path, body) in calls.items():
        answer = stack.call("POST", path, body, {"Idempotency-Key": key})
        if answer.status_code != requests.codes.conflict or answer.json()["payment_id"] != payment_id:
            return f"the key {key} again is answered {answer.status_code}"
    return None if stack.payment(payment_id) == before else "the same keys again have changed the payment"


def unlawful(statuses: Sequence[Status]) -> list[tuple[Status, Status]]:
    """The status changes of a payment that the status diagram doesn't allow. Statuses between two observations may be
    missing."""
    return [(before, after) for before, after in pairwise(statuses) if after not in {before} | _reachable(before)]


def _reachable(status: Status) -> set[Status]:
    statuses = set(NEXT_STATUSES[status])
    while further := {following for each in statuses for following in NEXT_STATUSES[each]} - statuses:
        statuses |= further
    return statuses
