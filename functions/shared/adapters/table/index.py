"""The payments by day, by status and by the merchant's reference, from the ledger's indexes."""

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from functions.shared.adapters.table import keys
from functions.shared.adapters.table.items import query
from functions.shared.adapters.table.shards import merged
from functions.shared.domain.payment import Status
from functions.shared.ports import Position

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# The number of payments per shard that are read at a time.
_PAGE_SIZE = 100


class DynamoDbPaymentIndex:
    """`PaymentIndex` from `by_day`, `by_status` and `by_reference`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def on(
        self, day: str, status: Status | None, since: str, until: str, *, oldest_first: bool = False
    ) -> Iterator[Position]:
        if status in (None, keys.USUAL_STATUS):
            shards = (keys.day_shard(day, shard) for shard in range(keys.DAY_SHARDS))
            return self._positions("by_day", "day_shard", shards, since, until, oldest_first, status)
        shards = (keys.status_shard(status, day, shard) for shard in range(keys.STATUS_SHARDS))
        return self._positions("by_status", "status_shard", shards, since, until, oldest_first)

    def with_reference(self, reference: str, since: str, until: str) -> Iterator[Position]:
        return self._positions("by_reference", "merchant_reference", [reference], since, until, oldest_first=False)

    def _positions(
        self,
        index: str,
        hash_key: str,
        hashes: Iterable[str],
        since: str,
        until: str,
        oldest_first: bool,
        status: Status | None = None,
    ) -> Iterator[Position]:
        filter: dict[str, Any] = {}
        values = {":since": since, ":until": until}
        if status:
            filter = {"FilterExpression": "#status = :status", "ExpressionAttributeNames": {"#status": "status"}}
            values[":status"] = status

        def positions(hash: str) -> Iterator[Position]:
            items = query(
                self._client,
                self._table,
                f"{hash_key} = :hash AND created_at BETWEEN :since AND :until",
                values | {":hash": hash},
                IndexName=index,
                ScanIndexForward=oldest_first,
                PaginationConfig={"PageSize": _PAGE_SIZE},
                **filter,
            )
            return (Position(item["created_at"], keys.payment_id_of(item["pk"])) for item in items)

        return merged(map(positions, hashes), attrgetter("created_at", "payment_id"), reverse=not oldest_first)
