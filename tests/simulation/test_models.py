"""The models answer as AWS would, and refuse what they don't support."""

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from tests.samples import CHALLENGED_PAN, PAN
from tests.simulation.clock import Clock
from tests.simulation.gateway import Book, GatewaySession
from tests.simulation.lambdas import Functions, Reply
from tests.simulation.network import Fate, Lost, Network, Refused, Unknown, Weather
from tests.simulation.states import Execution, Machines
from tests.simulation.table import ConditionalCheckFailed, Table, TableClient
from tools.local.sparkle.charges import Card
from tools.local.sparkle.errors import InvalidState

ITEM: dict[str, Any] = {"pk": {"S": "PAYMENT#a"}, "sk": {"S": "b"}, "version": {"N": "9"}, "seen": {"BS": [b"1", b"2"]}}


def ignore(*_: object) -> None: ...


def write(condition: str, existing: list[dict[str, Any]], **values: dict[str, Any]) -> bool:
    """Whether a put with this condition is carried out."""
    table = Table(ignore)
    assert table.write_all([{"Item": item} for item in existing]) == [True] * len(existing)
    expression_values = {"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}}
    [holds] = table.write_all([{"Item": ITEM, "ConditionExpression": condition} | expression_values])
    return holds


class TestTable:
    @pytest.mark.parametrize(
        ("condition", "of_an_item", "of_none"),
        [
            ("attribute_not_exists(pk)", False, True),
            ("attribute_exists(pk)", True, False),
            ("version = :v", False, False),
            ("version < :v", True, False),  # compared as numbers: as text, 9 is greater than 10
            ("attribute_not_exists(pk) OR version <= :v", True, True),
            ("attribute_exists(pk) AND (version = :v OR version < :v)", True, False),
            ("other = :v", False, False),
            ("NOT attribute_exists(pk)", False, True),
            ("NOT contains(seen, :this)", False, True),
            ("NOT contains(seen, :other)", True, True),
            ("size(seen) < :v", True, False),
            ("attribute_not_exists(seen) OR size(seen) >= :v", False, True),
        ],
    )
    def test_conditions_hold_as_in_dynamodb(self, condition: str, of_an_item: bool, of_none: bool) -> None:
        values: dict[str, Any] = {"v": {"N": "10"}, "this": {"B": b"1"}, "other": {"B": b"3"}}
        assert write(condition, [ITEM], **values) is of_an_item
        assert write(condition, [], **values) is of_none

    @pytest.mark.parametrize(
        "condition", ["begins_with(pk, :v)", "version", "version = 10", "version = :v AND", "pk = :v +", "(pk = :v"]
    )
    def test_an_unknown_condition_is_an_error(self, condition: str) -> None:
        with pytest.raises(Unknown):
            write(condition, [ITEM], v={"N": "10"})

    def test_a_transaction_writes_nothing_if_one_condition_fails(self) -> None:
        table = Table(ignore)
        table.write_all([{"Item": ITEM}])
        other = {"Item": ITEM | {"sk": {"S": "c"}}, "ConditionExpression": "attribute_not_exists(pk)"}
        assert table.write_all([other, {"Item": ITEM, "ConditionExpression": "attribute_not_exists(pk)"}]) == [
            True,
            False,
        ]
        assert table.of("PAYMENT#a") == [ITEM]

    def test_a_transaction_is_seen_in_parts_until_its_writer_has_the_answer(self) -> None:
        seconds, seen = 0.0, set()
        for n in range(50):
            table = Table(ignore, lambda: seconds, Random(n))  # noqa: S311
            writes = [{"Item": ITEM | {"sk": {"S": sk}}} for sk in "abc"]
            keys = [("PAYMENT#a", sk) for sk in "abc"]
            assert table.transact(writes) == ["None"] * 3
            seen.add(now := "".join(item["sk"]["S"] for item in table.seen(keys)))
            assert [table.hides(key) for key in keys] == [sk not in now for sk in "abc"]
            # What is not seen yet is still in the transaction.
            codes = ["None" if sk in now else "TransactionConflict" for sk in "abc"]
            assert table.transact(writes) == (codes if now != "abc" else ["None"] * 3)
            table.show(writes)
            assert len(table.seen(keys)) == 3
        assert {"", "b", "ac", "abc"} <= seen

    def test_all_of_a_transaction_is_seen_in_the_end(self) -> None:
        seconds = 0.0
        table = Table(ignore, lambda: seconds, Random(1))  # noqa: S311
        assert table.transact([{"Item": ITEM}, {"Item": ITEM | {"sk": {"S": "c"}}}]) == ["None", "None"]
        seconds = 11
        assert len(table.seen([("PAYMENT#a", "b"), ("PAYMENT#a", "c")])) == 2

    def test_an_index_has_a_write_later_than_the_table(self) -> None:
        seconds = 0.0
        table = Table(ignore, lambda: seconds, Random(1))  # noqa: S311
        changed = ITEM | {"version": {"N": "10"}}
        for item, before, after in ((ITEM, [], [ITEM]), (changed, [ITEM], [changed])):
            assert table.write_all([{"Item": item}]) == [True]
            assert table.indexed() == before
            seconds += 11
            assert table.indexed() == after
        assert table.delete({"Key": {name: ITEM[name] for name in ("pk", "sk")}})
        assert table.indexed() == [changed]

    def test_an_update_adds_to_an_item_or_creates_it(self) -> None:
        table = Table(ignore)
        key = {"pk": {"S": "PAYMENT#a"}, "sk": {"S": "b"}}
        update = {
            "Key": key,
            "UpdateExpression": "SET until = :until ADD version :one, #count :one, seen :these",
            "ConditionExpression": "NOT contains(seen, :this)",
            "ExpressionAttributeNames": {"#count": "USD"},
            "ExpressionAttributeValues": {
                ":one": {"N": "1"},
                ":these": {"BS": [b"3"]},
                ":this": {"B": b"3"},
                ":until": {"N": "7"},
            },
        }
        added = {"USD": {"N": "1"}, "until": {"N": "7"}}
        assert [table.update(update)[0], table.update(update)[0]] == [True, False]
        assert table.of("PAYMENT#a") == [key | added | {"version": {"N": "1"}, "seen": {"BS": [b"3"]}}]
        table.write_all([{"Item": ITEM}])
        assert table.update(update)[0]
        assert table.of("PAYMENT#a") == [ITEM | added | {"version": {"N": "10"}, "seen": {"BS": [b"1", b"2", b"3"]}}]

    def test_an_update_returns_the_new_item_and_a_refused_one_the_existing_item(self) -> None:
        clock, table, returned = Clock(datetime(2026, 11, 23, tzinfo=UTC)), Table(ignore), list[Any]()
        client = TableClient(table, Network(clock, Random(1), Weather(0, {}), ignore))  # noqa: S311
        key = {"pk": {"S": "PAYMENT#a"}, "sk": {"S": "b"}}

        def update() -> None:
            answer = client.update_item(
                TableName="ledger",
                Key=key,
                UpdateExpression="SET until = :until ADD #held :these",
                ConditionExpression="attribute_not_exists(#held) OR size(#held) < :most",
                ExpressionAttributeNames={"#held": "seen"},
                ExpressionAttributeValues={":until": {"N": "1"}, ":these": {"BS": [b"1"]}, ":most": {"N": "1"}},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
            returned.append(answer["Attributes"])
            with pytest.raises(ConditionalCheckFailed) as refused:
                update()
            returned.append(refused.value.response["Item"])  # type: ignore[typeddict-item]

        clock.start(update)
        clock.run(1)
        assert returned == 2 * [key | {"until": {"N": "1"}, "seen": {"BS": [b"1"]}}]

    @pytest.mark.parametrize(
        "expression", ["DELETE a :v", "SET a = b", "SET a = a + :v", "REMOVE a[0]", "SET b = if_not_exists(a, :v)"]
    )
    def test_an_unknown_update_is_an_error(self, expression: str) -> None:
        update = {"Key": ITEM, "UpdateExpression": expression, "ExpressionAttributeValues": {":v": {"N": "1"}}}
        with pytest.raises(Unknown):
            Table(ignore).update(update)

    def test_an_update_keeps_or_removes_what_is_there(self) -> None:
        table, key = Table(ignore), {"payment_id": {"S": "pay-1"}}
        update = {
            "Key": key,
            "UpdateExpression": "REMOVE card, code SET ended = if_not_exists(ended, :at), until = :at",
            "ExpressionAttributeValues": {":at": {"N": "2"}},
        }
        table.items["pay-1", "EPHEMERAL"] = key | {"card": {"B": b"1"}, "ended": {"N": "1"}}
        assert table.update(update)[0]
        assert table.items["pay-1", "EPHEMERAL"] == key | {"ended": {"N": "1"}, "until": {"N": "2"}}

    def test_a_deletion_is_conditional_too(self) -> None:
        table = Table(ignore)
        table.write_all([{"Item": ITEM}])
        delete = {"Key": {"pk": ITEM["pk"], "sk": ITEM["sk"]}, "ConditionExpression": "attribute_exists(pk)"}
        assert [table.delete(delete), table.delete(delete)] == [True, False]
        assert table.items == {}

    def test_a_projection_reads_only_the_requested_attributes(self) -> None:
        clock, table, read = Clock(datetime(2026, 11, 23, tzinfo=UTC)), Table(ignore), list[Any]()
        table.write_all([{"Item": ITEM}])
        client = TableClient(table, Network(clock, Random(1), Weather(0, {}), ignore))  # noqa: S311
        projection = {
            "ProjectionExpression": "sk, #v, #x",
            "ExpressionAttributeNames": {"#v": "version", "#x": "other"},
        }
        key = {"pk": ITEM["pk"], "sk": ITEM["sk"]}
        clock.start(lambda: read.append(client.get_item(TableName="ledger", Key=key, **projection)))
        assert clock.run(days=1)
        assert read == [{"Item": {"sk": {"S": "b"}, "version": {"N": "9"}}}]


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
    def test_each_fate_of_a_request_has_its_effect_and_answer(self, fate: Fate, learns: str, deeds: int) -> None:
        clock = Clock(datetime(2026, 11, 23, tzinfo=UTC))
        network = Network(clock, Random(1), Weather(clock.seconds + 1, {fate: 1}), ignore)  # noqa: S311
        done_at, learned = list[float](), list[str]()

        def deed() -> str:
            done_at.append(clock.seconds)
            return "done"

        def ask() -> None:
            try:
                learned.append(network.ask("sparkle", "a question", deed, 8))
            except (Lost, Refused) as error:
                learned.append(type(error).__name__)

        clock.start(ask)
        assert clock.run(days=2)
        assert (learned, len(done_at)) == ([learns], deeds)

    def test_failures_of_one_service_leave_the_others_alone(self) -> None:
        weather = Weather(1, {"refused": 1}, where="lambda")
        fates = [weather.fate(service, "a question", 0, Random(1)) for service in ("lambda", "sparkle")]  # noqa: S311
        assert fates == ["refused", "fine"]


class TestGateway:
    @pytest.mark.parametrize(
        ("keeps_references", "second_key", "answered", "refunds"),
        [(True, "a", [201, 409], 1), (False, "a", [201, 201], 1), (False, "b", [201, 201], 2)],
        ids=["a key is forgotten, and the reference known", "a key is known", "a reference is not known"],
    )
    def test_it_recognizes_a_repeated_request_by_key_or_by_reference(
        self, keeps_references: bool, second_key: str, answered: list[int], refunds: int
    ) -> None:
        clock = Clock(datetime(2026, 11, 23, tzinfo=UTC))
        book = Book(clock.now, {}, set(), keeps_references=keeps_references)
        charge = book.charge("a payment", 1999, "USD", Card.from_number(PAN))
        network = Network(clock, Random(1), Weather(0, {}), ignore)  # noqa: S311
        session, statuses = GatewaySession(book, clock, network, Random(1)), list[int]()  # noqa: S311

        def refund(key: str) -> None:
            url = f"https://sparkle.test/v1/charges/{charge.id}/refunds"
            body = {"amount_minor": 500, "refund_reference": "a refund"}
            answer = session.request("POST", url, headers={"Idempotency-Key": key}, timeout=(3, 8), json=body)
            statuses.append(answer.status_code)

        def ask_twice() -> None:
            refund("a")
            clock.sleep(2 * 86_400)
            refund(second_key)

        clock.start(ask_twice)
        assert clock.run(days=4)
        assert (statuses, len(book.get(charge.id).refunds)) == (answered, refunds)

    @pytest.mark.parametrize(("passed", "ended"), [(False, "declined"), (True, "captured")])
    def test_a_challenge_that_is_canceled_can_t_be_passed_and_one_that_was_passed_not_canceled(
        self, passed: bool, ended: str
    ) -> None:
        clock, challenged = Clock(datetime(2026, 11, 23, tzinfo=UTC)), list[str]()
        book = Book(clock.now, {}, set(), keeps_references=True, challenged=lambda charge: challenged.append(charge.id))
        charge = book.charge("a payment", 1999, "USD", Card.from_number(CHALLENGED_PAN))
        assert (charge.status, challenged) == ("action_required", [charge.id])
        if passed:
            book.end_challenge(charge.id, passed=True)
        network = Network(clock, Random(1), Weather(0, {}), ignore)  # noqa: S311
        session, answers = GatewaySession(book, clock, network, Random(1)), list[Any]()  # noqa: S311
        url = f"https://sparkle.test/v1/charges/{charge.id}/cancel_authentication"
        clock.start(lambda: answers.append(session.request("POST", url, headers={}, timeout=(3, 8))))
        assert clock.run(days=1)
        assert [json.loads(answer.text)["status"] for answer in answers] == [ended]
        with pytest.raises(InvalidState):
            book.end_challenge(charge.id, passed=True)


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

    @pytest.mark.parametrize(
        ("answer", "calls_back_after", "ends", "error", "attempts"),
        [
            (Reply(answer={}), 20, "SUCCEEDED", None, 1),
            (Reply(answer={}), None, "FAILED", "States.Timeout", 1),
            (Reply(answer={}), 100, "FAILED", "States.Timeout", 1),
            (Reply(error="Lambda.Unknown"), None, "FAILED", "Lambda.Unknown", 2),
            (Reply(error="Lambda.Unknown"), 20, "FAILED", "Lambda.Unknown", 2),
        ],
        ids=["called back", "never called back", "too late", "the function fails", "too late for a token that failed"],
    )
    def test_a_task_waits_for_its_callback(
        self, answer: Reply, calls_back_after: int | None, ends: str, error: str | None, attempts: int
    ) -> None:
        clock, tokens, results = Clock(datetime(2026, 11, 23, tzinfo=UTC)), list[str](), list[bool]()

        class Answering(Functions):
            def invoke(self, function: str, payload: str, timeout_seconds: float, answered: Any) -> None:
                tokens.append(json.loads(payload)["token"])
                clock.after(1, lambda: answered(answer))

        network = Network(clock, Random(1), Weather(0, {}), ignore)  # noqa: S311
        functions = Answering(clock, network, Random(1), ignore, ignore)  # noqa: S311
        machines = Machines(clock, functions, Random(1), ignore, ignore)  # noqa: S311
        retrier = {"ErrorEquals": ["Lambda.Unknown"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 1}
        wait = {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}},
            "TimeoutSeconds": 60,
            "Retry": [retrier | {"MaxDelaySeconds": 1, "JitterStrategy": "FULL"}],
            "End": True,
        }
        execution = Execution(machines, "m", {"StartAt": "X", "States": {"X": wait}}, "n", {})
        if calls_back_after:
            clock.after(calls_back_after, lambda: results.append(machines.call_back(tokens[0])))
        assert clock.run(days=1)
        assert (execution.status, execution.error, len(set(tokens))) == (ends, error, attempts)
        assert results == ([ends == "SUCCEEDED"] if calls_back_after else [])
        assert machines.waiting == {}
