"""The rules that a payment has to pass, which are data: rules.json.

A rule fires where its expression `when` is true. Expressions are in the language of rule-engine, over the payment's
`Facts` and the file's `lists`, each by its name. Every rule is asked of every payment, so each stands for itself.
"""

import json
import signal
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from functions.shared import strict_json
from functions.shared.domain.errors import InvalidInput
from functions.shared.domain.payment import NO_CURRENCY, SCREENED

if TYPE_CHECKING:
    import rule_engine

RULES_FILE = Path(__file__).with_name("rules.json")

Lists = dict[str, list[str] | dict[str, int]]

Action = Literal["deny", "flag", "alarm"]
"""Decline the payment; let it go on, and note it; note it, and wake somebody."""


class RulesError(Exception):
    """A rules file can't be used, or a rule can't be computed. The message names the rule and what is wrong."""


class _TooSlow(Exception):
    message = "it is not done within its time"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may ask of a payment, or of a card that is only to be stored.

    Amounts are in the currency's minor unit; a card that is only stored has none, of XXX.

    What is counted in the last hour or day is the card's, this payment included: payments and stores, amounts in the
    same currency, and expiry dates. `lookalike_cards` are the cards with the same first six and last four digits. A
    reference, a BIN or a caller has the cards that came with it, and the payments that the gateway declined. Of a
    reference or a caller that is not given, there are none: 0.
    """

    operation: str  # "charge" or "store"
    amount_minor: int
    currency: str
    brand: str
    bin: str
    fingerprint: str
    hour: int  # 0 to 23, UTC
    test_card: bool
    payments_1h: int
    payments_24h: int
    amount_minor_1h: int
    amount_minor_24h: int
    card_expiry_dates_1h: int
    lookalike_cards_1h: int
    reference_cards_1h: int
    reference_declines_1h: int
    bin_cards_1h: int
    bin_declines_1h: int
    caller_cards_1h: int
    caller_declines_1h: int


# Every rule is tried with each fact's least and greatest value. No list has the currency NO_CURRENCY.
_LEAST = Facts("store", 0, "USD", "visa", "400000", "fp_" + 52 * "a", 0, False, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0)
_MOST = Facts(
    "charge", 10**12 - 1, NO_CURRENCY, "unknown", "999999", "fp_" + 52 * "7", 23, True, 10**6, 10**6, 10**18, 10**18,
    *8 * [10**6],
)  # fmt: skip

# Texts that match a regular expression except at their end: one that backtracks over every way to match them takes for
# ever.
_ALMOST = {
    "currency": ["AAB"],
    "brand": ["a" * 31 + "_"],
    "bin": ["000001"],
    "fingerprint": [f"fp_{51 * letter}{end}" for letter in string.ascii_lowercase + "234567" for end in "z2"],
}

CHECKED_WITHIN_SECONDS = 2
"""A rule that takes more CPU time to be parsed, or to answer all that it is tried with, is refused."""


@dataclass(frozen=True, slots=True)
class Screening:
    """What the rules say of a payment, by their names: the first that denies it, or None, and all that flag it."""

    rule: str | None = None
    flags: tuple[str, ...] = ()

    @property
    def action(self) -> Literal["allow", "deny"]:
        return "deny" if self.rule else "allow"

    def to_dict(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "rule": self.rule,
            "decline_code": self.rule and f"{SCREENED}{self.rule}",
            "flags": list(self.flags),
        }


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    action: Action
    reason: str
    expression: "rule_engine.Rule"

    def fires(self, names: Mapping[str, Any]) -> bool:
        """Whether it does, where the names mean this. Raises RulesError."""
        try:
            return bool(self.expression.matches(names))
        except Exception as error:  # Any: rule-engine lets Python's own errors pass.
            raise RulesError(f"rule {self.name}: {_message_of(error)}") from None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one file, in its order."""

    version: int
    lists: Lists
    rules: tuple[Rule, ...]

    def screen(self, facts: Facts) -> Screening:
        """Raises RulesError."""
        names = asdict(facts) | self.lists
        fired = [rule for rule in self.rules if rule.fires(names)]
        denying = [rule.name for rule in fired if rule.action == "deny"]
        flagging = tuple(rule.name for rule in fired if rule.action != "deny")
        return Screening(denying[0] if denying else None, flagging)

    @property
    def alarming(self) -> frozenset[str]:
        """The names of the rules that wake somebody."""
        return frozenset(rule.name for rule in self.rules if rule.action == "alarm")


@cache
def load_rules() -> Rules:
    """The rules that this was deployed with, for which `check_rules` found nothing wrong. Parsed once in a process."""
    return _parsed(json.loads(RULES_FILE.read_text()))


def check_rules(file: Path, validate: Callable[[str, Any], None]) -> Rules:
    """The rules of a file, if nothing is wrong with it that can be found without a payment.

    Each rule must have its shape and a name of its own, ask for facts and lists alone and suit their types, be true or
    false, and be computable whatever the facts are, within CHECKED_WITHIN_SECONDS. `validate(contract, instance)`
    checks shapes. To be called in a program's main thread. Raises RulesError.
    """
    try:
        document = strict_json.loads(file.read_bytes())
        validate("rules", document)
        for number, rule in enumerate(document["rules"], start=1):
            _check_shape(rule, number, validate)
        _check_names(document)
        rules = _parsed(document, _time_limit)
        for rule in rules.rules:
            with _time_limit():
                _check_everywhere(rule, rules.lists)
        return rules
    except OSError as error:
        raise RulesError(f"{file}: {error.strerror}.") from None
    except (ValueError, InvalidInput, RulesError) as error:
        raise RulesError(f"{file}: {error}") from None


def _parsed(document: dict[str, Any], limit: Callable[[], AbstractContextManager[None]] = nullcontext) -> Rules:
    import rule_engine

    facts = {name: rule_engine.DataType.from_type(kind) for name, kind in get_type_hints(Facts).items()}
    types = rule_engine.type_resolver_from_dict(facts | document["lists"])

    def parsed(name: str, when: str, action: Action, reason: str) -> Rule:
        context = rule_engine.Context(type_resolver=types, default_timezone="utc", mapping_attribute_lookup=False)
        try:
            with limit():
                expression = rule_engine.Rule(when, context)
        except Exception as error:  # As in `fires`: constant parts are computed here.
            raise RulesError(f"rule {name}: {_message_of(error)}") from None
        kind = expression.statement.expression.result_type
        if kind != rule_engine.DataType.BOOLEAN:
            raise RulesError(f"rule {name}: its expression is neither true nor false, but {kind.name}.")
        return Rule(name, action, reason, expression)

    return Rules(document["version"], document["lists"], tuple(parsed(**rule) for rule in document["rules"]))


def _check_shape(rule: dict[str, Any], number: int, validate: Callable[[str, Any], None]) -> None:
    try:
        validate("rule", rule)
    except InvalidInput as error:
        raise RulesError(f"rule {rule.get('name', number)}: {error}") from None


def _check_names(document: dict[str, Any]) -> None:
    for name in document["lists"].keys() & {field.name for field in fields(Facts)}:
        raise RulesError(f"list {name}: this is a fact's name.")
    for name, count in Counter(rule["name"] for rule in document["rules"]).items():
        if count > 1:
            raise RulesError(f"rule {name}: {count} rules have this name.")


def _check_everywhere(rule: Rule, lists: Lists) -> None:
    """Try the rule with every combination of the least and greatest values of the facts in it, and with long texts."""
    names = [field.name for field in fields(Facts) if field.name in rule.expression.context.symbols]
    ends = [[getattr(_LEAST, name), getattr(_MOST, name)] for name in names]
    combinations = [dict(zip(names, values, strict=True)) for values in product(*ends)]
    least = {name: getattr(_LEAST, name) for name in names}
    almost = [least | {name: text} for name in names for text in _ALMOST.get(name, [])]
    for facts in combinations + almost:
        try:
            rule.fires(facts | lists)
        except RulesError as error:
            raise RulesError(f"{error} (where {facts})") from None


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raise _TooSlow in whatever computes for too long. Regular expressions check for signals too while they match."""

    def stop(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, CHECKED_WITHIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _message_of(error: Exception) -> str:
    """rule-engine's own message, or the type of an error of Python's."""
    message = getattr(error, "message", type(error).__name__)
    suggestion = getattr(error, "suggestion", None)
    return f"{message}. Is it {suggestion}?" if suggestion else f"{message}."
