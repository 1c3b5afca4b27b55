"""Tell a webhook endpoint of an event, and before it of the earlier events of the same subject."""

from collections.abc import Collection
from datetime import datetime, timedelta

from functions.shared.domain.errors import LedgerUnavailable
from functions.shared.domain.event import Event
from functions.shared.domain.times import iso
from functions.shared.ports import Deliveries, Events, Webhook

PAUSES_SECONDS = (60, 300, 1800, 7200, 21600, *6 * (39600,))
"""The pauses between the attempts, more than three days in all. SQS hides a message for twelve hours at most, counted
from when it was received, before this function was called ("Visibility timeout", SQS developer guide)."""

LOOKS_BACK = timedelta(days=30)
"""An earlier event that was recorded longer ago than this is not delivered any more: it was delivered long before, or
nobody has redelivered its dead letter. SQS keeps messages and dead letters for 14 days each."""

UNSEEN_FOR = timedelta(minutes=5)
"""A transaction's items become visible one after another, and the next transaction may overtake one of them. After this
time it is certain that an event that can't be seen does not exist: its version is older than the product's events."""


def pause_seconds(attempt: int) -> int:
    """The pause after this attempt, counted from 1."""
    return PAUSES_SECONDS[min(attempt, len(PAUSES_SECONDS)) - 1]


def deliver_event(
    event: Event,
    *,
    endpoint: str,
    types: Collection[str],
    webhook: Webhook,
    events: Events,
    deliveries: Deliveries,
    now: str,
) -> int:
    """Return how many events the endpoint has accepted; none if it had this one before. The call may be repeated.

    The queue keeps no order. So an event takes along those of its subject that have not been delivered yet, and the
    endpoint sees each subject's events for the first time in their order. `types` are those that it wants.

    Raises NotDelivered, EndpointGone, SecretUnavailable, LedgerUnavailable, also if an earlier event can't be seen yet.
    """
    last = deliveries.last(endpoint, event)
    if last >= event.sequence:
        return 0
    earlier = list(events.before(event, last))
    if len(earlier) < event.number_since(last) and event.at > _ago(UNSEEN_FOR, now):
        raise LedgerUnavailable("An earlier event of the payment can't be seen yet.")
    oldest = _ago(LOOKS_BACK, now)
    undelivered = [each for each in earlier if each.at >= oldest and each.type in types]
    for each in [*undelivered, event]:
        webhook.post(each, now)
        deliveries.delivered(endpoint, each, now)
    return len(undelivered) + 1


def _ago(time: timedelta, now: str) -> str:
    return iso(datetime.fromisoformat(now) - time)
