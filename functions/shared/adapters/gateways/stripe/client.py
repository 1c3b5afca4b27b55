"""The client for Stripe's API: https://docs.stripe.com/api (seen 2026-11-29)."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import requests

from functions.shared import strict_json
from functions.shared.adapters.gateways.http import CallObserver, Transport
from functions.shared.adapters.gateways.stripe import ABILITIES
from functions.shared.adapters.gateways.stripe.mapping import (
    EXPAND,
    NAME,
    Object,
    StripeMapping,
    cancellation,
)
from functions.shared.domain.card import Card
from functions.shared.domain.charge import Charge, Order, Refused, Reversal, ReversalResult, Verification
from functions.shared.domain.errors import GatewayBusy, GatewayOutcomeUnknown, GatewayRefused, SettlementUnreadable
from functions.shared.domain.operation import Refusal
from functions.shared.domain.settlement import SettlementLine, SettlementPage
from functions.shared.domain.times import epoch_seconds

API_VERSION = "2026-10-28.endive"
"""The version of Stripe's API that the requests ask for, whatever the account's own."""

KEYS_LAST = timedelta(hours=23)
"""Stripe keeps idempotency keys for at least 24 hours, https://docs.stripe.com/api/idempotent_requests (seen
2026-11-29). The hour is for a request that began in time and clocks that differ."""

MAX_PER_PAGE = 100

AMOUNT_REFUSALS = ("amount_too_small", "amount_too_large")
"""https://docs.stripe.com/error-codes (seen 2026-11-29): amounts below the equivalent of half a dollar, and those with
more digits than Stripe counts in that currency."""

CHARGE_DISPUTED = "charge_disputed"
"""https://docs.stripe.com/error-codes (seen 2026-11-29): a refund of what has been charged back."""

_REVERSED: dict[str, ReversalResult] = {"declined": "declined", "voided": "voided"}


class Stripe:
    """`PaymentGateway` on Stripe's API.

    A payment is one PaymentIntent. It is created without the card, under the key `{reference}-intent`, so that it can
    be created again by everybody who knows the order: as long as Stripe keeps the key, this is how its id is found.
    Then it is confirmed with the card. An intent that was canceled can never be confirmed, so that a late charge is
    kept out. After the time for which Stripe keeps keys, intents are found by a search for their metadata, which may
    be behind by a minute, and by an hour during an outage: it decides nothing by itself. https://docs.stripe.com/search
    (seen 2026-11-29).

    A customer who has to be authenticated is sent to Stripe, and so the browser learns the intent's client secret, by
    which a declined intent can be confirmed once more, with another card. So a declined intent is canceled when it is
    looked at.

    What counts as an answer: a 200; a 402 with a `card_error`, which is a decline; a 404 for what does not exist; and a
    400 for what an intent's state or amount forbids. A 429 (too many requests, or another holds the object's lock)
    means that nothing happened, and so does another 4xx with `Stripe-Should-Retry: true`; a 409 that the first request
    is still under way. Any other 4xx with an error refuses the request. Everything else leaves the outcome unknown: a
    5xx is repeated by Stripe for the same key, whatever it says about a retry, until somebody looks.
    https://docs.stripe.com/error-low-level (seen 2026-11-29).

    `api_key` is called for every request to pick up a rotated key, `now` returns the time (ISO 8601), and `observe` is
    Transport's.
    """

    name = NAME
    abilities = ABILITIES

    def __init__(
        self,
        url: str,
        api_key: Callable[[], str],
        *,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        iso_minor_unit: Callable[[str], int | None],
        now: Callable[[], str],
        sends_network_transaction_ids: bool = False,
        observe: CallObserver = lambda operation, seconds, succeeded: None,
    ) -> None:
        self._api_key = api_key
        self._now = now
        self._sends_ids = sends_network_transaction_ids
        self._mapping = StripeMapping(iso_minor_unit)
        self._transport = Transport(
            "Stripe",
            url,
            connect_timeout_seconds=connect_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
            observe=observe,
        )

    def charge(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._pay(order, card, idempotency_key, capture=True)

    def authorize(self, order: Order, card: Card, idempotency_key: str) -> Charge:
        return self._pay(order, card, idempotency_key, capture=False)

    def verify(self, reference: str, card: Card, idempotency_key: str) -> Verification:
        request = self._mapping.verification_request(reference, card)
        status, answer = self._call("verify", "POST", "/v1/setup_intents", request, idempotency_key)
        if status == requests.codes.ok:
            verification = self._mapping.verification(answer)
            if verification.decline_code:
                # Nobody is going to authenticate the customer.
                self._post("verify", f"/v1/setup_intents/{_id(answer)}/cancel", {})
            return verification
        error = _decline(status, answer)
        return self._mapping.verification({"metadata": request["metadata"]}, error)

    def capture(self, charge_id: str, amount_minor: int, currency: str, idempotency_key: str) -> Charge | Refused:
        if not self._mapping.takes(amount_minor, currency):
            return Refused("amount_not_supported")
        amount = self._mapping.amount(amount_minor, currency)

        def refusal(intent: Object) -> Refusal | None:
            if intent["status"] != "requires_capture":
                return "invalid_state"
            return "amount_exceeds_authorized" if amount > intent["amount_capturable"] else None

        request = {"amount_to_capture": amount, "expand": list(EXPAND)}
        return self._operate("capture", charge_id, "capture", request, refusal, idempotency_key)

    def void(self, charge_id: str, idempotency_key: str) -> Charge | Refused:
        def refusal(intent: Object) -> Refusal | None:
            return "invalid_state" if intent["status"] != "requires_capture" else None

        # Unlike an uncaptured intent, one that was never confirmed may be canceled, but is no charge.
        request = {"cancellation_reason": "requested_by_customer", "expand": list(EXPAND)}
        return self._operate("void", charge_id, "cancel", request, refusal, idempotency_key)

    def refund(
        self, charge_id: str, amount_minor: int, currency: str, reference: str, idempotency_key: str
    ) -> Charge | Refused:
        if not self._mapping.takes(amount_minor, currency):
            return Refused("amount_not_supported")
        amount = self._mapping.amount(amount_minor, currency)
        # Stripe forgets keys, and would then refund again under the same reference.
        before = self.find(charge_id)
        if before and before.refund(reference):
            return before
        request = {"payment_intent": charge_id, "amount": amount, "metadata": {"refund_reference": reference}}
        status, answer = self._call("refund", "POST", "/v1/refunds", request, idempotency_key)
        if status != requests.codes.ok and _code(answer) == "resource_missing":
            raise GatewayRefused("Stripe knows no such charge.")
        charge = self.find(charge_id)
        if charge is None:
            raise GatewayOutcomeUnknown("Stripe does not show the charge of the refund.")
        if status == requests.codes.ok:
            return charge
        if _code(answer) == CHARGE_DISPUTED:
            return Refused("payment_disputed")
        remaining_minor = charge.captured_minor - sum(
            each.amount_minor for each in charge.refunds if each.status != "failed"
        )
        if remaining_minor <= 0:
            return Refused("invalid_state" if charge.status in ("voided", "refunded") else "amount_exceeds_captured")
        if amount_minor > remaining_minor:
            return Refused("amount_exceeds_captured")
        if _code(answer) in AMOUNT_REFUSALS:
            return Refused("amount_not_supported")
        raise _refused(status)

    def cancel_authentication(self, charge_id: str) -> Charge:
        intent = self._intent(charge_id)
        if intent is None:
            raise GatewayRefused("Stripe knows no such charge.")
        # If a customer passes the challenge of an authorization after this look, Stripe cancels the authorization, too.
        charge = self._to_charge(self._canceled(intent) if intent.get("status") == "requires_action" else intent)
        if charge is None or charge.status == "action_required":
            raise GatewayOutcomeUnknown("Stripe still waits for the customer.")
        return charge

    def find_by_reference(self, order: Order) -> Charge | None:
        ids = self._created_ids(order) if self._keys_last(order) else self._search(order)
        return next(filter(None, map(self.find, ids)), None)

    def find(self, charge_id: str) -> Charge | None:
        intent = self._intent(charge_id)
        return self._to_charge(intent) if intent else None

    def reverse(self, order: Order) -> Reversal:
        """Undo every intent of the order. If there is none, one is made and canceled, so that it is the one that every
        other request under its key will find."""
        ids = dict.fromkeys([*([] if self._keys_last(order) else self._search(order)), *self._created_ids(order)])
        reversals = [self._reverse(id) for id in ids]
        never_charged = Reversal("tombstoned", None)
        return next((reversal for reversal in reversals if reversal.charge), never_charged)

    def settlement(self, day: str, page: str | None, limit: int) -> SettlementPage:
        """The balance transactions of the day, and then those of each payout that arrived on that day, which have to
        come to its amount.

        A page's token is the id of the payout, the id of the last transaction of it, and the sum so far, separated by
        tildes.
        """
        try:
            return self._settlement(day, page, limit)
        except (LookupError, TypeError, ValueError) as error:
            raise SettlementUnreadable(f"A payout is not as documented: {type(error).__name__}.") from None

    def _settlement(self, day: str, page: str | None, limit: int) -> SettlementPage:
        day_start = epoch_seconds(f"{day}T00:00:00Z")
        on_day = {"gte": day_start, "lt": day_start + 24 * 60 * 60}
        payout_id, after, so_far = (page or "~~0").split("~")
        payout = self._get("settlements", f"/v1/payouts/{payout_id}") if payout_id else None
        total, lines = int(so_far), list[SettlementLine]()
        while len(lines) < limit:
            of = {"payout": payout_id} if payout_id else {"created": on_day}
            listed = self._get(
                "settlements",
                "/v1/balance_transactions",
                of
                | {"limit": min(limit - len(lines), MAX_PER_PAGE), "expand": ["data.source.payment_intent"]}
                | ({"starting_after": after} if after else {}),
            )
            transactions = _data(listed)
            lines += self._mapping.lines(transactions, arrived=payout["arrival_date"] if payout else None)
            total += sum(each["net"] for each in transactions if each["type"] != "payout")
            if listed["has_more"]:
                after = _id(transactions[-1])
                continue
            if payout and total != payout["amount"]:
                raise SettlementUnreadable("The transactions of a payout don't come to its amount.")
            payout = self._payout_after(payout_id, on_day)
            if payout is None:
                return SettlementPage(tuple(lines), None, None, None)
            payout_id, after, total = _id(payout), "", 0
        return SettlementPage(tuple(lines), None, None, f"{payout_id}~{after}~{total}")

    def _payout_after(self, payout_id: str, on_day: Object) -> Object | None:
        """The day's next payout that is not failed or canceled. Raises SettlementUnreadable for one whose transactions
        Stripe doesn't know, or not yet."""
        while True:
            after = {"starting_after": payout_id} if payout_id else {}
            listed = _data(self._get("settlements", "/v1/payouts", {"arrival_date": on_day, "limit": 1} | after))
            if not listed:
                return None
            (payout,) = listed
            payout_id = _id(payout)
            if payout["status"] in ("failed", "canceled"):
                continue
            if payout["status"] != "paid" or payout["reconciliation_status"] != "completed":
                raise SettlementUnreadable("A payout has not been paid yet, or was not made by Stripe's own schedule.")
            return payout

    # -- Payments

    def _pay(self, order: Order, card: Card, idempotency_key: str, *, capture: bool) -> Charge:
        intent = self._create(order)
        if intent is None:
            raise GatewayRefused("Stripe doesn't take this amount.")
        request = self._mapping.confirmation_request(order, card, capture=capture, sends_ids=self._sends_ids)
        path = f"/v1/payment_intents/{_id(intent)}/confirm"
        status, answer = self._call("charge", "POST", path, request, idempotency_key)
        if status == requests.codes.ok:
            charge = self._mapping.charge(answer)
        elif _code(answer) == "payment_intent_unexpected_state":
            existing_intent = answer["error"].get("payment_intent")
            if isinstance(existing_intent, dict) and existing_intent.get("status") == "canceled":
                raise GatewayRefused("Stripe refused: the payment was reversed.")
            raise GatewayOutcomeUnknown("Stripe has already charged this reference.")
        else:
            charge = self._mapping.charge(intent | {"last_payment_error": _decline(status, answer)})
        if charge is None:
            raise GatewayOutcomeUnknown("Stripe's answer shows no outcome yet.")
        return charge

    def _create(self, order: Order) -> Object | None:
        """The order's intent as it was when it was created. None if Stripe doesn't take the amount: if there were an
        intent under the key, Stripe would have repeated it."""
        if not self._mapping.takes(order.amount_minor, order.currency):
            return None
        request = self._mapping.intent_request(order)
        status, answer = self._call("create", "POST", "/v1/payment_intents", request, f"{order.reference}-intent")
        return None if _code(answer) in AMOUNT_REFUSALS else _ok(status, answer)

    def _created_ids(self, order: Order) -> list[str]:
        """The id of the order's intent, which is created if there is none; no id if Stripe doesn't take the amount."""
        intent = self._create(order)
        return [_id(intent)] if intent else []

    def _keys_last(self, order: Order) -> bool:
        return datetime.fromisoformat(self._now()) - datetime.fromisoformat(order.requested_at) < KEYS_LAST

    def _search(self, order: Order) -> list[str]:
        query = {"query": f"metadata['payment_id']:'{order.reference}'", "limit": MAX_PER_PAGE}
        return [_id(each) for each in _data(self._get("find", "/v1/payment_intents/search", query))]

    def _intent(self, intent_id: str) -> Object | None:
        path = f"/v1/payment_intents/{intent_id}"
        status, answer = self._call("find", "GET", path, {"expand": list(EXPAND)})
        if _code(answer) == "resource_missing":
            return None
        return _ok(status, answer)

    def _to_charge(self, intent: Object) -> Charge | None:
        """The intent as a charge, with its refunds. A declined one is canceled: nobody may try another card."""
        if intent.get("status") == "requires_payment_method" and (intent.get("latest_charge") or cancellation(intent)):
            intent = self._canceled(intent)
        if intent.get("status") != "succeeded":
            return self._mapping.charge(intent)
        paid = intent.get("latest_charge")
        is_disputed = isinstance(paid, dict) and paid.get("disputed")
        disputes = self._listed("/v1/disputes", _id(intent)) if is_disputed else ()
        return self._mapping.charge(intent, self._listed("/v1/refunds", _id(intent)), disputes)

    def _canceled(self, intent: Object) -> Object:
        """The intent after its cancellation, or as it is if it can't be canceled any more."""
        path = f"/v1/payment_intents/{_id(intent)}/cancel"
        request = cancellation(intent) | {"expand": list(EXPAND)}
        status, answer = self._call("cancel_authentication", "POST", path, request)
        if status == requests.codes.ok:
            return answer
        current = self._intent(_id(intent))
        if current is None or current.get("status") == intent.get("status"):
            raise GatewayOutcomeUnknown(f"Stripe answered {status}.")
        return current

    def _listed(self, path: str, intent_id: str) -> Iterator[Object]:
        """The intent's refunds or disputes, oldest first."""
        objects: list[Object] = []
        query: Object = {"payment_intent": intent_id, "limit": MAX_PER_PAGE}
        while True:
            listed = self._get("find", path, query)
            objects += _data(listed)
            if not listed["has_more"]:
                return reversed(objects)
            query["starting_after"] = _id(objects[-1])

    def _reverse(self, intent_id: str) -> Reversal:
        """Cancel the intent or, if its money was taken, refund what is left. Stripe lets neither happen twice, so that
        no key is needed, under which Stripe would also repeat a failure for a day."""
        intent = self._intent(intent_id)
        if intent is None:
            raise GatewayOutcomeUnknown("Stripe does not show the intent that it has.")
        status = intent.get("status")
        if status == "succeeded":
            current = self._to_charge(intent)
            if current and not current.is_undone:
                self._post("reverse", "/v1/refunds", {"payment_intent": intent_id}, refusable=False)
        elif status != "canceled":
            path = f"/v1/payment_intents/{intent_id}/cancel"
            self._post("reverse", path, cancellation(intent), refusable=False)
        charge = self.find(intent_id)
        if charge is None:
            return Reversal("tombstoned", None)
        if charge.status != "declined" and not charge.is_undone:
            raise GatewayOutcomeUnknown("Stripe has not returned the money yet.")
        return Reversal(_REVERSED.get(charge.status, "refunded"), charge)

    def _operate(
        self,
        operation: str,
        charge_id: str,
        verb: str,
        request: Object,
        refusal: Callable[[Object], Refusal | None],
        idempotency_key: str,
    ) -> Charge | Refused:
        """Capture or cancel the intent. What is refused is judged by the intent and not by the error's code, of which
        Stripe has more with every version; only if the intent forbids nothing may the code say that it is the amount.
        """
        path = f"/v1/payment_intents/{charge_id}/{verb}"
        status, answer = self._call(operation, "POST", path, request, idempotency_key)
        if status == requests.codes.ok:
            charge = self._mapping.charge(answer)
            if charge is None:
                raise GatewayOutcomeUnknown("Stripe's answer shows no charge.")
            return charge
        intent = self._intent(charge_id)
        try:
            reason = refusal(intent) if intent else None
        except (LookupError, TypeError):
            raise GatewayOutcomeUnknown("Stripe answered with an intent that is not as documented.") from None
        if reason is None and _code(answer) in AMOUNT_REFUSALS:
            reason = "amount_not_supported"
        if reason is None:
            raise _refused(status)
        return Refused(reason)

    # -- HTTP

    def _get(self, operation: str, path: str, query: Object | None = None) -> Object:
        return _ok(*self._call(operation, "GET", path, query or {}))

    def _post(
        self, operation: str, path: str, request: Object, idempotency_key: str | None = None, *, refusable: bool = True
    ) -> Object:
        """The answer to a POST that must succeed. If it is not `refusable`, a refusal says only that the object was not
        in the state that we saw."""
        status, answer = self._call(operation, "POST", path, request, idempotency_key)
        if status != requests.codes.ok and not refusable:
            raise GatewayOutcomeUnknown(f"Stripe answered {status}.")
        return _ok(status, answer)

    def _call(
        self, operation: str, method: str, path: str, request: Object, idempotency_key: str | None = None
    ) -> tuple[int, Object]:
        """The status and body of a 200, or of a 400, 402 or 404 with an error."""
        headers = {"Authorization": f"Bearer {self._api_key()}", "Stripe-Version": API_VERSION}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        form = list(_form(request))
        content = {"params": form} if method == "GET" else {"data": form}
        return self._transport.send(operation, _read, method, path, headers=headers, **content)


def _read(answer: requests.Response) -> tuple[int, Object]:
    status = answer.status_code
    try:
        body = strict_json.loads(answer.content)
    except ValueError:
        raise GatewayOutcomeUnknown(f"Stripe answered {status}, and not with JSON.") from None
    if not isinstance(body, dict):
        raise GatewayOutcomeUnknown(f"Stripe answered {status} with something that is not its JSON.")
    error = body.get("error")
    if status == requests.codes.ok and error is None:
        return status, body
    if not isinstance(error, dict) or not 400 <= status < 500 or status == requests.codes.conflict:
        raise GatewayOutcomeUnknown(f"Stripe answered {status}.")
    if status == 429 or answer.headers.get("Stripe-Should-Retry") == "true":
        raise GatewayBusy(f"Stripe answered {status}.")
    if status not in (400, 402, 404) or error.get("type") == "idempotency_error":
        raise _refused(status)
    return status, body


def _refused(status: int) -> GatewayRefused:
    return GatewayRefused(f"Stripe refused: {status}.")


def _ok(status: int, answer: Object) -> Object:
    if status != requests.codes.ok:
        raise _refused(status)
    return answer


def _id(stripe_object: Object) -> str:
    """The object's id, for the path of a request about it."""
    id = stripe_object.get("id")
    if not isinstance(id, str) or not re.fullmatch("[A-Za-z0-9_]{1,64}", id):
        raise GatewayOutcomeUnknown("Stripe answered with an object without an id.", shown=True)
    return id


def _code(answer: Object) -> Any:
    error = answer.get("error")
    return error.get("code") if isinstance(error, dict) else None


def _decline(status: int, answer: Object) -> Object:
    """The error of a decline. Raises GatewayRefused for any other."""
    error: Object = answer["error"]
    if error.get("type") != "card_error" and error.get("code") != "payment_intent_action_required":
        raise _refused(status)
    return error


def _data(listed: Object) -> list[Object]:
    data, has_more = listed.get("data"), listed.get("has_more")
    if not isinstance(data, list) or not all(isinstance(each, dict) for each in data) or type(has_more) is not bool:
        raise GatewayOutcomeUnknown("Stripe answered with a list that is not as documented.", shown=True)
    return data


def _form(fields: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The fields as Stripe reads them in a form: `{"a": {"b": 1}, "c": [True]}` as `a[b]=1&c[]=true`."""
    match fields:
        case dict():
            for key, value in fields.items():
                yield from _form(value, f"{name}[{key}]" if name else key)
        case list():
            for value in fields:
                yield from _form(value, f"{name}[]")
        case bool():
            yield name, str(fields).lower()
        case _:
            yield name, str(fields)
