"""Days and times as people write and read them: UTC, in ISO 8601."""

from datetime import UTC, date, datetime

from functions.shared.domain.times import iso


def parsed_day(text: str) -> date:
    """A day, which must be written as `2026-11-23`. Raises ValueError."""
    day = date.fromisoformat(text)
    # fromisoformat also accepts 20261123 and 2026-W48-1.
    if day.isoformat() != text:
        raise ValueError(f"{text!r} is not written as YYYY-MM-DD")
    return day


def parsed_time(text: str) -> datetime:
    """A time, which is in UTC if it has no offset. Raises ValueError."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def time_text(time: datetime | str, timespec: str = "milliseconds") -> str:
    """A time for people, truncated to `timespec`: `2026-11-23 09:00:01.000`, in UTC."""
    moment = parsed_time(time) if isinstance(time, str) else time
    return iso(moment, timespec).replace("T", " ").removesuffix("Z")
