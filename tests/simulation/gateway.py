"""Sparkle as the adapter's HTTP session meets it: the sandbox's own book and idempotency keys, without the socket."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import requests

from local.sparkle.charges import Card, Charge, ChargeBook
from local.sparkle.contract import check
from local.sparkle.errors import GatewayError
from local.sparkle.idempotency import Answer, IdempotencyKeys
from tests.simulation.clock import Clock
from tests.simulation.network import Lost, Network, Refused


class Book(ChargeBook):
    """The sandbox's book, which counts, and which is no more careful than a gateway has to be.

    It charges some payments another amount than asked (`mischarged`), and a reference under a second key a second time:
    Sparkle refuses that, but then a lost idempotency key would go unnoticed.
    """

    def __init__(self, clock: Callable[[], datetime], mischarged: dict[str, tuple[int, str]]) -> None:
        super().__init__(clock)
        self.captures: Counter[str] = Counter()
        self.reversals: Counter[str] = Counter()
        self._mischarged = mischarged

    def charge(self, reference: str, amount_minor: int, currency: str, card: Card, capture: bool = True) -> Charge:
        self._ids.pop(reference, None)
        amount_minor, currency = self._mischarged.get(reference, (amount_minor, currency))
        return super().charge(reference, amount_minor, currency, card, capture)

    def capture(self, charge_id: str, amount_minor: int | None = None) -> Charge:
        charge = super().capture(charge_id, amount_minor)
        self.captures[charge.reference] += 1
        return charge

    def will_refuse(self, reference: str) -> bool:
        """Whether a charge that came now would be refused."""
        return reference in self._reversals

    def _undo(self, charge: Charge | None) -> str:
        result = super()._undo(charge)
        if charge and result in ("voided", "refunded"):
            self.reversals[charge.reference] += 1
        return result


class HttpAnswer(NamedTuple):
    """What a requests.Session gives, as far as the adapter looks."""

    status_code: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


GARBAGE = (
    HttpAnswer(500, '{"error": {"code": "internal_server_error"}}'),
    HttpAnswer(502, "<html><body><h1>502 Bad Gateway</h1></body></html>"),
    HttpAnswer(200, '{"id": "ch_'),
    HttpAnswer(200, "{}"),
    HttpAnswer(200, "[]"),
)
REFUSALS = (
    HttpAnswer(429, '{"error": {"code": "rate_limited"}}'),
    HttpAnswer(401, '{"error": {"code": "invalid_api_key"}}'),
)


class GatewaySession:
    """`requests.Session` with the book at its other end. What is lost times out, or is answered by garbage."""

    def __init__(self, book: Book, clock: Clock, network: Network, random: Random) -> None:
        self._book = book
        # A charge is found by its reference only so long after it was made: not found yet is not the same as never.
        self._found_after = timedelta(seconds=random.choice((0, 0, 60)))
        self._keys = IdempotencyKeys()
        self._clock = clock
        self._network = network
        self._random = random

    def request(self, method: str, url: str, *, headers: dict[str, str], timeout: Any, **more: Any) -> HttpAnswer:
        body = json.loads(json.dumps(more.get("json")))
        path = f"{method} /v1/{url.rpartition('/v1/')[2]}"

        def deed() -> HttpAnswer:
            try:
                answer = self._answer(path, headers.get("Idempotency-Key"), body, more.get("params"))
            except GatewayError as error:
                answer = Answer(error.status, error.body())
            return HttpAnswer(answer.status, json.dumps(answer.body))

        try:
            return self._network.ask("sparkle", path, deed, self._random.choice((0, 0, timeout[1])))
        except Refused:
            return self._random.choice(REFUSALS)
        except Lost:
            if self._random.random() < 0.5:
                raise requests.ReadTimeout from None
            return self._random.choice(GARBAGE)

    def _answer(self, path: str, key: str | None, body: Any, query: Any) -> Answer:
        match path:
            case "POST /v1/charges":
                return self._charge(str(key), body)
            case "GET /v1/charges":
                check(query, "ByReference")
                found = self._book.find(query["reference"])
                if found and datetime.fromisoformat(found.created_at) + self._found_after > self._clock.now():
                    found = None
                return Answer(200, {"charges": [asdict(found)] if found else []})
            case "POST /v1/reversals":
                check(body, "ByReference")
                return Answer(200, asdict(self._book.reverse(body["reference"])))
        return Answer(404, {"error": {"code": "not_found"}})

    def _charge(self, key: str, body: Any) -> Answer:
        check(body, "ChargeRequest")
        card = Card.from_number(body["card"]["number"])
        if earlier := self._keys.claim(key, "/v1/charges", body):
            return earlier
        try:
            charge = self._book.charge(
                body["reference"], body["amount_minor"], body["currency"], card, body.get("capture", True)
            )
            answer = Answer(201, asdict(charge))
            if charge.decline_code:
                error = {"code": "card_declined", "decline_code": charge.decline_code}
                answer = Answer(402, {"error": error, "charge": asdict(charge)})
        except GatewayError as error:
            answer = Answer(error.status, error.body())
        # Until then, the same key again is answered "in progress".
        self._clock.after(self._network.latency(), lambda: self._keys.record(key, answer))
        return answer
