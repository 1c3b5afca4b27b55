"""The keys of the items in the ledger's and the cards' table, and of the ledger's indexes.

| table  | pk                     | sk                     | what                                                    |
|--------|------------------------|------------------------|---------------------------------------------------------|
| ledger | `PAYMENT#{payment_id}` | `PAYMENT`              | the payment's current record, its last operations in it |
| ledger | `PAYMENT#{payment_id}` | `OPERATION#{id}`       | an older operation, that has ended                      |
| ledger | `PAYMENT#{payment_id}` | `ENTRY#{number}`       | a journal entry with its postings, and its hash         |
| ledger | `PAYMENT#{payment_id}` | `POSTING#{number}#{n}` | one posting, for the index `by_account`                 |
| ledger | `CLOSE#{year}`         | `{day}`                | books.py                                                |
| ledger | `BREAK#{day}`          | `{type}#{…}`           | books.py                                                |
| cards  | `CARD#{token}`         | `CARD`                 | the encrypted card, until `expires_at`                  |

The table of what is forgotten after a while is attendance.py's and velocity.py's.

| index        | hash key                                 | range key     | what it lists                             |
|--------------|------------------------------------------|---------------|-------------------------------------------|
| `by_account` | `account_day`: `{account}#{day}#{shard}` | `posted_at`   | an account's postings of a day            |
| `by_day`     | `day_shard`: `{day}#{shard}`             | `created_at`  | the payments that were asked for on a day |
| `by_writing` | `written_shard`: `{day}#{shard}`         | `written_at`  | the payments last written on a day        |
| `in_doubt`   | `doubt_shard`: `in_doubt#{shard}`        | `doubt_since` | by `Payment.in_doubt_since`               |
| `open`       | `open_shard`: `open#{shard}`             | `pk`          | those that `Payment.awaits_gateway`       |

What an index lists is spread over shards by the payment's id, so that none of its keys is a hot key: docs/scale.md.
Days are UTC, YYYY-MM-DD.
"""

from zlib import crc32

ACCOUNT_SHARDS = 64
DAY_SHARDS = 128
WRITTEN_SHARDS = 128

# Few payments are in doubt, but all of them while the gateway is down. Every shard is read every five minutes.
DOUBT_SHARDS = 128

# Authorizations are written to the index `open` as fast as payments come.
OPEN_SHARDS = 128

RECORD = "PAYMENT"
"""The sort key of a payment's record."""

FIRST_OPERATION, FIRST_ENTRY = "OPERATION#", "ENTRY#"
"""Below the sort keys of all operations that are kept apart, and below those of all entries."""


def payment_pk(payment_id: str) -> str:
    return f"PAYMENT#{payment_id}"


def payment_id_of(pk: str) -> str:
    """The inverse of `payment_pk`."""
    return pk.removeprefix("PAYMENT#")


def operation_sk(operation_id: str) -> str:
    return f"{FIRST_OPERATION}{operation_id}"


def entry_sk(number: int) -> str:
    return f"{FIRST_ENTRY}{number:04}"


def posting_sk(number: int, n: int) -> str:
    """The key of the n-th posting of the entry with this number."""
    return f"POSTING#{number:04}#{n}"


def card_key(token: str) -> dict[str, str]:
    return {"pk": f"CARD#{token}", "sk": "CARD"}


def shard_of(payment_id: str, shards: int) -> int:
    """In which of so many shards the payment lies."""
    return crc32(payment_id.encode()) % shards


def account_day(account: str, day: str, shard: int) -> str:
    return f"{account}#{day}#{shard:02}"


def day_shard(day: str, shard: int) -> str:
    return f"{day}#{shard:02}"


def written_shard(day: str, shard: int) -> str:
    return f"{day}#{shard:02}"


def doubt_shard(shard: int) -> str:
    return f"in_doubt#{shard:02}"


def open_shard(shard: int) -> str:
    return f"open#{shard:02}"
