"""Nobody opens a card that was sealed to a single-use key once its payment has ended, whatever rights they have.

Two hundred cards with security codes are sealed to single-use keys, and end in every way. Then a thief, who has all
rights in the account, takes everything that is kept: all tables, executions with their histories, logs, objects, queues
and secrets; and uses every key in KMS, after changing its policy. Nothing of the cards can be opened. That nothing is
left either after rare failures, and in whatever order they come, is a rule of the simulation.

On AWS, point-in-time recovery keeps an erased card's ciphertext for 35 days (docs/pci-dss.md). The emulator has none,
and the table of what a payment has only while it runs must have none anywhere.
"""

import base64
import binascii
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from client import seal
from functions.shared.adapters.jwe import ENCRYPTION, SINGLE_USE, derived_key
from functions.shared.adapters.table.items import unmarshal
from functions.shared.domain.times import now
from tests.samples import TEST_CARDS
from tests.stack.driver import PAYMENT, SEEN_AFTER_SECONDS, Driver
from tests.stack.sweep import Canary, codes_in, readings
from tools.deployment.polling import wait_for
from tools.deployment.stack import Stack, new_payment_id

CARDS = 200
AT_ONCE = 8
APPROVED, DECLINED = "4242424242424242", "4000000000000002"
DENIED_CURRENCY = "KPW"
# Each begins with a zero, as no number does in JSON, and none is the end of a test card's number: both are everywhere.
CODES = [code for code in (f"{n:04}" for n in range(1, 1000)) if code not in {pan[-4:] for pan in TEST_CARDS}]

_SEALED = re.compile(r"[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+")
_HOLDER = re.compile("canary[a-z]{12}")
_NAMES = {"token": re.compile("tok_[a-z2-7]{52}"), "fingerprint": re.compile("fp_[a-z2-7]{52}")}
_CODE_KEY = re.compile(rb'"code_key": "((?:[0-9a-f]{2})+)"')
_KEY_ID_BYTES = 36

Leaf = str | bytes
"""A text or bytes in something that is kept, however deep in JSON in JSON it was."""


# -- What is kept ---------------------------------------------------------------------------------------------------


@dataclass
class Loot:
    """Everything that is kept, by the payment that it belongs to; "" for everything else."""

    by_payment: defaultdict[str, set[Leaf]] = field(default_factory=lambda: defaultdict(set))

    def add(self, payment_id: str, value: Any) -> None:
        self.by_payment[payment_id].update(_leaves(value))

    def contexts(self, payment_id: str) -> list[dict[str, str]]:
        """The encryption contexts under which something of the payment may be encrypted."""
        texts = [leaf for leaf in self.by_payment[payment_id] if isinstance(leaf, str)]
        names = [{kind: name} for kind, form in _NAMES.items() for text in texts for name in form.findall(text)]
        sealing = {"payment_id": payment_id, "purpose": "sealing"}
        return [{}, sealing, *(dict(pair) for pair in {tuple(name.items()) for name in names})]


def _leaves(value: Any) -> Iterator[Leaf]:
    match value:
        case dict():
            for name, inner in value.items():
                yield str(name)
                yield from _leaves(inner)
        case list() | tuple() | set():
            for inner in value:
                yield from _leaves(inner)
        case str() if value[:1] in ("{", "[", '"'):
            try:
                yield from _leaves(json.loads(value))
            except ValueError:
                yield value
        case str() | bytes():
            yield value
        case _:
            yield str(value)


def everything_kept(stack: Stack, since: datetime) -> Loot:
    """All that is kept, but for executions that had ended and logs that were written before a time."""
    loot = Loot()
    for collect in (_take_tables, _take_objects, _take_secrets, _take_messages):
        collect(stack, loot)
    _take_executions(stack, loot, lambda execution: execution.get("stopDate", since) >= since)
    _take_logs(stack, loot, since)
    return loot


def _take_tables(stack: Stack, loot: Loot) -> None:
    dynamodb = stack.client("dynamodb")
    for table in dynamodb.list_tables()["TableNames"]:
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in map(unmarshal, page["Items"]):
                loot.add(str(item.get("payment_id") or item["pk"].partition("#")[2]), item)


def _take_executions(stack: Stack, loot: Loot, wanted: Callable[[dict[str, Any]], bool]) -> None:
    states = stack.client("stepfunctions")
    histories = states.get_paginator("get_execution_history")

    def take(execution: dict[str, Any]) -> None:
        arn = execution["executionArn"]
        events = [event for page in histories.paginate(executionArn=arn) for event in page["events"]]
        loot.add(execution["name"], [states.describe_execution(executionArn=arn), events])

    time.sleep(SEEN_AFTER_SECONDS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for machine in states.list_state_machines()["stateMachines"]:
            pages = states.get_paginator("list_executions").paginate(stateMachineArn=machine["stateMachineArn"])
            executions = (execution for page in pages for execution in page["executions"])
            list(pool.map(take, filter(wanted, executions)))


def _take_logs(stack: Stack, loot: Loot, since: datetime) -> None:
    logs, start = stack.client("logs"), int(since.timestamp() * 1000)
    for group in logs.describe_log_groups()["logGroups"]:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"], startTime=start)
        for page in pages:
            for event in page["events"]:
                loot.add("", event["message"])


def _take_objects(stack: Stack, loot: Loot) -> None:
    s3 = stack.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
            for each in page.get("Contents", []):
                loot.add("", s3.get_object(Bucket=bucket["Name"], Key=each["Key"])["Body"].read())


def _take_secrets(stack: Stack, loot: Loot) -> None:
    secrets = stack.client("secretsmanager")
    for secret in secrets.list_secrets()["SecretList"]:
        loot.add("", secrets.get_secret_value(SecretId=secret["ARN"]).get("SecretString", ""))


def _take_messages(stack: Stack, loot: Loot) -> None:
    sqs = stack.client("sqs")
    for url in sqs.list_queues().get("QueueUrls", []):
        loot.add("", sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", []))


# -- What a thief can do with it ------------------------------------------------------------------------------------


@contextmanager
def every_key_usable(stack: Stack) -> Iterator[None]:
    """Let the account's administrator use every key, as no policy of ours allows, but as they can change policies."""
    kms, caller = stack.client("kms"), stack.client("sts").get_caller_identity()["Arn"]
    keys = [key["KeyId"] for page in kms.get_paginator("list_keys").paginate() for key in page["Keys"]]
    before = {key: json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]) for key in keys}
    everything = {"Effect": "Allow", "Principal": {"AWS": caller}, "Action": "kms:*", "Resource": "*"}

    def put(key: str, policy: dict[str, Any]) -> None:
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))

    try:
        for key, policy in before.items():
            put(key, policy | {"Statement": [*policy["Statement"], everything]})
        yield
    finally:
        for key, policy in before.items():
            put(key, policy)


@dataclass
class Thief:
    """Has all rights in the account, and everything that is kept."""

    stack: Stack
    loot: Loot

    @cached_property
    def _kms(self) -> Any:
        return self.stack.client("kms")

    @cached_property
    def _keys(self) -> set[bytes]:
        return {
            key["KeyId"].encode() for page in self._kms.get_paginator("list_keys").paginate() for key in page["Keys"]
        }

    def opened(self, payment_id: str) -> set[str]:
        """What can be opened of the payment: `card`, `security code`, as it was sealed or as it is encrypted."""
        leaves = self.loot.by_payment[payment_id]
        decrypted = set(self._decrypted(payment_id))
        keys = {each for each in decrypted | {leaf for leaf in leaves if isinstance(leaf, bytes)} if len(each) == 32}
        sealed = [text for leaf in leaves if isinstance(leaf, str) for text in _SEALED.findall(leaf)]
        contents = decrypted | {content for text in sealed for content in self._unsealed(text, keys)}
        opened = {"card" for content in contents if b"card_number" in content}
        contents |= set(self._codes(payment_id, decrypted))
        return opened | {"security code" for content in contents if _is_code(content)}

    def _codes(self, payment_id: str, decrypted: Iterable[bytes]) -> Iterator[bytes]:
        """What the key in each card that KMS decrypts makes of anything as long as a code."""
        ciphertexts = {leaf for leaf in self.loot.by_payment[payment_id] if isinstance(leaf, bytes)}
        for key in {bytes.fromhex(key.decode()) for content in decrypted for key in _CODE_KEY.findall(content)}:
            for ciphertext in (each for each in ciphertexts if len(each) == len(key)):
                yield bytes(left ^ right for left, right in zip(ciphertext, key, strict=True))

    def _decrypted(self, payment_id: str) -> Iterator[bytes]:
        """All that KMS decrypts of what the payment has, by whatever key.

        A ciphertext begins with its key's id, here in the clear. What names no key of the account is none.
        """
        candidates = {
            _from_base64(leaf) if isinstance(leaf, str) else leaf for leaf in self.loot.by_payment[payment_id]
        }
        for ciphertext in (each for each in candidates if each[:_KEY_ID_BYTES] in self._keys):
            for context in self.loot.contexts(payment_id):
                with suppress(ClientError):
                    yield self._kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext=context)["Plaintext"]

    def _unsealed(self, sealed: str, keys: Iterable[bytes]) -> Iterator[bytes]:
        protected, wrapped, *rest = sealed.split(".")
        try:
            header = json.loads(_from_base64(protected))
        except ValueError:
            return  # it has a sealed card's shape only
        if header.get("alg") == SINGLE_USE:
            x, y = (int.from_bytes(_from_base64(header["epk"][name]), "big") for name in ("x", "y"))
            sender = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
            secrets = [ec.derive_private_key(int.from_bytes(key, "big"), ec.SECP256R1()) for key in keys if any(key)]
            content_keys = [
                derived_key(key.exchange(ec.ECDH(), sender), ENCRYPTION, b"", b"", key_bytes=32) for key in secrets
            ]
        else:
            content_keys = list(self._unwrapped(header["kid"], _from_base64(wrapped)))
        iv, ciphertext, tag = map(_from_base64, rest)
        for content_key in content_keys:
            with suppress(InvalidTag):
                yield AESGCM(content_key).decrypt(iv, ciphertext + tag, protected.encode())

    def _unwrapped(self, key_id: str, wrapped: bytes) -> Iterator[bytes]:
        with suppress(ClientError):
            yield self._kms.decrypt(KeyId=key_id, CiphertextBlob=wrapped, EncryptionAlgorithm="RSAES_OAEP_SHA_256")[
                "Plaintext"
            ]

    def read(self) -> tuple[set[str], set[str]]:
        """The holders and the security codes that can be read without any key, in the clear or encoded."""
        texts = {
            leaf if isinstance(leaf, str) else leaf.decode("latin-1")
            for leaves in self.loot.by_payment.values()
            for leaf in leaves
        }
        pairs = [_readable(text) for text in texts]
        return {holder for holders, _ in pairs for holder in holders}, {code for _, codes in pairs for code in codes}


@cache
def _readable(text: str) -> tuple[set[str], set[str]]:
    """The holders and the security codes in a text, which is searched once, however often the thief finds it."""
    read = list(readings(text, depth=2))
    holders = {holder for reading in read for holder in _HOLDER.findall(reading.lower())}
    return holders, {code for reading in (*read, f'"{text}"') for code in codes_in(reading)}


def _is_code(content: bytes) -> bool:
    return bool(re.fullmatch(rb"\d{3,4}", content)) or b"security_code" in content


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


# -- The cards ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Try:
    """One card, and how its payment ends."""

    canary: Canary
    ends_as: str
    payment_id: str = field(default_factory=new_payment_id)


ENDS = ("captured", "captured", "captured", "declined", "rejected", "denied", "saved", "stored", "verified", "reversed")


def new_try(ends_as: str, n: int, security_code: str) -> Try:
    pan = DECLINED if ends_as == "declined" else APPROVED
    return Try(Canary(f"{n}", pan, security_code=security_code), ends_as)


def sealed_to_a_key_of_its_own(driver: Driver, attempt: Try, **changes: str) -> str:
    issued = driver.stack.call("POST", "/keys", headers={"Idempotency-Key": attempt.payment_id})
    assert issued.status_code == 201, issued.text
    return seal(attempt.canary.card_data | changes, attempt.payment_id, issued.json())


def send(driver: Driver, attempt: Try) -> dict[str, Any]:
    """Send the card for its payment, or to be stored, and return the API's answer."""
    card_data = sealed_to_a_key_of_its_own(
        driver, attempt, **({"expiry_date": "12/20"} if attempt.ends_as == "rejected" else {})
    )
    if attempt.ends_as in ("stored", "verified"):
        store = {"card_data": card_data, "verify": attempt.ends_as == "verified"}
        _, answer = driver.post("/cards", store, attempt.payment_id)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())
    if attempt.ends_as == "reversed":
        driver.stack.sandbox("POST", "/v1/reversals", json={"reference": attempt.payment_id}).raise_for_status()
    currency = DENIED_CURRENCY if attempt.ends_as == "denied" else "USD"
    changes: dict[str, Any] = {"card_data": card_data, "currency": currency, "save_card": attempt.ends_as == "saved"}
    _, answer = driver.pay(attempt.payment_id, **changes)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def wait_for_all(driver: Driver) -> None:
    assert wait_for(lambda: not driver.executions(statusFilter="RUNNING"), 180, 0.5)


def erase(driver: Driver, token: str) -> None:
    assert driver.stack.call("DELETE", f"/cards/{token}").status_code == 204


STATUSES = {"denied": "declined", "saved": "captured", "verified": "stored"}


def recorded(stack: Stack) -> dict[str, dict[str, Any]]:
    """The records of all payments, by their ids."""
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.ledger_table)
    items = [unmarshal(item) for page in pages for item in page["Items"] if item["sk"]["S"] == "PAYMENT"]
    return {item["payment_id"]: item for item in items}


@dataclass(frozen=True)
class Theft:
    tries: list[Try]
    thief: Thief
    opened: dict[str, set[str]]
    statuses: dict[str, str]


@pytest.fixture(scope="module")
def theft(stack: Stack) -> Theft:
    # No card is in a log or in the history of an execution from before the cards were sent.
    started = datetime.now(UTC)
    # What other tests have left is full of numbers. A code that is one of them would prove nothing.
    used_codes = Thief(stack, everything_kept(stack, started)).read()[1]
    codes = [code for code in CODES if code not in used_codes]
    driver, tries = Driver(stack), [new_try(ENDS[n % len(ENDS)], n, codes[n % len(codes)]) for n in range(CARDS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        stored = [answer for answer in pool.map(lambda attempt: send(driver, attempt), tries) if "card" in answer]
        wait_for_all(driver)
        records, rejected = recorded(stack), driver.executions(statusFilter="FAILED") - recorded(stack).keys()
        saved = [records[attempt.payment_id] for attempt in tries if attempt.ends_as == "saved"]
        list(pool.map(lambda payment: erase(driver, payment["card"]["token"]), [*stored, *saved]))
    statuses = dict.fromkeys(rejected, "rejected") | {
        each["payment_id"]: each["status"] for each in [*stored, *records.values()]
    }
    with every_key_usable(stack):
        thief = Thief(stack, everything_kept(stack, started))
        opened = {attempt.payment_id: thief.opened(attempt.payment_id) for attempt in tries}
    return Theft(tries, thief, opened, {attempt.payment_id: statuses[attempt.payment_id] for attempt in tries})


def test_every_card_has_been_sent_and_has_ended_in_its_way(theft: Theft) -> None:
    expected = {attempt.payment_id: STATUSES.get(attempt.ends_as, attempt.ends_as) for attempt in theft.tries}
    assert (len(expected), theft.statuses) == (CARDS, expected)


def test_no_card_can_be_opened_after_its_payment(theft: Theft) -> None:
    assert {payment_id: found for payment_id, found in theft.opened.items() if found} == {}


def test_every_history_has_its_sealed_card_and_a_log_its_payment(theft: Theft) -> None:
    """So that the thief has tried to open each of them, and has read what was logged of them."""
    with_history = [attempt for attempt in theft.tries if attempt.ends_as not in ("stored", "verified")]
    leaves = theft.thief.loot.by_payment
    sealed = [any(_SEALED.fullmatch(str(leaf)) for leaf in leaves[attempt.payment_id]) for attempt in with_history]
    assert (len(sealed), all(sealed)) == (CARDS * 8 // 10, True)
    logged = "\n".join(leaf for leaf in leaves[""] if isinstance(leaf, str))
    assert [attempt for attempt in with_history if attempt.payment_id not in logged] == []


def test_no_holder_and_no_security_code_can_be_read_anywhere(theft: Theft) -> None:
    holders, codes = theft.thief.read()
    assert holders & {attempt.canary.holder.lower() for attempt in theft.tries} == set()
    assert codes & {attempt.canary.security_code for attempt in theft.tries} == set()


def test_nothing_is_left_of_what_a_payment_has_only_while_it_runs(theft: Theft, stack: Stack) -> None:
    dynamodb, table = stack.client("dynamodb"), ephemeral(stack)
    pages = dynamodb.get_paginator("scan").paginate(TableName=table)
    attributes_left = {item["payment_id"]["S"]: item.keys() for page in pages for item in page["Items"]}
    of_attempts = {attempt.payment_id: attributes_left.get(attempt.payment_id, set()) for attempt in theft.tries}
    assert {
        name for name, attributes in of_attempts.items() if attributes & {"private_key", "ciphertext", "security_code"}
    } == set()
    # and no copy of the table is made that could be restored
    assert "StreamSpecification" not in dynamodb.describe_table(TableName=table)["Table"]
    described = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert described["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"
    assert dynamodb.list_backups(TableName=table).get("BackupSummaries", []) == []


def ephemeral(stack: Stack) -> str:
    return stack.ledger_table.removesuffix("ledger") + "ephemeral"


def test_the_same_thief_opens_all_of_it_while_the_payment_runs(driver: Driver) -> None:
    attempt = new_try("captured", CARDS, CODES[0])
    driver.set_fault(attempt.payment_id, "charge", "timeout_before", seconds=20)
    send(driver, attempt)
    stack = driver.stack

    def is_held() -> bool:
        key = {"payment_id": {"S": attempt.payment_id}}
        item = stack.client("dynamodb").get_item(TableName=ephemeral(stack), Key=key).get("Item", {})
        return "ciphertext" in item

    assert wait_for(is_held, 60, 0.05)
    with every_key_usable(stack):
        thief = Thief(stack, Loot())
        _take_tables(stack, thief.loot)
        _take_executions(stack, thief.loot, lambda execution: execution["name"] == attempt.payment_id)
        decrypted = list(thief._decrypted(attempt.payment_id))
        [sealed] = {leaf for leaf in thief.loot.by_payment[attempt.payment_id] if _SEALED.fullmatch(str(leaf))}
        [content] = set(thief._unsealed(str(sealed), {each for each in decrypted if len(each) == 32}))
        assert thief.opened(attempt.payment_id) == {"card", "security code"}
    assert json.loads(content) == attempt.canary.card_data
    codes = set(thief._codes(attempt.payment_id, decrypted))
    assert str(attempt.canary.security_code).encode() in codes
    [card] = [json.loads(each) for each in decrypted if b"card_number" in each]
    assert card.items() > attempt.canary.card_without_code.items()


def test_the_same_thief_opens_a_card_that_was_sealed_to_the_static_key_or_sent_in_the_clear(driver: Driver) -> None:
    """A history keeps them. So a code that was sent in the clear would be found, too."""
    stack, attempt = driver.stack, new_try("captured", CARDS + 1, CODES[1])
    [key] = stack.call("GET", "/keys").json()["keys"]
    driver.paid(
        payment_id=attempt.payment_id, card_data=seal(attempt.canary.card_without_code, attempt.payment_id, key)
    )
    hidden = base64.b64encode(json.dumps(attempt.canary.card_data).encode()).hex()
    by_hand = driver.start_by_hand(PAYMENT | {"merchant_reference": hidden})
    driver.ended(by_hand)
    with every_key_usable(stack):
        thief = Thief(stack, Loot())
        _take_executions(stack, thief.loot, lambda execution: execution["name"] in (attempt.payment_id, by_hand))
        assert thief.opened(attempt.payment_id) == {"card"}
    holders, codes = thief.read()
    assert (attempt.canary.holder.lower() in holders, attempt.canary.security_code in codes) == (True, True)


# -- Whoever has the history, and may invoke functions --------------------------------------------------------------


def invocations(driver: Driver, attempt: Try, payment_id: str) -> dict[str, Any]:
    """The functions' events that somebody can make of a payment's history, for a payment with this id."""
    states = driver.stack.client("stepfunctions")
    pages = states.get_paginator("get_execution_history").paginate(
        executionArn=driver.stack.execution_arn(attempt.payment_id)
    )
    entered = [
        event["stateEnteredEventDetails"]
        for page in pages
        for event in page["events"]
        if "stateEnteredEventDetails" in event
    ]
    inputs = {state["name"]: json.loads(state["input"]) for state in entered}
    request, charged = inputs["Tokenize"], inputs["Charge"]
    to_encrypt = {"payment_id": payment_id, "card": charged["card"]}
    return {
        "tokenize": [{"payment_id": payment_id, "request": request}],
        "encrypt": [
            to_encrypt | {"request": request},
            to_encrypt | {"request": {"amount_minor": 1999, "currency": "USD", "token": charged["card"]["token"]}},
            to_encrypt | {"store_request": {name: request[name] for name in ("card_data", "caller")}},
        ],
        "charge": [
            {
                "payment_id": payment_id,
                "payment": charged["payment"],
                "card": charged["card"],
                "transaction_id": charged["encrypted"]["transaction_id"],
                "started_at": now(),
                "gateway": charged["screening"]["gateway"],
                "three_d_secure": charged["screening"]["three_d_secure"],
            }
        ],
    }


def replayed(driver: Driver, attempt: Try, payment_id: str) -> list[str]:
    """Invoke everything that the history allows, and return how each invocation ended."""
    return [
        answer.get("errorType") or answer.get("outcome") or "done"
        for function, events in invocations(driver, attempt, payment_id).items()
        for answer in (driver.stack.attempt(function, event) for event in events)
    ]


def test_whoever_has_the_history_and_may_invoke_functions_can_not_charge_an_erased_card(driver: Driver) -> None:
    attempt = new_try("saved", CARDS + 2, CODES[2])
    send(driver, attempt)
    stored = driver.ended(attempt.payment_id)
    assert stored["status"] == "captured"
    # While the card is stored, its token is enough.
    before = new_payment_id()
    assert replayed(driver, attempt, before) == [
        "SealedForAnotherPayment",
        "SealedForAnotherPayment",
        "done",
        "SealedForAnotherPayment",
        "captured",
    ]
    assert [charge["status"] for charge in driver.charges(before)] == ["captured"]
    erase(driver, stored["card"]["token"])
    after = new_payment_id()
    assert replayed(driver, attempt, after) == [
        "SealedForAnotherPayment",
        "SealedForAnotherPayment",
        "UnknownToken",
        "SealedForAnotherPayment",
        "LedgerConflict",
    ]
    assert driver.charges(after) == []
    assert replayed(driver, attempt, attempt.payment_id) == [
        "SealingKeyUsed",
        "SealingKeyUsed",
        "UnknownToken",
        "SealingKeyUsed",
        "recorded",
    ]
    assert len(driver.charges(attempt.payment_id)) == 1
