"""The descriptions of the events (`docs/events/`, `asyncapi.yaml`, `webhooks.md`) are those of what is sent."""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from functions.shared.domain.charge import Authentication
from functions.shared.domain.dispute import Dispute
from functions.shared.domain.event import EVENT_TYPES, Event, break_found, card_erased, payment_event
from functions.shared.domain.ledger import settlement_entry
from functions.shared.domain.operation import MAX_OPERATIONS_IN_RECORD
from functions.shared.domain.payment import Payment, PaymentRequest
from functions.shared.domain.settlement import Break, BreakType
from tests.documents import document
from tests.npm import by_npm
from tests.samples import EXPIRES_AT, LATER, NOW, TOKEN, operation_request, payment
from tools.deployment.event_schemas import EVENT_SCHEMAS, event_schema_texts
from tools.deployment.paths import ROOT
from tools.trials.acceptance.openapi import EXAMPLES, SCHEMAS

PAYMENT_ID = "7f1c6f0e-2f59-4a53-9a39-2f3f1a1b7c11"
REFUND_ID, OTHER_REFUND_ID = "0d9b7f0e-5f5e-4e3c-8f61-0f6f8f3f8a22", "c1a4b8d2-77e0-4d0f-a5b3-6e2f9c8d7e33"
ASYNCAPI_FILE = ROOT / "docs" / "asyncapi.yaml"
ASYNCAPI: dict[str, Any] = yaml.load(ASYNCAPI_FILE.read_text(), yaml.CSafeLoader)
MESSAGES: dict[str, dict[str, Any]] = {each["name"]: each for each in ASYNCAPI["components"]["messages"].values()}

FILES = Registry().with_resources(
    (file.as_uri(), Resource.from_contents(json.loads(file.read_text()))) for file in EVENT_SCHEMAS.iterdir()
)


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema, registry=FILES, format_checker=Draft202012Validator.FORMAT_CHECKER)


EVENT = validator({"$ref": (EVENT_SCHEMAS / "event.json").as_uri()})


def authorized() -> Payment:
    return payment(PAYMENT_ID, "authorized", expires_at=EXPIRES_AT)


def captured(**changes: Any) -> Payment:
    return payment(PAYMENT_ID, **changes)


def refund(before: Payment, amount_minor: int, operation_id: str) -> tuple[Payment, Payment]:
    """The payment with a refund reserved, and refunded."""
    reserved = before.reserve(operation_request(before, "refund", amount_minor, operation_id), LATER)
    return reserved, reserved.settle(reserved.operations[-1], LATER)


def payment_events() -> dict[str, Event]:
    """Events of payments of every kind, each by what it is about."""
    reserved, part = refund(captured(), 500, REFUND_ID)
    _, rest = refund(part, 1499, OTHER_REFUND_ID)
    settled, _ = captured().next_version(LATER).post(settlement_entry("sparkle", 1999, 59, "USD", "charge:ch_1"))
    doubtful = captured(status="in_doubt", error="GatewayOutcomeUnknown", charge_id=None)
    [operation] = reserved.operations
    dispute = Dispute("dp_1", "open", 1999, "fraudulent", NOW)
    disputed = captured().with_dispute(dispute, LATER)
    ended = {
        status: disputed.with_dispute(replace(dispute, status=status, ended_at=LATER), LATER)
        for status in ("won", "lost")
    }
    many = tuple(replace(operation, operation_id=f"{n:08}{REFUND_ID[8:]}") for n in range(MAX_OPERATIONS_IN_RECORD + 3))
    merchants = PaymentRequest(1999, "USD", initiator="merchant", reason="recurring")
    detailed = captured(metadata={"table": "12"}, authentication=Authentication("authenticated", "2.2.0", True))
    return {
        "captured": payment_event(captured(), None),
        "with everything": payment_event(detailed, None),
        "by the merchant": payment_event(payment(PAYMENT_ID, request=merchants), None),
        "authorized": payment_event(authorized(), None),
        "captured later": payment_event(replace(captured(), version=2), authorized()),
        "voided": payment_event(authorized().moved_to("voided"), authorized()),
        "declined": payment_event(captured(status="declined", decline_code="do_not_honor"), None),
        "screened": payment_event(captured(status="declined", decline_code="screened:amount", gateway=None), None),
        "reversed": payment_event(doubtful.moved_to("reversed"), doubtful),
        "in doubt": payment_event(doubtful, None),
        "a refund reserved": payment_event(reserved, captured()),
        "many operations": payment_event(replace(reserved, operations=many), captured()),
        "refunded in part": payment_event(part, reserved),
        "refunded": payment_event(rest, part),
        "a refund failed": payment_event(rest.fail_refund(rest.operations[0], LATER), rest),
        "a dispute opened": payment_event(disputed, captured()),
        "a dispute won": payment_event(ended["won"], disputed),
        "a dispute lost": payment_event(ended["lost"], disputed),
        "settled": payment_event(settled, captured()),
    }


EVENTS = {
    **payment_events(),
    "a card erased": card_erased(TOKEN, NOW),
    **{
        f"a break: {type}": break_found(Break("2026-11-23", type, "", "charge:ch_1", "a payment", "nothing"), NOW)
        for type in get_args(BreakType)
    },
}


def as_sent(event: Event) -> Any:
    return json.loads(event.to_cloud_event())


def test_the_schemas_are_up_to_date() -> None:
    assert {file: file.read_text() for file in EVENT_SCHEMAS.iterdir()} == event_schema_texts(), "make reference"


@pytest.mark.parametrize("file", event_schema_texts(), ids=lambda file: file.name)
def test_a_schema_is_valid(file: Path) -> None:
    schema = json.loads(file.read_text())
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


class TestWhatIsSent:
    def test_the_samples_have_every_type(self) -> None:
        assert {event.type for event in EVENTS.values()} == set(EVENT_TYPES)

    @pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
    def test_it_is_as_the_schema_says(self, event: Event) -> None:
        assert [error.message for error in EVENT.iter_errors(as_sent(event))] == []

    @pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
    def test_and_of_no_other_type(self, event: Event) -> None:
        types = [type for type, message in MESSAGES.items() if payload(message).is_valid(as_sent(event))]
        assert types == [event.type]


SPOILT: dict[str, Callable[[Any], Any]] = {
    "a type that there is not": lambda event: event | {"type": "payment.paid"},
    "another family's type": lambda event: event | {"type": "card.erased"},
    "an id that is not ours": lambda event: event | {"id": "1"},
    "another source": lambda event: event | {"source": "orders"},
    "another version of CloudEvents": lambda event: event | {"specversion": "0.3"},
    "a subject that is no payment": lambda event: event | {"subject": "pay"},
    "no time": lambda event: event | {"time": "yesterday"},
    "a version as a number": lambda event: event | {"sequence": 1},
    "no payment": lambda event: event | {"data": {"version": 1}},
    "a payment without its status": lambda event: event | {"data": without(event["data"], "payment", "status")},
    "a status that there is not": lambda event: event | {"data": changed(event["data"], status="paid")},
    "an amount that is a text": lambda event: event | {"data": changed(event["data"], amount_minor="19.99")},
    "no version": lambda event: event | {"data": {"payment": event["data"]["payment"]}},
}


def without(data: Any, part: str, field: str) -> Any:
    spoilt = deepcopy(data)
    del spoilt[part][field]
    return spoilt


def changed(data: Any, **fields: Any) -> Any:
    return data | {"payment": data["payment"] | fields}


@pytest.mark.parametrize("name", as_sent(EVENTS["captured"]))
def test_nothing_is_an_event_without(name: str) -> None:
    event = as_sent(EVENTS["captured"])
    del event[name]
    assert not EVENT.is_valid(event)


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_nothing_else_is_an_event(spoil: Callable[[Any], Any]) -> None:
    event = as_sent(EVENTS["captured"])
    assert EVENT.is_valid(event)
    assert not EVENT.is_valid(spoil(event))


def test_the_breaks_are_those_of_the_code() -> None:
    data = SCHEMAS["ReconciliationBreak"]["allOf"][1]["properties"]["data"]
    assert data["properties"]["type"]["enum"] == list(get_args(BreakType))


def payload(message: Mapping[str, Any]) -> Draft202012Validator:
    text = json.dumps(message["payload"])
    return validator(json.loads(text.replace("events/", f"{EVENT_SCHEMAS.as_uri()}/")))


_PARSE = """
import { fromFile, Parser } from "@asyncapi/parser";

const parsed = [];
for (const file of JSON.parse(process.argv[1])) {
  const { document, diagnostics } = await fromFile(new Parser(), file).parse();
  const found = diagnostics.filter(({ code }) => code !== "asyncapi-latest-version");
  const names = document?.operations().all().flatMap((each) => each.messages().all().map((message) => message.name()));
  parsed.push([found.map(({ path, message }) => `${path.join("/")}: ${message}`), names ?? []]);
}
console.log(JSON.stringify(parsed));
"""
# As it is written, misspelt, and what is then said of it.
MISSPELT = {
    "events/card_erased.json": ("events/card_gone.json", "card_gone.json"),
    "action: send": ("action: tell", "operations/tell/action"),
    "messages/cardErased": ("messages/cardGone", "cardGone"),
}


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What AsyncAPI's own parser complains of, and the messages that it finds: in the description as it is (""),
    and with each mistake. It takes longer to start than to parse them."""
    folder, text = tmp_path_factory.mktemp("asyncapi"), ASYNCAPI_FILE.read_text()
    (folder / "events").symlink_to(EVENT_SCHEMAS)
    files = {"": ASYNCAPI_FILE}
    for number, (written, (misspelt, _)) in enumerate(MISSPELT.items()):
        assert written in text
        files[written] = folder / f"{number}.yaml"
        files[written].write_text(text.replace(written, misspelt))
    return dict(zip(files, by_npm("@asyncapi/parser", _PARSE, list(map(str, files.values()))), strict=True))


class TestAsyncApi:
    def test_its_own_parser_finds_every_type_and_no_mistake(self, parsed: dict[str, Any]) -> None:
        assert parsed[""] == [[], list(EVENT_TYPES)]

    @pytest.mark.parametrize("written", MISSPELT)
    def test_it_finds_a_mistake(self, parsed: dict[str, Any], written: str) -> None:
        complaints, _ = parsed[written]
        assert MISSPELT[written][1] in " ".join(complaints)

    def test_the_page_says_the_same_of_each_type(self) -> None:
        assert tuple(MESSAGES) == EVENT_TYPES
        summaries = {f"`{name}`": message["summary"] for name, message in MESSAGES.items()}
        assert dict(document("webhooks").table("Event types")) == summaries


class TestExamples:
    @pytest.mark.parametrize("name", ["CapturedEvent", "CardErasedEvent", "BreakEvent"])
    def test_each_has_the_id_that_it_would_have(self, name: str) -> None:
        assert as_sent(Event.from_cloud_event(EXAMPLES[name])) == EXAMPLES[name]

    def test_the_pages_example_is_that_of_the_api_description(self) -> None:
        [example] = (json.loads(block.text) for block in document("webhooks").blocks if block.language == "json")
        assert example == EXAMPLES["CapturedEvent"]
