from datetime import datetime, timedelta

import pytest
from botocore.exceptions import EndpointConnectionError

from functions.doubts.look_after import MAX_LOOKBACK
from functions.shared.adapters.table.attendance import DynamoDbAttendance
from functions.shared.domain.errors import LedgerUnavailable
from tests.mocked_aws import COUNTERS_TABLE, MockedAws, new_id
from tests.samples import NOW


def test_attendance_is_kept_for_longer_than_anybody_looks_back(aws: MockedAws) -> None:
    DynamoDbAttendance(aws.dynamodb, COUNTERS_TABLE).attend("payment", name := new_id(), NOW)
    key = {"pk": {"S": f"ENDED#payment#{name}"}, "sk": {"S": "ATTENDED"}}
    expires_at = int(aws.dynamodb.get_item(TableName=COUNTERS_TABLE, Key=key)["Item"]["expires_at"]["N"])
    kept_for = timedelta(seconds=expires_at - datetime.fromisoformat(NOW).timestamp())
    assert kept_for > 2 * MAX_LOOKBACK


@pytest.mark.parametrize(
    "ask",
    [
        lambda attendance: attendance.attend("payment", "payment-of-ours-1", NOW),
        lambda attendance: attendance.unattended("payment", ["payment-of-ours-1"]),
        lambda attendance: attendance.checked_until(),
        lambda attendance: attendance.check_until(NOW),
    ],
)
def test_a_table_that_does_not_answer_says_nothing(aws: MockedAws, ask: object) -> None:
    def fail(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    events = aws.dynamodb.meta.events
    events.register("before-call.dynamodb", fail)
    try:
        assert callable(ask)
        with pytest.raises(LedgerUnavailable):
            ask(DynamoDbAttendance(aws.dynamodb, COUNTERS_TABLE))
    finally:
        events.unregister("before-call.dynamodb", fail)
