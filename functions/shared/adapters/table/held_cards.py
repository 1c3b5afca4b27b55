"""The cards of payments that have not ended, in the table `ephemeral` beside their single-use keys (sealing_keys.py).

`ciphertext` is encrypted by KMS, and `security_code` by a key in it. `expires_at` is the table's TTL attribute: if a
payment's end erases nothing, DynamoDB does.
"""

from contextlib import suppress
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from functions.shared.adapters.table import customer_waits
from functions.shared.adapters.table.items import get, ledger_errors, marshal
from functions.shared.domain.errors import LedgerConflict
from functions.shared.domain.times import epoch_seconds, iso
from functions.shared.ports import HeldCard

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

RETENTION = timedelta(days=1)
"""The longest time for which an item is needed: longer than any payment runs, and than a late request takes."""

_FIELDS = tuple(field.name for field in fields(HeldCard))

_IS_FIRST = "attribute_not_exists(ended_at) AND attribute_not_exists(ciphertext)"

# Unconditional: the item that remains keeps a late request from bringing anything back.
_ERASE = (
    f"REMOVE private_key, {', '.join((*_FIELDS, *customer_waits.ATTRIBUTES))}"
    " SET ended_at = if_not_exists(ended_at, :at), expires_at = if_not_exists(expires_at, :expires_at)"
)


class DynamoDbHeldCards:
    """`HeldCards` in the table `ephemeral`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def hold(self, payment_id: str, card: HeldCard, at: str) -> HeldCard:
        fields_held = {name: value for name, value in asdict(card).items() if value is not None}
        assignments = ", ".join(f"{name} = :{name}" for name in fields_held)
        values = {f":{name}": value for name, value in fields_held.items()} | {":expires_at": _expires_at(at)}
        with ledger_errors():
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=marshal({"payment_id": payment_id}),
                    UpdateExpression=f"SET {assignments}, expires_at = if_not_exists(expires_at, :expires_at)",
                    ConditionExpression=_IS_FIRST,
                    ExpressionAttributeValues=marshal(values),
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                if held_card := self.find(payment_id):
                    return held_card
                raise LedgerConflict("The payment has ended, and holds no card any more.") from None
        return card

    def find(self, payment_id: str) -> HeldCard | None:
        item = get(self._client, self._table, {"payment_id": payment_id}, ProjectionExpression=", ".join(_FIELDS))
        return HeldCard(**item) if item and "ciphertext" in item else None

    def erase(self, payment_id: str, at: str) -> None:
        with ledger_errors():
            self._client.update_item(
                TableName=self._table,
                Key=marshal({"payment_id": payment_id}),
                UpdateExpression=_ERASE,
                ExpressionAttributeValues=marshal({":at": at, ":expires_at": _expires_at(at)}),
            )

    def erase_key(self, payment_id: str) -> None:
        with ledger_errors(), suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._table,
                Key=marshal({"payment_id": payment_id}),
                UpdateExpression="REMOVE private_key",
                ConditionExpression="attribute_exists(private_key)",
            )


def _expires_at(at: str) -> int:
    return epoch_seconds(iso(datetime.fromisoformat(at) + RETENTION))
