"""The repository's rules file, and mistakes in other rules files."""

import json
import signal
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from functions.screen.rules import RULES_FILE, Facts, Rules, RulesError, Screening, check_rules, load_rules
from functions.shared.adapters.currencies import minor_unit
from functions.shared.adapters.json_schema import validate
from functions.shared.adapters.table.velocity import EARLIER_BUCKETS, MAX_ELEMENTS
from tests.samples import TEST_CARDS
from tools.trials.rules import load_samples

SAMPLES = load_samples()
ORDINARY = SAMPLES[0].facts


# The currencies of a large gateway, without those that ISO 4217 has withdrawn since.
COMMON_CURRENCIES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CVE
CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JOD JPY KES KGS
KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD
OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TND TOP TRY TTD TWD
TZS UAH UGX USD UYU UZS VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW
"""


@pytest.fixture(scope="module")
def rules() -> Rules:
    return check_rules(RULES_FILE, validate)


class TestDefaults:
    def test_what_is_deployed_is_what_was_checked(self, rules: Rules) -> None:
        deployed = load_rules()
        assert (deployed.version, deployed.lists) == (rules.version, rules.lists)
        assert [rule.name for rule in deployed.rules] == [rule.name for rule in rules.rules]
        assert load_rules() is deployed

    @pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
    def test_a_sample_is_screened_as_it_says(self, rules: Rules, sample: Any) -> None:
        assert rules.screen(sample.facts) == sample.expected

    def test_every_rule_is_fired_by_a_sample_and_not_by_all(self, rules: Rules) -> None:
        for rule in rules.rules:
            fires = [rule.name in (sample.expected.rule, *sample.expected.flags) for sample in SAMPLES]
            assert set(fires) == {True, False}, rule.name

    @pytest.mark.parametrize("currency", ["USD", "EUR", "JPY", "KWD", "BHD", "TND", "ISK", "CLF", "UGX"])
    def test_a_currency_in_use_is_accepted_whatever_its_decimals(self, rules: Rules, currency: str) -> None:
        assert rules.screen(replace(ORDINARY, currency=currency)).action == "allow"

    @pytest.mark.parametrize("currency", ["KPW", "IRR", "SYP", "CUP", "XXX", "XTS", "XAU", "usd"])
    @pytest.mark.parametrize("test_card", [True, False])
    def test_another_is_not_whoever_pays(self, rules: Rules, currency: str, test_card: bool) -> None:
        screened = rules.screen(replace(ORDINARY, currency=currency, test_card=test_card))
        assert screened.rule == "currency_not_accepted"

    @pytest.mark.parametrize(
        ("fact", "most", "rule", "action"),
        [
            ("reference_cards_1h", 10, "reference_cards", "deny"),
            ("reference_declines_1h", 4, "reference_declines", "deny"),
            ("card_expiry_dates_1h", 4, "card_expiry_dates", "deny"),
            ("lookalike_cards_1h", 4, "lookalike_cards", "deny"),
            ("bin_cards_1h", 20, "bin_cards", "alarm"),
            ("bin_declines_1h", 10, "bin_declines", "alarm"),
            ("caller_cards_1h", 30, "caller_cards", "alarm"),
            ("caller_declines_1h", 15, "caller_declines", "alarm"),
        ],
    )
    def test_who_tries_cards_out_is_denied_or_flagged_above_a_limit_but_for_test_cards(
        self, rules: Rules, fact: str, most: int, rule: str, action: str
    ) -> None:
        at_most, above = (Facts(**asdict(ORDINARY) | {fact: count}) for count in (most, most + 1))
        assert rules.screen(at_most) == Screening()
        assert rules.screen(above) == (Screening(rule) if action == "deny" else Screening(None, (rule,)))
        assert rules.alarming >= ({rule} if action == "alarm" else set())
        assert rules.screen(replace(above, test_card=True)) == Screening()

    def test_no_limit_is_beyond_what_is_counted(self, rules: Rules) -> None:
        limits = rules.lists["card_testing_limits"]
        assert isinstance(limits, dict)
        assert max(limits.values()) < MAX_ELEMENTS * EARLIER_BUCKETS

    def test_every_accepted_currency_is_one_that_tokenize_takes_and_has_a_cap_near_ten_thousand_dollars(
        self, rules: Rules
    ) -> None:
        caps = rules.lists["amount_caps_minor"]
        assert isinstance(caps, dict)
        assert caps.keys() >= set(COMMON_CURRENCIES.split())
        assert [currency for currency in caps if minor_unit(currency) is None] == []
        # The rates of some currencies; the others are checked by their decimals.
        for currency, units_per_dollar in (("EUR", 0.9), ("JPY", 150), ("KWD", 0.3), ("CLF", 0.025), ("KRW", 1400)):
            dollars = caps[currency] / 10 ** (minor_unit(currency) or 0) / units_per_dollar
            assert 5_000 < dollars < 20_000, currency

    @pytest.mark.parametrize("pan", TEST_CARDS)
    @pytest.mark.parametrize("currency", ["USD", "KWD"])
    def test_a_test_card_pays_whatever_the_api_takes_however_often(self, rules: Rules, pan: str, currency: str) -> None:
        often = {field.name: 10**12 for field in fields(Facts) if field.name.endswith(("_1h", "_24h"))}
        brand = TEST_CARDS[pan]["brand"]
        paid = {"amount_minor": 999_999_999_999, "currency": currency, "brand": brand, "bin": pan[:6]}
        facts = Facts(**asdict(ORDINARY) | often | paid | {"test_card": True})
        assert rules.screen(facts) == Screening()

    @given(
        st.builds(
            Facts,
            operation=st.sampled_from(["charge", "store"]),
            amount_minor=st.integers(0, 999_999_999_999),
            currency=st.sampled_from([currency.code for currency in Currency] + ["XTS"]),
            hour=st.integers(0, 23),
            payments_1h=st.integers(1, 10**9),
            payments_24h=st.integers(1, 10**9),
            amount_minor_1h=st.integers(1, 10**15),
            amount_minor_24h=st.integers(1, 10**15),
        )
    )
    def test_there_are_no_facts_that_a_rule_can_not_compute(self, facts: Facts) -> None:
        assert load_rules().screen(facts).action in ("allow", "deny")


def rule(name: str = "one", **changes: Any) -> dict[str, Any]:
    return {"name": name, "when": "amount_minor > 100", "action": "deny", "reason": "It is too much."} | changes


def document(*rules: Any, **changes: Any) -> dict[str, Any]:
    lists = {"bins": ["424242"], "caps": {"USD": 100, "EUR": 90}, "nothing": [], "no_caps": {}}
    return {"version": 1, "lists": lists, "rules": list(rules)} | changes


@pytest.fixture
def checked(tmp_path: Path) -> Callable[[Any], Rules]:
    """Write a rules file and check it."""

    def check(content: Any) -> Rules:
        file = tmp_path / "rules.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return check_rules(file, validate)

    return check


class TestScreening:
    def test_the_first_rule_that_denies_is_reported_and_all_that_flag(self, checked: Callable[[Any], Rules]) -> None:
        rules = checked(
            document(
                rule("flag_before", action="flag"),
                rule("not_this", when="amount_minor < 100"),
                rule("first"),
                rule("second"),
                rule("no_flag", action="flag", when="hour > 12"),
                rule("flag_after", action="alarm"),
            )
        )
        assert rules.screen(ORDINARY) == Screening("first", ("flag_before", "flag_after"))
        assert rules.alarming == {"flag_after"}
        assert rules.screen(replace(ORDINARY, amount_minor=100)) == Screening()

    def test_the_file_decides_which_is_first(self, checked: Callable[[Any], Rules]) -> None:
        rules = [rule("one"), rule("two")]
        assert checked(document(*rules)).screen(ORDINARY).rule == "one"
        assert checked(document(*reversed(rules))).screen(ORDINARY).rule == "two"

    def test_a_guess_is_what_a_rule_denies_because_of_the_cards_that_look_alike(
        self, checked: Callable[[Any], Rules]
    ) -> None:
        when = "not test_card and lookalike_cards_1h > 4"
        rules, alarms = (checked(document(rule(when=when, action=action))) for action in ("deny", "alarm"))
        guess = {"test_card": False, "lookalike_cards_1h": 5}
        assert not rules.admits(guess)
        assert rules.admits(guess | {"lookalike_cards_1h": 4})
        assert rules.admits(guess | {"test_card": True})
        assert alarms.admits(guess)

    def test_no_rules_allow_everything(self, checked: Callable[[Any], Rules]) -> None:
        assert checked(document()).screen(ORDINARY) == Screening()

    @pytest.mark.parametrize(
        "when",
        [
            "bin in bins",
            "bin not in nothing",
            "currency not in no_caps",
            'currency == "USD" and brand in ["visa", "amex"]',
            "currency in caps and amount_minor > caps[currency]",
            "amount_minor > (caps&[currency] ?? 5)",
            'fingerprint =~ "^fp_"',
            "hour >= 9 and hour < 17",
            "amount_minor_24h / payments_24h > 100 # on average",
            "test_card or not test_card",
            "test_card ? false : true",
        ],
    )
    def test_an_expression_may_ask_for_facts_and_lists(self, checked: Callable[[Any], Rules], when: str) -> None:
        ordinary = replace(ORDINARY, bin="424242")
        assert checked(document(rule("this", when=when))).screen(ordinary).rule == "this"

    def test_what_can_not_be_computed_names_the_rule_and_not_the_facts(self, checked: Callable[[Any], Rules]) -> None:
        rules = checked(document(rule("by_ten", when="amount_minor / (hour - 10) > 1")))
        with pytest.raises(RulesError) as error:
            rules.screen(replace(ORDINARY, hour=10, amount_minor=31337))
        assert str(error.value) == "rule by_ten: arithmetic error: division by zero."


class TestTime:
    @pytest.mark.parametrize(
        "when",
        [
            f'"{"a" * 40}!" =~ "^(a+)+$"',  # a constant, evaluated while the rule is parsed
            'fingerprint =~ "fp_(b|b)*$"',
            'fingerprint =~ "^fp_([a-z]+)*$"',
            'fingerprint =~~ "(7|77)+$" or fingerprint =~ "^fp_(c|cc)+$"',
        ],
    )
    def test_a_rule_whose_regular_expression_backtracks_is_refused_by_its_name(
        self, checked: Callable[[Any], Rules], monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        monkeypatch.setattr("functions.screen.rules.CHECK_TIMEOUT_SECONDS", 0.3)
        with pytest.raises(RulesError, match="rule endless: it is not done within its time"):
            checked(document(rule("fine"), rule("endless", when=when)))

    def test_a_rule_that_is_quick_leaves_no_alarm_behind(self, checked: Callable[[Any], Rules]) -> None:
        checked(document(rule(when='fingerprint =~ "^fp_a+$"')))
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL


class TestMistakes:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "Expecting value"),
            ("{", "Expecting property name"),
            ("[]", "the input breaks the contract: type 'object'."),
            ({"version": 1, "rules": []}, "Missing lists."),
            (document(version=0), "version breaks the contract: minimum 1."),
            (document(version="1"), "version breaks the contract: type 'integer'."),
            (document(comment="more"), "the input has a field that the contract does not know."),
            (document(lists={"Bins": []}), "lists has a field that the contract does not know."),
            (document(lists={"bins": [424242]}), "lists/bins/0 breaks the contract: type 'string'."),
            (document(lists={"bins": ["424242", "424242"]}), "lists/bins breaks the contract: uniqueItems True."),
            (document(lists={"caps": {"USD": "100"}}), "lists/caps/USD breaks the contract: type 'integer'."),
            (document(lists={"bins": "424242"}), "lists/bins breaks the contract: type ['array', 'object']."),
            (document(lists={"hour": []}), "list hour: this is a fact's name."),
            ('{"version": 1, "lists": {"caps": {"USD": 1, "USD": 2}}, "rules": []}', "USD is there 2 times."),
            (document(["rule"]), "rules/0 breaks the contract: type 'object'."),
        ],
    )
    def test_a_file_of_another_shape_is_refused(
        self, checked: Callable[[Any], Rules], tmp_path: Path, content: Any, message: str
    ) -> None:
        with pytest.raises(RulesError) as refused:
            checked(content)
        assert str(refused.value).startswith(f"{tmp_path / 'rules.json'}: {message}")

    @pytest.mark.parametrize(
        ("mistake", "message"),
        [
            ({"when": "amount_minor > "}, "syntax error at: EOF."),
            ({"when": "amount_minor = 100"}, "syntax error (illegal character '=') at: line 1:13."),
            ({"when": ""}, "syntax error at: EOF."),
            ({"when": 'brand =~ "("'}, "invalid regular expression."),
            ({"when": "amount > 100"}, "unknown symbol: 'amount'. Is it amount_minor?"),
            ({"when": "card_number > 100"}, "unknown symbol: 'card_number'."),
            ({"when": "$secrets == 1"}, "unknown symbol: 'secrets'."),
            ({"when": "currency > 100"}, "data type mismatch."),
            ({"when": "amount_minor + currency > 100"}, "data type mismatch."),
            ({"when": "test_card > 0"}, "data type mismatch."),
            ({"when": "caps.USD > 1"}, "attribute access on a MAPPING is disabled"),
            ({"when": "caps[amount_minor] > 1"}, "lookup operation failed."),
            ({"when": "brand.legth > 1"}, "unknown attribute: 'legth'. Is it length?"),
            ({"when": "amount_minor"}, "its expression is neither true nor false, but FLOAT."),
            ({"when": "test_card ? 1 : false"}, "its expression is neither true nor false, but UNDEFINED."),
            ({"when": "1 / 0 > 1"}, "arithmetic error: division by zero."),
            (
                {"when": "amount_minor > caps[currency]"},
                "lookup operation failed. (where {'amount_minor': 0, 'currency': 'XXX'})",
            ),
            (
                {"when": "amount_minor > caps&[currency]"},
                "data type mismatch. (where {'amount_minor': 0, 'currency': 'XXX'})",
            ),
            (
                {"when": "not test_card and (1 + amount_minor) / (payments_1h - 1) > 100"},
                "arithmetic error: division by zero. (where {'amount_minor': 0, 'test_card': False, 'payments_1h': 1})",
            ),
            ({"when": "9e999999 + 9e999999 > hour"}, "Overflow."),
            ({"when": "9e999999 + hour + 9e999999 > 1"}, "Overflow. (where {'hour': 0})"),
            ({"when": 1}, "when breaks the contract: type 'string'."),
            ({"action": "refuse"}, "action breaks the contract: enum ['deny', 'challenge', 'flag', 'alarm']."),
            ({"reason": ""}, "reason breaks the contract: pattern"),
            ({"name": "A-B"}, "name breaks the contract: pattern"),
            ({"priority": 1}, "the input has a field that the contract does not know."),
        ],
        ids=str,
    )
    def test_a_mistake_in_a_rule_is_reported_with_its_name(
        self, checked: Callable[[Any], Rules], mistake: dict[str, Any], message: str
    ) -> None:
        wrong = rule("wrong") | mistake
        with pytest.raises(RulesError) as refused:
            checked(document(rule("right"), wrong))
        assert f"rules.json: rule {wrong['name']}: {message}" in str(refused.value)

    @pytest.mark.parametrize(
        "fact",
        [
            *("payments_1h", "payments_24h", "amount_minor_1h", "amount_minor_24h", "card_expiry_dates_1h"),
            *("reference_cards_1h", "bin_cards_1h", "caller_cards_1h", "fingerprint"),
        ],
    )
    def test_what_denies_by_the_cards_number_comes_after_what_limits_guesses_of_it(
        self, checked: Callable[[Any], Rules], fact: str
    ) -> None:
        when = 'fingerprint == "fp_a"' if fact == "fingerprint" else f"{fact} > 3"
        limit, by_number = rule("guesses", when="lookalike_cards_1h > 4"), rule("by_number", when=when)
        other_limit = rule("others", when="lookalike_cards_1h > 8")
        for rules in ([by_number, limit], [other_limit, by_number, rule(), limit]):
            with pytest.raises(RulesError, match=f"rule by_number: only a rule after guesses may deny by {fact}"):
                checked(document(*rules))
        both = rule("both", when=f"{when} and lookalike_cards_1h > 4")
        with pytest.raises(RulesError, match=f"rule both: only a rule after both may deny by {fact}"):
            checked(document(both))
        accepted = [
            [rule(), limit, by_number],
            [by_number | {"action": "flag"}, by_number | {"name": "challenges", "action": "challenge"}, limit],
            [by_number, limit | {"action": "alarm"}, both | {"action": "flag"}],
        ]
        assert [len(checked(document(*rules)).rules) for rules in accepted] == [3, 3, 3]

    @pytest.mark.parametrize("missing", ["when", "action", "reason"])
    def test_what_is_missing_is_reported_with_the_rules_name(
        self, checked: Callable[[Any], Rules], missing: str
    ) -> None:
        with pytest.raises(RulesError, match=rf"rule one: Missing {missing}\.$"):
            checked(document({field: value for field, value in rule().items() if field != missing}))

    def test_a_rule_without_a_name_is_known_by_its_number(self, checked: Callable[[Any], Rules]) -> None:
        nameless = {field: value for field, value in rule().items() if field != "name"}
        with pytest.raises(RulesError, match=r"rule 2: Missing name\.$"):
            checked(document(rule(), nameless))

    def test_a_name_is_one_rules_alone(self, checked: Callable[[Any], Rules]) -> None:
        with pytest.raises(RulesError, match=r"rule one: 2 rules have this name\.$"):
            checked(document(rule(), rule("two"), rule(when="hour > 1")))

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(RulesError, match=r"nowhere\.json: No such file or directory\.$"):
            check_rules(tmp_path / "nowhere.json", validate)

    def test_bytes_that_are_no_text_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "rules.json").write_bytes(b"\xff\xfe{}")
        with pytest.raises(RulesError, match="decode"):
            check_rules(tmp_path / "rules.json", validate)
