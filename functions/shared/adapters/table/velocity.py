"""Velocity, in a table that forgets: how often a card pays, and how many cards come by one reference, BIN or caller.

| pk                       | sk                     | what                                                           |
|--------------------------|------------------------|----------------------------------------------------------------|
| `VELOCITY#{fingerprint}` | `2026-11-23T09:05:00Z` | the card's payments that started from then on for five minutes |
| `VELOCITY#{kind}#{…}`    | `2026-11-23T09:00:00Z` | the cards that came from then on for twenty minutes            |

A card's bucket has the number of `payments`, the sum of their amounts by currency (`USD`, `EUR` …), and, of the first
payments, `counted`, hashes of their ids, and `expiry_dates`, hashes of these. The other buckets have `cards`, hashes of
the cards' fingerprints, and `declines`, hashes of the ids of payments that were declined. Their kinds are `reference`
(the hash of a merchant's reference), `lookalike` (a card's first six and last four digits), `bin` and `caller` (the
hash of its ARN). All are there until `expires_at`.

The last hour of a card is the bucket in which that hour began and all later ones: 60 to 65 minutes. For the other keys
it is 60 to 80 minutes, and the last day is at most five minutes longer than a day. So a rule never sees a shorter time
than it asks for, and never fewer cards, up to what a bucket holds.
"""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from functions.shared.adapters.table.items import Item, ledger_errors, marshal, query, read_batch, unmarshal
from functions.shared.domain.card import CardSummary
from functions.shared.domain.payment import NO_CURRENCY, Payment, PaymentRequest
from functions.shared.domain.times import iso
from functions.shared.ports import Velocity

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

BUCKET, CARDS_BUCKET = timedelta(minutes=5), timedelta(minutes=20)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# How many buckets the last hour reaches into, besides the one that it ends in.
EARLIER = HOUR // CARDS_BUCKET

# How long a bucket is kept: longer than any window.
KEPT = DAY + HOUR

# A card's bucket recognises at most this many payments; a later one that is repeated counts twice. A bucket that held
# all of them would grow with each, and a write costs by the size of its item: docs/scale.md.
KNOWN = 32

# The other buckets hold at most this many cards, and as many declines: they stay below one kilobyte, and a rule can
# have a limit of up to 150 in an hour.
HELD = 50

# A shop's back end is one caller, so its bucket is soon full, and so is a busy BIN's. A process that has seen a full
# bucket reads it again only after this time, so that none of these keys is hot, however many customers pay.
ASKED_AGAIN = timedelta(seconds=5)

COUNT_ONE_MORE = "SET expires_at = :expires_at ADD payments :one, #currency :amount_minor"
COUNT_AND_KNOW_IT = f"{COUNT_ONE_MORE}, counted :these, expiry_dates :expiry_date"
IS_NOT_KNOWN = "NOT contains(counted, :this)"
HAS_ROOM = "(attribute_not_exists(payments) OR payments < :known)"

# Adding an element to a set again changes nothing.
ADD = "SET expires_at = :expires_at ADD #held :these"
HOLDS_MORE = "attribute_not_exists(#held) OR size(#held) < :held"


class DynamoDbVelocityCounter:
    """`VelocityCounter` by conditional updates. Each payment counts itself, then looks."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        # What this process knows of keys whose buckets are full: the bucket, when it was read, and the earlier ones.
        self._bucket = ""
        self._full: dict[tuple[str, str], tuple[datetime, Item]] = {}
        self._earlier: dict[str, list[Item]] = {}

    def count(self, payment_id: str, payment: PaymentRequest, card: CardSummary, started_at: str) -> Velocity:
        started = datetime.fromisoformat(started_at)
        currency = payment.currency or NO_CURRENCY
        with ledger_errors():
            self._count(payment_id, payment.amount_minor or 0, currency, card, started)
            day = self._payments(card.fingerprint, currency, since=_start(started - DAY, BUCKET))
            cards = self._count_cards(_keys(payment, card), card, started)
        hour = [bucket for bucket in day if bucket["sk"] >= _start(started - HOUR, BUCKET)]
        return Velocity(
            payments_1h=sum(bucket["payments"] for bucket in hour),
            payments_24h=sum(bucket["payments"] for bucket in day),
            amount_minor_1h=sum(bucket.get(currency, 0) for bucket in hour),
            amount_minor_24h=sum(bucket.get(currency, 0) for bucket in day),
            card_expiry_dates_1h=_distinct(hour, "expiry_dates"),
            lookalike_cards_1h=_distinct(cards["lookalike"], "cards"),
            **{
                f"{kind}_{held}_1h": _distinct(cards.get(kind, []), held)
                for kind in ("reference", "bin", "caller")
                for held in ("cards", "declines")
            },
        )

    def count_decline(self, payment: Payment) -> None:
        started = datetime.fromisoformat(payment.created_at)
        with ledger_errors():
            for kind, key in _keys(payment, payment.card).items():
                if kind != "lookalike":
                    self._add(key, "declines", _hash(payment.payment_id), started)

    def _count(self, payment_id: str, amount_minor: int, currency: str, card: CardSummary, started: datetime) -> None:
        this = _hash(payment_id)
        values = {
            ":one": 1,
            ":amount_minor": amount_minor,
            ":this": this,
            ":expires_at": int((started + KEPT).timestamp()),
        }

        def update(expression: str, condition: str, **more: Any) -> None:
            self._client.update_item(
                TableName=self._table,
                Key=marshal({"pk": f"VELOCITY#{card.fingerprint}", "sk": _start(started, BUCKET)}),
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeNames={"#currency": currency},
                ExpressionAttributeValues=marshal(values | more),
            )

        expiry_date = {_hash(f"{card.fingerprint}/{card.expiry}")}
        known = {":these": {this}, ":expiry_date": expiry_date, ":known": KNOWN}
        is_counted_or_full = self._client.exceptions.ConditionalCheckFailedException
        try:
            update(COUNT_AND_KNOW_IT, f"{IS_NOT_KNOWN} AND {HAS_ROOM}", **known)
        except is_counted_or_full:
            with suppress(is_counted_or_full):
                update(COUNT_ONE_MORE, IS_NOT_KNOWN)

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

    def _count_cards(self, keys: Mapping[str, str], card: CardSummary, started: datetime) -> dict[str, list[Item]]:
        """Count the card under each of the keys, and return its buckets of the last hour, by the kinds of the keys."""
        last = {key: self._add(key, "cards", _hash(card.fingerprint), started) for key in keys.values()}
        starts = [_start(started - n * CARDS_BUCKET, CARDS_BUCKET) for n in range(1, EARLIER + 1)]
        missing = [(key, start) for key in last if key not in self._earlier for start in starts]
        earlier: dict[str, list[Item]] = {key: [] for key, _ in missing} | self._earlier
        # Nothing is counted in these any more, so an eventually consistent read will do, which costs half.
        for bucket in read_batch(self._client, self._table, missing, ConsistentRead=False):
            earlier[bucket["pk"]].append(bucket)
        self._earlier = {key: earlier[key] for key, held in self._full if held == "cards"}
        return {kind: [last[key], *earlier[key]] for kind, key in keys.items()}

    def _add(self, key: str, held: str, this: bytes, started: datetime) -> Item:
        """Add to what the key's bucket holds, unless it is full, and return the bucket."""
        bucket = _start(started, CARDS_BUCKET)
        if bucket != self._bucket:
            self._bucket, self._full, self._earlier = bucket, {}, {}
        read_at, full = self._full.get((key, held), (started, None))
        if full is not None and abs(started - read_at) < ASKED_AGAIN:
            return full
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=marshal({"pk": key, "sk": bucket}),
                UpdateExpression=ADD,
                ConditionExpression=HOLDS_MORE,
                ExpressionAttributeNames={"#held": held},
                ExpressionAttributeValues=marshal(
                    {":these": {this}, ":held": HELD, ":expires_at": int((started + KEPT).timestamp())}
                ),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            item = unmarshal(error.response["Item"])  # type: ignore[typeddict-item] # as asked for
            self._full[key, held] = started, item
            return item
        return unmarshal(answer["Attributes"])


def _keys(payment: PaymentRequest | Payment, card: CardSummary | None) -> dict[str, str]:
    """The partition keys under which a payment's card and its decline are counted besides the card's own, by kind."""
    named = {
        "reference": payment.merchant_reference and _hash(payment.merchant_reference, 16).hex(),
        "lookalike": card and f"{card.bin}#{card.last4}",
        "bin": card and card.bin,
        "caller": payment.caller and _hash(payment.caller, 16).hex(),
    }
    return {kind: f"VELOCITY#{kind}#{name}" for kind, name in named.items() if name}


def _distinct(buckets: Iterable[Item], held: str) -> int:
    return len({each for bucket in buckets for each in bucket.get(held, ())})


def _hash(text: str, size: int = 8) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:size]


def _start(at: datetime, bucket: timedelta) -> str:
    """When the bucket starts that contains the moment."""
    seconds = bucket.total_seconds()
    return iso(datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC), "seconds")
