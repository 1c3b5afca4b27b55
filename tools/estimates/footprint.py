"""What one payment that is captured, and settled the day after, takes of AWS: read from the product itself.

States and transitions come from the state machine, memory from the Terraform, items from what the adapters write. What
can't be read from there, the calls that each function makes and how much it logs, is a table, which
tests/workflow/test_footprint.py holds against a payment that is run.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from types import SimpleNamespace
from typing import Any

from functions.shared.adapters.table.ledger import DynamoDbLedger, sealed
from functions.shared.adapters.table.velocity import EARLIER, KNOWN, DynamoDbVelocityCounter
from functions.shared.domain.card import CardSummary
from functions.shared.domain.ledger import capture_entry, settlement_entry
from functions.shared.domain.payment import Payment, PaymentRequest
from functions.shared.ports import StoredCard
from tools.deployment.definitions import definition
from tools.deployment.paths import TERRAFORM

Calls = Mapping[str, int]

# What the functions ask of AWS for one captured payment, its card sealed and kept, with a reference and by a caller.
# `status` is a poll of a payment that
# runs, `status_recorded` one of a payment that is recorded, and `reconcile` a line of the settlement report. Charge
# asks Secrets Manager too, every five minutes: that is by the hour, and not by the payment.
CALLS: Mapping[str, Calls] = {
    "tokenize": {"kms:Decrypt RSA": 1, "kms:GenerateMac": 2},
    "screen": {"dynamodb:UpdateItem": 5, "dynamodb:Query": 1, "dynamodb:BatchGetItem": 1},
    "encrypt": {"kms:Decrypt RSA": 1, "kms:Encrypt": 1},
    "charge": {"dynamodb:BatchGetItem": 1, "kms:Decrypt": 1},
    "persist": {"kms:GenerateMac": 1, "dynamodb:TransactWriteItems": 1},
    "reconcile": {"dynamodb:Query": 1, "kms:GenerateMac": 1, "dynamodb:TransactWriteItems": 1},
    "status": {"dynamodb:Query": 1, "states:DescribeExecution": 1},
    "status_recorded": {"dynamodb:Query": 1},
}

# How long each function takes when it is warm, in milliseconds; `reconcile` for one line of the report. Assumed: 5 for
# a call of DynamoDB, 15 for a transaction, 10 for KMS, 20 with an RSA key, 400 for the gateway, and some for itself.
MILLISECONDS: Mapping[str, int] = {
    "tokenize": 45,
    "screen": 40,
    "encrypt": 35,
    "charge": 420,
    "persist": 30,
    "reconcile": 40,
    "status": 15,
}

# What each function writes to its log, in bytes: its own line or two, and its metrics.
LOGGED_BYTES: Mapping[str, int] = {
    "tokenize": 285,
    "screen": 285,
    "encrypt": 285,
    "charge": 605,
    "persist": 525,
    "status": 285,
}

# What is logged by Lambda of each run, by Step Functions of each event, by API Gateway of each request; and a response.
PLATFORM_LOG_BYTES, _EVENT_LOG_BYTES, _ACCESS_LOG_BYTES, RESPONSE_BYTES = 400, 400, 650, 1500

# Of history events: a Task is entered, scheduled, started, done and left; any other state is entered and left.
_TASK_EVENTS, _OTHER_EVENTS, _EXECUTION_EVENTS = 5, 2, 2

# What a captured payment's Choice states see.
_CAPTURED = {"$.screening.action": "allow", "$.payment.operation": "charge", "$.status": "captured"}

# DynamoDB bills writes by the KB, twice in a transaction, and reads by 4 KB; an item has 100 bytes more on the disk.
_WRITE_UNIT, _READ_UNIT, _ITEM_OVERHEAD = 1024, 4096, 100

# The indexes in which a record is, and its keys there. A posting is in by_account whole.
_RECORD_INDEXES = {
    "by_day": ("pk", "sk", "day_shard", "created_at"),
    "by_writing": ("pk", "sk", "written_shard", "written_at"),
}

_MEMORY = re.compile(r"^    (\w+) = \{\n +timeout += \d+\n +memory += (\d+)", re.MULTILINE)

_STARTED, _RECORDED, _SETTLED = "2026-11-23T09:00:00.000Z", "2026-11-23T09:00:01.000Z", "2026-11-24T02:00:00.000Z"
_FINGERPRINT = "fp_" + "a" * 52
_TOKEN = "tok_" + "a" * 52
_CIPHERTEXT_BYTES = 240  # of the card's 90 bytes of JSON


@dataclass(frozen=True, slots=True)
class Write:
    """One item that is written: its partition key, and in the index by_account; its size, and what it is billed; and
    the same in each index that has it."""

    pk: str
    sk: str
    account_day: str | None
    size: int
    units: int
    index_sizes: Mapping[str, int] = field(default_factory=dict)
    index_units: Mapping[str, int] = field(default_factory=dict)


def path(machine: str = "payment") -> list[tuple[str, str]]:
    """The states that a captured payment goes through, each with its type. Step Functions bills one transition each."""
    states: dict[str, Any] = json.loads(definition(machine))
    name, found = states["StartAt"], []
    while name:
        state = states["States"][name]
        found.append((name, state["Type"]))
        chosen = (
            choice["Next"]
            for choice in state.get("Choices", [])
            if _CAPTURED.get(choice["Variable"]) == choice["StringEquals"]
        )
        name = next(chosen, state.get("Default", state.get("Next")))
    return found


def history_events() -> int:
    """The events in the history of a captured payment's execution, each of which is a line in its log."""
    return _EXECUTION_EVENTS + sum(_TASK_EVENTS if kind == "Task" else _OTHER_EVENTS for _, kind in path())


def functions() -> list[str]:
    """The functions that a captured payment's states call, in their order."""
    return [name.lower() for name, kind in path() if kind == "Task"]


@cache
def memory_mb() -> dict[str, int]:
    """The functions' memory, by name."""
    return {name: int(memory) for name, memory in _MEMORY.findall((TERRAFORM / "functions.tf").read_text())}


def calls(polls: int) -> Counter[str]:
    """The calls of a captured payment that is polled so often, the first time while it runs."""
    total: Counter[str] = Counter()
    for function in [*functions(), "reconcile"]:
        total.update(CALLS[function])
    for poll in range(polls):
        total.update(CALLS["status_recorded" if poll else "status"])
    return total


def read_units(polls: int) -> float:
    """The velocity of the card and of four other keys, the latter eventually consistent, whether it is recorded, the
    polls, and reconciliation: the payment, its status, and its postings in the index twice; and the record for the
    anchors of two nights."""
    posting = max(write.size for write in settled_writes() if write.account_day) / _READ_UNIT / 2
    postings = sum(bool(write.account_day) for write in [*captured_writes(), *settled_writes()])
    return 1 + 4 * EARLIER / 2 + 1 + polls + 1 + 1 + (postings + 1) * posting + 2


@cache
def captured_writes() -> tuple[Write, ...]:
    """What is written until the payment is captured: by Screen and by Persist."""
    client = _Recorder()
    DynamoDbVelocityCounter(client, "counters").count(PAYMENT.payment_id, _REQUEST, _SUMMARY, _STARTED)  # type: ignore[arg-type]
    card = StoredCard(_SUMMARY, bytes(_CIPHERTEXT_BYTES), _RECORDED)
    captured, entries = PAYMENT.post(capture_entry("sparkle", 1999, "USD"))
    DynamoDbLedger(client, "ledger", sealing(_RECORDED), "cards").record(captured, entries, card)  # type: ignore[arg-type]
    return tuple(client.writes)


@cache
def settled_writes() -> tuple[Write, ...]:
    """What reconciliation writes the day after, of the payment's line in the settlement report."""
    client = _Recorder()
    captured, _ = PAYMENT.post(capture_entry("sparkle", 1999, "USD"))
    entry = settlement_entry("sparkle", 1999, 59, "USD", f"charge:ch_{'0' * 24}@2026-11-23")
    settled, entries = captured.next_version(_SETTLED).post(entry)
    DynamoDbLedger(client, "ledger", sealing(_SETTLED)).record(settled, entries)  # type: ignore[arg-type]
    return tuple(client.writes)


def stored_bytes() -> tuple[int, int]:
    """What a settled payment keeps in the table, and in its indexes. Cards and velocity go after a while."""
    items = {(write.pk, write.sk): write for write in [*captured_writes(), *settled_writes()]}
    kept = [write for (pk, _), write in items.items() if pk.startswith("PAYMENT#")]
    in_table = sum(write.size + _ITEM_OVERHEAD for write in kept)
    return in_table, sum(size + _ITEM_OVERHEAD for write in kept for size in write.index_sizes.values())


def logged_bytes(polls: int) -> Counter[str]:
    """What a payment writes to the logs: of the state machine's events, of the functions, and of the API."""
    runs = [*functions(), *["status"] * polls]
    return Counter(
        states=history_events() * _EVENT_LOG_BYTES,
        functions=sum(LOGGED_BYTES[name] + PLATFORM_LOG_BYTES for name in runs),
        api=(1 + polls) * _ACCESS_LOG_BYTES,
    )


def gb_seconds(polls: int) -> float:
    """What the functions' runs are billed for, if all are warm."""
    runs = [*functions(), "reconcile", *["status"] * polls]
    return sum(MILLISECONDS[name] / 1000 * memory_mb()[name] / 1024 for name in runs)


def velocity_units(payments: int) -> int:
    """What is billed for counting one more payment of a card that had so many before it in its five minutes."""
    size = _velocity_bytes(min(payments + 1, KNOWN))
    return ceil(size / _WRITE_UNIT) * (1 if payments < KNOWN else 2)  # the second after one that is refused


def _velocity_bytes(known: int) -> int:
    hashes, expiry_dates = {known.to_bytes(8) for known in range(known)}, {bytes(8)}
    key = {"pk": {"S": f"VELOCITY#{_FINGERPRINT}"}, "sk": {"S": "2026-11-23T09:00:00Z"}}
    values = {"payments": {"N": "999"}, "USD": {"N": "999999"}, "expires_at": {"N": "1763978400"}}
    return item_bytes(key | values | {"counted": {"BS": hashes}, "expiry_dates": {"BS": expiry_dates}})


def item_bytes(item: Mapping[str, Any]) -> int:
    """An item's size as DynamoDB counts it ("DynamoDB item sizes and formats", developer guide)."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, plain),) = value.items()
    match kind:
        case "S":
            return len(plain.encode())
        case "N":
            return ceil(len(plain.strip("-0").replace(".", "")) / 2) + 1
        case "B":
            return len(plain)
        case "BS":
            return sum(map(len, plain))
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + _value_bytes(each) for each in plain)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_bytes(each) for name, each in plain.items())
    raise ValueError(f"A DynamoDB value of type {kind}")


def sealing(at: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Seals records as at that time, by a MAC that is none and as long as one."""
    return lambda record: sealed(record, SimpleNamespace(mac=lambda message: bytes(32)), at)


class _Recorder:
    """A DynamoDB client that keeps what it is asked to write, and knows nothing."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=KeyError, TransactionCanceledException=KeyError)

    def __init__(self) -> None:
        self.writes: list[Write] = []

    def put_item(self, **request: Any) -> None:
        self._keep(request["Item"], times=1)

    def transact_write_items(self, **request: Any) -> None:
        for write in request["TransactItems"]:
            self._keep(write["Put"]["Item"], times=2)

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Of the velocity: none of its items gets larger than one unit, but for a card's that pays without end."""
        key = request["Key"]
        size = item_bytes(key | request["ExpressionAttributeValues"])
        self.writes.append(Write(key["pk"]["S"], key["sk"]["S"], None, size, velocity_units(0)))
        return {"Attributes": {}}

    def batch_get_item(self, **_: Any) -> dict[str, Any]:
        return {"Responses": {}, "UnprocessedKeys": {}}

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: iter(()))

    def _keep(self, item: dict[str, Any], times: int) -> None:
        size = item_bytes(item)
        units = ceil(size / _WRITE_UNIT)
        account_day = item["account_day"]["S"] if "account_day" in item else None
        sizes = {"by_account": size} if account_day else {}
        if "day_shard" in item:
            sizes = {name: item_bytes({key: item[key] for key in keys}) for name, keys in _RECORD_INDEXES.items()}
        # A later version of a record stays where it is by day, and by writing leaves one key and comes to another.
        is_later = item.get("version", {"N": "1"}) != {"N": "1"}
        written = {"by_account": 1, "by_day": 0 if is_later else 1, "by_writing": 2 if is_later else 1}
        index_units = {name: ceil(in_index / _WRITE_UNIT) * written[name] for name, in_index in sizes.items()}
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        self.writes.append(Write(pk, sk, account_day, size, units * times, sizes, index_units))


_SUMMARY = CardSummary(_TOKEN, _FINGERPRINT, "visa", "424242", "4242", "12/30")
_REQUEST = PaymentRequest(
    "charge",
    1999,
    "USD",
    merchant_reference="order-1001",
    description="Two tickets",
    caller="arn:aws:sts::123456789012:assumed-role/payments-caller",
)
PAYMENT = Payment.first(
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "captured",
    _REQUEST,
    _SUMMARY,
    "0" * 64,
    started_at=_STARTED,
    now=_RECORDED,
    charge_id="ch_" + "0" * 24,
)
"""A captured payment like most, whose card is kept."""
