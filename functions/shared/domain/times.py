"""How times are written: UTC in ISO 8601, to the millisecond, `2026-11-23T09:00:00.000Z`.

Written like this, times sort as texts in their order. What others write is read by `datetime.fromisoformat`.
"""

from datetime import UTC, datetime


def iso(moment: datetime, timespec: str = "milliseconds") -> str:
    """The moment, which has a time zone, as text. Any smaller part is cut off. `timespec` is `datetime.isoformat`'s."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def epoch_seconds(moment: str) -> int:
    """The time as DynamoDB's time to live takes it: whole seconds since 1970."""
    return int(datetime.fromisoformat(moment).timestamp())
