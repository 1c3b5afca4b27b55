"""The keys of the items in the ledger's and the cards' tables, and of the ledger's indexes.

| table  | pk                     | sk                     | content                                                 |
|--------|------------------------|------------------------|---------------------------------------------------------|
| ledger | `PAYMENT#{payment_id}` | `PAYMENT`              | the payment's current record, with its last operations  |
| ledger | `PAYMENT#{payment_id}` | `OPERATION#{id}`       | an older operation that has ended                       |
| ledger | `PAYMENT#{payment_id}` | `ENTRY#{number}`       | a journal entry with its postings, and its hash         |
| ledger | `PAYMENT#{payment_id}` | `POSTING#{number}#{n}` | one posting, for the index `by_account`                 |
| ledger | `PAYMENT#{payment_id}` | `EVENT#{version}`      | events.py                                               |
| ledger | `EVENTS#{subject}`     | `EVENT#{time}`         | events.py                                               |
| ledger | `CLOSE#{year}`         | `{day}`                | books.py                                                |
| ledger | `BREAK#{day}`          | `{type}#{…}`           | books.py                                                |
| cards  | `CARD#{token}`         | `CARD`                 | the encrypted card, until `expires_at`                  |
| cards  | `REQUEST#{key}`        | `REQUEST`              | what a request without a payment stored                 |

attendance.py, events.py and velocity.py describe the table whose items expire.

| index          | hash key                                 | range key     | what it lists                            |
|----------------|------------------------------------------|---------------|------------------------------------------|
| `by_account`   | `account_day`: `{account}#{day}#{shard}` | `posted_at`   | an account's postings of a day           |
| `by_day`       | `day_shard`: `{day}#{shard}`             | `created_at`  | the payments requested on a day          |
| `by_reference` | `merchant_reference`                     | `created_at`  | the payments with a reference            |
| `by_status`    | `status_shard`: `{status}#{day}#{shard}` | `created_at`  | a day's payments of an unusual status    |
| `by_writing`   | `written_shard`: `{day}#{shard}`         | `written_at`  | the payments last written on a day       |
| `in_doubt`     | `doubt_shard`: `in_doubt#{shard}`        | `doubt_since` | payments with a `Payment.in_doubt_since` |
| `open`         | `open_shard`: `open#{shard}`             | `pk`          | payments with `Payment.awaits_gateway`   |

Every index but `by_reference` spreads its entries over shards by the payment's id, to avoid hot keys: docs/scale.md.
Days are UTC, YYYY-MM-DD.
"""

from zlib import crc32

USUAL_STATUS = "captured"
"""The status that most payments have and keep. `by_status` leaves them out, which saves their writes: `by_day` has them
all, and their status."""

ACCOUNT_SHARDS = 64
DAY_SHARDS = 128
STATUS_SHARDS = 128
WRITTEN_SHARDS = 128

# Few payments are in doubt, except in an outage of the gateway, when all are. Every shard is read every five minutes.
DOUBT_SHARDS = 128

# Every authorization is written to the index `open`, so it receives writes at the rate of payments.
OPEN_SHARDS = 128

RECORD = "PAYMENT"
"""The sort key of a payment's record."""

FIRST_OPERATION, FIRST_ENTRY, FIRST_POSTING, FIRST_EVENT = "OPERATION#", "ENTRY#", "POSTING#", "EVENT#"
"""Lower bounds for the sort keys of the operations kept apart, of the entries, of the postings and of the events, and
their prefixes."""


def payment_pk(payment_id: str) -> str:
    return f"PAYMENT#{payment_id}"


def payment_id_of(pk: str) -> str:
    """The inverse of `payment_pk`."""
    return pk.removeprefix("PAYMENT#")


def is_of_payment(pk: str) -> bool:
    """Whether the items with this partition key are a payment's."""
    return pk.startswith("PAYMENT#")


def operation_sk(operation_id: str) -> str:
    return f"{FIRST_OPERATION}{operation_id}"


def entry_sk(number: int) -> str:
    return f"{FIRST_ENTRY}{number:04}"


def posting_sk(number: int, n: int) -> str:
    """The key of the n-th posting of the entry with this number."""
    return f"{FIRST_POSTING}{number:04}#{n}"


def event_sk(sequence: str) -> str:
    return f"{FIRST_EVENT}{sequence}"


def sequence_of(sk: str) -> str:
    """The inverse of `event_sk`."""
    return sk.removeprefix(FIRST_EVENT)


def events_pk(subject: str) -> str:
    """The key of the events of a subject that is not a payment: a card's token, or a break."""
    return f"EVENTS#{subject}"


def delivered_key(endpoint: str, events: str) -> dict[str, str]:
    """The key of the item that says which of the events with this partition key an endpoint accepted last."""
    return {"pk": f"DELIVERED#{endpoint}#{events}", "sk": "DELIVERED"}


def card_key(token: str) -> dict[str, str]:
    return {"pk": f"CARD#{token}", "sk": "CARD"}


def break_pk(day: str) -> str:
    return f"BREAK#{day}"


def request_key(key: str) -> dict[str, str]:
    """The key of the item for a request to store a card, which has this idempotency key."""
    return {"pk": f"REQUEST#{key}", "sk": "REQUEST"}


def is_of_request(pk: str) -> bool:
    """Whether the item with this partition key is of a request to store a card."""
    return pk.startswith("REQUEST#")


def shard_of(payment_id: str, shards: int) -> int:
    """The payment's shard, from 0 to `shards` - 1."""
    return crc32(payment_id.encode()) % shards


def account_day(account: str, day: str, shard: int) -> str:
    return f"{account}#{day}#{shard:02}"


def day_shard(day: str, shard: int) -> str:
    return f"{day}#{shard:02}"


def status_shard(status: str, day: str, shard: int) -> str:
    return f"{status}#{day}#{shard:02}"


def written_shard(day: str, shard: int) -> str:
    return f"{day}#{shard:02}"


def doubt_shard(shard: int) -> str:
    return f"in_doubt#{shard:02}"


def open_shard(shard: int) -> str:
    return f"open#{shard:02}"
