"""docs/limits.md has the code's numbers."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from functions.anchor.anchor_day import MAX_PART_LINES
from functions.deliver.deliver_event import LOOKS_BACK, PAUSES_SECONDS
from functions.doubts import look_after
from functions.receive_event.handler import MAX_BODY_BYTES
from functions.reconcile.reconcile_day import LINES_PER_STEP
from functions.screen.rules import CHECK_TIMEOUT_SECONDS, load_rules
from functions.search.search_payments import MAX_DAYS, MAX_DAYS_READ, MAX_LIMIT, MAX_RECORDS_READ
from functions.shared.adapters import secrets, webhooks
from functions.shared.adapters.gateways import signatures
from functions.shared.adapters.table import events, held_cards, sealing_keys, velocity
from functions.shared.adapters.table.keys import ACCOUNT_SHARDS, DOUBT_SHARDS, WRITTEN_SHARDS
from functions.shared.adapters.table.ledger import MAX_DOUBTS_COUNTED
from functions.shared.contracts import load
from functions.shared.domain.anchor import INDEXED_WITHIN
from functions.shared.domain.gateway_event import FRESH
from functions.shared.domain.operation import (
    MAX_OPERATIONS_IN_RECORD,
    PAYMENT_VISIBLE_WITHIN_SECONDS,
    RESERVED_WITHIN_SECONDS,
)
from functions.status.follow import EXECUTION_VISIBLE_WITHIN_SECONDS, LONGEST_WAIT_SECONDS
from tests.aws_facts import facts
from tests.documents import document
from tests.workflow.definition import DEFINITIONS, PAYMENT
from tests.workflow.test_definition import function_timeouts, variable_default, waits
from tools.deployment.paths import ROOT

FIELDS: Mapping[str, Any] = load("definitions")
BODY_LIMIT = r"body_limit_bytes = (\d+) \* 1024"
DELETED_WITHIN_DAYS = facts("time_to_live")["typically_deleted_within_days"]
GATEWAY_TIMEOUT = r"{}_timeout_seconds += optional\(number, (\d+)\)"
QUEUE = "terraform/sqs.tf"
SCHEDULE = r"rate\((\d+) minutes\)"
WAITS = [DEFINITIONS["resolve"]["States"][name]["Seconds"] for name in ("WaitFiveMinutes", "WaitAnHour", "WaitADay")]


def extract(pattern: str, file: str) -> str:
    match = re.search(pattern, (ROOT / file).read_text())
    assert match, f"{file} has no {pattern}"
    return match[1]


def default(variable: str) -> str:
    return f"{variable_default(variable):g}"


def attempts(state: str) -> str:
    retrier = PAYMENT["States"][state]["Retry"][0]
    return f"{retrier['MaxAttempts'] + 1}, up to {retrier['MaxDelaySeconds']} seconds apart"


def longest(field: str) -> str:
    return f"{FIELDS[field]['maxLength']} characters"


LIMITS = {
    "Idempotency-Key": re.sub(
        r"\[A-Za-z0-9_-\]\{(\d+),(\d+)\}",
        r"\1 to \2 of `A-Z a-z 0-9 _ -`",
        extract(r"\$id = '.+\)(\[\S+)'", "terraform/api/templates/ids.vtl"),
    ),
    "amount": f"{FIELDS['amount_minor']['minimum']} to {FIELDS['amount_minor']['maximum']} minor units",
    "merchant_reference": longest("merchant_reference"),
    "description": longest("description"),
    "card_holder": f"{FIELDS['card_data']['properties']['card_holder']['maxLength']} characters",
    "sealed card": longest("sealed_card"),
    "metadata": "{} names of {} characters, with texts of {}".format(
        FIELDS["metadata"]["maxProperties"],
        1 + int(extract(r'"\^\[A-Za-z_\]\[A-Za-z0-9_\]\{0,(\d+)\}\$"', "functions/shared/contracts/definitions.json")),
        next(iter(FIELDS["metadata"]["patternProperties"].values()))["maxLength"],
    ),
    "body, with `api_firewall`": f"{1024 * int(extract(BODY_LIMIT, 'terraform/waf.tf'))} bytes",
    "requests over time": f"{default('api_throttling_rate')} a second",
    "requests at once": default("api_throttling_burst"),
    "open operations of a payment": str(MAX_OPERATIONS_IN_RECORD),
    "an operation is reserved in the payment's record": f"{RESERVED_WITHIN_SECONDS} seconds from when it was requested",
    "an operation waits for its payment to be visible": (
        f"{PAYMENT_VISIBLE_WITHIN_SECONDS} seconds from when it was requested"
    ),
    "an operation waits for its payment to end": (
        f"up to {sum(waits(DEFINITIONS['operation']['States']['Reserve']['Retry'][0]))} seconds, as a rule half as long"
    ),
    "`GET` waits for a payment's or an operation's end (`wait`)": f"{LONGEST_WAIT_SECONDS} seconds",
    "payments on a page of a search (`limit`)": str(MAX_LIMIT),
    "days, and records, that are read for a page of a search": f"{MAX_DAYS_READ}, and {MAX_RECORDS_READ}",
    "days that a search without a reference covers": str(MAX_DAYS),
    "`GET` looks for a payment that is not visible yet": f"{EXECUTION_VISIBLE_WITHIN_SECONDS:g} second",
    "flags by screening rules": str(FIELDS["flags"]["maxItems"]),
    "length of a rule's name": f"{load('rule')['properties']['name']['maxLength']} characters",
    "cards, and declines, that are counted by reference, BIN, caller or digits": (
        f"{velocity.MAX_ELEMENTS} in twenty minutes"
    ),
    "a process rereads a full count": f"after {velocity.REREAD_AFTER.total_seconds():g} seconds",
    "payments that a card's count recognizes": f"the first {velocity.MAX_REMEMBERED_PAYMENTS} of five minutes",
    "CPU time to parse or to try out a rule": f"{CHECK_TIMEOUT_SECONDS} seconds",
    "connecting to the gateway": f"{extract(GATEWAY_TIMEOUT.format('connect'), 'terraform/variables.tf')} seconds",
    "the gateway's answer": f"{extract(GATEWAY_TIMEOUT.format('read'), 'terraform/variables.tf')} seconds",
    "attempts of Charge": attempts("Charge"),
    "attempts of Persist": attempts("Persist"),
    "a payment's execution": f"{PAYMENT['TimeoutSeconds']} seconds, then it is resolved",
    "the gateway is asked about a doubt": "after {}, {}, then every {} seconds".format(*WAITS),
    "doubts are counted": (
        f"every {extract(SCHEDULE, 'terraform/eventbridge.tf')} minutes, "
        f"at most {MAX_DOUBTS_COUNTED} in each of {DOUBT_SHARDS} shards"
    ),
    "an execution that ended badly without an event is found": (
        f"by the next count that begins {look_after.GRACE_PERIOD.total_seconds() / 60:g} minutes or more after its end"
    ),
    "how far the count looks back after an outage": (
        f"at most {look_after.MAX_LOOKBACK.days} days and {look_after.MAX_PAGES} pages of "
        f"{facts('executions_seen_late')['page_size_limit']} of each list; reconciliation finds the rest"
    ),
    "`resolve` executions that one count starts": f"at most {look_after.MAX_STARTS}, the oldest first",
    "a changed gateway key is picked up": f"within {secrets.MAX_AGE_SECONDS} seconds",
    "a card is opened after its single-use key was issued": (
        f"within {sealing_keys.LIFETIME.total_seconds() / 60:g} minutes"
    ),
    "what a payment's end failed to delete is deleted by DynamoDB": (
        f"{held_cards.RETENTION.days} day after the card was held, or after the key's hour, and as a rule "
        f"{DELETED_WITHIN_DAYS} days more"
    ),
    "a gateway's event is accepted": (
        f"up to {signatures.TOLERANCE_SECONDS} seconds after the gateway has signed it, "
        f"and up to {MAX_BODY_BYTES} bytes long"
    ),
    "a gateway's event is followed": (
        f"after {FRESH.seconds} seconds, at once if its charge is older, and if its payment is still under way, "
        f"again every {6 * int(extract('follow_event_timeout = ([0-9]+)', QUEUE))} seconds, "
        f"at most {extract('follow_event_trials  = ([0-9]+)', QUEUE)} times"
    ),
    "gateways' events that are followed at once": extract("maximum_concurrency = ([0-9]+)", QUEUE),
    "a webhook's endpoint must be connected to, and go on answering": "within {:g} and {:g} seconds".format(
        *webhooks.TIMEOUTS_SECONDS
    ),
    "an event that a webhook has not accepted is sent again": (
        "after {}, {}, {}, {}, {}, then every {} seconds; ".format(*dict.fromkeys(PAUSES_SECONDS))
        + f"{extract('deliver_trials  = ([0-9]+)', QUEUE)} attempts in all, the first included"
    ),
    "events that are delivered to a webhook at once": extract(
        r"concurrency = optional\(number, ([0-9]+)\)", "terraform/variables.tf"
    ),
    "an event, and a webhook's dead letter, wait in a queue": (
        f"{int(extract('message_retention_seconds += ([0-9]+) # 14 days', QUEUE)) // 86400} days"
    ),
    "earlier events that a webhook has not accepted are sent before a later one": f"for {LOOKS_BACK.days} days",
    "what a webhook has accepted is remembered": f"for {events.DELIVERED_RETENTION.days} days",
    "a changed signing secret of a webhook is picked up": f"within {secrets.MAX_AGE_SECONDS} seconds",
    "a stored card is kept": f"{default('card_retention_days')} days after it was last used",
    "logs are kept": f"{default('log_retention_days')} days",
    "a deleted key can be brought back": f"{default('kms_deletion_window_days')} days",
    "shards of an account's day": str(ACCOUNT_SHARDS),
    "settlement lines settled in one step": str(LINES_PER_STEP),
    "shards of the day on which records were last written": str(WRITTEN_SHARDS),
    "lines in a part of an anchor": str(MAX_PART_LINES),
    "an anchor of an unfinished day is complete": f"up to {INDEXED_WITHIN.seconds} seconds before it was taken",
    "an anchor can't be deleted": f"for {default('anchor_retention_days')} days",
}

OTHERS = {"concurrent functions"}
"""Limits without a number."""

STATED = {
    what: limit
    for heading in ("Requests", "Rates", "A payment", "Times", "Ledger")
    for what, limit, _ in document("limits").table(heading)
}


@pytest.mark.parametrize("what", LIMITS)
def test_a_limit_is_what_the_code_says(what: str) -> None:
    assert STATED[what] == LIMITS[what]


def test_every_stated_limit_is_compared_with_the_code() -> None:
    assert STATED.keys() == LIMITS.keys() | OTHERS


def test_the_limits_for_card_testing_are_those_of_the_rules() -> None:
    limits = load_rules().lists["card_testing_limits"]
    stated = {
        next(name for name in re.findall(r"\w+", above) if name in limits): int(limit)
        for _, limit, above in document("operating").table("Card testing")
    }
    assert stated == limits
    assert velocity.CARDS_BUCKET.total_seconds() == 20 * 60
    assert "Limits may be up to 150" in document("operating").text
    assert velocity.EARLIER_BUCKETS * velocity.MAX_ELEMENTS == 150


def test_an_event_becomes_a_dead_letter_after_its_last_pause() -> None:
    assert int(extract("deliver_trials  = ([0-9]+)", QUEUE)) == len(PAUSES_SECONDS) + 1
    assert 3 * 86400 < sum(PAUSES_SECONDS) < 14 * 86400


def test_a_step_of_the_reconciliation_has_the_stated_timeout() -> None:
    (why,) = (why for what, _, why in document("limits").table("Ledger") if "settled in one step" in what)
    assert f"the function's {function_timeouts()['reconcile']} seconds" in why
