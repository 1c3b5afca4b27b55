"""Velocity counters in a table whose items expire: payments per card, and cards per reference, BIN and caller.

| pk                       | sk                     | content                                                        |
|--------------------------|------------------------|----------------------------------------------------------------|
| `VELOCITY#{fingerprint}` | `2026-11-23T09:05:00Z` | the card's payments started in the five minutes from then on   |
| `VELOCITY#{kind}#{…}`    | `2026-11-23T09:00:00Z` | the cards used in the twenty minutes from then on              |

A card's bucket contains the number of `payments` and the sum of their amounts by currency (`USD`, `EUR` …). For the
first payments it also contains `counted`, the hashes of the attempts, and `expiry_dates`, the hashes of the cards'
expiry dates. The other buckets contain `cards`, the hashes of the cards' fingerprints, and `declines`, the hashes of
the declined attempts. Their kinds are `reference` (the hash of a merchant's reference), `lookalike` (a card's first six
and last four digits), `bin` and `caller` (the hash of its ARN). All buckets are kept until `expires_at`.

An attempt is one execution, named by its payment's id and its start: a card that was declined when it was to be stored
may be sent again under the same key. An attempt that is not admitted, because too many cards look like its own, is
counted under the `lookalike` by its card, and otherwise by itself: as a card of its own, whatever its card's number is.

A card's last hour consists of the bucket in which that hour began and all later ones, and so spans 60 to 65 minutes.
For the other keys it spans 60 to 80 minutes, and the last day is at most five minutes longer than a day. A rule thus
never sees a shorter time than it asks for, and never fewer cards, up to a bucket's limit.
"""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from functions.shared.adapters.table.items import Item, ledger_errors, marshal, query, read_batch, unmarshal
from functions.shared.domain.card import CardSummary
from functions.shared.domain.payment import DeclinedCard, Payment, PaymentRequest, StoreRequest
from functions.shared.domain.times import epoch_seconds, iso
from functions.shared.ports import Velocity

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

BUCKET, CARDS_BUCKET = timedelta(minutes=5), timedelta(minutes=20)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# The number of buckets in the last hour, besides the one in which it ends.
EARLIER_BUCKETS = HOUR // CARDS_BUCKET

# The time for which a bucket is kept, longer than any window.
RETENTION = DAY + HOUR

# A card's bucket remembers at most this many payments; a repetition of a later one counts twice. A bucket that held all
# payments would grow with each of them, and a write's cost depends on the item's size: docs/scale.md.
MAX_REMEMBERED_PAYMENTS = 32

# The other buckets hold at most this many cards and this many declines. They stay below one kilobyte, and a rule can
# use a limit of up to 150 per hour.
MAX_ELEMENTS = 50

# The bucket of a caller, such as a shop's back end, soon fills up, and so does that of a busy BIN. A process that has
# seen a full bucket reads it again only after this time, so that no key gets hot, however many customers pay.
REREAD_AFTER = timedelta(seconds=5)

COUNT_PAYMENT = "SET expires_at = :expires_at ADD payments :one, #currency :amount_minor"
COUNT_AND_REMEMBER = f"{COUNT_PAYMENT}, counted :these, expiry_dates :expiry_date"
IS_NOT_COUNTED = "NOT contains(counted, :this)"
HAS_ROOM = "(attribute_not_exists(payments) OR payments < :known)"

# Adding an element that a set already contains changes nothing.
ADD_ELEMENT = "SET expires_at = :expires_at ADD #held :these"
IS_NOT_FULL = "attribute_not_exists(#held) OR size(#held) < :held"


class DynamoDbVelocityCounter:
    """`VelocityCounter` with conditional updates. Each counter is read once the payment is counted there."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        # This process's knowledge of full buckets: their common start, the time of each read, and earlier buckets.
        self._bucket = ""
        self._full: dict[tuple[str, str], tuple[datetime, Item]] = {}
        self._earlier: dict[str, list[Item]] = {}

    def count(
        self,
        payment_id: str,
        request: PaymentRequest | StoreRequest,
        card: CardSummary,
        started_at: str,
        admits: Callable[[int], bool],
    ) -> Velocity:
        started, currency = datetime.fromisoformat(started_at), request.currency
        attempt, counted_as, keys = _attempt(payment_id, started_at), _hash(card.fingerprint), _keys(request, card)
        with ledger_errors():
            current = {"lookalike": self._add(keys["lookalike"], "cards", counted_as, started)}
            earlier = self._earlier_cards(keys.values(), started)
            lookalike_cards = _distinct([current["lookalike"], *earlier[keys["lookalike"]]], "cards")
            if admits(lookalike_cards):
                self._count(attempt, request.amount_minor, currency, card, started)
                day = self._payments(card.fingerprint, currency, since=_start(started - DAY, BUCKET))
            else:
                counted_as, day = attempt, [_first_bucket(request, started)]
            for kind in ("reference", "bin", "caller"):
                if kind in keys:
                    current[kind] = self._add(keys[kind], "cards", counted_as, started)
        self._earlier = {key: earlier[key] for key, attribute in self._full if attribute == "cards"}
        cards = {kind: [current[kind], *earlier[key]] for kind, key in keys.items()}
        hour = [bucket for bucket in day if bucket["sk"] >= _start(started - HOUR, BUCKET)]
        return Velocity(
            payments_1h=sum(bucket["payments"] for bucket in hour),
            payments_24h=sum(bucket["payments"] for bucket in day),
            amount_minor_1h=sum(bucket.get(currency, 0) for bucket in hour),
            amount_minor_24h=sum(bucket.get(currency, 0) for bucket in day),
            card_expiry_dates_1h=_distinct(hour, "expiry_dates"),
            lookalike_cards_1h=lookalike_cards,
            **{
                f"{kind}_{attribute}_1h": _distinct(cards.get(kind, []), attribute)
                for kind in ("reference", "bin", "caller")
                for attribute in ("cards", "declines")
            },
        )

    def count_decline(self, declined: Payment | DeclinedCard) -> None:
        started = datetime.fromisoformat(declined.created_at)
        with ledger_errors():
            for kind, key in _keys(declined, declined.card).items():
                if kind != "lookalike":
                    self._add(key, "declines", _attempt(declined.payment_id, declined.created_at), started)

    def _count(self, attempt: bytes, amount_minor: int, currency: str, card: CardSummary, started: datetime) -> None:
        values = {
            ":one": 1,
            ":amount_minor": amount_minor,
            ":this": attempt,
            ":expires_at": epoch_seconds(started, RETENTION),
        }

        def update(expression: str, condition: str, **further_values: Any) -> None:
            self._client.update_item(
                TableName=self._table,
                Key=marshal({"pk": f"VELOCITY#{card.fingerprint}", "sk": _start(started, BUCKET)}),
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeNames={"#currency": currency},
                ExpressionAttributeValues=marshal(values | further_values),
            )

        expiry_date = {_hash(f"{card.fingerprint}/{card.expiry}")}
        first_values = {":these": {attempt}, ":expiry_date": expiry_date, ":known": MAX_REMEMBERED_PAYMENTS}
        is_counted_or_full = self._client.exceptions.ConditionalCheckFailedException
        try:
            update(COUNT_AND_REMEMBER, f"{IS_NOT_COUNTED} AND {HAS_ROOM}", **first_values)
        except is_counted_or_full:
            with suppress(is_counted_or_full):
                update(COUNT_PAYMENT, IS_NOT_COUNTED)

    def _payments(self, fingerprint: str, currency: str, since: str) -> list[Item]:
        """The card's buckets."""
        buckets = query(
            self._client,
            self._table,
            "pk = :pk AND sk >= :since",
            {":pk": f"VELOCITY#{fingerprint}", ":since": since},
            ProjectionExpression="sk, payments, expiry_dates, #currency",
            ExpressionAttributeNames={"#currency": currency},
            ConsistentRead=True,
        )
        return list(buckets)

    def _earlier_cards(self, keys: Iterable[str], started: datetime) -> dict[str, list[Item]]:
        """The keys' buckets of the last hour before the current one, by key."""
        starts = [_start(started - n * CARDS_BUCKET, CARDS_BUCKET) for n in range(1, EARLIER_BUCKETS + 1)]
        missing = [(key, start) for key in keys if key not in self._earlier for start in starts]
        earlier: dict[str, list[Item]] = {key: [] for key, _ in missing} | self._earlier
        # These buckets no longer change, so an eventually consistent read suffices, at half the cost.
        for bucket in read_batch(self._client, self._table, missing, ConsistentRead=False):
            earlier[bucket["pk"]].append(bucket)
        return earlier

    def _add(self, key: str, attribute: str, element: bytes, started: datetime) -> Item:
        """Add an element to the key's bucket, unless it is full, and return the bucket."""
        bucket = _start(started, CARDS_BUCKET)
        if bucket != self._bucket:
            self._bucket, self._full, self._earlier = bucket, {}, {}
        read_at, full = self._full.get((key, attribute), (started, None))
        if full is not None and abs(started - read_at) < REREAD_AFTER:
            return full
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=marshal({"pk": key, "sk": bucket}),
                UpdateExpression=ADD_ELEMENT,
                ConditionExpression=IS_NOT_FULL,
                ExpressionAttributeNames={"#held": attribute},
                ExpressionAttributeValues=marshal(
                    {":these": {element}, ":held": MAX_ELEMENTS, ":expires_at": epoch_seconds(started, RETENTION)}
                ),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            item = unmarshal(error.response["Item"])  # type: ignore[typeddict-item] # as asked for
            self._full[key, attribute] = started, item
            return item
        return unmarshal(answer["Attributes"])


def _keys(payment: PaymentRequest | StoreRequest | Payment | DeclinedCard, card: CardSummary | None) -> dict[str, str]:
    """The partition keys, by kind, that count a payment's card and its decline in addition to the card's own key."""
    named = {
        "reference": payment.merchant_reference and _hash(payment.merchant_reference, 16).hex(),
        "lookalike": card and f"{card.bin}#{card.last4}",
        "bin": card and card.bin,
        "caller": payment.caller and _hash(payment.caller, 16).hex(),
    }
    return {kind: f"VELOCITY#{kind}#{name}" for kind, name in named.items() if name}


def _attempt(payment_id: str, started_at: str) -> bytes:
    return _hash(f"{payment_id}/{started_at}")


def _first_bucket(request: PaymentRequest | StoreRequest, started: datetime) -> Item:
    """What the bucket of a card that never came before would contain of this payment."""
    return {
        "sk": _start(started, BUCKET),
        "payments": 1,
        request.currency: request.amount_minor,
        "expiry_dates": {b"the first"},
    }


def _distinct(buckets: Iterable[Item], attribute: str) -> int:
    return len({element for bucket in buckets for element in bucket.get(attribute, ())})


def _hash(text: str, size: int = 8) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:size]


def _start(at: datetime, bucket: timedelta) -> str:
    """The start of the bucket that contains the moment."""
    seconds = bucket.total_seconds()
    return iso(datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC), "seconds")
