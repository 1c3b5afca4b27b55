"""The cards of payments that have not ended, in the table `ephemeral` beside their single-use keys (sealing_keys.py).

`ciphertext` and `security_code` are encrypted by KMS. `expires_at` is the table's TTL attribute: if a payment's end
erases nothing, DynamoDB does.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from functions.shared.adapters.table.items import Item, ledger_errors, marshal, unmarshal
from functions.shared.domain.errors import LedgerConflict
from functions.shared.domain.times import epoch_seconds, iso
from functions.shared.ports import HeldCard

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

RETENTION = timedelta(days=1)
"""The longest time for which an item is needed: longer than any payment runs, and than a late request takes."""

_HOLD = (
    "SET ciphertext = if_not_exists(ciphertext, :ciphertext), security_code = if_not_exists(security_code, :code),"
    " expires_at = if_not_exists(expires_at, :expires_at)"
)
_HOLD_WITHOUT_CODE = _HOLD.replace(" security_code = if_not_exists(security_code, :code),", "")

# Unconditional: the item that remains keeps a late request from bringing anything back.
_ERASE = (
    "REMOVE private_key, ciphertext, security_code"
    " SET ended_at = if_not_exists(ended_at, :at), expires_at = if_not_exists(expires_at, :expires_at)"
)


class DynamoDbHeldCards:
    """`HeldCards` in the table `ephemeral`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def hold(self, payment_id: str, card: HeldCard, at: str) -> HeldCard:
        values = {":ciphertext": card.ciphertext, ":code": card.security_code, ":expires_at": _expires_at(at)}
        with ledger_errors():
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=marshal({"payment_id": payment_id}),
                    UpdateExpression=_HOLD if card.security_code else _HOLD_WITHOUT_CODE,
                    ConditionExpression="attribute_not_exists(ended_at)",
                    ExpressionAttributeValues=marshal(values),
                    ReturnValues="UPDATED_NEW",
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                raise LedgerConflict("The payment has ended, and holds no card any more.") from None
        return _held(unmarshal(answer["Attributes"]))

    def find(self, payment_id: str) -> HeldCard | None:
        with ledger_errors():
            answer = self._client.get_item(
                TableName=self._table,
                Key=marshal({"payment_id": payment_id}),
                ProjectionExpression="ciphertext, security_code",
                ConsistentRead=True,
            )
        item = unmarshal(answer.get("Item", {}))
        return _held(item) if "ciphertext" in item else None

    def erase(self, payment_id: str, at: str) -> None:
        with ledger_errors():
            self._client.update_item(
                TableName=self._table,
                Key=marshal({"payment_id": payment_id}),
                UpdateExpression=_ERASE,
                ExpressionAttributeValues=marshal({":at": at, ":expires_at": _expires_at(at)}),
            )


def _held(item: Item) -> HeldCard:
    code = item.get("security_code")
    return HeldCard(bytes(item["ciphertext"]), bytes(code) if code else None)


def _expires_at(at: str) -> int:
    return epoch_seconds(iso(datetime.fromisoformat(at) + RETENTION))
