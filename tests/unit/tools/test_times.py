from datetime import UTC, date, datetime

import pytest

from tools.times import parsed_day, parsed_time, time_text


def test_a_day_is_written_one_way() -> None:
    assert parsed_day("2026-11-23") == date(2026, 11, 23)


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "20261123", "2026-W48-1", "2026-2-28", ""])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parsed_day(text)


def test_a_time_without_an_offset_is_utc() -> None:
    assert parsed_time("2026-11-23T09:00:00") == datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert parsed_time("2026-11-23T10:00:00+01:00") == datetime(2026, 11, 23, 9, tzinfo=UTC)


def test_times_are_shown_one_way() -> None:
    assert time_text("2026-11-23T09:00:01Z") == "2026-11-23 09:00:01.000"
    assert time_text("2026-11-23T10:00:01.5+01:00") == "2026-11-23 09:00:01.500"
    assert time_text(datetime(2026, 11, 23, 9, tzinfo=UTC), "seconds") == "2026-11-23 09:00:00"
