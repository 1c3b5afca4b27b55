"""Estimate what captured payments cost on AWS by service, and what other designs would cost.

Units come from footprint.py, prices from prices.json. A payment's cost covers everything until it is settled the day
after, and a year of storage. Its events are priced by themselves. Free tiers and discounts are left out.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from functions.shared.adapters.table import customer_waits
from functions.shared.adapters.table.events import DELIVERED_RETENTION
from functions.shared.adapters.table.keys import DOUBT_SHARDS
from tools.deployment.paths import FUNCTIONS
from tools.estimates import footprint
from tools.output import counted

PRICES_FILE = Path(__file__).with_name("prices.json")

MILLION = 1_000_000
_GB = 2**30
_MONTH_SECONDS = 730 * 3600
_MONTHS_KEPT = 12  # of logs and ledger; after it, the ledger still costs its storage
_DELIVERED_MONTHS = DELIVERED_RETENTION.days / 30
METRICS_IN_ALARMS = 168  # a metric in two alarms is billed twice; terraform/alarms.tf
# Lambda polls an empty queue. Its guide ("Using Lambda with Amazon SQS") doesn't say how often: assumed are five
# connections, each of which waits for twenty seconds, the longest that SQS allows.
_POLLS_PER_MONTH = 5 * _MONTH_SECONDS / 20
_COMPRESSED = 0.15  # stored size of a log over its written size
_COLD_STARTS = 0.01  # share of a function's calls, as in AWS's pricing example for SnapStart

# A captured payment's execution as an Express workflow: memory is billed in steps of 64 MB, time in steps of 100 ms.
_EXPRESS_GB = 64 / 1024

# Earlier, a captured payment passed four more states: three choices, and the state that ended it.
_FORMER_CHOICES = 4

# Tokenize and Encrypt both open a sealed card.
_OPENINGS = 2

# The state of a running payment as a saga would keep it in the table: the request with a sealed card of about 1,000
# bytes, later the ciphertext. It is written at the start and after each step.
_SAGA_WRITE_UNITS = 2


@dataclass(frozen=True, slots=True)
class Price:
    """A price in dollars for `per` units, its source, and when it was checked."""

    usd: float
    per: int
    unit: str
    page: str
    checked: str
    as_of: str

    @property
    def each(self) -> float:
        return self.usd / self.per


@dataclass(frozen=True, slots=True)
class Line:
    """Units billed at one price, per payment or per month."""

    service: str
    price: str
    units: float


@dataclass(frozen=True, slots=True)
class Design:
    """A design: what a payment uses, and what the design lacks compared with this one."""

    name: str
    lines: tuple[Line, ...]
    lacks: str


@dataclass(frozen=True, slots=True)
class Saving:
    """A possible saving in dollars per million payments, and what it would lose."""

    what: str
    usd: float
    loses: str


def load_prices() -> dict[str, Price]:
    prices = json.loads(PRICES_FILE.read_text())["prices"]
    return {name: Price(**price) for name, price in prices.items()}


def this_design(reads: int, per_month: int) -> Design:
    """The workflow as it is deployed."""
    calls, writes = footprint.calls(reads), footprint.payment_writes()
    symmetric = sum(calls[f"kms:{action}"] for action in ("GenerateMac", "Encrypt", "Decrypt"))
    requests = footprint.requests(reads)
    table_bytes, index_bytes = footprint.stored_bytes()
    logged = footprint.logged_bytes(reads)
    lines = (
        Line("API Gateway", "api_request", requests),
        Line("API Gateway", "transfer_gb", requests * footprint.RESPONSE_BYTES / _GB),
        # AWS bills each state that is executed, retries included ("AWS Step Functions Pricing"); this payment has none.
        # The page doesn't say whether the start and the end count; here they don't. `make acceptance` compares it with
        # the account's own count.
        Line("Step Functions", "transition", len(footprint.happy_path())),
        Line("Lambda", "lambda_request", len(footprint.runs()) + reads),
        Line("Lambda", "lambda_gb_second", footprint.gb_seconds(reads)),
        # Reading an execution decrypts its input.
        Line("KMS", "kms_request", symmetric + calls["states:DescribeExecution"]),
        Line("DynamoDB", "write_unit", sum(write.units + sum(write.index_units.values()) for write in writes)),
        Line("DynamoDB", "read_unit", footprint.read_units(reads)),
        Line("DynamoDB", "table_gb_month", _MONTHS_KEPT * (table_bytes + index_bytes) / _GB),
        Line("DynamoDB", "recovery_gb_month", _MONTHS_KEPT * table_bytes / _GB),
        Line("CloudWatch Logs", "log_gb", logged.total() / _GB),
        Line("CloudWatch Logs", "log_gb_month", _MONTHS_KEPT * _COMPRESSED * logged.total() / _GB),
        Line("X-Ray", "trace", _traces(requests * per_month) / per_month),
        Line("EventBridge", "event", 2),  # execution started and succeeded; no rule matches them
    )
    return Design("this workflow (Standard)", lines, "")


def other_designs(design: Design, reads: int, per_month: int = MILLION) -> tuple[Design, ...]:
    """The same payment without what was changed since, and in other designs. Each of these needs a write more, for the
    uniqueness that execution names give."""
    steps, transitions = len(footprint.functions()), len(footprint.happy_path())
    choices_gb = _FORMER_CHOICES * footprint.log_bytes_of_a_choice() / _GB
    seconds = sum(footprint.MILLISECONDS[name] for name in footprint.functions()) / 1000
    express_seconds = -(-(seconds * 1000 + len(footprint.happy_path()) * footprint.BETWEEN_STATES_MS) // 100) / 10
    logged = footprint.logged_bytes(reads)
    platform = (steps - 1) * footprint.PLATFORM_LOG_BYTES
    static = _with_a_static_key(design, reads, per_month)
    return (
        Design(
            "nine transitions, static key",
            _changed(
                static,
                transition=_FORMER_CHOICES,
                log_gb=choices_gb,
                log_gb_month=_MONTHS_KEPT * _COMPRESSED * choices_gb,
            ),
            "What single-use keys give. States of their own chose what errors and ends choose now.",
        ),
        Design(
            "a static sealing key",
            static.lines,
            "Cards that nobody can open once their payment has ended, and security codes.",
        ),
        Design(
            "as Express",
            (
                *_changed(design, transition=-transitions, write_unit=1),
                Line("Step Functions", "express_request", 1),
                Line("Step Functions", "express_gb_second", express_seconds * _EXPRESS_GB),
            ),
            "An execution may run twice, and each step must detect it. The log is the only history, the API can't "
            "report an execution's state, and five minutes are the limit, while Persist alone may retry for longer.",
        ),
        Design(
            "one big function",
            _changed(
                design,
                transition=-transitions,
                write_unit=1,
                lambda_request=1 - steps,
                kms_request=1 - _OPENINGS,
                log_gb=-(logged["states"] + platform) / _GB,
                log_gb_month=-_MONTHS_KEPT * _COMPRESSED * (logged["states"] + platform) / _GB,
            ),
            "When it crashes, nothing resumes it: the money has moved, and nothing is recorded. One role may open, "
            "encrypt, decrypt and charge a card.",
        ),
        Design(
            "a saga in the table",
            _changed(
                design,
                transition=-transitions,
                write_unit=(1 + steps) * _SAGA_WRITE_UNITS,
                log_gb=-logged["states"] / _GB,
                log_gb_month=-_MONTHS_KEPT * _COMPRESSED * logged["states"] / _GB,
            ),
            "The table's stream starts each next step. Retries, timeouts, timers and the history become the team's own "
            "code, which must be just as reliable.",
        ),
    )


def _with_a_static_key(design: Design, reads: int, per_month: int) -> Design:
    """The design without single-use keys: a payment asks for none, and its card is opened by an RSA key in KMS."""
    issued = footprint.CALLS["issue_key"]
    gb_seconds = footprint.MILLISECONDS["issue_key"] / 1000 * footprint.memory_mb()["issue_key"] / 1024
    requests = footprint.requests(reads)
    log_gb = (footprint.LOGGED_BYTES["issue_key"] + footprint.PLATFORM_LOG_BYTES) / _GB
    lines = _changed(
        design,
        api_request=-1,
        trace=(_traces((requests - 1) * per_month) - _traces(requests * per_month)) / per_month,
        lambda_request=-1,
        lambda_gb_second=-gb_seconds,
        kms_request=-issued["kms:Encrypt"] - _OPENINGS,
        write_unit=-issued["dynamodb:UpdateItem"],
        read_unit=-issued["dynamodb:GetItem"] - issued["dynamodb:BatchGetItem"] - _OPENINGS,
        log_gb=-log_gb,
        log_gb_month=-_MONTHS_KEPT * _COMPRESSED * log_gb,
    )
    return Design(design.name, (*lines, Line("KMS", "kms_rsa_request", _OPENINGS)), "")


def gateway_event() -> tuple[Line, ...]:
    """The cost of a gateway's event that reports only what is already recorded."""
    runs = footprint.EVENT_MILLISECONDS
    gb_seconds = sum(ms / 1000 * footprint.memory_mb()[name] / 1024 for name, ms in runs.items())
    return (
        Line("API Gateway", "api_request", 1),
        Line("Lambda", "lambda_request", len(runs)),
        Line("Lambda", "lambda_gb_second", gb_seconds),
        Line("SQS", "queue_request", footprint.EVENT_CALLS["sqs"]),
        Line("DynamoDB", "read_unit", footprint.EVENT_CALLS["dynamodb:Query"]),
        # Each function's own line is about as long as Lambda's.
        Line("CloudWatch Logs", "log_gb", 2 * len(runs) * footprint.PLATFORM_LOG_BYTES / _GB),
    )


def payment_events(reads: int, per_month: int, endpoints: int) -> tuple[Line, ...]:
    """What a payment's events cost: to record and publish them, and to deliver them to this many webhooks.

    Lambda reads the table's stream for nothing ("Evaluate your Streams usage", DynamoDB developer guide: read requests
    by Lambda-based consumers are free), and a rule's target in the same account costs nothing either (EventBridge
    pricing). Each event is assumed to come in a batch of its own, and to be accepted at once.
    """
    events, writes = len(footprint.event_writes()), footprint.event_writes()
    runs = {"publish": events, "deliver": events * endpoints}
    gb_seconds = sum(
        count * footprint.MILLISECONDS[name] / 1000 * footprint.memory_mb()[name] / 1024 for name, count in runs.items()
    )
    # The first event of a payment has none before it that `deliver` would look for.
    delivery_reads = events * footprint.CALLS["deliver"]["dynamodb:GetItem"] + events - 1
    stored = sum(write.size + footprint.ITEM_OVERHEAD for write in writes)
    delivered = footprint.delivered_write()
    delivered_stored = endpoints * (delivered.size + footprint.ITEM_OVERHEAD)
    logged = sum(count * (footprint.LOGGED_BYTES[name] + footprint.PLATFORM_LOG_BYTES) for name, count in runs.items())
    log_gb = logged / _GB
    requests = footprint.requests(reads) * per_month
    traces = _traces(requests + sum(runs.values()) * per_month) - _traces(requests)
    return (
        Line("DynamoDB", "write_unit", sum(write.units for write in writes) + events * endpoints * delivered.units),
        Line("DynamoDB", "read_unit", events + endpoints * delivery_reads),
        Line("DynamoDB", "table_gb_month", (_MONTHS_KEPT * stored + _DELIVERED_MONTHS * delivered_stored) / _GB),
        Line("DynamoDB", "recovery_gb_month", _MONTHS_KEPT * stored / _GB),
        Line("EventBridge", "custom_event", events),
        # Each is sent by EventBridge, received and deleted by Lambda, and postponed by `deliver`.
        Line("SQS", "queue_request", 4 * events * endpoints),
        Line("Lambda", "lambda_request", sum(runs.values())),
        Line("Lambda", "lambda_gb_second", gb_seconds),
        Line("Lambda", "transfer_gb", events * endpoints * footprint.event_bytes() / _GB),
        Line("CloudWatch Logs", "log_gb", log_gb),
        Line("CloudWatch Logs", "log_gb_month", _MONTHS_KEPT * _COMPRESSED * log_gb),
        Line("X-Ray", "trace", traces / per_month),
    )


def webhook_monthly_costs() -> tuple[Line, ...]:
    """A webhook's monthly cost without any event. Its queue is polled like that of gateway events."""
    return (
        Line("CloudWatch", "alarm_metric_month", 1),
        Line("Secrets Manager", "secret_month", 1),
        Line("Secrets Manager", "secret_request", _MONTH_SECONDS / 300),
        Line("SQS", "queue_request", _POLLS_PER_MONTH),
    )


def challenge() -> tuple[Line, ...]:
    """The additional cost of a payment whose customer is asked, and which the gateway's event resumes: two states and
    their functions, the wait's begin and its end in the table and the index, and the token's encryption and
    decryption."""
    functions, seconds = footprint.memory_mb(), 0.5  # each calls the gateway once
    states = ("await_customer", "confirm")
    return (
        Line("Step Functions", "transition", len(states)),
        Line("Lambda", "lambda_request", len(states)),
        Line("Lambda", "lambda_gb_second", seconds * sum(functions[name] for name in states) / 1024),
        Line("KMS", "kms_request", 2),
        Line("DynamoDB", "write_unit", 2 * (2 + 1)),
        Line("DynamoDB", "read_unit", 2),
    )


def fixed_monthly_costs() -> tuple[Line, ...]:
    """A deployment's monthly cost without any payment. Four keys are rotated yearly, which costs a dollar more for
    each."""
    functions, doubts, sweeps = footprint.memory_mb(), _MONTH_SECONDS / 300, _MONTH_SECONDS / 60
    return (
        Line("KMS", "kms_key_month", 6),
        Line("CloudWatch", "alarm_metric_month", METRICS_IN_ALARMS),
        Line("CloudWatch", "metric_month", len(_own_metrics())),
        Line("CloudWatch", "dashboard_month", 1),
        Line("Secrets Manager", "secret_month", 2),  # of one gateway
        Line("Secrets Manager", "secret_request", doubts),  # for one warm environment; every other reads as often
        # What looks for doubts, and for payments that wait for their customers, reads an index, and takes a second.
        Line("DynamoDB", "read_unit", doubts * (DOUBT_SHARDS / 2 + 1) + sweeps * customer_waits.SHARDS / 2),
        Line("DynamoDB", "write_unit", doubts),
        Line("SQS", "queue_request", _POLLS_PER_MONTH),
        Line("Lambda", "lambda_request", doubts + sweeps),
        Line("Lambda", "lambda_gb_second", (doubts * functions["doubts"] + sweeps * functions["resume"]) / 1024),
    )


def firewall(prices: Mapping[str, Price], requests: float) -> float:
    """The monthly cost of the firewall if it is on: three rule groups and two rules."""
    return (
        prices["firewall_month"].each
        + 5 * prices["firewall_rule_month"].each
        + requests * prices["firewall_request"].each
    )


def snapshots(per_month: int, reads: int) -> tuple[Line, ...]:
    """Return what SnapStart would cost a month: a snapshot of each function's newest version, and its restores.

    A replaced version's snapshot costs as much until the version has not been called for 14 days.
    """
    memory_mb = footprint.memory_mb()
    invoked_mb = sum(memory_mb[name] for name in footprint.runs()) + reads * memory_mb["status"]
    return (
        Line("Lambda", "snapshot_gb_second", _MONTH_SECONDS * sum(memory_mb.values()) / 1024),
        Line("Lambda", "restored_gb", _COLD_STARTS * per_month * invoked_mb / 1024),
    )


def savings(design: Design, reads: int, prices: Mapping[str, Price]) -> list[Saving]:
    """What could be saved, and why it isn't."""

    def cost(**units: float) -> float:
        return MILLION * sum(prices[name].each * count for name, count in units.items())

    states_gb = footprint.logged_bytes(reads)["states"] / _GB
    tokenize_gb_second = footprint.MILLISECONDS["tokenize"] / 1000 * footprint.memory_mb()["tokenize"] / 1024
    designs_by_reads = this_design(reads + 2, MILLION), this_design(reads + 1, MILLION)
    return [
        Saving(
            "Open the sealed card once: Tokenize and Encrypt as one function",
            cost(transition=1, kms_request=1, read_unit=1, lambda_request=1, lambda_gb_second=tokenize_gb_second / 2),
            "One role could open, tokenize and encrypt a card; a screened payment's card would be encrypted.",
        ),
        Saving(
            "Log the state machine's errors only",
            cost(log_gb=states_gb, log_gb_month=_MONTHS_KEPT * _COMPRESSED * states_gb),
            "After 90 days Step Functions deletes histories, and a payment's path is lost (PCI DSS 10.5.1: a year).",
        ),
        Saving(
            "No traces (tracing_enabled = false)",
            MILLION * sum(prices[line.price].each * line.units for line in design.lines if line.price == "trace"),
            "The view of where time is spent. X-Ray traces the first request of each second and one in twenty of the "
            "others, so a payment's tracing gets cheaper as traffic grows.",
        ),
        Saving(
            "An HTTP API instead of a REST API",
            footprint.requests(reads) * (cost(api_request=1) - cost(http_api_request=1)),
            "Request models: a card in the clear would reach Step Functions before it is refused.",
        ),
        Saving(
            "One read less of a payment that has ended",
            _total(designs_by_reads[0].lines, prices) * MILLION - _total(designs_by_reads[1].lines, prices) * MILLION,
            "Nothing, if the client keeps the first answer.",
        ),
    ]


def show(per_month: int, reads: int, file: Path, console: Console) -> dict[str, Any]:
    """Print what this many payments cost in a month, and write it as JSON. Returns what was written."""
    prices = load_prices()
    design = this_design(reads, per_month)
    designs = (design, *other_designs(design, reads, per_month))
    total = _total(design.lines, prices)
    month = f"{per_month:,} a month"

    looks = f"its client reads it {counted(reads, 'time')}, waiting for the outcome the first time"
    table = Table(title=f"A captured payment; {looks}", title_justify="left")
    _columns(table, "service", "unit", "a payment", "price", "$ per million", f"$ of {month}", "share")
    for line in design.lines:
        price, usd = prices[line.price], line.units * prices[line.price].each
        table.add_row(
            line.service, price.unit, f"{line.units:.4g}", f"${price.usd:g} / {price.per:,}",
            f"{MILLION * usd:,.2f}", f"{per_month * usd:,.2f}", f"{usd / total:.1%}",
        )  # fmt: skip
    table.add_section()
    table.add_row("all", "", "", "", f"{MILLION * total:,.2f}", f"{per_month * total:,.2f}", "100%", style="bold")
    console.print(table)

    table = Table(title="By service and design: $ per million payments", title_justify="left")
    _columns(table, "service", *(each.name for each in designs))
    for service in dict.fromkeys(line.service for line in design.lines):
        of_service = [[line for line in each.lines if line.service == service] for each in designs]
        table.add_row(service, *(f"{MILLION * _total(lines, prices):,.2f}" for lines in of_service))
    table.add_section()
    table.add_row("all", *(f"{MILLION * _total(each.lines, prices):,.2f}" for each in designs), style="bold")
    table.add_row(f"{month}", *(f"{per_month * _total(each.lines, prices):,.2f}" for each in designs))
    console.print(table)
    for each in designs[1:]:
        console.print(f"[bold]{each.name}[/bold]: {each.lacks}", highlight=False)
    challenge_usd = MILLION * _total(challenge(), prices)
    console.print(f"A million payments whose customers are asked cost ${challenge_usd:,.2f} more.", highlight=False)
    events_usd = MILLION * _total(gateway_event(), prices)
    console.print(f"A million events from gateways, where they are sent, cost ${events_usd:,.2f}.", highlight=False)

    published, delivered = (payment_events(reads, per_month, endpoints) for endpoints in (0, 1))
    published_usd, delivered_usd = (MILLION * _total(lines, prices) for lines in (published, delivered))
    table = Table(title="A captured payment's two events, on top: $ per million payments", title_justify="left")
    _columns(table, "service", "unit", "a payment", "recorded and published", "delivered to one endpoint")
    for without, line in zip(published, delivered, strict=True):
        costs = (f"{MILLION * _total([each], prices):,.2f}" for each in (without, line))
        table.add_row(line.service, prices[line.price].unit, f"{line.units:.4g}", *costs)
    table.add_section()
    table.add_row("all", "", "", f"{published_usd:,.2f}", f"{delivered_usd:,.2f}", style="bold")
    console.print(table)

    monthly = fixed_monthly_costs()
    table = Table(title="Each month, without any payment", title_justify="left")
    _columns(table, "service", "unit", "units", "$")
    for line in monthly:
        usd = line.units * prices[line.price].each
        table.add_row(line.service, prices[line.price].unit, f"{line.units:,.0f}", f"{usd:,.2f}")
    table.add_section()
    table.add_row("all", "", "", f"{_total(monthly, prices):,.2f}", style="bold")
    webhook_usd = _total(webhook_monthly_costs(), prices)
    table.add_row("each webhook", "its queue, its secret and its alarm", "", f"{webhook_usd:,.2f}")
    firewall_usd = firewall(prices, footprint.requests(reads) * per_month)
    table.add_row("WAF", "where it is on, as in prod", "", f"{firewall_usd:,.2f}")
    table.add_row("Lambda", "SnapStart, where it is on", "", f"{_total(snapshots(per_month, reads), prices):,.2f}")
    console.print(table)

    saved = savings(design, reads, prices)
    table = Table(title="What could be saved, and what it would cost", title_justify="left")
    _columns(table, "saving", "$ per million", "what it would lose")
    for saving in sorted(saved, key=lambda saving: -saving.usd):
        table.add_row(saving.what, f"{saving.usd:,.2f}", saving.loses)
    console.print(table)

    estimate = {
        "per_month": per_month,
        "looks": reads,
        "region": json.loads(PRICES_FILE.read_text())["region"],
        "ways": [asdict(each) | {"usd_per_million": MILLION * _total(each.lines, prices)} for each in designs],
        "base": {"lines": [asdict(line) for line in monthly], "usd_per_month": _total(monthly, prices)},
        "gateway_events": {"lines": [asdict(line) for line in gateway_event()], "usd_per_million": events_usd},
        "payment_events": {
            "published": {"lines": [asdict(line) for line in published], "usd_per_million": published_usd},
            "told_to_one_endpoint": {"lines": [asdict(line) for line in delivered], "usd_per_million": delivered_usd},
        },
        "webhook": {"lines": [asdict(line) for line in webhook_monthly_costs()], "usd_per_month": webhook_usd},
        "savings": [asdict(saving) for saving in saved],
        "prices": {name: asdict(price) for name, price in prices.items()},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(estimate, indent=2) + "\n")
    console.print(f"Prices: {PRICES_FILE.name}, {estimate['region']}. Wrote {file}", highlight=False, soft_wrap=True)
    return estimate


def _columns(table: Table, *names: str) -> None:
    for name in names:
        text = name in ("service", "unit", "price", "saving", "what it would lose")
        table.add_column(name, justify="left" if text else "right", overflow="fold")


def _total(lines: Sequence[Line], prices: Mapping[str, Price]) -> float:
    return sum(line.units * prices[line.price].each for line in lines)


def _changed(design: Design, **added_units: float) -> tuple[Line, ...]:
    """The design's lines with `added_units` by price, without those that are down to nothing."""
    lines = (Line(line.service, line.price, line.units + added_units.get(line.price, 0)) for line in design.lines)
    return tuple(line for line in lines if line.units)


def _traces(requests: float) -> float:
    """Traces by X-Ray's default rule: the first request of each second, and one in twenty of the others."""
    one_a_second = min(requests, _MONTH_SECONDS)
    return one_a_second + 0.05 * (requests - one_a_second)


def _own_metrics() -> set[str]:
    """The names of the metrics that the functions emit."""
    names = Counter[str]()
    for file in FUNCTIONS.rglob("*.py"):
        text = file.read_text()
        names.update(re.findall(r'(?:count|duration|add_metric)\("([A-Z]\w+)"', text))
        names.update(re.findall(r': "([A-Z]\w+[a-z]ed)"', text) if "METRICS = {" in text else [])
    return set(names)
