"""Which partition key takes how much of the writes, over millions of payments: docs/scale.md.

A partition of DynamoDB takes 1,000 write units a second, whatever the table takes, and all that is written to one key
may go to one partition. So no key may have more than a small share of the writes, however skewed the payments are.

Keys and shards are made by the functions that the adapters make them with, and units are counted of what the adapters
write (footprint.py). Cards and merchants are skewed by Zipf's law: with an exponent of 1 the second pays half as often
as the first, the third a third as often. Each merchant names its payments in its own way, and the shards are made of
that name. All of them post to the accounts of one merchant, as a deployment has no other, and are asked for by one
caller. A card's bank is one of some thousand, and each payment has a reference of its own.
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

from rich.console import Console
from rich.progress import track
from rich.table import Table

from cli.footprint import MILLISECONDS, captured_writes, settled_writes, velocity_units
from functions.shared.adapters.dynamodb import account_day, account_shard, doubt_shard
from functions.shared.adapters.velocity import ASKED_AGAIN, BUCKET, CARDS_BUCKET, HELD, KNOWN
from functions.shared.domain.ledger import LIABILITY_MERCHANT, asset_gateway

MOST_OF_THE_WRITES = 0.01
PARTITION_UNITS = 1000  # write units a second

CARDS = 2_000_000
MERCHANTS = 100_000
BINS = 5_000

_BATCH = 50_000
_DAY = "2026-11-23"
_PAYMENTS_A_BREAK = 1000  # one in so many is a break for somebody to look at

# How merchants name their payments: by chance, by number, by time and number, by time and chance.
_NAMES: Sequence[Callable[[int, random.Random], str]] = (
    lambda n, chance: f"{chance.getrandbits(128):032x}",
    lambda n, chance: f"order-{n:010}",
    lambda n, chance: f"{_DAY}-{n // 10_000:05}-{n:09}",
    lambda n, chance: f"{0x19AAF3C0000 + n // 10:012X}{chance.getrandbits(80):020X}",
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The partition keys of one kind, and what is written to them."""

    index: str
    kind: str
    count: int
    share: float  # of the hottest key, of all writes to the table or the index
    full_at: float  # payments a second at which the hottest key takes what a partition takes
    curve: tuple[tuple[int, float], ...]  # the share by rank, the hottest first, at a few ranks


def simulate(
    payments: int,
    rate: int = 10_000,
    skew: float = 1.0,
    seed: int = 1,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> list[Keys]:
    """So many payments in a row, `rate` a second on one day, each captured at once, and settled the day after.

    The index of doubts is written to while the gateway is down: all of the payments are in doubt, and then are not.
    """
    chance = random.Random(seed)  # noqa: S311 # nosec B311
    cards, merchants = _zipf(CARDS, skew, chance), _zipf(MERCHANTS, skew, chance)
    account_shards: Counter[str] = Counter()
    doubts: Counter[str] = Counter()
    paid, counted, velocity = _zeros(CARDS), _zeros(CARDS), _zeros(CARDS)
    bins, caller = [_Held() for _ in range(BINS)], _Held()
    units_of_one_more = [velocity_units(before) for before in range(KNOWN + 1)]
    bucket = int(BUCKET.total_seconds()) * rate

    for start in progress(range(0, payments, _BATCH)):
        if start % bucket < _BATCH:
            counted = _zeros(CARDS)
        if start % (int(CARDS_BUCKET.total_seconds()) * rate) < _BATCH:
            for held in (*bins, caller):
                held.cards.clear()
        batch = range(start, min(start + _BATCH, payments))
        for n, card, merchant in zip(batch, cards(len(batch)), merchants(len(batch)), strict=True):
            payment_id = _NAMES[merchant % len(_NAMES)](n, chance)
            account_shards[account_shard(payment_id)] += 1
            doubts[doubt_shard(payment_id)] += 1
            before = counted[card]
            velocity[card] += units_of_one_more[min(before, KNOWN)]
            counted[card] = before + 1
            paid[card] += 1
            bins[card % BINS].count(card)
            caller.count(card)

    # What is full is asked for once in a while by each process that screens payments.
    processes = rate * MILLISECONDS["screen"] / 1000
    asked_again = ceil(processes * payments / rate / ASKED_AGAIN.total_seconds())
    writes = [*captured_writes(), *settled_writes()]
    of_payment, of_card, of_reference = (
        sum(write.units for write in writes if write.pk.startswith(kind))
        for kind in ("PAYMENT#", "CARD#", "VELOCITY#reference#")
    )
    breaks = payments // _PAYMENTS_A_BREAK
    of_bins, of_caller = [held.units(asked_again) for held in bins], caller.units(asked_again)
    # A card is counted where its first six and last four digits are as often as it pays.
    of_velocity = payments * of_reference + sum(velocity) + payments + sum(of_bins) + of_caller
    of_table = payments * (of_payment + of_card) + of_velocity + breaks + 1
    accounts = {
        account_day(account, _DAY, shard): count
        for shard, count in account_shards.items()
        for account in (asset_gateway("sparkle"), LIABILITY_MERCHANT)
    }

    def keys(index: str, kind: str, units: Iterable[int], all_units: int, count: int = 0) -> Keys:
        hottest_first = sorted(filter(None, units), reverse=True)
        shares = [(rank, hottest_first[rank - 1] / all_units) for rank in _ranks(len(hottest_first))]
        full_at = PARTITION_UNITS * payments / hottest_first[0]
        return Keys(index, kind, count or len(hottest_first), shares[0][1], full_at, tuple(shares))

    return [
        keys("table", "PAYMENT#{payment_id}", [of_payment], of_table, count=payments),
        keys("table", "CARD#{token}", (of_card * times for times in paid), of_table),
        keys("table", "VELOCITY#{fingerprint}", velocity, of_table),
        keys("table", "VELOCITY#reference#{hash}", [of_reference], of_table, count=payments),
        keys("table", "VELOCITY#lookalike#{bin}#{last4}", paid, of_table),
        keys("table", "VELOCITY#bin#{bin}", of_bins, of_table),
        keys("table", "VELOCITY#caller#{hash}", [of_caller], of_table),
        keys("table", "BREAK#{day}", [max(breaks, 1)], of_table),
        keys("table", "CLOSE#{year}", [1], of_table),
        keys("by_account", "{account}#{day}#{shard}", accounts.values(), sum(accounts.values())),
        keys("in_doubt", "in_doubt#{shard}", (2 * count for count in doubts.values()), 2 * payments),
    ]


class _Held:
    """A bucket of cards that is full after some, and what is written to it."""

    def __init__(self) -> None:
        self.cards: set[int] = set()
        self._counted = self._turned_away = 0

    def count(self, card: int) -> None:
        if len(self.cards) < HELD:
            self.cards.add(card)
            self._counted += 1
        else:
            self._turned_away += 1

    def units(self, asked_again: int) -> int:
        """With the writes that are refused, where it was full and so often asked for again."""
        return self._counted + min(self._turned_away, asked_again)


def scale(payments: int, rate: int, skew: float, folder: Path, console: Console) -> bool:
    """Simulate, print the hottest keys, draw them; whether none takes more than a hundredth of the writes."""
    found = simulate(
        payments, rate, skew, progress=lambda batches: track(batches, f"{payments:,} payments", console=console)
    )
    table = Table(title=f"The hottest keys of {payments:,} payments, {rate:,} a second", title_justify="left")
    for column in ("", "key", "keys", "hottest, of all writes", "units a second", "a partition's 1,000 at"):
        table.add_column(column, justify="left" if column in ("", "key") else "right", overflow="fold")
    for keys in found:
        mark = "[green]✓[/green]" if keys.share <= MOST_OF_THE_WRITES else "[red]✗[/red]"
        units = PARTITION_UNITS * rate / keys.full_at
        full_at = f"{keys.full_at:,.0f} payments/s" if keys.full_at < 1e6 else "never"
        table.add_row(
            keys.index, keys.kind, f"{keys.count:,}", f"{_percent(keys.share)} {mark}", f"{units:,.0f}", full_at
        )
    console.print(table)
    folder.mkdir(parents=True, exist_ok=True)
    told = {"payments": payments, "rate": rate, "skew": skew, "keys": [asdict(keys) for keys in found]}
    (folder / "scale.json").write_text(json.dumps(told, indent=2) + "\n")
    (folder / "hottest-keys.svg").write_text(picture(found, f"{payments:,} payments, {rate:,} a second"))
    console.print(f"Wrote {folder / 'hottest-keys.svg'} and {folder / 'scale.json'}", highlight=False, soft_wrap=True)
    return all(keys.share <= MOST_OF_THE_WRITES for keys in found)


def _percent(share: float) -> str:
    return f"{share:.3%}" if share >= 1e-5 else "< 0.001%"


def _zeros(count: int) -> "array[int]":
    return array("Q", bytes(8 * count))


def _zipf(count: int, exponent: float, chance: random.Random) -> Callable[[int], list[int]]:
    """Draws ranks from 0 to `count`, each in proportion to 1 / (rank + 1) ** exponent."""
    ranks = range(count)
    up_to = list(accumulate((rank + 1) ** -exponent for rank in ranks))
    return lambda k: chance.choices(ranks, cum_weights=up_to, k=k)


def _ranks(count: int) -> list[int]:
    """Some ranks up to the last: a few of each order of magnitude."""
    steps = (round(10 ** (step / 8)) for step in range(8 * 8))
    return sorted({rank for rank in steps if rank < count} | {count})


# -- The picture: share by rank, both in orders of magnitude

_WIDTH, _HEIGHT, _LEFT, _TOP, _PLOT_WIDTH, _PLOT_HEIGHT = 880, 430, 90, 50, 520, 320
_DECADES_OF_RANKS, _TOP_SHARE, _DECADES_OF_SHARES = 7, 0.1, 8
_COLOURS = (
    *("#7a7a7a", "#0b6bcb", "#b3541e", "#2f9e9e", "#d4a017", "#6b8e23"),
    *("#4b3f72", "#8a2be2", "#5a5a00", "#0a7d4b", "#c2185b"),
)


def picture(found: Sequence[Keys], title: str) -> str:
    """An SVG of the hottest keys' shares. A line that is flat is spread evenly; none may get above the red one."""

    def x(rank: float) -> float:
        return _LEFT + _PLOT_WIDTH * log10(rank) / _DECADES_OF_RANKS

    def y(share: float) -> float:
        return _TOP + _PLOT_HEIGHT * log10(_TOP_SHARE / share) / _DECADES_OF_SHARES

    right, bottom = _LEFT + _PLOT_WIDTH, _TOP + _PLOT_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="Share of the writes by key">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">A key’s share of the writes, the hottest first: {title}</text>',
    ]
    for decade in range(_DECADES_OF_RANKS + 1):
        at = x(10**decade)
        parts.append(f'<path d="M{at:.1f} {_TOP}V{bottom}" stroke="#eee"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{10**decade:,}</text>')
    for decade in range(_DECADES_OF_SHARES + 1):
        share = _TOP_SHARE / 10**decade
        parts.append(f'<path d="M{_LEFT} {y(share):.1f}H{right}" stroke="#eee"/>')
        label = f"{100 * share:.7f}".rstrip("0").rstrip(".")
        parts.append(f'<text x="{_LEFT - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{label}%</text>')
    limit = y(MOST_OF_THE_WRITES)
    parts.append(f'<path d="M{_LEFT} {limit:.1f}H{right}" stroke="#d00" stroke-width="1.5" stroke-dasharray="6 4"/>')
    parts.append(f'<text x="{right - 4}" y="{limit - 5:.1f}" text-anchor="end" fill="#d00">no key above</text>')
    for line, (keys, colour) in enumerate(zip(found, _COLOURS, strict=True)):
        points = " ".join(f"{x(rank):.1f},{min(y(share), bottom):.1f}" for rank, share in keys.curve)
        first = f'cx="{x(1):.1f}" cy="{min(y(keys.share), bottom):.1f}"'
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle {first} r="4" fill="{colour}"/>')
        at = _TOP + 10 + 34 * line
        parts.append(f'<circle cx="{right + 24}" cy="{at - 4}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{right + 36}" y="{at}">{keys.kind}</text>')
        at_most = escape(f"{keys.index}: {_percent(keys.share)} at most")
        parts.append(f'<text x="{right + 36}" y="{at + 15}" fill="#666">{at_most}</text>')
    parts.append(f'<text x="{_LEFT + _PLOT_WIDTH / 2}" y="{_HEIGHT - 20}" text-anchor="middle">rank of the key</text>')
    return "\n".join([*parts, "</svg>", ""])
