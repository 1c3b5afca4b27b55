"""One run: a few payments and the operations on them, the seed's random failures, and the rules that were broken."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any, Literal
from unittest import mock

from botocore.exceptions import ClientError, ReadTimeoutError

from client import seal
from functions.shared import runtime
from functions.shared.adapters.currencies import minor_unit
from functions.shared.adapters.executions import StepFunctionsExecutions, StepFunctionsStateMachine
from functions.shared.adapters.gateways.registry import ConfiguredGateways
from functions.shared.adapters.gateways.sparkle import ABILITIES
from functions.shared.adapters.gateways.sparkle.client import Sparkle
from functions.shared.adapters.gateways.sparkle.events import TYPES
from functions.shared.adapters.jwe import SINGLE_USE, JweCardOpener, SingleUseKeys
from functions.shared.adapters.table import customer_waits, items, keys
from functions.shared.adapters.table.attendance import DynamoDbAttendance
from functions.shared.adapters.table.cards import DynamoDbCardVault
from functions.shared.adapters.table.customer_waits import DynamoDbCustomerWaits
from functions.shared.adapters.table.held_cards import DynamoDbHeldCards
from functions.shared.adapters.table.ledger import DynamoDbLedger, sealed
from functions.shared.adapters.table.sealing_keys import DynamoDbSealingKeys
from functions.shared.adapters.table.velocity import DynamoDbVelocityCounter
from functions.shared.domain.card import Card
from functions.shared.domain.errors import KeyServiceUnavailable, KeyUnusable, SecretUnavailable
from functions.shared.domain.gateway_event import GatewayEvent
from functions.shared.domain.payment import SCREENED_PREFIX
from functions.shared.domain.routing import Route, route
from functions.shared.domain.times import iso
from functions.shared.runtime import clock, frame
from functions.tokenize.tokenize_card import card_token
from tests.fakes import FakeCardCipher, FakeMac
from tests.samples import RETURN_URL, SECURITY_CODE, TEST_CARDS, UNLISTED_PAN, WRONG_SECURITY_CODE
from tests.simulation import invariants
from tests.simulation.clock import Clock
from tests.simulation.gateway import SPARKLE, TWINKLE, Book, GatewaySession, Twinkle
from tests.simulation.lambdas import Functions, Reply
from tests.simulation.network import FATES, Lost, Network, Outage, Refused, Weather
from tests.simulation.states import TASK_TOKEN, Execution, Machines
from tests.simulation.table import EPHEMERAL, Item, Key, Table, TableClient
from tests.simulation.telling import Telling
from tests.workflow.definition import DEFINITIONS
from tools.local.sparkle.charges import Charge
from tools.local.sparkle.errors import InvalidState

ROUTES = (Route(TWINKLE, percent=50), Route(SPARKLE))
MINUTE, HOUR, DAY = 60, 3600, 86_400
# As the queue of gateways' events tells them (terraform/sqs.tf).
TOLD_AFTER_SECONDS, TOLD_AGAIN_AFTER_SECONDS, TIMES_TOLD = 5, 270, 300
SOON = timedelta(minutes=5)
"""How long an answer of the customer's may go unseen while nothing fails: a sweep takes place every minute."""
# After a few days nothing is late or broken any more; then daily attempts must resolve what remains.
DAYS_UNTIL_ALL_MUST_BE_CLEAR = 30
APPROVED = sorted(pan for pan, card in TEST_CARDS.items() if "decline_code" not in card)
DECLINED = sorted(pan for pan, card in TEST_CARDS.items() if "decline_code" in card)
STOPPED: tuple[Literal["ABORTED", "TIMED_OUT"], ...] = ("ABORTED", "TIMED_OUT")
# Sweeps, answers to people, and what somebody may ask for only once.
NEVER_REPEATED = ("doubts", "resume", "status", "issue_key", "cards")
STATE_MACHINES = "arn:aws:states:eu-west-1:123456789012:stateMachine:"
OUTAGES = (
    ("sparkle", None),
    ("sparkle", "POST /v1/charges"),
    ("sparkle", "GET /v1/charges"),
    ("sparkle", "POST /v1/reversals"),
    ("sparkle", "POST /v1/charges/{id}/capture"),
    ("sparkle", "POST /v1/charges/{id}/void"),
    ("sparkle", "POST /v1/charges/{id}/refunds"),
    ("sparkle", "POST /v1/charges/{id}/cancel_authentication"),
    ("sparkle", "GET /v1/charges/{id}"),
    ("dynamodb", None),
    ("dynamodb", "TransactWriteItems"),
    ("dynamodb", "GetItem"),
    ("dynamodb", "UpdateItem"),
    ("lambda", None),
    ("lambda", "reserve"),
    ("lambda", "perform"),
    ("lambda", "settle"),
    ("lambda", "encrypt"),
    ("lambda", "persist"),
    ("lambda", "compensate"),
    ("lambda", "await_customer"),
    ("lambda", "confirm"),
    ("states", None),
    ("states", "SendTaskSuccess"),
    ("kms", None),
    ("secretsmanager", None),
)


@dataclass(frozen=True)
class Broken:
    """A broken invariant, and the payment or operation that broke it."""

    subject: str
    what: str


@dataclass
class Run:
    """The result of a seed.

    `trace` has the time (seconds since 1970), the payment or operation and the event, in order. `statuses` and
    `operations` have the final statuses that the API shows for the payments, and for each type of operation.
    """

    seed: int
    broken: list[Broken] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    trace: list[tuple[float, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Sealed:
    """A card sealed for one payment, the time until which it may be used, and the security code in it."""

    card_data: str
    expires_at: str
    security_code: str | None


def payment_of(subject: str) -> str:
    """The payment's id. An operation's id begins with it: `simulated-payment-7-0_void-1`."""
    return subject.partition("_")[0]


class DoesNotExist(ClientError):
    """There is no such execution."""


class AlreadyExists(ClientError):
    """An execution of that name exists or existed."""


class NobodyWaits(ClientError):
    """No task waits with this token any more."""


class World:
    """Everything that the handlers can reach. Luck comes from the seed, or from the given `random`."""

    def __init__(
        self,
        seed: int,
        random: Random | None = None,
        network: type[Network] = Network,
        functions: type[Functions] = Functions,
    ) -> None:
        self.run = Run(seed)
        self.random = random = random or Random(seed)  # noqa: S311
        # Any time of a day: after midnight a charge is refunded, before midnight it is voided.
        self.clock = clock = Clock(datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=random.uniform(0, DAY)))
        self.mischarged: dict[str, tuple[int, str]] = {}
        self.partially_approved: set[str] = set()
        self.executions: dict[str, Execution] = {}
        """The executions of payments and operations, by name."""
        self._resolving: set[str] = set()
        """The names of resolve executions that were given one."""
        self._looking: defaultdict[str, list[Execution]] = defaultdict(list)
        """The resolve executions, by the execution that they look after."""
        # Step Functions reports each end at most once, and shows executions with this delay.
        self._events_lost = random.choice((0, 0, 0.3, 1))
        # Failures that are rare everywhere are frequent in some worlds, and absent in others.
        self._captured = random.choice((0.7, 0.1))
        self._stopped = random.choice((0.2, 0.05, 0.6))
        self._resolved_by_hand = random.choice((0.05, 0, 0.4))
        self._times_meddled = random.choice(((0,), (0, 0, 1, 2)))
        self._events_sent = random.choice((0, 0, 0.7, 1))
        """The probability that an event of a gateway's comes. Nobody has to have them sent."""
        self._contesting = Random(-seed - 1)  # noqa: S311
        """The luck of cardholders who dispute charges, which changes nobody else's."""
        self._contested = self._contesting.choice((0, 1, 1))
        self._shown_after = timedelta(seconds=random.choice((0, 0, 1, 5)))
        self._last_bad_end = self.clock.seconds
        self._is_scheduled = self._is_sweeping = False
        self._afterwards: dict[str, list[Callable[[], None]]] = {}
        self._cards: list[tuple[Card, str]] = []
        self.sealed: dict[str, Sealed] = {}
        """The sealed cards, by the idempotency key of the payment, or of the request to store the card."""
        self._erased: set[Key] = set()
        """The stored cards that were erased."""
        self._token_key, self._books_mac = FakeMac(), FakeMac()
        self._network = carrier = network(clock, random, self._weather(), self._tell)
        # Whether a read falls into a write changes nobody else's luck either.
        self.table = Table(self._watch, lambda: clock.seconds, Random(-seed - 2))  # noqa: S311
        keeps_references = random.random() < 0.5
        self.books = {
            name: Book(
                clock.now,
                self.mischarged,
                self.partially_approved,
                keeps_references=keeps_references,
                gateway=name,
                challenged=self._challenge,
            )
            for name in (SPARKLE, TWINKLE)
        }
        for name, book in self.books.items():
            book.report = partial(self._send_event, name)
        self.functions = functions(clock, carrier, random, self._tell, self._failed_unexpectedly)
        self._machines = Machines(clock, self.functions, random, self._tell, self._ended, self._gave_up)

        self._telling = Telling(seed, clock, self.table, carrier.weather, self._tell, self._failed_unexpectedly)

        client: Any = TableClient(self.table, carrier)
        states: Any = SimpleNamespace(
            describe_execution=self._describe_execution,
            list_executions=self._list_executions,
            start_execution=self._start_execution,
            send_task_success=self._send_task_success,
            exceptions=SimpleNamespace(
                ExecutionDoesNotExist=DoesNotExist,
                InvalidArn=DoesNotExist,
                ExecutionAlreadyExists=AlreadyExists,
                TaskTimedOut=NobodyWaits,
                TaskDoesNotExist=NobodyWaits,
                InvalidToken=NobodyWaits,
            ),
        )
        gateways = [
            adapter(
                f"https://{adapter.name}.test",
                self._api_key,
                connect_timeout_seconds=3,
                read_timeout_seconds=8,
                iso_minor_unit=minor_unit,
            )
            for adapter in (Sparkle, Twinkle)
        ]
        self._sessions = [GatewaySession(book, clock, carrier, random) for book in self.books.values()]
        for gateway, session in zip(gateways, self._sessions, strict=True):
            gateway._transport._session = session  # type: ignore[assignment]
        books_mac = Mac(self._books_mac, carrier)

        def seal(record: dict[str, Any]) -> dict[str, Any]:
            return sealed(record, books_mac, clock.iso())

        held_cards = DynamoDbHeldCards(client, "ephemeral")
        self._code_cipher = code_cipher = Cipher(carrier)
        sealing_keys = DynamoDbSealingKeys(client, "ephemeral", code_cipher)
        self.adapters = {
            "card_cipher": Cipher(carrier, self._watch_card),
            "ephemeral_cipher": code_cipher,
            "held_cards": held_cards,
            "customer_waits": DynamoDbCustomerWaits(client, "ephemeral", lambda: code_cipher),
            "sealing_keys": sealing_keys,
            "card_opener": JweCardOpener({SINGLE_USE: SingleUseKeys(sealing_keys, clock.iso)}),
            "token_mac": Mac(self._token_key, carrier),
            "velocity_counter": DynamoDbVelocityCounter(client, "counters"),
            "ledger": DynamoDbLedger(client, "ledger", seal, "cards"),
            "card_vault": DynamoDbCardVault(client, "cards", "ledger"),
            "executions": StepFunctionsExecutions(states, STATE_MACHINES + "payment"),
            "operation_executions": StepFunctionsExecutions(states, STATE_MACHINES + "operation"),
            "attendance": Attendance(client, self._attended),
            "resolve_machine": StepFunctionsStateMachine(states, STATE_MACHINES + "resolve:live"),
            "gateways": ConfiguredGateways(gateways),
            "gateway_routes": ROUTES,
            **self._telling.adapters,
        }

    def book_of(self, name: str) -> Book:
        """The book of the gateway to which the payment, or the payment of the operation, goes."""
        return self.books[route(ROUTES, payment_of(name), currency="", brand="", bin="")]

    def live(self) -> None:
        """Start the payments, let luck be bad and then good, and check the end."""
        for n in range(self.random.randint(1, 3)):
            payment_id = f"simulated-payment-{self.run.seed}-{n}"
            request = self._request(payment_id)
            seconds = self._seal(payment_id, request, self.random.uniform(0, 2 * MINUTE))
            self._expect_payment(payment_id, request, seconds)
            self._erase_card(*self._cards[-1], seconds)
            if "token" in request and self.random.random() < 0.2:
                self._delete_card(request["token"], seconds + self.random.uniform(0, 3))
            if self.random.random() < 0.1:  # the same again, by hand
                self._expect_payment(f"{payment_id}-again", request, self.random.uniform(0, 2 * HOUR))
            if self.random.random() < 0.2:
                self._expect_card(f"simulated-card-{self.run.seed}-{n}", self.random.uniform(0, 2 * MINUTE))
        if not self.clock.run(DAYS_UNTIL_ALL_MUST_BE_CLEAR):
            self.clock.subject = "somebody"
            self._break("I4: something still goes on after weeks")
        self._look_in_the_night()
        if not self.clock.run(DAYS_UNTIL_ALL_MUST_BE_CLEAR):
            self._break("I14: what was recorded in the night is still being told")
        self._look()
        self._repeat()
        self.clock.stop()

    def _look_in_the_night(self) -> None:
        """Like reconciliation, adopt what was done or expired at the gateway: for payments in the index `open`, and
        those in the gateway's report."""
        for book in self.books.values():
            book.all()  # reading makes an authorization expire, and the gateway shows it after a while
        self.clock.after(HOUR, lambda: None)
        self.clock.run(1)
        for name in [*self.executions]:
            if "open_shard" in self.table.items.get((f"PAYMENT#{name}", "PAYMENT"), {}) or self.book_of(name).find(
                name
            ):
                self.clock.subject = name
                payload = {"payment_id": name, "operation_id": None, "ask_gateway": True}
                self.functions.run("resolve", json.dumps(payload), 10 * MINUTE, lambda reply: None)
                self.clock.run(1)

    def _look(self) -> None:
        for (name, kind), item in self.table.items.items():
            if kind == EPHEMERAL and int(item["expires_at"]["N"]) > self.clock.seconds:
                self.clock.subject = name
                self._break("I10: what a payment has only while it runs is kept for weeks")
        for name, execution in self.executions.items():
            self.clock.subject = name
            if execution.status == "RUNNING":
                self._break("I4: the execution waits for ever")
            broken: Iterator[str]
            if execution.machine == "payment":
                broken = chain(
                    invariants.broken_at_the_end(execution, self.table, self.book_of(name)),
                    invariants.broken_elsewhere(execution, self.table, self.book_of(name), self.books.values()),
                    invariants.broken_stored_card(execution, self.table, self._erased),
                    self._telling.broken_of_payment(name, self.table),
                    self._broken_seal(execution),
                )
            elif execution.machine == "store_card":
                broken = invariants.broken_card(execution, self.table, self.book_of(name), self._erased)
            else:
                paid = self.executions.get(payment_of(name))
                broken = invariants.broken_operation(execution, paid, self.table, self.book_of(name))
            for what in broken:
                self._break(what)
        for pk, _ in self._erased:
            self.clock.subject = pk
            for what in self._telling.broken_of_erased(pk.removeprefix("CARD#")):
                self._break(what)

    def _broken_seal(self, execution: Execution) -> Iterator[str]:
        """The rules that the payment breaks of which the card was sealed to a single-use key."""
        card_data = json.loads(execution.request).get("card_data")
        charges = [charge for charge in self.book_of(execution.name).all() if charge.reference == execution.name]
        for sealed_for, card in self.sealed.items():
            if card.card_data != card_data:
                continue
            if charges and sealed_for != execution.name:
                yield "I10: charged, and the card was sealed for another payment"
            if charges and card.expires_at <= iso(execution.started_at):
                yield "I10: charged, and the card's key had expired before"
            if card.security_code == WRONG_SECURITY_CODE and any(not charge.decline_code for charge in charges):
                yield "I10: the gateway has not learned of the wrong security code"

    def _repeat(self) -> None:
        """I8: every request may be repeated at any time, and changes nothing, whatever the gateway forgot."""
        if self.random.random() < 0.5:
            self._tell("the gateway forgets everybody")
            for session in self._sessions:
                session.forget()
        if self.random.random() < 0.5:
            self._tell("DynamoDB deletes what has expired")
            self.table.items = {key: item for key, item in self.table.items.items() if key[1] != EPHEMERAL}
        invoked = [
            (function, payload)
            for function, payload in self.functions.invoked
            if function not in NEVER_REPEATED and not self._is_unrecorded_denial(payload)
        ]
        bodies, books = self._get_payments(), self._books()
        for function, payload in self.random.sample(invoked, min(4, len(invoked))):
            self.clock.subject = _subject_of(payload)
            self._tell(f"{function} is invoked once more")
            self.functions.run(function, payload, 10 * MINUTE, lambda reply: None)
            self.clock.run(1)
            if self._books() != books:
                self._break(f"I8: {function}, invoked once more, changes the books")
                return
        self.run.statuses = [body.get("status") for body in bodies.values()]
        self.run.operations = [
            f"{operation['type']} {operation['status']}"
            for body in bodies.values()
            for operation in body.get("operations", [])
        ]
        if self._get_payments() != bodies:
            self._break("I8: GET /payments/{payment_id} doesn't say the same again")

    def _is_unrecorded_denial(self, payload: str) -> bool:
        """Whether a rule denied a payment and Deny could not record it in time: a further attempt would. Or whether an
        operation on it was told before that there is no payment: a further attempt would record that it is rejected.
        Nothing has happened at the gateway either way."""
        event = json.loads(payload)
        record = self.table.items.get((f"PAYMENT#{payment_of(_subject_of(payload))}", "PAYMENT"))
        if record is None:
            return "denied" in event
        was_denied = record.get("decline_code", {}).get("S", "").startswith(SCREENED_PREFIX)
        recorded = {operation["M"]["operation_id"]["S"] for operation in record["operations"]["L"]}
        return was_denied and bool(event.get("operation_id")) and event["operation_id"] not in recorded

    def _books(self) -> Any:
        """What is known about money. (A payment that was not screened is counted when it is.)"""
        written = {key: item for key, item in self.table.items.items() if key[0].startswith("PAYMENT#")}
        return written, [book.all() for book in self.books.values()]

    def _get_payments(self) -> dict[str, Any]:
        """What GET /payments/{payment_id} returns for each payment."""
        replies: dict[str, Reply] = {}
        for payment_id in [name for name, execution in self.executions.items() if execution.machine == "payment"]:
            self.clock.subject = payment_id
            payload = json.dumps({"httpMethod": "GET", "pathParameters": {"payment_id": payment_id}})
            self.functions.run("status", payload, MINUTE, partial(replies.__setitem__, payment_id))
        self.clock.run(1)
        bodies = {payment_id: json.loads(reply.answer["body"]) for payment_id, reply in replies.items()}
        for payment_id, body in bodies.items():
            self.clock.subject = payment_id
            if not invariants.is_shown(body, self.table.items.get((f"PAYMENT#{payment_id}", "PAYMENT"))):
                self._break(f"I4: GET /payments/{{payment_id}} says {body}")
        return bodies

    def _request(self, payment_id: str) -> dict[str, Any]:
        random = self.random
        card = self._card()
        source: dict[str, Any] = {"card_data": card}
        if self._cards and random.random() < 0.3:  # perhaps too early: the payment is not stored yet
            source = {"token": card_token(*random.choice(self._cards), self._token_key)}
            if random.random() < 0.5:
                source |= {"initiator": "merchant", "reason": random.choice(("recurring", "installment"))}
        self._cards.append((Card.from_card_data(card), payment_id))
        if "initiator" not in source:
            source |= {
                "return_url": RETURN_URL if random.random() < 0.8 else None,
                "three_d_secure": random.choice(("automatic", "automatic", "automatic", "required", "none")),
                "exemption": random.choice((None, None, None, "low_value")),
            }
        return {
            "amount_minor": random.randint(1, 99_999_999),
            "currency": random.choice(("USD", "EUR", "JPY", "KWD") if random.random() < 0.96 else ("XTS", "KPW")),
            "capture": random.random() < self._captured,
            "save_card": random.random() < 0.5,
            "merchant_reference": "order-1001",
            "caller": "arn:aws:iam::123456789012:user/shop",
            **source,
        }

    def _card(self) -> dict[str, str]:
        dice = self.random.random()
        pan = self.random.choice(DECLINED if dice < 0.2 else APPROVED)
        return {"card_number": pan, "expiry_date": "12/44" if dice < 0.97 else "01/20", "card_holder": "John Doe"}

    def _expect_card(self, key: str, seconds: float) -> None:
        """Let somebody store a card after so many seconds, and perhaps ask again, or store another by the same key."""
        requests: list[dict[str, Any]] = []
        for _ in range(self.random.choice((1, 1, 2))):
            if requests and self.random.random() < 0.5:
                request = requests[0]
            else:
                card = self._card()
                self._cards.append((Card.from_card_data(card), f"{key}/card"))
                if self.random.random() < 0.1:
                    card |= {"card_number": UNLISTED_PAN}  # rejected, unless it is sealed
                request = {"card_data": card, "caller": "arn:aws:iam::123456789012:user/shop"}
                if self.random.random() < 0.5:
                    request |= {"verify": True}
                seconds = self._seal(key, request, seconds)
            requests.append(request)
            self._expect("store_card", key, request, seconds + self.random.uniform(0, MINUTE))
        self._erase_card(*self._cards[-1], seconds)

    def _seal(self, key: str, request: dict[str, Any], seconds: float) -> float:
        """Perhaps let somebody ask for a single-use key after so many seconds, to which the request's card is sealed
        once the key is there. Return after how many seconds the request is sent. Somebody may also ask much later."""
        random = self.random
        for _ in range(random.choice((0, 0, 1, 2))):
            self.clock.after(seconds + 10 ** random.uniform(0, 5), lambda: self._ask_for_key(key, lambda reply: None))
        if "card_data" not in request or random.random() < 0.4:
            return seconds
        code = random.choice((SECURITY_CODE, SECURITY_CODE, None, WRONG_SECURITY_CODE))
        card = dict(request["card_data"]) | ({"security_code": code} if code else {})

        def issued(reply: Reply) -> None:
            if not reply.error and reply.answer["statusCode"] == 201 and key not in self.executions:
                answer = json.loads(reply.answer["body"])
                request["card_data"] = seal(card, key, answer)
                self.sealed[key] = Sealed(request["card_data"], answer["expires_at"], code)

        self.clock.after(seconds, lambda: self._ask_for_key(key, issued))
        return seconds + (random.uniform(1, 10) if random.random() < 0.9 else random.uniform(0, 2 * HOUR))

    def _ask_for_key(self, key: str, answered: Callable[[Reply], None]) -> None:
        """POST /keys."""
        self.clock.subject = key
        event = {"headers": {"Idempotency-Key": key}, "body": None, "requestContext": {"path": "/keys"}}
        self.functions.run("issue_key", json.dumps(event), 10, answered)

    def _erase_card(self, card: Card, key: str, seconds: float) -> None:
        """Perhaps let somebody erase the card some time after so many seconds, if it is stored then."""
        if self.random.random() < 0.2:
            self._delete_card(card_token(card, key, self._token_key), seconds + 10 ** self.random.uniform(0, 5.5))

    def _delete_card(self, token: str, seconds: float) -> None:
        """Let somebody erase the card with this token after so many seconds."""
        event = json.dumps({"httpMethod": "DELETE", "pathParameters": {"token": token}})
        self.clock.after(seconds, lambda: self.functions.run("cards", event, 10, lambda reply: None))

    def _expect_payment(self, payment_id: str, request: dict[str, Any], seconds: float) -> None:
        """Let somebody request a payment after this many seconds, and then operations on it."""
        random = self.random
        if random.random() < 0.1:
            amount_minor, currency = request["amount_minor"], request["currency"]
            self.mischarged[payment_id] = random.choice(
                [(amount_minor + 1, currency), (amount_minor, "EUR" if currency == "USD" else "USD")]
            )
        if random.random() < 0.05:
            self.partially_approved.add(payment_id)
        if random.random() < 0.1:
            self.clock.after(seconds + 10 ** random.uniform(0, 6), lambda: self.book_of(payment_id).release(payment_id))
        for _ in range(random.choice(self._times_meddled)):
            self.clock.after(seconds + 10 ** random.uniform(-1, 5), lambda: self._meddle(payment_id))
        for _ in range(self._contested * self._contesting.choice((1, 2, 3))):
            delay = seconds + 10 ** self._contesting.uniform(0, 6)
            self.clock.after(delay, partial(self._contest, payment_id))
        self._expect("payment", payment_id, request, seconds)
        # From before the payment's start, or from its end; several may come at the same time.
        moments = [random.choice((0, random.uniform(0, MINUTE), 10 ** random.uniform(0, 4.5))) for _ in range(2)]
        for n in range(random.choice((0, 1, 2, 3, 4))):
            name, operation = self._operation(payment_id, request, n)
            moment = random.choice(moments)
            if random.random() < 0.5:
                self._expect("operation", name, operation, seconds + moment - 1)
            else:
                ask = partial(self._expect, "operation", name, operation, moment)
                self._afterwards.setdefault(payment_id, []).append(ask)

    def _challenge(self, charge: Charge) -> None:
        """Let the customer answer once or several times, or leave; and let somebody look meanwhile, before or after."""
        random, book = self.random, self.book_of(charge.reference)
        for _ in range(random.choice((0, 1, 1, 1, 2))):
            answer = partial(self._answer, book, charge.id, passed=random.random() < 0.7)
            self.clock.after(10 ** random.uniform(-1, 4), answer)
        for _ in range(2):
            look = partial(self._look_at_wait, charge.reference)
            self.clock.after(10 ** random.uniform(-1, 4), look)

    def _answer(self, book: Book, charge_id: str, *, passed: bool) -> None:
        try:
            book.end_challenge(charge_id, passed=passed)
            self._tell(f"the customer {'passes' if passed else 'fails'} the challenge")
        except InvalidState:
            self._tell("the customer comes too late")

    def _look_at_wait(self, payment_id: str) -> None:
        """GET /payments/{payment_id}, which says that the payment waits for its customer if it does."""
        waited = self._is_waiting(payment_id)

        def check_status(reply: Reply) -> None:
            if reply.error or reply.answer["statusCode"] != 200:
                return
            status = json.loads(reply.answer["body"])["status"]
            execution = self.executions[payment_id]
            # Until Confirm has asked, nobody knows that the wait is over. A look may take up to a minute.
            known_at = execution.succeeded_at.get("Confirm") or execution.stopped_at or self.clock.now()
            was_waiting = execution.has_waited and known_at > self.clock.now() - timedelta(minutes=1)
            is_waiting = execution.task_token or was_waiting
            if status == "action_required" and not is_waiting:
                self._break("I13: GET /payments/{payment_id} says action_required, and the payment does not wait")
            if status != "action_required" and waited and self._is_waiting(payment_id):
                self._break(f"I13: GET /payments/{{payment_id}} says {status}, and the payment waits for its customer")

        payload = json.dumps({"httpMethod": "GET", "pathParameters": {"payment_id": payment_id}})
        self.functions.run("status", payload, MINUTE, check_status)

    def _is_waiting(self, payment_id: str) -> bool:
        """Whether the execution waits for its customer, and everybody can see that."""
        return bool(self.executions[payment_id].task_token) and "customer_wait" in self._ephemeral(payment_id)

    def _ephemeral(self, payment_id: str) -> Item:
        return self.table.items.get((payment_id, EPHEMERAL), {})

    def _gave_up(self, execution: Execution) -> None:
        """Its customer has not answered; or if so, then just now, or something has failed since."""
        changes = self.book_of(execution.name).history[execution.name]
        answered_at = next((at for at, charge in changes if charge.status != "action_required"), self.clock.now())
        encrypted = self._ephemeral(execution.name).get("task_token", {}).get("B")
        # Functions that run late may have stored the token of an earlier attempt.
        can_resume = encrypted and self._code_cipher.holds(encrypted, str(execution.task_token).encode())
        calm_since = self._network.weather.calm_since(answered_at.timestamp())
        if can_resume and calm_since and answered_at < self.clock.now() - SOON:
            self._break(f"I13: its customer has answered at {answered_at}, and the payment still waits")

    def _send_event(self, gateway: str, event: dict[str, Any]) -> None:
        """The gateway sends its event to us late, twice, or not at all; receive_event puts it into the queue."""
        random = self.random
        if random.random() >= self._events_sent:
            return
        status = TYPES[event["type"]]
        about = GatewayEvent.about(
            event["id"], event["type"], event["charge_id"], event["created_at"], event["reference"], status
        )
        body = json.dumps({"gateway": gateway, "event": asdict(about)})
        payload = json.dumps({"Records": [{"messageId": event["id"], "body": body}]})
        for _ in range(2 if random.random() < 0.1 else 1):
            delay = TOLD_AFTER_SECONDS + 10 ** random.uniform(-1, 3.5)
            self.clock.after(delay, partial(self._follow_event, payload, TIMES_TOLD))

    def _follow_event(self, payload: str, times: int) -> None:
        """The queue tells of the event, and again until somebody has followed it."""
        self.clock.subject = _subject_of(payload)

        def answered(reply: Reply) -> None:
            if times > 1 and (reply.error or reply.answer["batchItemFailures"]):
                self.clock.after(TOLD_AGAIN_AFTER_SECONDS, partial(self._follow_event, payload, times - 1))

        self.functions.invoke("follow_event", payload, 45, answered)

    def _sweep(self) -> None:
        """Run resume every minute while somebody waits."""
        self.clock.subject = "resume"

        def answered(reply: Reply) -> None:
            self._is_sweeping = False
            since = iso(self.clock.now() - SOON)
            waits = (item.get("customer_wait") for item in self.table.items.values())
            if any(wait and wait["M"]["until"]["S"] > since for wait in waits):
                self._schedule_sweep()

        self.functions.invoke("resume", "{}", 55, answered)

    def _schedule_sweep(self) -> None:
        if not self._is_sweeping:
            self._is_sweeping = True
            self.clock.after(MINUTE, self._sweep)

    def _meddle(self, payment_id: str) -> None:
        self.clock.subject = payment_id
        if verb := self.book_of(payment_id).meddle(payment_id, self.random):
            self._tell(f"somebody {verb} the charge at the gateway")

    def _contest(self, payment_id: str) -> None:
        """The cardholder disputes the charge, and the bank decides later."""
        self.clock.subject = payment_id
        book, luck = self.book_of(payment_id), self._contesting
        if charge_id := book.contest(payment_id, luck):
            self._tell("the cardholder disputes the charge")
            outcome, decide_after = "won" if luck.random() < 0.5 else "lost", 10 ** luck.uniform(0, 6)

            def decide() -> None:
                self.clock.subject = payment_id
                self._tell(f"the dispute is {outcome}")
                book.dispute(charge_id, outcome)

            self.clock.after(decide_after, decide)

    def _operation(self, payment_id: str, payment: dict[str, Any], n: int) -> tuple[str, dict[str, Any]]:
        """The name and request of an operation on the payment. Refunds may exceed the captured amount."""
        random = self.random
        if random.random() < 0.02:  # started by hand, and invalid
            return f"{payment_id}_nonsense-{n}", random.choice(({}, {"operation": "void", "payment_id": 1}))
        to_capture = not payment.get("capture", True)
        kind = random.choice(("capture", "void", "refund") if to_capture else ("refund", "refund", "refund", "void"))
        request: dict[str, Any] = {"operation": kind, "payment_id": payment_id}
        if kind != "void" and random.random() < 0.7:
            amount_minor = int(payment.get("amount_minor", 1) * random.uniform(0, 1.1)) + 1
            request["amount_minor"] = min(amount_minor, 99_999_999)
        return f"{payment_id}_{kind}-{n}", request

    def _expect(self, machine: str, name: str, request: dict[str, Any], seconds: float) -> None:
        """Start an execution after this many seconds, and perhaps stop it."""
        random = self.random
        stop_after = 10 ** random.uniform(-2, 3) if random.random() < self._stopped else None
        stopped_as = random.choice(STOPPED)
        if (
            machine != "store_card" and random.random() < self._resolved_by_hand
        ):  # whether it helps or not, perhaps before there is anything
            self.clock.subject, wait = name, 10 ** random.uniform(-1, 4)
            is_early = machine == "operation" and random.random() < 0.5
            self.clock.after(0 if is_early else wait, lambda: self._resolve(machine, name))
            seconds += wait if is_early else 0

        def start() -> None:
            self.clock.subject = name
            execution = Execution(self._machines, machine, DEFINITIONS[machine], name, dict(request))
            self.executions[name] = execution
            if stop_after is not None:
                self.clock.after(stop_after, lambda: execution.stop(stopped_as))

        self.clock.after(max(0, seconds), start)

    def _ended(self, execution: Execution) -> None:
        """The EventBridge rules, which deliver at least once what they are told; and whoever has waited for the end."""
        if execution.machine in ("payment", "operation") and execution.status != "SUCCEEDED":
            is_told = self.random.random() >= self._events_lost
            for _ in range(is_told * (2 if self.random.random() < 0.1 else 1)):
                delay = 10 ** self.random.uniform(-1, 3)
                self.clock.after(delay, lambda: self._resolve(execution.machine, execution.name))
            self._last_bad_end = self.clock.seconds
            self._schedule()
        if execution.machine in ("payment", "store_card"):
            for what in invariants.broken_by_end(execution, self.table):
                self._break(what)
        for ask in self._afterwards.pop(execution.name, []):
            ask()

    def _resolve(self, machine: str, name: str) -> None:
        self._start_resolve("resolve", {"payment_id": None, "operation_id": None} | {f"{machine}_id": name})

    def _start_resolve(self, name: str, request: dict[str, Any]) -> None:
        execution = Execution(self._machines, "resolve", DEFINITIONS["resolve"], name, request)
        self._looking[request["operation_id"] or request["payment_id"]].append(execution)

    def _schedule(self) -> None:
        """Run doubts every five minutes, with occasional gaps of hours, until it has found everything."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self.clock.after(5 * MINUTE * 10 ** self.random.choice((0, 0, self.random.uniform(0, 2))), self._look_after)

    def _look_after(self) -> None:
        self.clock.subject, begun_at = "doubts", self.clock.seconds

        def answered(reply: Reply) -> None:
            self._is_scheduled = False
            if reply.error or begun_at < self._last_bad_end + 2 * MINUTE + self._shown_after.total_seconds():
                self._schedule()

        self.functions.invoke("doubts", "{}", 2 * MINUTE, answered)

    def _weather(self) -> Weather:
        random, start = self.random, self.clock.seconds
        badness = random.choice((0, 0.02, 0.1, 0.3))
        shares = [random.choice((0, 1)) * random.random() ** 2 for _ in FATES]
        likely = {fate: badness * share / (sum(shares) or 1) for fate, share in zip(FATES, shares, strict=True)}
        outages = []
        for _ in range(random.choice((0, 1, 2, 3, 4))):
            service, operation = random.choice(OUTAGES)
            begin = start + random.choice((0, random.uniform(0, 2.5 * MINUTE)))
            end = begin + 10 ** random.uniform(0.5, 5)
            (fate,) = random.choices(FATES, (1, 2, 3, 1, 1))
            outages.append(Outage(service, operation, fate, begin, end))
        where, crash = random.choice((None, "sparkle", "lambda", "dynamodb")), random.choice((0, 0, badness / 2))
        return Weather(start + 10 ** random.uniform(1, 4.5), likely, crash, outages, where)

    def _describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803
        machine, name = executionArn.rsplit(":", 2)[1:]
        executions = self._ask_states(
            "DescribeExecution", lambda: [each for each in self._visible_executions(machine) if each["name"] == name]
        )
        if not executions:
            raise DoesNotExist({"Error": {"Code": "ExecutionDoesNotExist"}}, "DescribeExecution")
        [described] = executions
        return dict(described)

    def _list_executions(
        self,
        *,
        stateMachineArn: str,  # noqa: N803
        maxResults: int,  # noqa: N803
        statusFilter: str,  # noqa: N803
        nextToken: str = "0",  # noqa: N803
    ) -> dict[str, Any]:
        """List two executions a page, the last to end first."""
        machine, start = stateMachineArn.rpartition(":")[2], int(nextToken)
        executions = self._ask_states("ListExecutions", lambda: self._visible_executions(machine))
        listed = [each for each in executions if each["status"] == statusFilter]
        listed.sort(key=lambda each: each["stopDate"], reverse=True)
        more = {"nextToken": str(start + 2)} if start + 2 < len(listed) else {}
        return {"executions": listed[start : start + 2], **more}

    def _start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:  # noqa: N803
        def start() -> bool:
            is_new = name not in self._resolving
            if is_new:
                self._resolving.add(name)
                self._start_resolve(name, json.loads(input))
            return is_new

        if not self._ask_states("StartExecution", start):
            raise AlreadyExists({"Error": {"Code": "ExecutionAlreadyExists"}}, "StartExecution")

    def _send_task_success(self, *, taskToken: str, output: str) -> None:  # noqa: N803
        if not self._ask_states("SendTaskSuccess", lambda: self._machines.call_back(taskToken)):
            raise NobodyWaits({"Error": {"Code": "TaskTimedOut"}}, "SendTaskSuccess")

    def _ask_states(self, operation: str, deed: Callable[[], Any]) -> Any:
        try:
            return self._network.ask("states", operation, deed, 3)
        except Lost:
            raise ReadTimeoutError(endpoint_url="states") from None
        except Refused:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, operation) from None

    def _visible_executions(self, machine: str) -> list[dict[str, Any]]:
        """The state machine's executions as they were a moment ago."""
        at = self.clock.now() - self._shown_after
        started = [each for each in self.executions.values() if each.machine == machine and each.started_at <= at]
        return [_shown_at(at, each) for each in started]

    def _api_key(self) -> str:
        try:
            return self._network.ask("secretsmanager", "GetSecretValue", lambda: "a key", 3)
        except (Lost, Refused):
            raise SecretUnavailable("Secrets Manager did not answer.") from None

    def _failed_unexpectedly(self, what: str) -> None:
        if "_nonsense-" not in self.clock.subject or "InvalidInput" not in what:
            self._break(what)

    def _watch_card(self, plaintext: bytes) -> None:
        if "security_code" in json.loads(plaintext):
            self._break("I10: a security code is encrypted with the card, and will be stored with it")

    def _watch(self, key: Key, before: Item | None, after: Item) -> None:
        self._tell(f"table: {key[1]} {after.get('status', {}).get('S', '')}")
        if key[1] == "CARD":
            if key in self._erased:
                self._break("I11: a card is stored again after it was erased")
            if not after:
                self._erased.add(key)
        if "wait_shard" in after:
            self._schedule_sweep()
        if key[1].startswith("EVENT#"):
            self._telling.recorded(key)
        for what in invariants.broken_by_write(key, before, after, self.book_of(key[0].rpartition("#")[2])):
            self._break(what)

    def _attended(self, name: str) -> None:
        # An execution that saw no doubt has ended, and a second copy of its check may follow a moment later.
        since = self.clock.now() - timedelta(minutes=5)
        if not any(each.stopped_at is None or each.stopped_at > since for each in self._looking[name]):
            self._break("I4: it counts as looked after, and whoever did has gone")

    def _break(self, what: str) -> None:
        self._tell(f"BROKEN: {what}")
        self.run.broken.append(Broken(self.clock.subject, what))

    def _tell(self, what: str) -> None:
        self.run.trace.append((self.clock.seconds, self.clock.subject, what))


class Attendance(DynamoDbAttendance):
    """`attended` is called when an execution is marked as looked after; the write itself may arrive late."""

    def __init__(self, client: Any, attended: Callable[[str], None]) -> None:
        super().__init__(client, "counters")
        self._attended = attended

    def attend(self, machine: str, name: str, at: str) -> None:
        self._attended(name)
        super().attend(machine, name, at)


class Cipher(FakeCardCipher):
    """`watch` is called with everything that is encrypted."""

    def __init__(self, network: Network, watch: Callable[[bytes], None] = lambda plaintext: None) -> None:
        super().__init__()
        self._network = network
        self._watch = watch

    def holds(self, ciphertext: bytes, plaintext: bytes) -> bool:
        return plaintext == self._plaintexts.get(ciphertext, (b"",))[0]

    def encrypt(self, plaintext: bytes, context: dict[str, str]) -> bytes:
        self._watch(plaintext)
        _ask_kms(self._network, "Encrypt")
        return super().encrypt(plaintext, context)

    def decrypt(self, ciphertext: bytes, context: dict[str, str]) -> bytes:
        _ask_kms(self._network, "Decrypt")
        return super().decrypt(ciphertext, context)


class Mac:
    def __init__(self, key: FakeMac, network: Network) -> None:
        self._key = key
        self._network = network

    def mac(self, message: bytes) -> bytes:
        _ask_kms(self._network, "GenerateMac")
        return self._key.mac(message)


def _subject_of(payload: str) -> str:
    """The payment or operation that a function is invoked for."""
    event = json.loads(payload)
    if "Records" in event:
        event = json.loads(event["Records"][0]["body"])["event"]
    return str(event.get("operation_id") or event["payment_id"])


def _ask_kms(network: Network, operation: str) -> None:
    try:
        network.ask("kms", operation, lambda: None, 3)
    except Lost:
        raise KeyServiceUnavailable("KMS did not answer.") from None
    except Refused:
        raise KeyUnusable("The key is disabled.") from None


def _shown_at(at: datetime, execution: Execution) -> dict[str, Any]:
    """What Step Functions has reported about an execution by then."""
    described = {"name": execution.name, "input": execution.request, "startDate": execution.started_at}
    if execution.stopped_at is None or execution.stopped_at > at:
        return described | {"status": "RUNNING"}
    described |= {
        "status": execution.status,
        "stopDate": execution.stopped_at,
        "error": execution.error,
        "cause": execution.cause,
    }
    return {name: value for name, value in described.items() if value is not None}


class Silence:
    """A logger and metrics that discard everything. `leaked` is called with what has a task token in it."""

    metric_set: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, leaked: Callable[[str], None]) -> None:
        self._leaked = leaked

    def __getattr__(self, name: str) -> Any:
        def discard(*args: Any, **more: Any) -> None:
            if TASK_TOKEN in (message := f"{args} {more}"):
                self._leaked(f"I13: a task token is logged: {message}")

        return discard


class Validation:
    """`runtime.validate`, cached: it takes half of a run's time."""

    def __init__(self) -> None:
        self._validate = runtime.validate
        self._valid: set[tuple[str, str]] = set()

    def __call__(self, contract: str, instance: Any) -> None:
        key = (contract, json.dumps(instance))
        if key not in self._valid:
            self._validate(contract, instance)
            self._valid.add(key)


def simulate(seed: int) -> Run:
    """Run a seed, with the product's runtime in its own world."""
    return play(World(seed))


def play(world: World) -> Run:
    """Run the world, and return its result."""
    with ExitStack() as patches:
        for factory, adapter in world.adapters.items():
            patches.enter_context(mock.patch.object(runtime, factory, lambda adapter=adapter: adapter))
        silence = Silence(world._break)
        # What handlers call by the runtime's name, and what the runtime's own modules call.
        stand_ins: list[tuple[ModuleType, str, Any]] = [
            (runtime, "now", world.clock.iso),
            (runtime, "sleep", world.clock.sleep),
            (clock, "sleep", world.clock.sleep),
            (clock, "_random", world.random),
            (items, "time", SimpleNamespace(sleep=world.clock.sleep)),
            (customer_waits, "_random", world.random),
            (customer_waits, "SHARDS", 2),
            (keys, "DOUBT_SHARDS", 2),
            (keys, "OPEN_SHARDS", 2),
            (runtime, "gateway_abilities", lambda gateway: ABILITIES),
            (runtime, "validate", validation := Validation()),
            (frame, "validate", validation),
            (runtime, "logger", silence),
            (frame, "logger", silence),
            (frame, "metrics", silence),
        ]
        for module, name, stand_in in stand_ins:
            patches.enter_context(mock.patch.object(module, name, stand_in))
        world.live()
    return world.run
