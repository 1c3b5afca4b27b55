"""The format of times: UTC in ISO 8601, to the millisecond, `2026-11-23T09:00:00.000Z`.

In this format, the order of texts is the order of times. `datetime.fromisoformat` reads the times that others write.
"""

from datetime import UTC, datetime, timedelta


def iso(moment: datetime, timespec: str = "milliseconds") -> str:
    """The moment, which must have a time zone, as text, truncated to `timespec` (as for `datetime.isoformat`)."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def now() -> str:
    """The time in this format."""
    return iso(datetime.now(UTC))


def start_of_day(day: str) -> str:
    """The first millisecond of a day (YYYY-MM-DD)."""
    return f"{day}T00:00:00.000Z"


def end_of_day(day: str) -> str:
    """The last millisecond of a day (YYYY-MM-DD), the ledger's smallest unit of time."""
    return f"{day}T23:59:59.999Z"


def epoch_seconds(moment: str | datetime, later: timedelta = timedelta(0)) -> int:
    """The time this much later in whole seconds since 1970, the format of DynamoDB's time to live."""
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return int((at + later).timestamp())
