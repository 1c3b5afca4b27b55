"""The stored cards, in a separate table from which they can be erased."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING

from functions.shared.adapters.table.items import (
    IS_NEW,
    ConditionFailed,
    Item,
    get,
    ledger_errors,
    marshal,
    put,
    write_transaction,
)
from functions.shared.adapters.table.keys import card_key, request_key
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import LedgerConflict
from functions.shared.domain.times import epoch_seconds
from functions.shared.ports import HeldCard, StoredCard, StoredOnRequest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

EXISTS = "attribute_exists(pk)"
RENEW = "SET expires_at = :expires_at"
RENEW_AND_NAME = f"{RENEW}, network_transaction_id = if_not_exists(network_transaction_id, :network_transaction_id)"
EXISTS_AND_EXPIRES_NO_LATER = f"{EXISTS} AND expires_at <= :expires_at"

_SUMMARY_FIELDS = tuple(field.name for field in fields(CardSummary))


class DynamoDbCardVault:
    """`CardVault` in the cards' table, whose TTL attribute is `expires_at` (epoch seconds). Only erasing needs the
    ledger's table, which has the events."""

    def __init__(self, client: "DynamoDBClient", table: str, ledger_table: str | None = None) -> None:
        self._client = client
        self._table = table
        self._ledger_table = ledger_table

    def keep(self, key: str, card: StoredCard, at: str, sealed_hash: str | None = None) -> None:
        request = {"token": card.summary.token, "created_at": at, "sealed_hash": sealed_hash}
        item = request_key(key) | request | {"expires_at": epoch_seconds(card.until)}
        try:
            write_transaction(self._client, [put(self._table, card_item(card), IS_NEW), put(self._table, item, IS_NEW)])
        except ConditionFailed:
            stored = self.stored_on_request(key, at)
            if stored is None or stored.card != card.summary:
                raise LedgerConflict("The key has stored another card, or one that was erased since.") from None

    def stored_on_request(self, key: str, at: str) -> StoredOnRequest | None:
        request = self._read(request_key(key), at, ("token", "created_at", "sealed_hash"))
        if request is None:
            return None
        return StoredOnRequest(self.summary(request["token"], at), request["created_at"], request.get("sealed_hash"))

    def renew(self, token: str, until: str, network_transaction_id: str | None = None) -> None:
        values = {"expires_at": epoch_seconds(until), "network_transaction_id": network_transaction_id}
        with ledger_errors(), suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._table,
                Key=marshal(card_key(token)),
                UpdateExpression=RENEW_AND_NAME if network_transaction_id else RENEW,
                ConditionExpression=EXISTS_AND_EXPIRES_NO_LATER,
                ExpressionAttributeValues=marshal({f":{name}": value for name, value in values.items()}),
            )

    def find(self, token: str, at: str) -> HeldCard | None:
        card = self._read(card_key(token), at, ("ciphertext", "network_transaction_id"))
        return HeldCard(**card) if card else None

    def summary(self, token: str, at: str) -> CardSummary | None:
        card = self._read(card_key(token), at, _SUMMARY_FIELDS)
        return CardSummary.from_dict(card) if card else None

    def _read(self, key: Mapping[str, str], at: str, attributes: Sequence[str]) -> Item | None:
        """These attributes of the item, or None once it has expired, as DynamoDB may take days to delete it."""
        names = {f"#{name}": name for name in (*attributes, "expires_at")}
        item = get(
            self._client, self._table, key, ProjectionExpression=", ".join(names), ExpressionAttributeNames=names
        )
        return item if item and item.pop("expires_at") > datetime.fromisoformat(at).timestamp() else None

    def erase(self, token: str, at: str) -> bool:
        # Only one function erases cards, and no other that uses them needs these.
        from functions.shared.adapters.table.events import event_item
        from functions.shared.domain.event import card_erased

        assert self._ledger_table
        delete = {"TableName": self._table, "Key": marshal(card_key(token)), "ConditionExpression": EXISTS}
        event = put(self._ledger_table, event_item(card_erased(token, at)), IS_NEW)
        try:
            write_transaction(self._client, [{"Delete": delete}, event])
        except ConditionFailed:
            return False
        return True


def card_item(card: StoredCard) -> Item:
    """The card's item, which the ledger writes together with the payment that requested the storage."""
    assert card.summary.token  # the item's key
    stored = {"ciphertext": card.ciphertext, "expires_at": epoch_seconds(card.until)}
    named = {"network_transaction_id": card.network_transaction_id}
    return card_key(card.summary.token) | card.summary.to_dict() | stored | named
