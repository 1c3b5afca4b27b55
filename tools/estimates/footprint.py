"""What one payment, captured and settled the day after, uses on AWS, read from the product itself.

States and transitions come from the state machine, memory from Terraform, and items from what the adapters write. The
calls of each function and the size of its logs can't be read; they are in tables here, which
tests/workflow/test_footprint.py checks against a real run of a payment.
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

from functions.shared.adapters.table.events import DynamoDbDeliveries
from functions.shared.adapters.table.held_cards import DynamoDbHeldCards
from functions.shared.adapters.table.keys import FIRST_EVENT, is_of_payment
from functions.shared.adapters.table.ledger import DynamoDbLedger, sealed
from functions.shared.adapters.table.sealing_keys import DynamoDbSealingKeys
from functions.shared.adapters.table.velocity import EARLIER_BUCKETS, MAX_REMEMBERED_PAYMENTS, DynamoDbVelocityCounter
from functions.shared.domain.card import CardSummary
from functions.shared.domain.event import payment_event
from functions.shared.domain.ledger import capture_entry, settlement_entry
from functions.shared.domain.payment import Payment, PaymentRequest
from functions.shared.ports import Execution, HeldCard, StoredCard
from functions.status.follow import LONGEST_WAIT_SECONDS, follow
from functions.status.payment_status import LOOKUP_AFTER_SECONDS
from tools.deployment.definitions import definition
from tools.deployment.paths import TERRAFORM

Calls = Mapping[str, int]

# Each function's AWS calls for one captured payment, whose card and security code are sealed to a single-use key, and
# whose card is kept, with a reference and a caller. `status` reads a running payment once, `status_recorded` a
# recorded one, and `reconcile` one line of the settlement report. Charge also reads its secret
# every five minutes, which counts by the hour and not by the payment. `publish` and `deliver` are for one event, with
# an earlier one before it.
CALLS: Mapping[str, Calls] = {
    "issue_key": {"dynamodb:BatchGetItem": 1, "dynamodb:GetItem": 1, "kms:Encrypt": 1, "dynamodb:UpdateItem": 1},
    "tokenize": {"dynamodb:GetItem": 1, "kms:Decrypt": 1, "kms:GenerateMac": 2},
    "screen": {"dynamodb:UpdateItem": 5, "dynamodb:Query": 1, "dynamodb:BatchGetItem": 1},
    "encrypt": {"dynamodb:GetItem": 1, "kms:Decrypt": 1, "kms:Encrypt": 1, "dynamodb:UpdateItem": 1},
    "charge": {"dynamodb:BatchGetItem": 1, "dynamodb:GetItem": 1, "kms:Decrypt": 1},
    "persist": {
        "dynamodb:GetItem": 1,
        "kms:GenerateMac": 1,
        "dynamodb:TransactWriteItems": 1,
        "dynamodb:UpdateItem": 1,
    },
    "reconcile": {"dynamodb:Query": 1, "kms:GenerateMac": 1, "dynamodb:TransactWriteItems": 1},
    "publish": {"dynamodb:BatchGetItem": 1, "events:PutEvents": 1},
    "deliver": {"sqs:ChangeMessageVisibility": 1, "dynamodb:GetItem": 1, "dynamodb:Query": 1, "dynamodb:UpdateItem": 1},
    "status": {"dynamodb:Query": 1, "dynamodb:GetItem": 1, "states:DescribeExecution": 1},
    "status_recorded": {"dynamodb:Query": 1},
}

# Each function's warm duration in milliseconds; `reconcile` for one line of the report. Assumed: 5 for a DynamoDB call,
# 15 for a transaction, 10 for KMS and for the bus or a queue, 400 for the gateway, 200 for a webhook's endpoint, and a
# little for the function itself.
MILLISECONDS: Mapping[str, int] = {
    "issue_key": 30,
    "tokenize": 40,
    "screen": 40,
    "encrypt": 35,
    "charge": 425,
    "persist": 40,
    "reconcile": 40,
    "publish": 20,
    "deliver": 230,
    "status": 15,
}

# What runs, and for how many milliseconds, when a gateway reports a charge that is already recorded, as most are. The
# event is sent, received and deleted once, and the payment is read.
EVENT_MILLISECONDS: Mapping[str, int] = {"receive_event": 20, "follow_event": 10}
EVENT_CALLS: Calls = {"sqs": 3, "dynamodb:Query": 1}

# Step Functions' time between two states, an assumption too.
BETWEEN_STATES_MS = 15

# Bytes that each function writes to its log: its own line or two, and its metrics.
LOGGED_BYTES: Mapping[str, int] = {
    "issue_key": 285,
    "tokenize": 285,
    "screen": 285,
    "encrypt": 285,
    "charge": 605,
    "persist": 525,
    "publish": 285,
    "deliver": 285,
    "status": 285,
}

# Bytes logged by Lambda per invocation, by Step Functions per event, and by API Gateway per request; and a response's.
PLATFORM_LOG_BYTES, _EVENT_LOG_BYTES, _ACCESS_LOG_BYTES, RESPONSE_BYTES = 400, 400, 650, 1500

# History events: a Task is entered, scheduled, started, done and left; any other state is entered and left.
_TASK_EVENTS, _OTHER_EVENTS, _EXECUTION_EVENTS = 5, 2, 2

# The input of a captured payment's Choice states.
_CAPTURED = {"$.status": "captured"}

# DynamoDB bills writes by the KB, twice in a transaction, and reads by 4 KB. Storage adds 100 bytes per item.
_WRITE_UNIT, _READ_UNIT, ITEM_OVERHEAD = 1024, 4096, 100

# The indexes that contain a record, with its keys there. A posting is in by_account as a whole.
_RECORD_INDEXES = {
    "by_day": ("pk", "sk", "day_shard", "created_at", "status"),
    "by_reference": ("pk", "sk", "merchant_reference", "created_at"),
    "by_status": ("pk", "sk", "status_shard", "created_at"),
    "by_writing": ("pk", "sk", "written_shard", "written_at"),
}

_MEMORY = re.compile(r"^    (\w+) = \{\n +timeout += \S+\n +memory += (\d+)", re.MULTILINE)

_STARTED, _RECORDED, _SETTLED = "2026-11-23T09:00:00.000Z", "2026-11-23T09:00:01.000Z", "2026-11-24T02:00:00.000Z"
_FINGERPRINT = "fp_" + "a" * 52
_TOKEN = "tok_" + "a" * 52
_CIPHERTEXT_BYTES = 240  # for the card's 90 bytes of JSON
_ENCRYPTED_KEY_BYTES = 184  # for a private half of 32 bytes


@dataclass(frozen=True, slots=True)
class Write:
    """One item write: the item's partition key, its key in the index by_account, its size, and its billed units in the
    table and in each index."""

    pk: str
    sk: str
    account_day: str | None
    size: int
    units: int
    index_sizes: Mapping[str, int] = field(default_factory=dict)
    index_units: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_of_event(self) -> bool:
        return self.sk.startswith(FIRST_EVENT)


def happy_path() -> list[tuple[str, str]]:
    """The states that a captured payment goes through, each with its type. Step Functions bills one transition each."""
    machine_definition: dict[str, Any] = json.loads(definition("payment"))
    name, states = machine_definition["StartAt"], list[tuple[str, str]]()
    while name:
        state = machine_definition["States"][name]
        states.append((name, state["Type"]))
        chosen = (
            choice["Next"]
            for choice in state.get("Choices", [])
            if _CAPTURED.get(choice["Variable"]) == choice["StringEquals"]
        )
        name = next(chosen, state.get("Default", state.get("Next")))
    return states


def history_events() -> int:
    """The number of events in a captured payment's execution history. Each is a line in its log."""
    return _EXECUTION_EVENTS + sum(_TASK_EVENTS if kind == "Task" else _OTHER_EVENTS for _, kind in happy_path())


def log_bytes_of_a_choice() -> int:
    """What a state that calls no function writes to its state machine's log."""
    return _OTHER_EVENTS * _EVENT_LOG_BYTES


def functions() -> list[str]:
    """The functions that a captured payment's states call, in order."""
    return [name.lower() for name, kind in happy_path() if kind == "Task"]


def runs() -> list[str]:
    """The functions that run for a captured payment, from its key to its record."""
    return ["issue_key", *functions()]


def requests(reads: int) -> int:
    """The API requests of a captured payment that its client reads this often: for its key, to pay, and the reads."""
    return 2 + reads


@cache
def memory_mb() -> dict[str, int]:
    """Each function's memory in MB."""
    return {name: int(memory) for name, memory in _MEMORY.findall((TERRAFORM / "functions.tf").read_text())}


def milliseconds() -> int:
    """How long a captured payment takes, from its start to its record."""
    return sum(MILLISECONDS[name] for name in functions()) + len(happy_path()) * BETWEEN_STATES_MS


def wait_calls(seconds: float) -> Counter[str]:
    """The AWS calls of a wait for a payment that is recorded after this many seconds."""
    calls: Counter[str] = Counter()
    slept = 0.0
    running = Execution(True, None, None, _REQUEST.to_dict(), _STARTED, None)

    def sleep(pause: float) -> None:
        nonlocal slept
        slept += pause

    def find_recorded() -> Payment | None:
        calls["dynamodb:Query"] += 1
        return PAYMENT if slept >= seconds else None

    def find() -> Execution:
        calls["states:DescribeExecution"] += 1
        return running

    follow(
        find_recorded,
        find,
        has_ended=lambda _: True,
        is_in_doubt=lambda _: False,
        lookup_after_seconds=LOOKUP_AFTER_SECONDS,
        wait_seconds=LONGEST_WAIT_SECONDS,
        sleep=sleep,
    )
    return calls


def calls(reads: int) -> Counter[str]:
    """The calls of a captured payment that its client reads this often; the first read waits for the end."""
    total: Counter[str] = Counter()
    for function in [*runs(), "reconcile"]:
        total.update(CALLS[function])
    for read in range(reads):
        total.update(CALLS["status_recorded"] if read else wait_calls(milliseconds() / 1000))
    return total


def read_units(reads: int) -> float:
    """Read units: velocity by card and, eventually consistent, by four other keys; whether the payment is recorded,
    for its key and for its charge; what it has only until it ends; the client's reads; reconciliation (the payment, its
    status, and its postings in the index twice); and two nights' anchors."""
    ephemeral = sum(CALLS[function].get("dynamodb:GetItem", 0) for function in runs())
    posting = max(write.size for write in settled_writes() if write.account_day) / _READ_UNIT / 2
    postings = sum(bool(write.account_day) for write in [*captured_writes(), *settled_writes()])
    status_queries = wait_calls(milliseconds() / 1000)["dynamodb:Query"] + reads - 1 if reads else 0
    return 1 + 4 * EARLIER_BUCKETS / 2 + 2 + ephemeral + status_queries + 1 + 1 + (postings + 1) * posting + 2


@cache
def captured_writes() -> tuple[Write, ...]:
    """Writes until the payment is captured: its key, by Screen, its card, by Persist, and their erasure."""
    client, cipher = _Recorder(), SimpleNamespace(encrypt=lambda plaintext, context: bytes(_ENCRYPTED_KEY_BYTES))
    DynamoDbSealingKeys(client, "ephemeral", cipher).issue(PAYMENT.payment_id, _STARTED)  # type: ignore[arg-type]
    held_cards = DynamoDbHeldCards(client, "ephemeral")  # type: ignore[arg-type]
    counter = DynamoDbVelocityCounter(client, "counters")  # type: ignore[arg-type]
    counter.count(PAYMENT.payment_id, _REQUEST, _SUMMARY, _STARTED, admits=lambda lookalike_cards: True)
    held_cards.hold(PAYMENT.payment_id, HeldCard(bytes(_CIPHERTEXT_BYTES)), _STARTED)
    card = StoredCard(_SUMMARY, bytes(_CIPHERTEXT_BYTES), _RECORDED)
    captured, entries = PAYMENT.post(capture_entry(GATEWAY, 1999, "USD"))
    DynamoDbLedger(client, "ledger", sealing(_RECORDED), "cards").record(captured, entries, card)  # type: ignore[arg-type]
    held_cards.erase(PAYMENT.payment_id, _RECORDED)
    return tuple(client.writes)


@cache
def settled_writes() -> tuple[Write, ...]:
    """Writes of the reconciliation on the day after, for the payment's line in the settlement report."""
    client = _Recorder()
    captured, _ = PAYMENT.post(capture_entry(GATEWAY, 1999, "USD"))
    entry = settlement_entry(GATEWAY, 1999, 59, "USD", f"charge:ch_{'0' * 24}@2026-11-23")
    settled, entries = captured.next_version(_SETTLED).post(entry)
    DynamoDbLedger(client, "ledger", sealing(_SETTLED)).record(settled, entries, previous=captured)  # type: ignore[arg-type]
    return tuple(client.writes)


def payment_writes() -> list[Write]:
    """What is written for a payment until it is settled, but its events."""
    return [write for write in [*captured_writes(), *settled_writes()] if not write.is_of_event]


def event_writes() -> list[Write]:
    """A settled payment's events: that it is captured, and that it is settled."""
    return [write for write in [*captured_writes(), *settled_writes()] if write.is_of_event]


@cache
def delivered_write() -> Write:
    """The write by which `deliver` remembers the last event of a payment that an endpoint has accepted."""
    client = _Recorder()
    deliveries = DynamoDbDeliveries(client, "counters")  # type: ignore[arg-type]
    deliveries.delivered("my-shop", payment_event(PAYMENT, None), _RECORDED)
    return client.writes[0]


def event_bytes() -> int:
    """The size of an event as it is published and delivered."""
    return len(payment_event(PAYMENT, None).to_cloud_event())


def stored_bytes() -> tuple[int, int]:
    """Bytes that a settled payment keeps in the table and in its indexes, without its events. Cards and velocity
    expire."""
    items = {(write.pk, write.sk): write for write in payment_writes()}
    stored = [write for (pk, _), write in items.items() if is_of_payment(pk)]
    in_table = sum(write.size + ITEM_OVERHEAD for write in stored)
    return in_table, sum(size + ITEM_OVERHEAD for write in stored for size in write.index_sizes.values())


def logged_bytes(reads: int) -> Counter[str]:
    """Bytes that a payment writes to the logs of the state machine, the functions and the API."""
    return Counter(
        states=history_events() * _EVENT_LOG_BYTES,
        functions=sum(LOGGED_BYTES[name] + PLATFORM_LOG_BYTES for name in [*runs(), *["status"] * reads]),
        api=requests(reads) * _ACCESS_LOG_BYTES,
    )


def gb_seconds(reads: int) -> float:
    """Billed GB-seconds, if all functions are warm; a wait lasts as long as the payment."""
    durations = [(name, MILLISECONDS[name]) for name in [*runs(), "reconcile", *["status"] * reads]]
    if reads:
        durations.append(("status", milliseconds()))
    return sum(duration / 1000 * memory_mb()[name] / 1024 for name, duration in durations)


def velocity_units(payments: int) -> int:
    """Units billed for counting one more payment of a card that already had `payments` within five minutes."""
    size = _velocity_bytes(min(payments + 1, MAX_REMEMBERED_PAYMENTS))
    updates = 1 if payments < MAX_REMEMBERED_PAYMENTS else 2  # the second follows a refused one
    return ceil(size / _WRITE_UNIT) * updates


def _velocity_bytes(payments: int) -> int:
    hashes, expiry_dates = {payment.to_bytes(8) for payment in range(payments)}, {bytes(8)}
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
    """A sealing function at a fixed time, whose fake MAC is as long as a real one."""
    return lambda record: sealed(record, SimpleNamespace(mac=lambda message: bytes(32)), at)


class _Recorder:
    """A DynamoDB client that records writes, and finds nothing."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=KeyError, TransactionCanceledException=KeyError)

    def __init__(self) -> None:
        self.writes: list[Write] = []

    def put_item(self, **request: Any) -> None:
        self._record_write(request["Item"], times=1)

    def transact_write_items(self, **request: Any) -> None:
        for write in request["TransactItems"]:
            self._record_write(write["Put"]["Item"], times=2)

    def get_item(self, **_: Any) -> dict[str, Any]:
        return {}

    def update_item(self, **request: Any) -> dict[str, Any]:
        """An update of what a payment has until it ends, of velocity, or of deliveries. Each item stays within one
        unit, except for a card that pays again and again."""
        key = request["Key"]
        size = item_bytes(key | request["ExpressionAttributeValues"])
        pk, sk = key.get("pk", key.get("payment_id")), key.get("sk", {"S": ""})
        self.writes.append(Write(pk["S"], sk["S"], None, size, velocity_units(0)))
        return {"Attributes": {}}

    def batch_get_item(self, **_: Any) -> dict[str, Any]:
        return {"Responses": {}, "UnprocessedKeys": {}}

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: iter(()))

    def _record_write(self, item: dict[str, Any], times: int) -> None:
        size = item_bytes(item)
        units = ceil(size / _WRITE_UNIT)
        account_day = item["account_day"]["S"] if "account_day" in item else None
        sizes = {"by_account": size} if account_day else {}
        if "day_shard" in item:
            sizes = {
                name: item_bytes({key: item[key] for key in keys})
                for name, keys in _RECORD_INDEXES.items()
                if item.keys() >= set(keys)
            }
        # A later version of a record, after a settlement, keeps its keys in all indexes but by_writing, where it moves.
        is_later = item.get("version", {"N": "1"}) != {"N": "1"}
        writes_by_index = dict.fromkeys(_RECORD_INDEXES, 0 if is_later else 1) | {"by_account": 1}
        writes_by_index["by_writing"] = 2 if is_later else 1
        index_units = {name: ceil(in_index / _WRITE_UNIT) * writes_by_index[name] for name, in_index in sizes.items()}
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        self.writes.append(Write(pk, sk, account_day, size, units * times, sizes, index_units))


_SUMMARY = CardSummary(_TOKEN, _FINGERPRINT, "visa", "424242", "4242", "12/30")
_REQUEST = PaymentRequest(
    1999,
    "USD",
    merchant_reference="order-1001",
    description="Two tickets",
    caller="arn:aws:sts::123456789012:assumed-role/payments-caller",
)
GATEWAY = "gateway"
"""A gateway's name of usual length."""

PAYMENT = Payment.first(
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "captured",
    _REQUEST,
    _SUMMARY,
    "0" * 64,
    started_at=_STARTED,
    now=_RECORDED,
    charge_id="ch_" + "0" * 24,
    gateway=GATEWAY,
)
"""A typical captured payment whose card is kept."""
