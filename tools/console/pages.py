"""Renders the templates: the console's pages, and the page of one payment as a standalone file."""

import base64
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from functions.shared.domain.times import iso
from tools.books.money import readable
from tools.console.aws import commands
from tools.console.graph import draw
from tools.console.history import Attempt, Event, History, seconds_text
from tools.console.payments import PaymentDetails
from tools.console.records import Entry, money
from tools.console.timeline import rows
from tools.output import counted
from tools.times import parsed_time, time_text

STATIC = Path(__file__).parent / "static"

# Tolerance for the difference between the clocks of a function and of Step Functions.
_CLOCK_SKEW_SECONDS = 1.0

_MAX_ID_LENGTH = 14
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass(frozen=True, slots=True)
class TAccount:
    """An account's postings in one currency. A line has the entry's number, the debit and the credit in minor units."""

    account: str
    currency: str
    lines: list[tuple[int, int | None, int | None]]

    @property
    def debit_minor(self) -> int:
        return sum(debit or 0 for _, debit, _ in self.lines)

    @property
    def credit_minor(self) -> int:
        return sum(credit or 0 for _, _, credit in self.lines)

    @property
    def balance_minor(self) -> int:
        """Debits minus credits."""
        return self.debit_minor - self.credit_minor


def render(template: str, **values: Any) -> str:
    """Render a template with these values and the current time."""
    return environment.get_template(template).render(now=now(), **values)


def detail_values(details: PaymentDetails) -> dict[str, Any]:
    """Collect the values with which templates/_details.html shows a payment or an execution."""
    at = now()
    history = details.history
    return {
        "details": details,
        "drawing": draw(details.definition, history) if details.definition else None,
        "rows": list(rows(history, at)) if history else [],
        "seconds": history.duration(at).total_seconds() if history else 0.0,
        "accounts": t_accounts(details.entries),
        "posted_by": {entry.number: posted_by(entry, history) for entry in details.entries} if history else {},
        "operations": (details.record or {}).get("operations") or [],
        "disputes": (details.record or {}).get("disputes") or [],
    }


def single_page(details: PaymentDetails) -> str:
    """Render a payment's page as a self-contained file that loads nothing else."""
    style, script = ((STATIC / name).read_text() for name in ("console.css", "console.mjs"))
    policy = f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}'"
    values = detail_values(details) | {"links": [], "commands": commands(details, None)}
    return render("inspect.html", policy=policy, style=style, script=script, **values)


def document(text: str) -> Markup:
    """Render one of our Markdown documents as HTML, with the same heading anchors as on GitHub."""
    tokens = _MARKDOWN.parse(text)
    for heading, content in pairwise(tokens):
        if heading.type == "heading_open":
            words = re.sub(r"[^\w\- ]", "", content.content.lower())
            heading.attrSet("id", words.replace(" ", "-"))
    # Markdown with raw HTML disabled is safe to mark as HTML.
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))  # noqa: S704 # nosec B704


def t_accounts(entries: Sequence[Entry]) -> list[TAccount]:
    """Group the entries' postings by account and currency, in order of first appearance."""
    lines: defaultdict[tuple[str, str], list[tuple[int, int | None, int | None]]] = defaultdict(list)
    for entry in entries:
        for posting in entry.postings:
            sides = {posting.direction: posting.amount_minor}
            lines[posting.account, posting.currency].append((entry.number, sides.get("debit"), sides.get("credit")))
    return [TAccount(account, currency, each) for (account, currency), each in lines.items()]


def posted_by(entry: Entry, history: History) -> Event | None:
    """Find the event that ended the call which posted the entry; None if this execution did not post it."""
    ended = [attempt for visit in history.visits for attempt in visit.attempts if attempt.ended]
    if not entry.posted_at or not ended:
        return None
    posted_at = datetime.fromisoformat(entry.posted_at)

    def off_by(attempt: Attempt) -> float:
        """By how many seconds the posting lies outside the call; negative if it lies inside."""
        assert attempt.ended
        return max((attempt.started_at - posted_at).total_seconds(), (posted_at - attempt.ended.at).total_seconds())

    nearest = min(ended, key=off_by)
    return nearest.ended if off_by(nearest) <= _CLOCK_SKEW_SECONDS else None


def now() -> datetime:
    return datetime.now(UTC)


def digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _pretty(value: Any) -> str:
    """Format a value as indented JSON; leave text unchanged."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _age(since: datetime | str, at: datetime) -> str:
    since = parsed_time(since) if isinstance(since, str) else since
    seconds = max((at - since).total_seconds(), 0.0)
    return seconds_text(seconds) if seconds >= 60 else f"{int(seconds)} s"


def _time(moment: datetime | str, timespec: str = "seconds") -> Markup:
    """Render a time in UTC, which console.mjs converts to local time."""
    text = time_text(moment, timespec)
    return Markup('<time datetime="{}Z" data-local="{}">{} UTC</time>').format(text.replace(" ", "T"), timespec, text)


def _short(name: str) -> str:
    """Abbreviate a long id to its first characters, which are enough to find it."""
    return name if len(name) <= _MAX_ID_LENGTH else f"{name[: _MAX_ID_LENGTH - 2]}…"


environment = Environment(
    loader=PackageLoader("tools.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters.update(
    px=lambda value: f"{value:.1f}".removesuffix(".0"),
    money=money,
    amount=lambda minor, currency: money(minor, currency).removesuffix(f" {currency}"),
    tally=lambda each: Counter(each).items(),
    counted=counted,
    readable=readable,
    seconds=seconds_text,
    pretty=_pretty,
    time=_time,
    short=_short,
    iso=lambda moment: iso(moment, "microseconds"),
    age=_age,
    words=lambda name: str(name).replace("_", " "),
)
