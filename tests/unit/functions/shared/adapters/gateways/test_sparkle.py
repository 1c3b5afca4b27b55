"""The Sparkle adapter with the sandbox's faults, and with answers that no gateway should give."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import astuple
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from functions.shared.adapters.currencies import minor_unit
from functions.shared.adapters.gateways.sparkle import MINOR_UNITS
from functions.shared.adapters.gateways.sparkle.client import Sparkle
from functions.shared.domain.charge import REDACTED, Authentication, Charge, StoredCredential, Verification
from functions.shared.domain.errors import (
    GatewayBusy,
    GatewayMismatch,
    GatewayOutcomeUnknown,
    GatewayRefused,
    PaymentError,
    SecretUnavailable,
    SettlementUnreadable,
)
from functions.shared.domain.settlement import SettlementPage
from tests.mocked_aws import API_KEY, AUTHORIZATION, new_id
from tests.samples import DECLINED_PAN, HOLDER, NETWORK_TRANSACTION_ID, PAN, SECURITY_CODE, UNLISTED_PAN, card, order

CHARGE: dict[str, Any] = {
    "id": "ch_1",
    "reference": "pay-1",
    "status": "captured",
    "amount_minor": 1999,
    "currency": "USD",
    "captured_minor": 1999,
    "refunded_minor": 0,
    "refunds": [],
    "disputed_minor": 0,
    "disputes": [],
    "decline_code": None,
}

VERIFICATION = {"reference": "pay-1", "status": "verified", "network_transaction_id": NETWORK_TRANSACTION_ID}

REFUND: dict[str, Any] = {
    "id": "re_1",
    "refund_reference": "op-1",
    "status": "succeeded",
    "amount_minor": 500,
    "created_at": "2026-11-23T10:00:00.000Z",
}


def sparkle_at(url: str, api_key: Callable[[], str] = lambda: API_KEY, **changes: Any) -> Sparkle:
    options: dict[str, Any] = {
        "connect_timeout_seconds": 1,
        "read_timeout_seconds": 5,
        "iso_minor_unit": minor_unit,
    }
    return Sparkle(url, api_key, **options | changes)


@pytest.fixture
def sparkle(sandbox_url: str) -> Sparkle:
    return sparkle_at(sandbox_url)


@pytest.fixture
def impatient(sandbox_url: str) -> Sparkle:
    return sparkle_at(sandbox_url, read_timeout_seconds=0.2)


@pytest.fixture
def break_next(sandbox_url: str) -> Callable[..., None]:
    def arm(operation: str, fault: str, reference: str, **more: Any) -> None:
        body = {"operation": operation, "fault": fault, "reference": reference} | more
        requests.post(f"{sandbox_url}/sandbox/faults", json=body, headers=AUTHORIZATION, timeout=5).raise_for_status()

    return arm


def charges_at(sandbox_url: str, reference: str) -> list[dict[str, Any]]:
    charges = requests.get(f"{sandbox_url}/sandbox/charges", headers=AUTHORIZATION, timeout=5).json()["charges"]
    return [charge for charge in charges if charge["reference"] == reference]


class TestFaults:
    @pytest.mark.parametrize("fault", ["reset", "http_500", "http_502_html"])
    def test_a_broken_answer_leaves_the_outcome_unknown(
        self, sparkle: Sparkle, break_next: Callable[..., None], fault: str
    ) -> None:
        break_next("charge", fault, reference := new_id())
        with pytest.raises(GatewayOutcomeUnknown):
            sparkle.charge(order(reference), card(), f"{reference}-charge")

    @pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "slow"])
    def test_an_answer_that_takes_too_long_is_not_waited_for(
        self, impatient: Sparkle, break_next: Callable[..., None], fault: str
    ) -> None:
        break_next("charge", fault, reference := new_id(), seconds=4)
        with pytest.raises(GatewayOutcomeUnknown, match="ReadTimeout"):
            impatient.charge(order(reference), card(), f"{reference}-charge")

    def test_a_request_still_in_progress_leaves_the_outcome_unknown(
        self, impatient: Sparkle, sparkle: Sparkle, sandbox_url: str, break_next: Callable[..., None]
    ) -> None:
        break_next("charge", "slow", reference := new_id(), seconds=4)
        with pytest.raises(GatewayOutcomeUnknown, match="ReadTimeout"):
            impatient.charge(order(reference), card(), f"{reference}-charge")
        with pytest.raises(GatewayOutcomeUnknown, match="409"):
            sparkle.charge(order(reference), card(), f"{reference}-charge")
        assert len(charges_at(sandbox_url, reference)) == 1

    def test_a_slow_answer_within_the_timeout_is_an_answer(
        self, sparkle: Sparkle, break_next: Callable[..., None]
    ) -> None:
        break_next("charge", "slow", reference := new_id(), seconds=0.05)
        assert sparkle.charge(order(reference), card(), f"{reference}-charge").status == "captured"

    def test_a_gateway_that_nobody_listens_for_leaves_the_outcome_unknown(self) -> None:
        with socket.socket() as bound:  # in use, but not listening
            bound.bind(("127.0.0.1", 0))
            sparkle = sparkle_at(f"http://127.0.0.1:{bound.getsockname()[1]}")
            with pytest.raises(GatewayOutcomeUnknown):
                sparkle.find_by_reference(order("pay-1"))

    def test_a_wrong_api_key_is_a_refusal(self, sandbox_url: str) -> None:
        wrong = sparkle_at(sandbox_url, lambda: "wrong")
        with pytest.raises(GatewayRefused, match=r"^Sparkle refused: 401\.$"):
            wrong.charge(order(new_id()), card(), "key")

    def test_without_its_api_key_nothing_is_sent_and_nothing_observed(self, sandbox_url: str) -> None:
        def no_key() -> str:
            raise SecretUnavailable("Secrets Manager: down")

        observed: list[object] = []
        sparkle = sparkle_at(sandbox_url, no_key, observe=lambda *call: observed.append(call))
        with pytest.raises(SecretUnavailable):
            sparkle.charge(order(reference := new_id()), card(), f"{reference}-charge")
        assert charges_at(sandbox_url, reference) == []
        assert observed == []

    def test_the_api_key_is_asked_for_with_every_call_so_that_a_rotated_one_is_used(self, sandbox_url: str) -> None:
        keys = iter(["old", API_KEY])
        sparkle = sparkle_at(sandbox_url, lambda: next(keys))
        with pytest.raises(GatewayRefused):
            sparkle.find_by_reference(order("pay-1"))
        assert sparkle.find_by_reference(order(new_id())) is None

    def test_every_call_is_observed_with_its_time_and_whether_it_had_an_outcome(
        self, sandbox_url: str, break_next: Callable[..., None]
    ) -> None:
        observed: list[tuple[str, float, bool]] = []
        sparkle = sparkle_at(sandbox_url, observe=lambda *call: observed.append(call))
        break_next("charge", "reset", reference := new_id())
        with pytest.raises(GatewayOutcomeUnknown):
            sparkle.charge(order(reference), card(), f"{reference}-charge")
        sparkle.find_by_reference(order(reference))
        sparkle.reverse(order(reference))
        sparkle.charge(order(declined := new_id()), card(DECLINED_PAN), f"{declined}-charge")
        assert [(operation, succeeded) for operation, _, succeeded in observed] == [
            ("charge", False),
            ("find", True),
            ("reverse", True),
            ("charge", True),
        ]
        assert all(0 < seconds < 5 for _, seconds, _ in observed)


class Answerer(HTTPServer):
    """Answers every request with the same status and body, and records the requests."""

    status = 200
    body = b"{}"
    headers: dict[str, str]
    request_body: bytes

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def will_say(self, status: int, body: object, **headers: str) -> None:
        self.status, self.headers = status, headers
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Answerer

    def _answer(self) -> None:
        self.server.request_body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def answerer() -> Iterator[Answerer]:
    with Answerer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def charge_at(answerer: Answerer, **changes: Any) -> Charge:
    return sparkle_at(answerer.url, **changes).charge(order(), card(), "pay-1-charge")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


class TestGarbage:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>OK</html>",
            b"{",
            b"\xff\xfe",
            [],
            "captured",
            None,
            1,
            {},
            {"status": "captured"},
            CHARGE | {"amount_minor": "1999"},
            CHARGE | {"currency": []},
            {"charge": CHARGE},
            {"error": None} | CHARGE,
            {"error": {}} | CHARGE,
            {"error": {"decline_code": "x"}, "charge": None},
            {"error": {"decline_code": "x"}, "charge": [CHARGE]},
            {"error": "no", "charge": CHARGE},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("status", [200, 201, 402])
    def test_what_is_not_sparkles_json_leaves_the_outcome_unknown(
        self, answerer: Answerer, status: int, body: object
    ) -> None:
        answerer.will_say(status, body)
        succeeded: list[bool] = []
        sparkle = sparkle_at(answerer.url, observe=lambda operation, seconds, success: succeeded.append(success))
        with pytest.raises(GatewayOutcomeUnknown):
            sparkle.charge(order(), card(), "pay-1-charge")
        assert succeeded == [False]

    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [
            (429, {"error": {"code": "rate_limited"}}, GatewayBusy),
            (429, b"slow down", GatewayOutcomeUnknown),
            (400, {"error": {"code": "invalid_request"}}, GatewayRefused),
            (401, {"error": {"code": "invalid_api_key"}}, GatewayRefused),
            (409, {"error": {"code": "reference_reversed"}}, GatewayRefused),
            (409, {"error": {"code": "request_in_progress"}}, GatewayOutcomeUnknown),
            (409, {"error": {"code": "reference_already_charged"}}, GatewayOutcomeUnknown),
            (422, {"error": {"code": "invalid_request"}}, GatewayRefused),
            (400, {}, GatewayOutcomeUnknown),
            (403, b"<html>proxy</html>", GatewayOutcomeUnknown),
            (403, {"message": "Forbidden"}, GatewayOutcomeUnknown),
            (402, {"error": {"code": "no_charge_here"}}, GatewayRefused),
            (500, {"error": {"code": "internal_server_error"}}, GatewayOutcomeUnknown),
            (503, CHARGE, GatewayOutcomeUnknown),
            (202, CHARGE, GatewayOutcomeUnknown),
            (204, b"", GatewayOutcomeUnknown),
            (301, CHARGE, GatewayOutcomeUnknown),
            (200, {"error": {"code": "invalid_request"}}, GatewayOutcomeUnknown),
            (302, {"error": {"code": "invalid_request"}}, GatewayOutcomeUnknown),
        ],
    )
    def test_only_what_sparkle_says_in_so_many_words_is_a_refusal(
        self, answerer: Answerer, status: int, body: object, error: type[PaymentError]
    ) -> None:
        answerer.will_say(status, body)
        with pytest.raises(error):
            charge_at(answerer)

    def test_a_redirect_is_not_followed_with_a_card_in_hand(self, answerer: Answerer) -> None:
        answerer.will_say(307, CHARGE, Location="http://192.0.2.1/")
        with pytest.raises(GatewayOutcomeUnknown, match="307"):
            charge_at(answerer)

    @given(body=json_values)
    def test_no_json_at_all_is_mistaken_for_a_charge_a_search_or_a_reversal(
        self, answerer: Answerer, body: object
    ) -> None:
        answerer.will_say(200, body)
        sparkle = sparkle_at(answerer.url, read_timeout_seconds=5)
        with pytest.raises(GatewayOutcomeUnknown):
            sparkle.charge(order(), card(), "pay-1-charge")
        with pytest.raises(GatewayOutcomeUnknown):
            sparkle.find_by_reference(order("pay-1"))
        with pytest.raises(GatewayOutcomeUnknown):
            sparkle.reverse(order("pay-1"))

    @pytest.mark.parametrize(
        ("status", "body", "shown"),
        [
            (200, {**CHARGE, "amount_minor": None}, True),
            (200, {**CHARGE, "status": "action_required"}, True),
            (200, b"<html>proxy</html>", False),
            (503, CHARGE, False),
        ],
    )
    def test_a_charge_that_is_shown_but_not_as_documented_is_told_from_no_answer(
        self, answerer: Answerer, status: int, body: object, shown: bool
    ) -> None:
        answerer.will_say(status, body)
        with pytest.raises(GatewayOutcomeUnknown) as raised:
            sparkle_at(answerer.url).find("ch_1")
        assert raised.value.shown is shown

    @pytest.mark.parametrize("body", [{"charges": None}, {"charges": {}}, {"charges": [1]}, {"charges": [{}]}])
    def test_a_search_that_makes_no_sense_found_nothing_out(self, answerer: Answerer, body: object) -> None:
        answerer.will_say(200, body)
        with pytest.raises(GatewayOutcomeUnknown):
            sparkle_at(answerer.url).find_by_reference(order("pay-1"))

    @pytest.mark.parametrize(
        "body",
        [
            {"result": "failed", "charge": None},
            {"result": "pending", "charge": CHARGE},
            {"result": None, "charge": None},
            {"result": "voided", "charge": "ch_1"},
            {"result": "voided", "charge": {"id": "ch_1"}},
        ],
    )
    def test_a_reversal_is_confirmed_by_the_contracts_words_alone(self, answerer: Answerer, body: object) -> None:
        answerer.will_say(200, body)
        with pytest.raises(GatewayOutcomeUnknown):
            sparkle_at(answerer.url).reverse(order("pay-1"))

    def test_the_security_code_is_sent_with_the_card_and_left_out_where_there_is_none(self, answerer: Answerer) -> None:
        answerer.will_say(201, CHARGE)
        sparkle = sparkle_at(answerer.url)
        sparkle.charge(order(), card(security_code=SECURITY_CODE), "pay-1-charge")
        with_code = json.loads(answerer.request_body)["card"]
        sparkle.charge(order(), card(), "pay-1-charge")
        assert with_code == json.loads(answerer.request_body)["card"] | {"security_code": SECURITY_CODE}

    def test_what_the_networks_want_to_know_of_a_stored_card_is_sent(self, answerer: Answerer) -> None:
        answerer.will_say(201, CHARGE)
        sparkle = sparkle_at(answerer.url)

        def sent(stored_credential: StoredCredential | None) -> Any:
            sparkle.charge(order(stored_credential=stored_credential), card(), "pay-1-charge")
            return json.loads(answerer.request_body).get("stored_credential")

        assert sent(None) is None
        assert sent(StoredCredential("initial", "customer")) == {"use": "initial", "initiator": "customer"}
        assert sent(StoredCredential("subsequent", "merchant", "recurring", NETWORK_TRANSACTION_ID)) == {
            "use": "subsequent",
            "initiator": "merchant",
            "reason": "recurring",
            "previous_network_transaction_id": NETWORK_TRANSACTION_ID,
        }

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, CHARGE),
            (201, {}),
            (201, VERIFICATION | {"status": "declined"}),
            (201, VERIFICATION | {"status": None}),
            (402, {"error": {"code": "card_declined", "decline_code": "lost_card"}, "charge": CHARGE}),
            (402, {"error": {"code": "card_declined", "decline_code": "lost_card"}, "verification": VERIFICATION}),
            (500, VERIFICATION),
        ],
    )
    def test_what_does_not_say_whether_a_card_is_good_leaves_it_unknown(
        self, answerer: Answerer, status: int, body: object
    ) -> None:
        answerer.will_say(status, body)
        with pytest.raises(GatewayOutcomeUnknown):
            sparkle_at(answerer.url).verify("pay-1", card(), "pay-1-verification")

    def test_a_card_is_verified_as_one_that_the_customer_stores(self, answerer: Answerer) -> None:
        answerer.will_say(201, VERIFICATION)
        verification = sparkle_at(answerer.url).verify("pay-1", card(security_code=SECURITY_CODE), "pay-1-verification")
        assert verification == Verification("pay-1", None, NETWORK_TRANSACTION_ID)
        request = json.loads(answerer.request_body)
        assert request["stored_credential"] == {"use": "initial", "initiator": "customer"}
        assert request["card"]["security_code"] == SECURITY_CODE

    @pytest.mark.parametrize("text", [NETWORK_TRANSACTION_ID, "016153570198200", "MCC9ABCDE1129", "0" * 29])
    def test_a_networks_id_is_read_even_if_it_looks_like_a_card_number(self, answerer: Answerer, text: str) -> None:
        answerer.will_say(201, CHARGE | {"network_transaction_id": text})
        assert charge_at(answerer).network_transaction_id == text

    @pytest.mark.parametrize("text", [None, "", "12345678", "0" * 30, "0161 5357 0198", 1615357019820, "१" * 15])
    def test_a_networks_id_that_can_be_none_is_left_out_and_the_charge_is_as_good(
        self, answerer: Answerer, text: object
    ) -> None:
        answerer.will_say(201, CHARGE | {"network_transaction_id": text})
        charge = charge_at(answerer)
        assert charge.network_transaction_id is None
        assert charge.is_for("pay-1", 1999, "USD")

    @pytest.mark.parametrize("status", [200, 400, 402, 500])
    def test_an_answer_that_repeats_the_card_is_not_repeated(self, answerer: Answerer, status: int) -> None:
        answerer.will_say(status, {"error": {"code": f"bad {PAN}", "message": f"{PAN} {HOLDER}"}, PAN: HOLDER})
        with pytest.raises(PaymentError) as failed:
            charge_at(answerer)
        assert PAN not in repr(failed.value)
        assert HOLDER not in repr(failed.value)


WAITING = CHARGE | {
    "status": "action_required",
    "captured_minor": 0,
    "next_action": {"redirect_url": "https://sparkle.example/challenge/ch_1"},
    "authentication": None,
}


class TestAuthentication:
    @pytest.mark.parametrize(
        ("changes", "sent"),
        [
            ({}, {}),
            ({"return_url": "https://a.example"}, {"return_url": "https://a.example"}),
            ({"three_d_secure": "required"}, {"three_d_secure": "required"}),
            ({"exemption": "low_value"}, {"exemption": "low_value"}),
        ],
    )
    def test_what_was_asked_for_is_sent_and_nothing_else(self, answerer: Answerer, changes: Any, sent: Any) -> None:
        answerer.will_say(201, CHARGE)
        sparkle_at(answerer.url).charge(order(**changes), card(), "pay-1-charge")
        request, names = json.loads(answerer.request_body), ("three_d_secure", "return_url", "exemption")
        assert {name: request[name] for name in names if name in request} == sent

    @pytest.mark.parametrize(
        "url", ["https://sparkle.example/challenge/ch_1", "http://127.0.0.1:8787/challenge/ch_1", "http://[::1]:1/c"]
    )
    def test_the_customer_is_sent_where_sparkle_says(self, answerer: Answerer, url: str) -> None:
        answerer.will_say(201, WAITING | {"next_action": {"redirect_url": url}})
        charge = charge_at(answerer)
        assert (charge.status, charge.redirect_url, charge.authentication) == ("action_required", url, None)

    @pytest.mark.parametrize(
        "action",
        [
            *[{"redirect_url": url} for url in ("javascript:alert(1)", "http://a.example", "https://a b", "", None, 5)],
            {"redirect_url": "https://a.example/\n"},
            {"redirect_url": "http://127.0.0.1.evil.example/"},
            {},
            None,
            "https://a.example",
        ],
        ids=str,
    )
    def test_without_an_address_nobody_knows_what_to_do(self, answerer: Answerer, action: object) -> None:
        answerer.will_say(201, WAITING | {"next_action": action})
        with pytest.raises(GatewayOutcomeUnknown):
            charge_at(answerer)

    def test_what_has_ended_leads_nowhere(self, answerer: Answerer) -> None:
        answerer.will_say(201, CHARGE | {"next_action": WAITING["next_action"]})
        with pytest.raises(GatewayOutcomeUnknown):
            charge_at(answerer)

    @pytest.mark.parametrize("result", ["authenticated", "attempted", "exempt", "failed"])
    def test_the_authentication_is_read(self, answerer: Answerer, result: Any) -> None:
        authentication: dict[str, Any] = {"result": result, "version": "2.2.0", "liability_shift": False}
        answerer.will_say(201, CHARGE | {"authentication": authentication})
        assert charge_at(answerer).authentication == Authentication(result, "2.2.0", False)
        answerer.will_say(201, CHARGE | {"authentication": authentication | {"version": PAN}})
        assert charge_at(answerer).authentication == Authentication(result, None, False)

    @pytest.mark.parametrize(
        "changes", [{"result": PAN}, {"result": []}, {"liability_shift": 1}, {"liability_shift": None}]
    )
    def test_one_that_is_not_as_documented_is_no_answer(self, answerer: Answerer, changes: Any) -> None:
        authentication = {"result": "authenticated", "version": "2.2.0", "liability_shift": True} | changes
        answerer.will_say(201, CHARGE | {"authentication": authentication})
        with pytest.raises(GatewayOutcomeUnknown):
            charge_at(answerer)


HOSTILE = [
    UNLISTED_PAN,
    f"x{UNLISTED_PAN}",
    "4000-0566-5566-5556",
    f"paid by {PAN}",
    "",
    "a" * 65,
    4242424242424242,
    [PAN],
]


class TestTexts:
    """Unexpected text from Sparkle is replaced by REDACTED, since it may be a card number."""

    @pytest.mark.parametrize("text", HOSTILE, ids=str)
    @pytest.mark.parametrize(
        ("name", "shown_as"),
        [
            ("id", "charge_id"),
            ("reference", "reference"),
            ("status", "status"),
            ("decline_code", "decline_code"),
            ("captured_at", "captured_at"),
            ("void_reason", "void_reason"),
            ("expires_at", "expires_at"),
        ],
    )
    def test_of_a_charge_it_is_redacted_and_the_charge_is_not_the_one_asked_for(
        self, answerer: Answerer, name: str, shown_as: str, text: object
    ) -> None:
        expected = (CHARGE["reference"], CHARGE["amount_minor"], CHARGE["currency"])
        answerer.will_say(200, {"charges": [CHARGE]})
        found = sparkle_at(answerer.url).find_by_reference(order("pay-1"))
        assert found is not None
        assert found.is_for(*expected)
        answerer.will_say(200, {"charges": [CHARGE | {name: text}]})
        found = sparkle_at(answerer.url).find_by_reference(order("pay-1"))
        assert found is not None
        assert getattr(found, shown_as) == REDACTED
        assert not found.is_for(*expected)

    @pytest.mark.parametrize("text", HOSTILE, ids=str)
    @pytest.mark.parametrize("name", ["id", "status", "created_at"])
    def test_of_a_refund_it_is_redacted_and_the_charge_is_no_evidence(
        self, answerer: Answerer, name: str, text: object
    ) -> None:
        refunded = {"refunds": [REFUND | {name: text}], "refunded_minor": 0 if name == "status" else 500}
        answerer.will_say(200, {"charges": [CHARGE | refunded]})
        found = sparkle_at(answerer.url).find_by_reference(order("pay-1"))
        assert found is not None
        assert REDACTED in astuple(found.refunds[0])
        assert not found.is_for("pay-1", 1999, "USD")
        assert str(text) not in repr(found).replace("[redacted]", "") or not text

    @pytest.mark.parametrize("text", [*HOSTILE, None], ids=str)
    def test_a_refunds_reference_that_can_be_none_of_ours_is_nobodys(self, answerer: Answerer, text: object) -> None:
        refunds = [REFUND | {"refund_reference": text}]
        answerer.will_say(200, {"charges": [CHARGE | {"refunds": refunds, "refunded_minor": 500}]})
        found = sparkle_at(answerer.url).find_by_reference(order("pay-1"))
        assert found is not None
        assert found.refunds[0].reference is None

    @pytest.mark.parametrize(
        ("refunds", "refunded_minor"),
        [([], 500), ([REFUND], 0), ([REFUND], 501), ([REFUND | {"status": "pending"}], 500)],
    )
    def test_refunds_that_do_not_come_to_what_is_refunded_are_a_mismatch(
        self, answerer: Answerer, refunds: list[dict[str, Any]], refunded_minor: int
    ) -> None:
        answerer.will_say(200, CHARGE | {"refunds": refunds, "refunded_minor": refunded_minor})
        with pytest.raises(GatewayMismatch):
            charge_at(answerer)

    @pytest.mark.parametrize("name", REFUND)
    def test_a_refund_that_lacks_a_field_leaves_the_outcome_unknown(self, answerer: Answerer, name: str) -> None:
        refund = {each: value for each, value in REFUND.items() if each != name}
        answerer.will_say(200, CHARGE | {"refunds": [refund], "refunded_minor": 500})
        with pytest.raises(GatewayOutcomeUnknown):
            charge_at(answerer)

    @pytest.mark.parametrize(
        "changes",
        [
            {"currency": "usd"},
            {"currency": UNLISTED_PAN},
            {"amount_minor": int(UNLISTED_PAN)},
            {"captured_minor": 10**12},
            {"amount_minor": -(10**15)},
        ],
        ids=str,
    )
    def test_a_currency_or_an_amount_that_is_none_is_a_mismatch(
        self, answerer: Answerer, changes: dict[str, object]
    ) -> None:
        answerer.will_say(200, CHARGE | changes)
        with pytest.raises(GatewayMismatch) as mismatch:
            charge_at(answerer)
        assert not re.search("[0-9]", str(mismatch.value))

    @pytest.mark.parametrize(
        "body",
        [b"[" * 1_100, b"[" * 100_000, b'{"a": NaN}', b'{"a": 1, "a": 2}', b'{"a": "\\ud800"}', b'{"a": 1e400}'],
        ids=lambda body: str(body[:12]),
    )
    def test_json_that_parsers_disagree_about_or_die_of_leaves_the_outcome_unknown(
        self, answerer: Answerer, body: bytes
    ) -> None:
        answerer.will_say(200, body)
        with pytest.raises(GatewayOutcomeUnknown):
            charge_at(answerer)


class TestAmounts:
    @pytest.mark.parametrize(
        ("currency", "ours", "override", "theirs"),
        [
            ("USD", 1999, {}, 1999),
            ("JPY", 500, {}, 500),
            ("KWD", 1500, {}, 1500),
            ("KWD", 1500, {"KWD": 2}, 150),
            ("JPY", 500, {"JPY": 2}, 50000),
            ("ISK", 500, {"ISK": 2}, 50000),
            ("ISK", 500, MINOR_UNITS, 50000),
            ("UGX", 5, MINOR_UNITS, 500),
            ("USD", 1999, MINOR_UNITS, 1999),
        ],
    )
    def test_an_amount_goes_and_comes_in_the_gateways_own_minor_unit(
        self, answerer: Answerer, currency: str, ours: int, override: dict[str, int], theirs: int
    ) -> None:
        refunded = {"refunds": [REFUND | {"amount_minor": theirs}], "refunded_minor": theirs}
        amounts = {"amount_minor": theirs, "captured_minor": theirs, "currency": currency} | refunded
        answerer.will_say(201, CHARGE | amounts)
        sparkle = sparkle_at(answerer.url, minor_units=override)
        charge = sparkle.charge(order(amount_minor=ours, currency=currency), card(), "pay-1-charge")
        assert json.loads(answerer.request_body)["amount_minor"] == theirs
        assert (charge.amount_minor, charge.captured_minor, charge.refunds[0].amount_minor) == (ours, ours, ours)

    @pytest.mark.parametrize("currency", MINOR_UNITS)
    def test_the_sandbox_has_the_decimals_that_the_adapter_says(self, sandbox_url: str, currency: str) -> None:
        sparkle = sparkle_at(sandbox_url)
        charge = sparkle.charge(order(reference := new_id(), amount_minor=7, currency=currency), card(), reference)
        charged = requests.get(f"{sandbox_url}/sandbox/charges", headers=AUTHORIZATION, timeout=5).json()["charges"]
        assert [each["amount_minor"] for each in charged if each["id"] == charge.charge_id] == [700]
        day = (charge.captured_at or "")[:10]
        (line,) = (each for each in sparkle.settlement(day, None, 10_000).lines if each.reference == reference)
        assert (line.amount_minor, line.fee_minor) == (7, 0)

    @pytest.mark.parametrize(("currency", "decimals"), [("ISK", 2), ("UGX", 2), ("USD", 4), ("JPY", 1)])
    @pytest.mark.parametrize("name", ["amount_minor", "captured_minor"])
    @pytest.mark.parametrize("sign", [1, -1])
    def test_an_amount_that_cannot_be_had_in_our_minor_unit_is_a_mismatch_and_never_rounded(
        self, answerer: Answerer, currency: str, decimals: int, name: str, sign: int
    ) -> None:
        amounts = {"amount_minor": 50000, "captured_minor": 50000, "currency": currency}
        for amount in (1, 49999, 50001, 50005):
            answerer.will_say(201, CHARGE | amounts | {name: sign * amount})
            with pytest.raises(GatewayMismatch, match="less than one minor unit"):
                charge_at(answerer, minor_units={currency: decimals})

    def test_an_amount_finer_than_the_gateway_knows_is_refused_before_it_is_asked(self, answerer: Answerer) -> None:
        answerer.request_body = b"nothing"
        sparkle = sparkle_at(answerer.url, minor_units={"KWD": 2})
        with pytest.raises(GatewayRefused):
            sparkle.charge(order(amount_minor=1501, currency="KWD"), card(), "pay-1-charge")
        assert answerer.request_body == b"nothing"


LINE = {
    "id": "ch_1",
    "charge_id": "ch_1",
    "reference": "pay-1",
    "refund_reference": None,
    "type": "charge",
    "amount_minor": 20,
    "fee_minor": 1,
    "currency": "USD",
    "settled_at": "2020-02-02T23:59:59.999Z",
}


def report_of(line: dict[str, Any]) -> bytes:
    totals = [{"currency": "USD", "amount_minor": 20, "fee_minor": 1}]
    return json.dumps({"lines": [line], "line_count": 1, "totals": totals, "next_cursor": None}).encode()


class TestSettlements:
    DAY = "2020-02-02"

    @pytest.fixture
    def replace_report(self, sandbox_url: str) -> Iterator[Callable[[bytes], None]]:
        """Let the sandbox return these bytes as the day's report."""
        url = f"{sandbox_url}/sandbox/settlements/{self.DAY}"
        yield lambda body: requests.put(url, data=body, headers=AUTHORIZATION, timeout=5).raise_for_status()
        requests.delete(url, headers=AUTHORIZATION, timeout=5).raise_for_status()

    def test_a_report_has_its_charges_and_refunds_page_by_page(self, sparkle: Sparkle, sandbox_url: str) -> None:
        clock = f"{sandbox_url}/sandbox/clock"
        requests.post(clock, json={"offset_seconds": -40 * 86_400}, headers=AUTHORIZATION, timeout=5).raise_for_status()
        try:
            charge = sparkle.charge(order(reference := new_id()), card(), f"{reference}-charge")
            refunded = sparkle.refund(charge.charge_id, 500, "USD", "op-1", f"{reference}-refund")
        finally:
            requests.delete(clock, headers=AUTHORIZATION, timeout=5).raise_for_status()
        assert isinstance(refunded, Charge)
        (refund,) = refunded.refunds
        day = (charge.captured_at or "")[:10]
        first_page = sparkle.settlement(day, None, 1)
        second_page = sparkle.settlement(day, first_page.next_page, 1)
        assert first_page.next_page is not None
        assert second_page.next_page is None
        assert (
            (first_page.line_count, first_page.totals)
            == (second_page.line_count, second_page.totals)
            == (2, {"USD": (1499, 58)})
        )
        (line,), (back,) = first_page.lines, second_page.lines
        assert (line.line_id, line.type, line.amount_minor, line.fee_minor) == (charge.charge_id, "charge", 1999, 58)
        assert (line.reference, line.refund_reference, line.settled_at) == (reference, None, f"{day}T23:59:59.999Z")
        assert (back.line_id, back.type, back.amount_minor) == (refund.refund_id, "refund", -500)
        assert (back.reference, back.refund_reference) == (reference, "op-1")

    def test_a_day_without_movements_is_an_empty_report(self, sparkle: Sparkle) -> None:
        assert sparkle.settlement("2019-01-01", None, 10) == SettlementPage((), 0, {}, None)

    def test_other_decimals_are_turned_into_the_standards(
        self, sandbox_url: str, replace_report: Callable[[bytes], None]
    ) -> None:
        replace_report(report_of(LINE))
        page = sparkle_at(sandbox_url, minor_units={"USD": 0}).settlement(self.DAY, None, 10)
        assert (page.lines[0].amount_minor, page.lines[0].fee_minor, page.totals) == (2000, 100, {"USD": (2000, 100)})

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b'{"date": "2020-02-02", "lines": [{"id": "ch_',
            b'{"date": "2020-02-02", "lines": []}',
            b'{"lines": [{}], "line_count": 1, "totals": [], "next_cursor": null}',
            b'{"lines": null, "line_count": 0, "totals": [], "next_cursor": null}',
            report_of(LINE | {"currency": "ISK", "amount_minor": 2050}),
            report_of(LINE | {"amount_minor": "1"}),
            report_of(LINE | {"amount_minor": 1.5}),
            report_of({name: value for name, value in LINE.items() if name != "id"}),
        ],
    )
    def test_a_report_that_is_cut_off_or_not_as_documented_is_unreadable(
        self, sparkle: Sparkle, replace_report: Callable[[bytes], None], body: bytes
    ) -> None:
        replace_report(body)
        with pytest.raises(SettlementUnreadable):
            sparkle.settlement(self.DAY, None, 10)

    @pytest.mark.parametrize("type", ["chargeback", "fee", "adjustment", "chargeback_reversal"])
    def test_a_line_of_a_type_that_nobody_told_us_of_is_read_as_far_as_it_goes(
        self, sparkle: Sparkle, replace_report: Callable[[bytes], None], type: str
    ) -> None:
        about = {name: LINE[name] for name in ("id", "amount_minor", "fee_minor", "currency", "settled_at")}
        replace_report(report_of(about | {"type": type}))
        page = sparkle.settlement(self.DAY, None, 10)
        (line,) = page.lines
        assert (line.type, line.is_known, line.reference, line.charge_id) == (type, False, None, None)
        assert (line.amount_minor, page.totals) == (20, {"USD": (20, 1)})
        replace_report(report_of(LINE | {"type": type}))
        assert sparkle.settlement(self.DAY, None, 10).lines[0].reference == "pay-1"

    @pytest.mark.parametrize(
        ("settled_at", "is_one"),
        [
            ("2020-02-03T01:29:59+01:30", True),
            ("2020-02-02T18:59:59.999999999-05:00", True),
            ("2020-02-02T23:59:59", False),
            ("2020-02-31T23:59:59Z", False),
            ("2020-02-02T24:00:01Z", False),
            ("2020-02-02T23:59:59+99:00", False),
        ],
    )
    def test_a_time_may_have_any_offset_and_must_have_one(
        self, sparkle: Sparkle, replace_report: Callable[[bytes], None], settled_at: str, is_one: bool
    ) -> None:
        replace_report(report_of(LINE | {"settled_at": settled_at}))
        (line,) = sparkle.settlement(self.DAY, None, 10).lines
        assert line.settled_at == (settled_at if is_one else REDACTED)

    @pytest.mark.parametrize(
        "text", [UNLISTED_PAN, f"line of {UNLISTED_PAN}", "4000_0566_5566_5556", 5, ["x"]], ids=str
    )
    @pytest.mark.parametrize("name", ["id", "type", "charge_id", "reference", "refund_reference", "settled_at"])
    def test_a_text_of_a_line_that_is_not_what_it_must_be_is_redacted(
        self, sparkle: Sparkle, replace_report: Callable[[bytes], None], name: str, text: object
    ) -> None:
        replace_report(report_of(LINE))
        assert REDACTED not in astuple(sparkle.settlement(self.DAY, None, 10).lines[0])
        replace_report(report_of(LINE | {name: text}))
        (line,) = sparkle.settlement(self.DAY, None, 10).lines
        assert astuple(line).count(REDACTED) == 1
        assert UNLISTED_PAN not in str(line)

    @pytest.mark.parametrize("cursor", ["a b", "a" * 257, 5, ""])
    def test_a_cursor_is_not_handed_on_as_it_comes(
        self, sparkle: Sparkle, replace_report: Callable[[bytes], None], cursor: object
    ) -> None:
        replace_report(json.dumps(json.loads(report_of(LINE)) | {"next_cursor": cursor}).encode())
        with pytest.raises(SettlementUnreadable):
            sparkle.settlement(self.DAY, None, 10)

    @pytest.mark.parametrize("fault", ["timeout_before", "http_500", "http_502_html", "reset"])
    def test_a_report_that_does_not_come_is_no_answer(
        self, impatient: Sparkle, break_next: Callable[..., None], fault: str
    ) -> None:
        break_next("settlements", fault, self.DAY, seconds=0.5)
        with pytest.raises(GatewayOutcomeUnknown):
            impatient.settlement(self.DAY, None, 10)

    def test_a_busy_gateway_is_busy(self, sparkle: Sparkle, break_next: Callable[..., None]) -> None:
        break_next("settlements", "http_429", self.DAY)
        with pytest.raises(GatewayBusy):
            sparkle.settlement(self.DAY, None, 10)
