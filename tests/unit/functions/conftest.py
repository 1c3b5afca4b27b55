"""What the functions' tests share: the mocked account, the sandbox, and the runtime with fakes in place of adapters."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from functions.shared import runtime
from functions.shared.ports import Gateways
from tests.fakes import (
    FakeAnchors,
    FakeAttendance,
    FakeBooks,
    FakeBreaks,
    FakeCardCipher,
    FakeCardVault,
    FakeCustomerWaits,
    FakeDeliveries,
    FakeEventBus,
    FakeEventQueue,
    FakeEventReader,
    FakeEvents,
    FakeExecutions,
    FakeGateway,
    FakeHeldCards,
    FakeLedger,
    FakeMac,
    FakePaymentIndex,
    FakeSealingKeys,
    FakeStateMachine,
    FakeVelocityCounter,
    FakeWebhookEndpoint,
    FakeWritten,
    only,
)
from tests.mocked_aws import API_KEY, MockedAws, mocked_aws
from tests.sandbox import running_sandbox, running_stripe

WEBHOOK_QUEUE_ARN = "arn:aws:sqs:eu-west-1:123456789012:payments-test-webhook-shop"


@pytest.fixture(scope="module")
def aws() -> Iterator[MockedAws]:
    with mocked_aws() as account:
        yield account


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """The Sparkle sandbox behind a real socket. Faults must name a reference, as tests share it."""
    with running_sandbox(API_KEY) as url:
        yield url


@pytest.fixture(scope="module")
def stripe_url() -> Iterator[str]:
    """The double of Stripe behind a real socket. Faults must name a reference, as tests share it."""
    with running_stripe(API_KEY) as url:
        yield url


@dataclass
class World:
    """The fakes that the handlers use."""

    gateways: Gateways = field(default_factory=lambda: only(FakeGateway()))
    card_vault: FakeCardVault = field(default_factory=FakeCardVault)
    ledger: FakeLedger = field(init=False)
    payment_index: FakePaymentIndex = field(init=False)
    books: FakeBooks = field(init=False)
    breaks: FakeBreaks = field(default_factory=FakeBreaks)
    card_cipher: FakeCardCipher = field(default_factory=FakeCardCipher)
    ephemeral_cipher: FakeCardCipher = field(default_factory=FakeCardCipher)
    customer_waits: FakeCustomerWaits = field(default_factory=FakeCustomerWaits)
    held_cards: FakeHeldCards = field(init=False)
    sealing_keys: FakeSealingKeys = field(default_factory=FakeSealingKeys)
    token_mac: FakeMac = field(default_factory=FakeMac)
    velocity_counter: FakeVelocityCounter = field(default_factory=FakeVelocityCounter)
    executions: FakeExecutions = field(default_factory=FakeExecutions)
    operation_executions: FakeExecutions = field(default_factory=FakeExecutions)
    attendance: FakeAttendance = field(default_factory=FakeAttendance)
    resolve_machine: FakeStateMachine = field(default_factory=FakeStateMachine)
    books_mac: FakeMac = field(default_factory=FakeMac)
    written: FakeWritten = field(default_factory=FakeWritten)
    anchors: FakeAnchors = field(default_factory=FakeAnchors)
    event_readers: dict[str, FakeEventReader] = field(default_factory=lambda: {"sparkle": FakeEventReader()})
    event_queue: FakeEventQueue = field(default_factory=FakeEventQueue)
    events: FakeEvents = field(init=False)
    event_bus: FakeEventBus = field(default_factory=FakeEventBus)
    deliveries: FakeDeliveries = field(default_factory=FakeDeliveries)
    webhook_endpoints: dict[str, FakeWebhookEndpoint] = field(
        default_factory=lambda: {WEBHOOK_QUEUE_ARN: FakeWebhookEndpoint()}
    )

    def __post_init__(self) -> None:
        self.held_cards = FakeHeldCards(self.customer_waits)
        self.ledger = FakeLedger(self.card_vault)
        self.payment_index = FakePaymentIndex(self.ledger)
        self.books = FakeBooks(self.ledger)
        self.events = FakeEvents(self.ledger.events)

    @property
    def webhook_endpoint(self) -> FakeWebhookEndpoint:
        return self.webhook_endpoints[WEBHOOK_QUEUE_ARN]

    @property
    def event_reader(self) -> FakeEventReader:
        return self.event_readers["sparkle"]

    @property
    def gateway(self) -> FakeGateway:
        gateway = self.gateways.named("sparkle")
        assert isinstance(gateway, FakeGateway)
        return gateway


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    fakes = World()
    for port, fake in vars(fakes).items():
        monkeypatch.setattr(runtime, port, lambda fake=fake: fake)
    return fakes


@dataclass
class Output:
    """What a function wrote to standard output, which is its log group."""

    capsys: pytest.CaptureFixture[str]
    text: str = ""

    def lines(self) -> list[dict[str, Any]]:
        self.text += self.capsys.readouterr().out
        return [json.loads(line) for line in self.text.splitlines()]

    def logs(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if "_aws" not in line]

    def metrics(self) -> dict[str, Any]:
        """Values by metric name, from the embedded metric format, one value or a list of them."""
        metrics: dict[str, Any] = {}
        for line in self.lines():
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                assert directive["Namespace"] == "payments-test"
                metrics |= {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}
        return metrics


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    class Stdout:
        """The current standard output. The logger kept the one from its import."""

        def write(self, text: str) -> None:
            print(text, end="")

        def flush(self) -> None: ...

    monkeypatch.setattr(runtime.logger.registered_handler, "stream", Stdout())
    return Output(capsys)
