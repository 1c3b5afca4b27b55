"""Simulate what share of the writes each partition key takes, over millions of payments: docs/scale.md.

A DynamoDB partition takes 1,000 write units a second, however much the whole table takes, and all writes to one key may
go to one partition. So no key may take more than a small share of the writes, however skewed the payments are.

Keys and shards come from the adapters' own functions, and units from what the adapters write (footprint.py). Cards and
merchants are skewed by Zipf's law: with an exponent of 1 the second pays half as often as the first, the third a third
as often. Each merchant names its payments in its own way, and shards are derived from that name. All of them post to
the accounts of one merchant, as a deployment has only one, and one caller sends all of them. There are some thousand
banks, and each payment has its own reference.
"""

import json
import random
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import accumulate
from math import ceil, log10
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from functions.shared.adapters.table import keys as table_keys
from functions.shared.adapters.table.velocity import (
    BUCKET,
    CARDS_BUCKET,
    MAX_ELEMENTS,
    MAX_REMEMBERED_PAYMENTS,
    REREAD_AFTER,
)
from functions.shared.domain.ledger import LIABILITY_MERCHANT, asset_gateway
from tools.estimates.footprint import GATEWAY, MILLISECONDS, captured_writes, settled_writes, velocity_units

MAX_SHARE_OF_WRITES = 0.01
PARTITION_UNITS = 1000  # write units a second

CARDS = 2_000_000
MERCHANTS = 100_000
BINS = 5_000

_BATCH = 50_000
_DAY = "2026-11-23"
_PAYMENTS_A_BREAK = 1000  # share of payments that end as a break for somebody to look at

# How merchants name their payments: randomly, by number, by time and number, by time and a random part.
_PAYMENT_ID_STYLES: Sequence[Callable[[int, random.Random], str]] = (
    lambda n, rng: f"{rng.getrandbits(128):032x}",
    lambda n, rng: f"order-{n:010}",
    lambda n, rng: f"{_DAY}-{n // 10_000:05}-{n:09}",
    lambda n, rng: f"{0x19AAF3C0000 + n // 10:012X}{rng.getrandbits(80):020X}",
)


@dataclass(frozen=True, slots=True)
class KeyLoad:
    """The partition keys of one kind, and the writes to them."""

    index: str
    kind: str
    count: int
    share: float  # the hottest key's share of all writes to the table or index
    full_at: float  # payments a second at which the hottest key fills a partition
    curve: tuple[tuple[int, float], ...]  # shares by rank, the hottest first, at a few ranks


def simulate(
    payments: int,
    rate: int = 10_000,
    skew: float = 1.0,
    seed: int = 1,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> list[KeyLoad]:
    """Simulate `payments` payments, `rate` a second on one day, each captured at once and settled the day after.

    The index of doubts is simulated for a gateway that is down: all payments enter it, and leave it again. Likewise the
    index of statuses, for payments that are authorized first.
    """
    rng = random.Random(seed)  # noqa: S311 # nosec B311
    cards, merchants = _zipf(CARDS, skew, rng), _zipf(MERCHANTS, skew, rng)
    account_shards: Counter[int] = Counter()
    day_shards: Counter[int] = Counter()
    status_shards: Counter[int] = Counter()
    doubt_shards: Counter[int] = Counter()
    writing_shards: Counter[int] = Counter()
    payments_by_card, recent_payments_by_card, velocity_units_by_card = _zeros(CARDS), _zeros(CARDS), _zeros(CARDS)
    bins, caller = [_LimitedBucket() for _ in range(BINS)], _LimitedBucket()
    marginal_units = [velocity_units(before) for before in range(MAX_REMEMBERED_PAYMENTS + 1)]
    payments_per_bucket = int(BUCKET.total_seconds()) * rate

    for start in progress(range(0, payments, _BATCH)):
        if start % payments_per_bucket < _BATCH:
            recent_payments_by_card = _zeros(CARDS)
        if start % (int(CARDS_BUCKET.total_seconds()) * rate) < _BATCH:
            for bucket in (*bins, caller):
                bucket.cards.clear()
        batch = range(start, min(start + _BATCH, payments))
        for n, card, merchant in zip(batch, cards(len(batch)), merchants(len(batch)), strict=True):
            payment_id = _PAYMENT_ID_STYLES[merchant % len(_PAYMENT_ID_STYLES)](n, rng)
            account_shards[table_keys.shard_of(payment_id, table_keys.ACCOUNT_SHARDS)] += 1
            day_shards[table_keys.shard_of(payment_id, table_keys.DAY_SHARDS)] += 1
            status_shards[table_keys.shard_of(payment_id, table_keys.STATUS_SHARDS)] += 1
            doubt_shards[table_keys.shard_of(payment_id, table_keys.DOUBT_SHARDS)] += 1
            writing_shards[table_keys.shard_of(payment_id, table_keys.WRITTEN_SHARDS)] += 1
            before = recent_payments_by_card[card]
            velocity_units_by_card[card] += marginal_units[min(before, MAX_REMEMBERED_PAYMENTS)]
            recent_payments_by_card[card] = before + 1
            payments_by_card[card] += 1
            bins[card % BINS].count(card)
            caller.count(card)

    # Each process that screens payments tries a full bucket again once in a while.
    processes = rate * MILLISECONDS["screen"] / 1000
    retried_writes = ceil(processes * payments / rate / REREAD_AFTER.total_seconds())
    writes = [*captured_writes(), *settled_writes()]
    payment_units, card_units, reference_units = (
        sum(write.units for write in writes if write.pk.startswith(kind))
        for kind in ("PAYMENT#", "CARD#", "VELOCITY#reference#")
    )
    # A break is written together with its event, under a key of the same day.
    break_units = 2 * (payments // _PAYMENTS_A_BREAK)
    bin_units, caller_units = [bucket.units(retried_writes) for bucket in bins], caller.units(retried_writes)
    # A lookalike bucket, by first six and last four digits, is written as often as its card pays.
    velocity_total = payments * reference_units + sum(velocity_units_by_card) + payments + sum(bin_units) + caller_units
    table_total = payments * (payment_units + card_units) + velocity_total + 2 * break_units + 1
    accounts = {
        table_keys.account_day(account, _DAY, shard): count
        for shard, count in account_shards.items()
        for account in (asset_gateway(GATEWAY), LIABILITY_MERCHANT)
    }

    def keys(index: str, kind: str, units: Iterable[int], all_units: int, count: int = 0) -> KeyLoad:
        hottest_first = sorted(filter(None, units), reverse=True)
        shares = [(rank, hottest_first[rank - 1] / all_units) for rank in _ranks(len(hottest_first))]
        full_at = PARTITION_UNITS * payments / hottest_first[0]
        return KeyLoad(index, kind, count or len(hottest_first), shares[0][1], full_at, tuple(shares))

    return [
        keys("table", "PAYMENT#{payment_id}", [payment_units], table_total, count=payments),
        keys("table", "CARD#{token}", (card_units * times for times in payments_by_card), table_total),
        keys("table", "VELOCITY#{fingerprint}", velocity_units_by_card, table_total),
        keys("table", "VELOCITY#reference#{hash}", [reference_units], table_total, count=payments),
        keys("table", "VELOCITY#lookalike#{bin}#{last4}", payments_by_card, table_total),
        keys("table", "VELOCITY#bin#{bin}", bin_units, table_total),
        keys("table", "VELOCITY#caller#{hash}", [caller_units], table_total),
        keys("table", "BREAK#{day}", [max(break_units, 1)], table_total),
        keys("table", "CLOSE#{year}", [1], table_total),
        keys("by_account", "{account}#{day}#{shard}", accounts.values(), sum(accounts.values())),
        keys("by_day", "{day}#{shard}", day_shards.values(), payments),
        keys("by_reference", "{merchant_reference}", [1], payments, count=payments),
        keys("by_status", "{status}#{day}#{shard}", (2 * count for count in status_shards.values()), 2 * payments),
        keys("in_doubt", "in_doubt#{shard}", (2 * count for count in doubt_shards.values()), 2 * payments),
        keys("by_writing", "{day written}#{shard}", writing_shards.values(), payments),
    ]


class _LimitedBucket:
    """A bucket that holds a limited number of cards, and the writes to it."""

    def __init__(self) -> None:
        self.cards: set[int] = set()
        self._accepted = self._rejected = 0

    def count(self, card: int) -> None:
        if len(self.cards) < MAX_ELEMENTS:
            self.cards.add(card)
            self._accepted += 1
        else:
            self._rejected += 1

    def units(self, retried_writes: int) -> int:
        """Write units, including refused writes while it was full: at most `retried_writes` of them."""
        return self._accepted + min(self._rejected, retried_writes)


def scale(payments: int, rate: int, skew: float, folder: Path, console: Console) -> dict[str, Any]:
    """Simulate, print the hottest keys and draw them; the result, as it was written to scale.json.

    Its `within_limit` says whether no key takes more than 1 % of the writes.
    """
    results = simulate(
        payments, rate, skew, progress=lambda batches: track(batches, f"{payments:,} payments", console=console)
    )
    table = Table(title=f"The hottest keys of {payments:,} payments, {rate:,} a second", title_justify="left")
    for column in ("", "key", "keys", "hottest, of all writes", "units a second", "a partition's 1,000 at"):
        table.add_column(column, justify="left" if column in ("", "key") else "right", overflow="fold")
    for keys in results:
        mark = "[green]✓[/green]" if keys.share <= MAX_SHARE_OF_WRITES else "[red]✗[/red]"
        units = PARTITION_UNITS * rate / keys.full_at
        full_at = f"{keys.full_at:,.0f} payments/s" if keys.full_at < 1e6 else "never"
        table.add_row(
            keys.index, keys.kind, f"{keys.count:,}", f"{_percent(keys.share)} {mark}", f"{units:,.0f}", full_at
        )
    console.print(table)
    folder.mkdir(parents=True, exist_ok=True)
    result = {
        "payments": payments,
        "rate": rate,
        "skew": skew,
        "within_limit": all(keys.share <= MAX_SHARE_OF_WRITES for keys in results),
        "keys": [asdict(keys) for keys in results],
    }
    (folder / "scale.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / "hottest-keys.svg").write_text(picture(results, f"{payments:,} payments, {rate:,} a second"))
    console.print(f"Wrote {folder / 'hottest-keys.svg'} and {folder / 'scale.json'}", highlight=False, soft_wrap=True)
    return result


def _percent(share: float) -> str:
    return f"{share:.3%}" if share >= 1e-5 else "< 0.001%"


def _zeros(count: int) -> "array[int]":
    return array("Q", bytes(8 * count))


def _zipf(count: int, exponent: float, rng: random.Random) -> Callable[[int], list[int]]:
    """Draws ranks below `count`, each with a probability proportional to 1 / (rank + 1) ** exponent."""
    ranks = range(count)
    cumulative_weights = list(accumulate((rank + 1) ** -exponent for rank in ranks))
    return lambda k: rng.choices(ranks, cum_weights=cumulative_weights, k=k)


def _ranks(count: int) -> list[int]:
    """A few ranks of each order of magnitude, and the last."""
    steps = (round(10 ** (step / 8)) for step in range(8 * 8))
    return sorted({rank for rank in steps if rank < count} | {count})


# -- The picture: share by rank, both axes logarithmic

_WIDTH, _LEFT, _TOP, _PLOT_WIDTH, _PLOT_HEIGHT = 1024, 100, 104, 480, 360
_DECADES_OF_RANKS, _TOP_SHARE, _DECADES_OF_SHARES = 7, 0.1, 8
_HEIGHT, _LEGEND_LINE = _TOP + _PLOT_HEIGHT + 62, 34
# Pairs for light and dark. With the dashes, no two lines differ by colour alone.
_COLOURS = (
    *(("#5b6474", "#a3adbd"), ("#1f5fbf", "#82b1ff"), ("#b3541e", "#f0955e"), ("#0f7f7f", "#4fd0c8")),
    *(("#8a6d00", "#e3c04a"), ("#4d7a1f", "#a5d46a"), ("#5b46a8", "#b9a7ff"), ("#9a2fc4", "#dd8cff")),
    *(("#6b5b2e", "#cdbb86"), ("#126637", "#5ecb8b"), ("#3b6ea8", "#9cc4f2"), ("#c2185b", "#ff86b0")),
    *(("#7a4a2a", "#d9a77f"), ("#a30f2d", "#ff9aa8"), ("#00707f", "#7fdbe6")),
)
_DASHES = ("none", "7 3", "2 3")
_KINDS = {
    "PAYMENT#{payment_id}": "A payment and its entries",
    "CARD#{token}": "A stored card",
    "VELOCITY#{fingerprint}": "What a card pays",
    "VELOCITY#reference#{hash}": "An order’s payments",
    "VELOCITY#lookalike#{bin}#{last4}": "Cards that look alike",
    "VELOCITY#bin#{bin}": "The cards of a bank",
    "VELOCITY#caller#{hash}": "The cards of a caller of the API",
    "BREAK#{day}": "What reconciliation found on a day",
    "CLOSE#{year}": "The closed days of a year",
    "{account}#{day}#{shard}": "An account’s postings of a day",
    "{day}#{shard}": "The payments of a day",
    "{merchant_reference}": "The payments of an order",
    "{status}#{day}#{shard}": "A day’s payments of a status",
    "{day written}#{shard}": "The payments that were written on a day",
    "in_doubt#{shard}": "Payments in doubt, the gateway being down",
}
_STYLE = """
.ground { fill: #fff } text, .ink { fill: #1b2230 } .quiet { fill: #5b6474 } .grid { stroke: #e3e7ee }
.limit { stroke: #b8282f } text.limit { fill: #b8282f; stroke: none }
@media (prefers-color-scheme: dark) {
.ground { fill: #181d26 } text, .ink { fill: #dfe4ec } .quiet { fill: #98a3b5 } .grid { stroke: #2f3846 }
.limit { stroke: #ff8585 } text.limit { fill: #ff8585 }
}
"""


def picture(results: Sequence[KeyLoad], title: str) -> str:
    """An SVG of the keys' shares for light and dark mode. An even spread is a flat line; none may cross the limit."""

    def x(rank: float) -> float:
        return _LEFT + _PLOT_WIDTH * log10(rank) / _DECADES_OF_RANKS

    def y(share: float) -> float:
        return _TOP + _PLOT_HEIGHT * log10(_TOP_SHARE / share) / _DECADES_OF_SHARES

    right, bottom = _LEFT + _PLOT_WIDTH, _TOP + _PLOT_HEIGHT
    colours = "".join(
        f".c{n} {{ color: {light} }} @media (prefers-color-scheme: dark) {{ .c{n} {{ color: {dark} }} }}\n"
        for n, (light, dark) in enumerate(_COLOURS)
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="Share of the writes by key">',
        f"<style>{_STYLE}{colours}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>',
        f'<text x="20" y="28" font-size="16" font-weight="600">Is any key hot? {title}</text>',
        '<text x="20" y="50" class="quiet">Each line is one kind of key, from its busiest key on the left to its '
        "idlest on the right. A line that</text>",
        '<text x="20" y="66" class="quiet">stays flat spreads its writes evenly; one that falls has a few busy keys; a '
        "dot alone is a single key.</text>",
    ]
    for decade in range(_DECADES_OF_RANKS + 1):
        at = x(10**decade)
        parts.append(f'<path class="grid" d="M{at:.1f} {_TOP}V{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{_abbreviated(10**decade)}</text>')
    for decade in range(_DECADES_OF_SHARES + 1):
        share = _TOP_SHARE / 10**decade
        parts.append(f'<path class="grid" d="M{_LEFT} {y(share):.1f}H{right}"/>')
        label = f"{100 * share:.7f}".rstrip("0").rstrip(".")
        parts.append(f'<text x="{_LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{label} %</text>')
    parts += [
        f'<text x="20" y="{_TOP - 12}">↑ share of all writes to the table or index, log scale</text>',
        f'<text x="{right}" y="{bottom + 40}" text-anchor="end">'
        "rank of the key in its kind, the busiest is 1, log scale →</text>",
    ]
    parts.append(f'<text x="{right + 20}" y="{_TOP - 12}">What is it, and how much has its busiest key?</text>')
    limit = y(MAX_SHARE_OF_WRITES)
    parts.append(f'<path class="limit" d="M{_LEFT} {limit:.1f}H{right}" stroke-width="1.5" stroke-dasharray="6 4"/>')
    parts.append(
        f'<text class="limit" x="{right - 4}" y="{limit - 6:.1f}" text-anchor="end">limit: no key above 1 %</text>'
    )
    for line, keys in enumerate(results):
        points = " ".join(f"{x(rank):.1f},{min(y(share), bottom):.1f}" for rank, share in keys.curve)
        first_circle = f'cx="{x(1):.1f}" cy="{min(y(keys.share), bottom):.1f}"'
        dash = _DASHES[line % len(_DASHES)]
        at, start = _TOP + 10 + _LEGEND_LINE * line, right + 20
        where = "the table" if keys.index == "table" else keys.index
        how_many = f"{_abbreviated(keys.count)} {'key' if keys.count == 1 else 'keys'} of {where}"
        sample = f'<path d="M{start} {at - 4}h26" stroke-width="2.5" stroke-dasharray="{dash}"/>' * (keys.count > 1)
        parts += [
            f'<g class="c{line}" stroke="currentColor" fill="none">',
            f'<polyline points="{points}" stroke-width="2" stroke-dasharray="{dash}"/>',
            f'<circle {first_circle} r="4" fill="currentColor"/>',
            f'<circle cx="{start + 13}" cy="{at - 4}" r="4" fill="currentColor"/>{sample}</g>',
            f'<text x="{start + 34}" y="{at}">{escape(_KINDS[keys.kind])}: {escape(_percent(keys.share))}</text>',
            f'<text x="{start + 34}" y="{at + 15}" class="quiet">{keys.kind}<tspan>, {how_many}</tspan></text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _abbreviated(count: int) -> str:
    """1, 100, 10 k, 1.1 M"""
    for size, unit in ((1_000_000, " M"), (10_000, " k")):
        if count >= size:
            return f"{count / (1000 if unit == ' k' else size):.3g}{unit}"
    return f"{count:,}"
