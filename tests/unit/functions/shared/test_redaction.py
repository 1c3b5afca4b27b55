"""The log's backstop: card numbers in every form and place, and from every logger."""

import base64
import io
import json
import logging
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.shared import redaction, runtime
from functions.shared.redaction import IDS, MASK, redacted
from tests.samples import UNLISTED_PAN
from tests.unit.functions.conftest import Output

numbers = st.text("0123456789", min_size=12, max_size=19)
# Without characters that contain digits, such as ¾.
other_text = st.text(
    st.characters(exclude_categories=["Nd", "Cs"], exclude_characters=" -").filter(
        lambda character: not any(map(str.isdigit, unicodedata.normalize("NFKC", character)))
    )
)
separators = st.sampled_from(["", " ", "-"])
short = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.sampled_from([0.5, -1e9]) | other_text


@st.composite
def written(draw: st.DrawFn, number: str) -> str:
    """The number with single spaces and dashes between some digits, and text glued to it."""
    spaced = number[0] + "".join(draw(separators) + digit for digit in number[1:])
    return draw(other_text) + spaced + draw(other_text)


@st.composite
def hidden(draw: st.DrawFn, number: str) -> Any:
    """The number somewhere in nested data: as text, an integer, bytes, a decimal, an exception, or a key."""
    integer = int("1" + number[1:])
    value: Any = draw(
        st.sampled_from([draw(written(number)), integer, number.encode(), Decimal(integer), KeyError(number)])
    )
    if draw(st.booleans()):
        value = {str(value): draw(short)}
    for _ in range(draw(st.integers(0, 3))):
        beside, name = draw(short), draw(other_text)
        value = draw(st.sampled_from([[beside, value], (value, beside), {name: value, "beside": beside}]))
    return value


DEBUGGING = """
import http.client, logging, sys
import boto3, botocore.exceptions, requests, urllib3
from functions.shared import runtime

url, number, *without = sys.argv[1:]
if without:
    logging.setLogRecordFactory(logging.LogRecord)
    del http.client.print
http.client.HTTPConnection.debuglevel = 1
logging.basicConfig(level=logging.DEBUG, force=True)
boto3.set_stream_logger("")
urllib3.add_stderr_logger()
requests.post(url + "/v1/charges", json={"card": {"number": number}})
try:
    boto3.client("kms", "eu-west-1", endpoint_url=url).encrypt(KeyId="key", Plaintext=number.encode())
except botocore.exceptions.ClientError:
    print("done")
"""


def digits_in(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def assert_free_of(number: str, text: str) -> None:
    assert number[1:] not in re.sub("[ -]", "", text)


class TestRedacted:
    @given(st.data(), numbers)
    def test_a_number_is_masked_however_it_is_spaced_and_whatever_is_glued_to_it(
        self, data: st.DataObject, number: str
    ) -> None:
        text = redacted(data.draw(written(number)))
        assert MASK in text
        assert digits_in(text) == ""

    @given(st.data(), numbers)
    def test_a_number_is_masked_wherever_it_stands_in_nested_data(self, data: st.DataObject, number: str) -> None:
        line = redaction.to_json(data.draw(hidden(number)))
        assert MASK in line
        assert_free_of(number, line)
        json.loads(line)

    @given(st.text("0123456789", max_size=11), other_text)
    def test_eleven_digits_are_left_alone(self, digits: str, text: str) -> None:
        assert redacted(text + digits + text) == text + digits + text

    @given(st.recursive(short, lambda inner: st.lists(inner) | st.dictionaries(other_text, inner), max_leaves=8))
    def test_what_holds_no_number_stays_as_it_is(self, value: Any) -> None:
        assert redacted(value) == value

    @given(numbers)
    def test_a_mistyped_number_is_masked_too(self, number: str) -> None:
        assert {redacted(number[:-1] + digit) for digit in "0123456789"} == {MASK}

    @pytest.mark.parametrize("digits", ["٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", "４２４２４２４２４２４２４２４２"])
    def test_digits_of_other_scripts_are_digits(self, digits: str) -> None:
        assert redacted(digits) == MASK

    @given(numbers)
    def test_two_numbers_in_a_row_are_both_masked(self, number: str) -> None:
        assert redacted(f"{number}, {number}") == f"{MASK}, {MASK}"

    @given(st.datetimes(datetime(1970, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)))
    def test_times_are_left_alone(self, time: datetime) -> None:
        assert redacted(time) == str(time)
        assert redacted(time.isoformat()) == time.isoformat()

    @pytest.mark.parametrize(
        "text",
        [
            "4000.0566.5566.5556",
            "4000 / 0566 / 5566 / 5556",
            "4\ufe0f\u20e3" + "000056655665556",
            "(4000)(05665566)(5556)",
        ],
    )
    def test_what_the_rule_for_texts_takes_for_a_card_number_is_masked(self, text: str) -> None:
        masked = redacted(f"paid by {text}, twice: {text}")
        assert masked.count(MASK) == 2
        assert len(digits_in(masked)) <= 2

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("charge_id", "ch_123456789012"),
            ("function_arn", "arn:aws:lambda:eu-west-1:123456789012:function:payments-dev-charge:12"),
            ("function_request_id", "12345678-1234-1234-1234-123456789012"),
            ("operation_id", "12345678123412341234123456789012"),
            ("payment_id", "12345678-1234-1234-1234-123456789012"),
            ("transaction_id", "1234567890123456" * 4),
            ("xray_trace_id", "1-12345678-123456789012345678901234"),
        ],
    )
    def test_an_id_keeps_its_digits_but_nothing_else_passes_under_its_name(self, name: str, value: str) -> None:
        assert name in IDS
        assert redacted({name: value}) == {name: value}
        assert redacted({name: UNLISTED_PAN, "n": {name: int(UNLISTED_PAN)}}) == {name: MASK, "n": {name: MASK}}
        assert redacted({name: f"x{UNLISTED_PAN}"}) == {name: f"x{MASK}"}
        assert redacted({"n": {name: [value]}}) != {"n": {name: [value]}}


class TestOwnLog:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data(), number=numbers)
    def test_no_number_gets_into_a_line_by_message_argument_key_extra_or_exception(
        self, output: Output, data: st.DataObject, number: str
    ) -> None:
        secret = data.draw(hidden(number))
        log: Any = runtime.logger
        way = data.draw(st.sampled_from(["message", "argument", "key", "extra", "exception", "appended", "json"]))
        match way:
            case "message":
                log.info(secret)
            case "argument":
                log.info("paid with %s", secret)
            case "key":
                log.info("paid", card=secret)
            case "extra":
                log.info("paid", extra={"card": secret})
            case "json":
                log.info(json.dumps({"card": number, "n": int("1" + number[1:])}))
            case "appended":
                log.append_keys(card=secret)
                log.info("paid")
                log.clear_state()
            case "exception":
                try:
                    raise ValueError(secret) from KeyError(secret)
                except ValueError:
                    log.exception("failed")
        line = output.logs()[-1]
        assert line["level"] in ("INFO", "ERROR")
        text = json.dumps(line)
        assert MASK in text
        assert_free_of(number, text)

    def test_a_line_keeps_its_service_and_level_and_payment(self, output: Output) -> None:
        runtime.logger.append_keys(payment_id="4" * 32)
        runtime.logger.warning("plain words")
        runtime.logger.clear_state()
        (line,) = output.logs()
        fields = {name: line[name] for name in ("level", "message", "service", "payment_id")}
        assert fields == {"level": "WARNING", "message": "plain words", "service": "payments", "payment_id": "4" * 32}

    def test_a_line_that_can_not_be_written_is_not_printed_raw(
        self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Broken(io.StringIO):
            def write(self, text: str) -> int:
                raise OSError

        monkeypatch.setattr(runtime.logger.registered_handler, "stream", Broken())
        runtime.logger.warning("paid with %s", "4" * 16)
        assert capfd.readouterr() == ("", "")


class TestOtherLogs:
    @pytest.fixture
    def root(self) -> Iterator[io.StringIO]:
        """The output of a handler that was added to the root logger after ours, at DEBUG."""
        stream, root = io.StringIO(), logging.getLogger()
        handler, level = logging.StreamHandler(stream), root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        yield stream
        root.removeHandler(handler)
        root.setLevel(level)

    @pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, 29])
    def test_nothing_below_warning_gets_out_whatever_the_levels(self, root: io.StringIO, level: int) -> None:
        library = logging.getLogger("library.of.others")
        library.setLevel(logging.NOTSET + 1)
        library.log(level, "Plaintext: %s", "NDI0MjQyNDI0MjQyNDI0Mg==")
        assert root.getvalue() == ""

    def test_a_handler_of_its_own_does_not_help_a_library(self) -> None:
        stream, library = io.StringIO(), logging.getLogger("library.with.handler")
        library.addHandler(logging.StreamHandler(stream))
        library.setLevel(logging.DEBUG)
        library.debug("body")
        library.warning("trouble")
        assert stream.getvalue() == "trouble\n"

    @given(data=st.data(), number=numbers)
    def test_a_warning_gets_out_redacted_and_without_its_traceback(self, data: st.DataObject, number: str) -> None:
        stream = io.StringIO()
        handler, library = logging.StreamHandler(stream), logging.getLogger("library.that.warns")
        library.addHandler(handler)
        try:
            raise ValueError(number)
        except ValueError:
            library.exception("failed for %s", data.draw(written(number)), stack_info=True)
        library.removeHandler(handler)
        assert stream.getvalue().startswith("failed for ")
        assert MASK in stream.getvalue()
        assert "Traceback" not in stream.getvalue()
        assert "Stack" not in stream.getvalue()
        assert_free_of(number, stream.getvalue())

    @pytest.mark.parametrize("backstop", [True, False])
    def test_what_people_turn_on_to_debug_shows_no_request_unless_the_backstop_is_gone(
        self, sandbox_url: str, backstop: bool
    ) -> None:
        number = "4" * 16
        run = subprocess.run(  # noqa: S603
            [sys.executable, "-c", DEBUGGING, sandbox_url, number, *(() if backstop else ("without",))],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"},
        )
        output = run.stdout + run.stderr
        assert output.count("done") == 1
        for text in (number, base64.b64encode(number.encode()).decode(), "send:", "Plaintext"):
            assert (text in output) is not backstop
