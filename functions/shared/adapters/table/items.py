"""The conversion of items to and from DynamoDB's format, and the reading and writing of items."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from functions.shared.adapters.aws_errors import raised_as
from functions.shared.domain.errors import LedgerUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Item = dict[str, Any]
"""An item in Python's types: str, int, bool, bytes, None, lists and dicts of these, and sets of bytes."""

MAX_BATCH_KEYS = 100
"""The maximum number of keys in one BatchGetItem ("BatchGetItem", DynamoDB API reference)."""


# DynamoDB may cancel transactions that touch the same item at once, and its client does not retry them.
_CONFLICT_PAUSES_SECONDS = (0.02, 0.05, 0.1)

IS_NEW = "attribute_not_exists(pk)"


class ConditionFailed(Exception):
    """A write's condition failed because another item exists already."""


class _TypeDeserializer(TypeDeserializer):
    """Like boto3's, but to int and bytes: neither JSON nor a MAC accepts boto3's Decimal and Binary."""

    def _deserialize_n(self, value: str) -> int:
        return int(value)

    def _deserialize_b(self, value: bytes) -> bytes:
        return value


_serialize = TypeSerializer().serialize
_deserialize = _TypeDeserializer().deserialize


def marshal(item: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the item to DynamoDB's format, without attributes that are None."""
    return {name: _serialize(value) for name, value in item.items() if value is not None}


def unmarshal(item: Mapping[str, Any]) -> Item:
    """The inverse of `marshal`. All numbers are int, as we store no others."""
    return {name: _deserialize(attribute) for name, attribute in item.items()}


def ledger_errors(service: str = "DynamoDB") -> AbstractContextManager[None]:
    """Translate every AWS error to LedgerUnavailable, so that the call is retried.

    This includes a denied permission: the money has moved already, and an operator may still repair the permission.
    """
    return raised_as(LedgerUnavailable, service)


def get(client: "DynamoDBClient", table: str, key: Mapping[str, str], **parameters: Any) -> Item | None:
    """The item with this key, if there is one, as last written. `parameters` are further parameters of GetItem. Raises
    LedgerUnavailable."""
    with ledger_errors():
        answer = client.get_item(TableName=table, Key=marshal(key), ConsistentRead=True, **parameters)
    return unmarshal(answer["Item"]) if "Item" in answer else None


def query(
    client: "DynamoDBClient",
    table: str,
    condition: str,
    values: Mapping[str, Any],
    *,
    limit: int | None = None,
    **parameters: Any,
) -> Iterator[Item]:
    """Yield the items that a key condition selects, in the order of their sort keys; at most `limit` items if given.

    `values` holds the condition's values in Python's types, and `parameters` further parameters of Query. Pages are
    read as they are needed. Raises LedgerUnavailable.
    """
    if limit is not None:
        parameters["PaginationConfig"] = {"PageSize": limit}
    with ledger_errors():
        pages = client.get_paginator("query").paginate(
            TableName=table, KeyConditionExpression=condition, ExpressionAttributeValues=marshal(values), **parameters
        )
        yield from islice((unmarshal(item) for page in pages for item in page["Items"]), limit)


def read_batch(
    client: "DynamoDBClient", table: str, keys: Collection[tuple[str, str]], **parameters: Any
) -> Iterator[Item]:
    """Yield the existing items among these pairs of pk and sk, in no particular order. Raises LedgerUnavailable."""
    remaining = [marshal({"pk": pk, "sk": sk}) for pk, sk in keys]
    while remaining:
        batch, remaining = remaining[:MAX_BATCH_KEYS], remaining[MAX_BATCH_KEYS:]
        request: Any = {"Keys": batch, "ConsistentRead": True} | parameters
        with ledger_errors():
            answer = client.batch_get_item(RequestItems={table: request})
        yield from map(unmarshal, answer["Responses"].get(table, []))
        unprocessed: Any = answer["UnprocessedKeys"].get(table)
        remaining += unprocessed["Keys"] if unprocessed else []


def put(table: str, item: Item, condition: str, values: Item | None = None) -> Item:
    """A conditional put, for `write_transaction`. `values` are those of the condition, in Python's types."""
    write = {"TableName": table, "Item": marshal(item), "ConditionExpression": condition}
    return {"Put": write | ({"ExpressionAttributeValues": marshal(values)} if values else {})}


def write_transaction(client: "DynamoDBClient", writes: Sequence[Item]) -> None:
    """Carry out all of the writes or none. Raises ConditionFailed, LedgerUnavailable."""
    for pause in (*_CONFLICT_PAUSES_SECONDS, None):
        with ledger_errors():
            try:
                client.transact_write_items(TransactItems=writes)  # type: ignore[arg-type]
                return
            except client.exceptions.TransactionCanceledException as error:
                codes = {reason.get("Code") for reason in error.response["CancellationReasons"]}
                if "ConditionalCheckFailed" in codes:
                    raise ConditionFailed from None
                if "TransactionConflict" not in codes or pause is None:
                    raise
            time.sleep(pause)
