"""The failed executions that somebody looks after, in the table whose items expire.

| pk                       | sk         | content                                                                |
|--------------------------|------------|------------------------------------------------------------------------|
| `ENDED#{machine}#{name}` | `ATTENDED` | somebody looks after this execution; kept until `expires_at`           |
| `ENDED#CHECKED`          | `CHECKED`  | `until`: every execution that failed before then is looked after       |
"""

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from functions.shared.adapters.table.items import get, ledger_errors, marshal, read_batch
from functions.shared.domain.times import epoch_seconds

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# Longer than any check looks back.
RETENTION = timedelta(days=30)

_CHECKED = {"pk": "ENDED#CHECKED", "sk": "CHECKED"}


class DynamoDbAttendance:
    """`Attendance` with one item per execution, and one for the time until which all were checked."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def attend(self, machine: str, name: str, at: str) -> None:
        item = {"pk": _pk(machine, name), "sk": "ATTENDED", "expires_at": epoch_seconds(at, RETENTION)}
        with ledger_errors():
            self._client.put_item(TableName=self._table, Item=marshal(item))

    def unattended(self, machine: str, names: Collection[str]) -> set[str]:
        keys = [(_pk(machine, name), "ATTENDED") for name in names]
        attended = {item["pk"] for item in read_batch(self._client, self._table, keys, ProjectionExpression="pk")}
        return {name for name in names if _pk(machine, name) not in attended}

    def checked_until(self) -> str | None:
        checked = get(self._client, self._table, _CHECKED)
        return str(checked["until"]) if checked else None

    def check_until(self, moment: str) -> None:
        with ledger_errors():
            self._client.put_item(TableName=self._table, Item=marshal({**_CHECKED, "until": moment}))


def _pk(machine: str, name: str) -> str:
    return f"ENDED#{machine}#{name}"
