import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.shared import strict_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(values)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert strict_json.loads(json.dumps(value)) == value
    assert strict_json.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "[Infinity]",
        '{"a": -Infinity}',
        "1e400",
        "-1e400",
        '{"a": 1, "a": 1}',
        '[{"a": {"b": 1, "b": 2}}]',
        '{"a": 1, "\\u0061": 2}',
        '"\\ud800"',
        '{"\\udfff": 1}',
        "9" * 5000,
        b'"caf\xe9"',
        b'"\xed\xa0\x80"',
        b"\xff\xfe[\x00]\x00",
        b"\xef\xbb\xbf[]",
        "'a'",
        "[1,]",
        "[1] // one",
        *("[" * depth for depth in (1_100, 100_000)),
        *("[" * depth + "]" * depth for depth in (1_100, 100_000)),
        '{"a":' * 1_100 + "1" + "}" * 1_100,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_parsers_disagree_about_or_die_of_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        strict_json.loads(text)
