"""The screening rules for payments, which are data: rules.json.

A rule fires if its expression `when` is true. Expressions use the language of rule-engine, and refer to the payment's
`Facts` and the file's `lists` by name. Every rule is evaluated for every payment, independently of the others.

The order matters for denials, as the caller sees the name of the first. Rules that deny by `lookalike_cards_1h` limit
the guesses of a card's number, and come before all that deny by what is known of the number: otherwise the name would
tell the right guess from wrong ones. What they deny is not counted by its number either.
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
from functions.shared.domain.payment import NO_CURRENCY, SCREENED_PREFIX
from functions.shared.ports import Velocity

if TYPE_CHECKING:
    import rule_engine

RULES_FILE = Path(__file__).with_name("rules.json")

Lists = dict[str, list[str] | dict[str, int]]

Action = Literal["deny", "challenge", "flag", "alarm"]
"""`deny` declines the payment, `challenge` has the customer authenticated, `flag` marks the payment and lets it
proceed, and `alarm` also alerts a person."""


class RulesError(Exception):
    """A rules file is invalid, or a rule can't be evaluated. The message names the rule and the fault."""


class _TimeLimitExceeded(Exception):
    message = "it is not done within its time"


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that a rule can use about a payment, or about a card that is only to be stored.

    Amounts are in the currency's minor unit. For a card that is only stored, the amount is 0 and the currency XXX.

    Counts cover the last hour or day and include this payment. Those of the card are its payments and requests to store
    it, denied ones included, their amounts in the same currency, and its expiry dates. `lookalike_cards` have the same
    first six and last four digits. A reference, a BIN and a caller each have a count of the cards used with it and of
    the payments that the gateway declined; if the reference or the caller is missing, its counts are 0.
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


# The facts that are known only once the card is counted by its number.
_KNOWN_BY_NUMBER = frozenset({"fingerprint"} | {field.name for field in fields(Velocity)} - {"lookalike_cards_1h"})

# Every rule is tested with each fact's least and greatest value. No list contains the currency NO_CURRENCY.
_MIN_FACTS = Facts("store", 0, "USD", "visa", "400000", "fp_" + 52 * "a", 0, False, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0)
_MAX_FACTS = Facts(
    "charge", 10**12 - 1, NO_CURRENCY, "unknown", "999999", "fp_" + 52 * "7", 23, True, 10**6, 10**6, 10**18, 10**18,
    *8 * [10**6],
)  # fmt: skip

# Texts that match a regular expression except at their end, on which a backtracking expression takes for ever.
_NEAR_MATCHES = {
    "currency": ["AAB"],
    "brand": ["a" * 31 + "_"],
    "bin": ["000001"],
    "fingerprint": [f"fp_{51 * letter}{end}" for letter in string.ascii_lowercase + "234567" for end in "z2"],
}

CHECK_TIMEOUT_SECONDS = 2
"""A rule is refused if parsing it, or evaluating all of its test values, takes more CPU time."""


@dataclass(frozen=True, slots=True)
class Screening:
    """The verdict on a payment, as names of rules: the first that denies it, or None, all that flag it, and all that
    have its customer challenged."""

    rule: str | None = None
    flags: tuple[str, ...] = ()
    challenges: tuple[str, ...] = ()

    @property
    def action(self) -> Literal["allow", "deny"]:
        return "deny" if self.rule else "allow"

    def to_dict(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "rule": self.rule,
            "decline_code": self.rule and f"{SCREENED_PREFIX}{self.rule}",
            "flags": list(self.flags),
            "challenges": list(self.challenges),
        }


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    action: Action
    reason: str
    expression: "rule_engine.Rule"

    @property
    def symbols(self) -> frozenset[str]:
        """The names of the facts and lists that the rule uses."""
        return frozenset(self.expression.context.symbols)

    @property
    def limits_guesses(self) -> bool:
        """Whether it denies cards because others look like them, as if somebody tried out the digits between."""
        return self.action == "deny" and "lookalike_cards_1h" in self.symbols

    def fires(self, names: Mapping[str, Any]) -> bool:
        """Whether the rule fires for these values of the names. Raises RulesError."""
        try:
            return bool(self.expression.matches(names))
        except Exception as error:  # rule-engine does not catch Python's own errors
            raise RulesError(f"rule {self.name}: {_error_message(error)}") from None


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

        def named(*actions: Action) -> tuple[str, ...]:
            return tuple(rule.name for rule in fired if rule.action in actions)

        return Screening(next(iter(named("deny")), None), named("flag", "alarm"), named("challenge"))

    def admits(self, facts: Mapping[str, Any]) -> bool:
        """Whether no rule that limits guesses fires. `facts` are those that such a rule may use: all that are known
        before the card is counted by its number. Raises RulesError."""
        names = {**facts, **self.lists}
        return not any(rule.fires(names) for rule in self.rules if rule.limits_guesses)

    @property
    def alarming(self) -> frozenset[str]:
        """The names of the rules that alert a person."""
        return frozenset(rule.name for rule in self.rules if rule.action == "alarm")


@cache
def load_rules() -> Rules:
    """The deployed rules, which `check_rules` has accepted. Each process parses them once."""
    return _parse(json.loads(RULES_FILE.read_text()))


def check_rules(file: Path, validate: Callable[[str, Any], None]) -> Rules:
    """Load a rules file and check everything that can be checked without a payment.

    Each rule must match its contract and have a unique name. Its expression may use only facts and lists, according to
    their types, must be true or false, and must be computable for all facts within CHECK_TIMEOUT_SECONDS. Rules that
    deny by what is known of a card's number must come after those that limit guesses of it. `validate(contract,
    instance)` checks contracts. Call this function in the main thread. Raises RulesError.
    """
    try:
        document = strict_json.loads(file.read_bytes())
        validate("rules", document)
        for number, rule in enumerate(document["rules"], start=1):
            _check_shape(rule, number, validate)
        _check_names(document)
        rules = _parse(document, _time_limit)
        _check_order(rules)
        for rule in rules.rules:
            with _time_limit():
                _check_extremes(rule, rules.lists)
        return rules
    except OSError as error:
        raise RulesError(f"{file}: {error.strerror}.") from None
    except (ValueError, InvalidInput, RulesError) as error:
        raise RulesError(f"{file}: {error}") from None


def _parse(document: dict[str, Any], limit: Callable[[], AbstractContextManager[None]] = nullcontext) -> Rules:
    import rule_engine

    facts = {name: rule_engine.DataType.from_type(kind) for name, kind in get_type_hints(Facts).items()}
    types = rule_engine.type_resolver_from_dict(facts | document["lists"])

    def parse_rule(name: str, when: str, action: Action, reason: str) -> Rule:
        context = rule_engine.Context(type_resolver=types, default_timezone="utc", mapping_attribute_lookup=False)
        try:
            with limit():
                expression = rule_engine.Rule(when, context)
        except Exception as error:  # as in `fires`, because parsing computes the constant parts
            raise RulesError(f"rule {name}: {_error_message(error)}") from None
        kind = expression.statement.expression.result_type
        if kind != rule_engine.DataType.BOOLEAN:
            raise RulesError(f"rule {name}: its expression is neither true nor false, but {kind.name}.")
        return Rule(name, action, reason, expression)

    return Rules(document["version"], document["lists"], tuple(parse_rule(**rule) for rule in document["rules"]))


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


def _check_order(rules: Rules) -> None:
    """No rule up to the last that limits guesses may deny by what is known of a card's number."""
    denying = [rule for rule in rules.rules if rule.action == "deny"]
    for position, limit in enumerate(denying, start=1):
        for rule in denying[:position] if limit.limits_guesses else ():
            for fact in sorted(rule.symbols & _KNOWN_BY_NUMBER):
                raise RulesError(
                    f"rule {rule.name}: only a rule after {limit.name} may deny by {fact}. {limit.name} limits guesses "
                    "of a card's number, and a rule before it would tell which one is right."
                )


def _check_extremes(rule: Rule, lists: Lists) -> None:
    """Evaluate the rule for every combination of the least and greatest values of its facts, and for long texts."""
    names = [field.name for field in fields(Facts) if field.name in rule.symbols]
    extremes = [[getattr(_MIN_FACTS, name), getattr(_MAX_FACTS, name)] for name in names]
    combinations = [dict(zip(names, values, strict=True)) for values in product(*extremes)]
    minimums = {name: getattr(_MIN_FACTS, name) for name in names}
    near_matches = [minimums | {name: text} for name in names for text in _NEAR_MATCHES.get(name, [])]
    for facts in combinations + near_matches:
        try:
            rule.fires(facts | lists)
        except RulesError as error:
            raise RulesError(f"{error} (where {facts})") from None


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raise _TimeLimitExceeded in a computation that takes too long, even in a regular expression, which checks for
    signals.
    """

    def stop(*_: object) -> None:
        raise _TimeLimitExceeded

    previous_handler = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, CHECK_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous_handler)


def _error_message(error: Exception) -> str:
    """The message of an error of rule-engine's, or the type of another error."""
    message = getattr(error, "message", type(error).__name__)
    suggestion = getattr(error, "suggestion", None)
    return f"{message}. Is it {suggestion}?" if suggestion else f"{message}."
