"""The models say what AWS would say, and know what they don't know."""

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from tests.simulation.clock import Clock
from tests.simulation.lambdas import Functions
from tests.simulation.network import Fate, Lost, Network, Refused, Unknown, Weather
from tests.simulation.states import Execution, Machines
from tests.simulation.table import Table

ITEM = {"pk": {"S": "a"}, "sk": {"S": "b"}, "version": {"N": "9"}}


def ignore(*_: object) -> None: ...


def write(condition: str, there: list[dict[str, Any]], **values: dict[str, str]) -> bool:
    """Whether a put with this condition is done."""
    table = Table(ignore)
    assert table.put_all([{"Item": item} for item in there]) == [True] * len(there)
    put = {"Item": ITEM, "ConditionExpression": condition}
    return table.put_all([put | {"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}}])[
        0
    ]


class TestTable:
    @pytest.mark.parametrize(
        ("condition", "of_an_item", "of_none"),
        [
            ("attribute_not_exists(pk)", False, True),
            ("attribute_exists(pk)", True, False),
            ("version = :v", False, False),
            ("version < :v", True, False),  # as numbers: as text, 9 is more than 10
            ("attribute_not_exists(pk) OR version <= :v", True, True),
            ("attribute_exists(pk) AND (version = :v OR version < :v)", True, False),
            ("other = :v", False, False),
        ],
    )
    def test_conditions_hold_as_in_dynamodb(self, condition: str, of_an_item: bool, of_none: bool) -> None:
        assert write(condition, [ITEM], v={"N": "10"}) is of_an_item
        assert write(condition, [], v={"N": "10"}) is of_none

    @pytest.mark.parametrize(
        "condition", ["begins_with(pk, :v)", "version", "version = 10", "version = :v AND", "pk = :v +", "(pk = :v"]
    )
    def test_a_condition_that_is_not_known_is_an_error(self, condition: str) -> None:
        with pytest.raises(Unknown):
            write(condition, [ITEM], v={"N": "10"})

    def test_of_a_transaction_nothing_is_written_if_one_condition_fails(self) -> None:
        table = Table(ignore)
        table.put_all([{"Item": ITEM}])
        other = {"Item": ITEM | {"sk": {"S": "c"}}, "ConditionExpression": "attribute_not_exists(pk)"}
        assert table.put_all([other, {"Item": ITEM, "ConditionExpression": "attribute_not_exists(pk)"}]) == [
            True,
            False,
        ]
        assert table.of("a") == [ITEM]


class TestNetwork:
    @pytest.mark.parametrize(
        ("fate", "learns", "deeds"),
        [
            ("fine", "done", 1),
            ("request_lost", "Lost", 0),
            ("answer_lost", "Lost", 1),
            ("late", "Lost", 1),
            ("twice", "done", 2),
            ("refused", "Refused", 0),
        ],
    )
    def test_what_is_done_and_what_is_learned_of_it(self, fate: Fate, learns: str, deeds: int) -> None:
        clock = Clock(datetime(2026, 11, 23, tzinfo=UTC))
        network = Network(clock, Random(1), Weather(clock.seconds + 1, {fate: 1}), ignore)  # noqa: S311
        done, learned = list[float](), list[str]()

        def deed() -> str:
            done.append(clock.seconds)
            return "done"

        def ask() -> None:
            try:
                learned.append(network.ask("sparkle", "a question", deed, 8))
            except (Lost, Refused) as error:
                learned.append(type(error).__name__)

        clock.start(ask)
        assert clock.run(days=2)
        assert (learned, len(done)) == ([learns], deeds)


class TestStates:
    @pytest.mark.parametrize(
        "state",
        [
            {"Type": "Map"},
            {"Type": "Pass", "InputPath": "$.a", "Next": "X"},
            {"Type": "Pass", "Parameters": {"a.$": "States.UUID()"}, "Next": "X"},
            {"Type": "Choice", "Choices": [{"Variable": "$.a", "StringMatches": "*", "Next": "X"}], "Default": "X"},
        ],
    )
    def test_what_is_not_known_is_an_error(self, state: dict[str, Any]) -> None:
        clock = Clock(datetime(2026, 11, 23, tzinfo=UTC))
        network = Network(clock, Random(1), Weather(0, {}), ignore)  # noqa: S311
        functions = Functions(clock, network, Random(1), ignore, ignore)  # noqa: S311
        definition = {"StartAt": "X", "States": {"X": state}}
        Execution(Machines(clock, functions, Random(1), ignore, ignore), "m", definition, "n", {"a": "b"})  # noqa: S311
        with pytest.raises((Unknown, KeyError)):
            clock.run(days=1)
