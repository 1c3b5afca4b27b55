"""DynamoDB's client, as far as the adapters use it, with items in memory. Unsupported features raise errors."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from tests.simulation.network import Lost, Network, Refused, Unknown

Item = dict[str, Any]
"""Attributes in DynamoDB's format: `{"N": "1"}`."""
Key = tuple[str, str]
Earlier = dict[Key, tuple[float, Item]]
"""Items as they were before a write, each with the time until which somebody sees it so."""
Condition = Callable[[Item, Item], bool]
"""Whether a condition holds for an item (empty if none exists) with these values."""

EPHEMERAL = "EPHEMERAL"
"""The second part of the keys of the table `ephemeral`; the first is the payment's id."""

ATTEMPTS = 2
TIMEOUT_SECONDS = 3  # connect and read timeouts, as in runtime/factories.py

_TABLES = {"PAYMENT": "ledger", "CARD": "cards", "REQUEST": "cards", "VELOCITY": "counters", "ENDED": "counters"}
_TABLES |= {"EVENTS": "ledger", "DELIVERED": "counters"}
_RETURNED = {"ReturnValues": "ALL_NEW", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
_PROJECTION = {"ProjectionExpression", "ExpressionAttributeNames"}
_CLAUSE = re.compile(r"\b(SET|ADD|REMOVE) ")
_ASSIGNED = re.compile(r"(?P<name>\w+) = (if_not_exists\((?P=name), )?(?P<value>:\w+)\)?")
_ADDED = re.compile(r"(?P<name>#?\w+) (?P<value>:\w+)")
_TOKEN = re.compile(r"\s*([()]|<=|>=|<>|[=<>]|,|[:#]?\w+)")


class TransactionCanceled(ClientError):
    """A condition of the transaction did not hold."""


class ConditionalCheckFailed(ClientError):
    """The write's condition did not hold."""


class Table:
    """The items. `watch` is called before every write with the key, the old item or None, and the new item, which is
    empty when the item is deleted.

    With `luck`, some items of a transaction are seen later than others, by whoever reads several at once: queries and
    batches are read-committed. Until all are seen, other transactions on them conflict. Indexes are some seconds
    behind. ("How it works", "Amazon DynamoDB Transactions"; "Using Global Secondary Indexes", developer guide.)
    """

    def __init__(
        self,
        watch: Callable[[Key, Item | None, Item], None],
        seconds: Callable[[], float] = lambda: 0,
        luck: Random | None = None,
    ) -> None:
        self.items: dict[Key, Item] = {}
        self._watch = watch
        self._seconds = seconds
        self._luck = luck
        self._hidden: Earlier = {}
        """What is seen in place of an item that a transaction has written."""
        self._behind: Earlier = {}
        """What the indexes have in place of an item that was written."""

    def transact(self, writes: list[dict[str, Any]]) -> list[str]:
        """Like `write_all`. Returns the code of a cancellation's reason for each write."""
        keys = [_key(_place(write)) for write in writes]
        if any(map(self.hides, keys)):
            return ["TransactionConflict" if self.hides(key) else "None" for key in keys]
        before = {key: self.items.get(key, {}) for key in keys}
        holds = self.write_all(writes)
        if self._luck and all(holds):
            for key in keys:
                if self._luck.random() < 0.5:
                    self._hidden[key] = self._seconds() + 10 ** self._luck.uniform(-2, 1), before[key]
        return ["None" if hold else "ConditionalCheckFailed" for hold in holds]

    def show(self, writes: list[dict[str, Any]]) -> None:
        """Whoever made this transaction has the answer, so that all of it is seen."""
        for write in writes:
            self._hidden.pop(_key(_place(write)), None)

    def hides(self, key: Key) -> bool:
        """Whether the item is still seen as it was before a transaction."""
        return self._is_in(self._hidden, key)

    def seen(self, keys: Iterable[Key]) -> list[Item]:
        """The existing items with these keys, as somebody sees them who reads them at once."""
        return self._read(keys, self._hidden)

    def indexed(self) -> list[Item]:
        """All items, as the indexes have them."""
        return self._read(self.items | self._behind, self._behind)

    def _read(self, keys: Iterable[Key], before: Earlier) -> list[Item]:
        items = (before[key][1] if self._is_in(before, key) else self.items.get(key, {}) for key in keys)
        return [item for item in items if item]

    def _is_in(self, before: Earlier, key: Key) -> bool:
        return key in before and self._seconds() < before[key][0]

    def _index_later(self, key: Key) -> None:
        if self._luck and not self._is_in(self._behind, key):
            self._behind[key] = self._seconds() + 10 ** self._luck.uniform(-3, 1), self.items.get(key, {})

    def write_all(self, writes: list[dict[str, Any]]) -> list[bool]:
        """Carry out all puts and deletes if all their conditions hold, or none. Return whether each condition holds."""
        holds = [_holds(write, self.items.get(_key(_place(write)), {})) for write in writes]
        if all(holds):
            for write in writes:
                if "Item" in write:
                    self._write(dict(write["Item"]))
                else:
                    self._remove(_key(write["Key"]))
        return holds

    def update(self, update: dict[str, Any]) -> tuple[bool, Item]:
        """Update or create the item if the condition holds. Return whether it does, and the resulting item."""
        existing = self.items.get(_key(update["Key"]), {})
        if holds := _holds(update, existing):
            self._write(_updated(update, update["Key"] | existing))
        return holds, self.items.get(_key(update["Key"]), {})

    def delete(self, delete: dict[str, Any]) -> bool:
        """Delete the item if the condition holds. Return whether it does."""
        [holds] = self.write_all([delete])
        return holds

    def _remove(self, key: Key) -> None:
        self._index_later(key)
        self._watch(key, self.items.get(key, {}), {})
        self.items.pop(key, None)

    def _write(self, item: Item) -> None:
        self._index_later(_key(item))
        self._watch(_key(item), self.items.get(_key(item)), item)
        self.items[_key(item)] = item

    def of(self, pk: str) -> list[Item]:
        """The items with this pk, ordered by sk."""
        return [item for key, item in sorted(self.items.items()) if key[0] == pk]


class TableClient:
    """The client. Like botocore's, it retries once when no answer comes."""

    exceptions = SimpleNamespace(
        TransactionCanceledException=TransactionCanceled, ConditionalCheckFailedException=ConditionalCheckFailed
    )

    def __init__(self, table: Table, network: Network) -> None:
        self._table = table
        self._network = network

    def get_item(self, **request: Any) -> dict[str, Any]:
        _check(request, {"TableName", "Key", "ConsistentRead", *_PROJECTION})
        _check_place(request["TableName"], request["Key"])
        item = self._ask(lambda: self._table.items.get(_key(request["Key"])), "GetItem")
        return {"Item": _projected(request, item)} if item else {}

    def put_item(self, **request: Any) -> dict[str, Any]:
        _check(request, {"TableName", "Item", "ConditionExpression", "ExpressionAttributeValues"})
        _check_place(request["TableName"], request["Item"])
        if not all(self._ask(lambda: self._table.write_all([request]), "PutItem")):
            raise ConditionalCheckFailed(_error("ConditionalCheckFailedException"), "PutItem")
        return {}

    def update_item(self, **request: Any) -> dict[str, Any]:
        parameters = {"TableName", "Key", "UpdateExpression", "ConditionExpression", *_RETURNED}
        _check(request, {*parameters, "ExpressionAttributeNames", "ExpressionAttributeValues"})
        _check_place(request["TableName"], request["Key"])
        holds, item = self._ask(lambda: self._table.update(request), "UpdateItem")
        option = "ReturnValues" if holds else "ReturnValuesOnConditionCheckFailure"
        returns_item = option in request
        if returns_item and request[option] != _RETURNED[option]:
            raise Unknown(f"{option} {request[option]}")
        if not holds:
            error = _error("ConditionalCheckFailedException") | ({"Item": item} if returns_item else {})
            raise ConditionalCheckFailed(error, "UpdateItem")
        return {"Attributes": item} if returns_item else {}

    def delete_item(self, **request: Any) -> dict[str, Any]:
        _check(request, {"TableName", "Key", "ConditionExpression"})
        _check_place(request["TableName"], request["Key"])
        if not self._ask(lambda: self._table.delete(request), "DeleteItem"):
            raise ConditionalCheckFailed(_error("ConditionalCheckFailedException"), "DeleteItem")
        return {}

    def transact_write_items(self, **request: Any) -> dict[str, Any]:
        _check(request, {"TransactItems"})
        writes = []
        for item in request["TransactItems"]:
            ((action, write),) = item.items()
            place = {"Put": "Item", "Delete": "Key"}.get(action, action)
            _check(write, {"TableName", place, "ConditionExpression", "ExpressionAttributeValues"})
            _check_place(write["TableName"], write[place])
            writes.append(write)
        if len({_key(_place(write)) for write in writes}) < len(writes):
            raise Unknown("A transaction that writes an item twice.")
        codes = self._ask(lambda: self._table.transact(writes), "TransactWriteItems")
        if {*codes} != {"None"}:
            reasons = [{"Code": code} for code in codes]
            error: Any = _error("TransactionCanceledException") | {"CancellationReasons": reasons}
            raise TransactionCanceled(error, "TransactWriteItems")
        self._table.show(writes)
        return {}

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        _check(request, {"RequestItems"})
        ((table, table_request),) = request["RequestItems"].items()
        _check(table_request, {"Keys", "ConsistentRead", *_PROJECTION})
        for key in table_request["Keys"]:
            _check_place(table, key)
        keys = [_key(key) for key in table_request["Keys"]]
        items = self._ask(lambda: self._table.seen(keys), "BatchGetItem")
        return {"Responses": {table: [_projected(table_request, item) for item in items]}, "UnprocessedKeys": {}}

    def get_paginator(self, operation: str) -> Any:
        if operation != "query":
            raise Unknown(operation)
        return SimpleNamespace(paginate=self._query)

    def _query(self, **request: Any) -> Iterator[dict[str, Any]]:
        """The items of one partition of the table, or of an index (the items with its key), in one page."""
        parameters = {"TableName", "KeyConditionExpression", "ExpressionAttributeValues", "ConsistentRead"}
        _check(request, {*parameters, *_PROJECTION, "IndexName", "PaginationConfig"})
        condition, values = _condition(request["KeyConditionExpression"]), request["ExpressionAttributeValues"]

        def items() -> list[Item]:
            if "IndexName" in request:
                read = self._table.indexed()
            else:
                read = self._table.seen(map(_key, self._table.of(values[":pk"]["S"])))
            return [item for item in read if condition(item, values)]

        if "IndexName" not in request:
            _check_place(request["TableName"], {"pk": values[":pk"]})
        yield {"Items": [_projected(request, item) for item in self._ask(items, "Query")]}

    def _ask(self, deed: Callable[[], Any], operation: str) -> Any:
        for _ in range(ATTEMPTS):
            try:
                return self._network.ask("dynamodb", operation, deed, TIMEOUT_SECONDS)
            except Lost:
                error: Exception = ReadTimeoutError(endpoint_url="dynamodb")
            except Refused:
                error = ClientError(_error("ThrottlingException"), operation)
        raise error


def _check(request: dict[str, Any], known: set[str]) -> None:
    if unknown := request.keys() - known:
        raise Unknown(f"Parameters {unknown}")


def _check_place(table: str, item: Item) -> None:
    """All tables' items are stored together here, so check that each is sent to its own table."""
    if _is_ephemeral(item):
        if table != "ephemeral":
            raise Unknown(f"A card or key in the table {table}")
        return
    kind = item["pk"]["S"].partition("#")[0]
    if _TABLES.get(kind) != table:
        raise Unknown(f"{kind} in the table {table}")


def _error(code: str) -> Any:
    return {"Error": {"Code": code, "Message": code}}


def _place(write: dict[str, Any]) -> Item:
    """The item, or the key of the item, that a put or a delete is about."""
    place: Item = write.get("Item") or write["Key"]
    return place


def _is_ephemeral(item: Item) -> bool:
    """Whether this is an item of the table `ephemeral`, which has one for each payment, and whose key is simpler."""
    return "pk" not in item


def _key(item: Item) -> Key:
    if _is_ephemeral(item):
        return item["payment_id"]["S"], EPHEMERAL
    return item["pk"]["S"], item["sk"]["S"]


def _projected(request: dict[str, Any], item: Item) -> Item:
    """The requested attributes that the item has."""
    if "ProjectionExpression" not in request:
        return item
    names = [_named(name, request) for name in request["ProjectionExpression"].split(", ")]
    return {name: item[name] for name in names if name in item}


def _updated(update: dict[str, Any], item: Item) -> Item:
    """A copy of the item with the update expression applied: `SET a = :x, b = if_not_exists(b, :y) ADD #c :z REMOVE d`,
    or some of these clauses."""
    values, updated = update.get("ExpressionAttributeValues", {}), dict(item)
    start, *clauses = _CLAUSE.split(update["UpdateExpression"])
    if start or not clauses:
        raise Unknown(update["UpdateExpression"])
    for clause, changes in zip(clauses[::2], clauses[1::2], strict=True):
        for change in re.split(r", (?!:)", changes.strip()):
            match clause:
                case "SET" if parts := _ASSIGNED.fullmatch(change):
                    name, keeps = parts["name"], change.endswith(")")
                    updated[name] = item[name] if keeps and name in item else values[parts["value"]]
                case "ADD" if parts := _ADDED.fullmatch(change):
                    name = _named(parts["name"], update)
                    updated[name] = _sum(item.get(name), values[parts["value"]])
                case "REMOVE" if re.fullmatch(r"\w+", change):
                    updated.pop(change, None)
                case _:
                    raise Unknown(update["UpdateExpression"])
    return updated


def _sum(existing: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    """The result of ADD on a number or on a set of bytes."""
    ((kind, value),) = more.items()
    match kind:
        case "N":
            return {"N": str(int((existing or {"N": "0"})["N"]) + int(value))}
        case "BS":
            return {"BS": sorted({*(existing or {"BS": []})["BS"], *value})}
    raise Unknown(f"ADD of {kind}")


def _named(name: str, request: dict[str, Any]) -> str:
    """The attribute's actual name."""
    return str(request["ExpressionAttributeNames"][name]) if name.startswith("#") else name


def _holds(write: dict[str, Any], existing: Item) -> bool:
    if "ConditionExpression" not in write:
        return True
    expression = re.sub(r"#\w+", lambda name: _named(name[0], write), write["ConditionExpression"])
    return _condition(expression)(existing, write.get("ExpressionAttributeValues", {}))


@cache
def _condition(expression: str) -> Condition:
    """A parsed condition expression: comparisons, also of a set's size, attribute_(not_)exists and contains, joined by
    NOT, AND and OR, with parentheses."""
    tokens = _TOKEN.findall(expression)
    if "".join(tokens) != re.sub(r"\s", "", expression):
        raise Unknown(expression)
    return _Reader(expression, tokens).parse()


class _Reader:
    def __init__(self, expression: str, tokens: list[str]) -> None:
        self._expression = expression
        self._tokens = tokens

    def parse(self) -> Condition:
        condition = self._disjunction()
        if self._tokens:
            raise Unknown(self._expression)
        return condition

    def _disjunction(self) -> Condition:
        ways = [self._conjunction()]
        while self._next_is("OR"):
            ways.append(self._conjunction())
        return lambda item, values: any(way(item, values) for way in ways)

    def _conjunction(self) -> Condition:
        parts = [self._single()]
        while self._next_is("AND"):
            parts.append(self._single())
        return lambda item, values: all(part(item, values) for part in parts)

    def _single(self) -> Condition:
        if self._next_is("NOT"):
            negated = self._single()
            return lambda item, values: not negated(item, values)
        if self._next_is("("):
            inner = self._disjunction()
            self._expect(")")
            return inner
        name = self._take()
        if name == "size":
            self._expect("(")
            counted = self._take()
            self._expect(")")
            return self._comparison(lambda item: len(item[counted]["BS"]) if counted in item else None)
        if name == "contains":
            self._expect("(")
            container = self._take()
            self._expect(",")
            element = self._take()
            self._expect(")")
            return lambda item, values: values[element]["B"] in item.get(container, {"BS": []})["BS"]
        if name in ("attribute_exists", "attribute_not_exists"):
            self._expect("(")
            attribute = self._take()
            self._expect(")")
            return lambda item, values: (attribute in item) == (name == "attribute_exists")
        return self._comparison(lambda item: _plain(item[name]) if name in item else None)

    def _comparison(self, operand: Callable[[Item], Any]) -> Condition:
        """A comparison with a missing attribute never holds."""
        compare, value = self._take(), self._take()
        if compare == "BETWEEN":
            self._expect("AND")
            last = self._take()
            return lambda item, values: (
                (attribute := operand(item)) is not None and _plain(values[value]) <= attribute <= _plain(values[last])
            )
        if compare not in _COMPARE or not value.startswith(":"):
            raise Unknown(self._expression)
        return lambda item, values: (
            (attribute := operand(item)) is not None and _COMPARE[compare](attribute, _plain(values[value]))
        )

    def _take(self) -> str:
        if not self._tokens:
            raise Unknown(self._expression)
        return self._tokens.pop(0)

    def _next_is(self, token: str) -> bool:
        if self._tokens[:1] != [token]:
            return False
        self._tokens.pop(0)
        return True

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise Unknown(self._expression)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: bool(left == right),
    "<>": lambda left, right: bool(left != right),
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}


def _plain(value: dict[str, Any]) -> Any:
    ((kind, plain),) = value.items()
    if kind not in ("S", "N"):
        raise Unknown(f"A comparison of {kind}")
    return int(plain) if kind == "N" else plain
