"""Two gateways as their adapters' HTTP sessions see them: Sparkle, and another that has its API. Each is the sandbox's
own book and idempotency keys, without the network."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, NamedTuple

import requests

from functions.shared.adapters.gateways.sparkle import MINOR_UNITS
from functions.shared.adapters.gateways.sparkle.client import Sparkle
from functions.shared.adapters.gateways.sparkle.mapping import SparkleMapping
from functions.shared.domain import charge as domain
from tests.simulation.clock import Clock
from tests.simulation.network import Lost, Network, Refused
from tools.local.sandbox.idempotency import Answer
from tools.local.sparkle.charges import Card, Charge, ChargeBook, Refund
from tools.local.sparkle.contract import check
from tools.local.sparkle.errors import ChargeNotFound, GatewayError
from tools.local.sparkle.idempotency import sparkle_keys

SPARKLE, TWINKLE = "sparkle", "twinkle"


class Twinkle(Sparkle):
    """A second gateway, whose API is Sparkle's."""

    name = TWINKLE

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._mapping = _TwinkleMapping(more["iso_minor_unit"], MINOR_UNITS)


class _TwinkleMapping(SparkleMapping):
    def charge(self, charge: Any) -> domain.Charge:
        return replace(super().charge(charge), gateway=TWINKLE)


class Book(ChargeBook):
    """The sandbox's book of one gateway, with counters, and only as careful as a gateway has to be.

    `challenged` is called with each charge that waits for its customer. The book charges some payments a wrong amount
    (`mischarged`), and approves some in part (`partially_approved`). Somebody moves charges in its dashboard
    (`meddle`). Sparkle promises to remember keys and references, and either must suffice: with `keeps_references`,
    GatewaySession forgets the keys; without, a request under a second key is carried out a second time.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        mischarged: dict[str, tuple[int, str]],
        partially_approved: set[str],
        *,
        keeps_references: bool,
        gateway: str = SPARKLE,
        challenged: Callable[[Charge], None] = lambda charge: None,
    ) -> None:
        super().__init__(clock)
        self.gateway = gateway
        self.keeps_references = keeps_references
        self.captures: Counter[str] = Counter()
        self.reversals: Counter[str] = Counter()
        self.refunded: Counter[str] = Counter()
        """How often each refund was made and did not fail, by the refund's own reference."""
        self.moved: set[str] = set()
        """The idempotency keys that captured or voided a charge."""
        self.asked_to_reverse: set[str] = set()
        """The references that we asked to reverse, whether the request has arrived or not."""
        self.history: defaultdict[str, list[tuple[datetime, Charge]]] = defaultdict(list)
        """Each charge's states, with the time of each change, by reference."""
        self._mischarged = mischarged
        self._partially_approved = partially_approved
        self._challenged = challenged

    def charge(
        self,
        reference: str,
        amount_minor: int,
        currency: str,
        card: Card,
        capture: bool = True,
        *,
        partially: bool = False,
        **more: Any,
    ) -> Charge:
        if not self.keeps_references:
            self._ids.pop(reference, None)
        amount_minor, currency = self._mischarged.get(reference, (amount_minor, currency))
        partially = partially or reference in self._partially_approved
        charge = super().charge(reference, amount_minor, currency, card, capture, partially=partially, **more)
        if charge.status == "action_required":
            self._challenged(charge)
        return charge

    def capture(self, charge_id: str, amount_minor: int | None = None) -> Charge:
        charge = super().capture(charge_id, amount_minor)
        self.captures[charge.reference] += 1
        return charge

    def refund(
        self,
        charge_id: str,
        amount_minor: int | None = None,
        refund_reference: str | None = None,
        *,
        status: str = "succeeded",
    ) -> Refund:
        if not self.keeps_references and refund_reference:
            charge = self.get(charge_id)
            for earlier in charge.refunds:
                if earlier.refund_reference == refund_reference:
                    self._put(charge.with_refund(replace(earlier, refund_reference=None)))
        refund = super().refund(charge_id, amount_minor, refund_reference, status=status)
        self.refunded[refund_reference or ""] += status != "failed"
        return refund

    def fail_refund(self, refund_id: str) -> Refund:
        refund = super().fail_refund(refund_id)
        self.refunded[refund.refund_reference or ""] -= 1
        return refund

    def meddle(self, reference: str, random: Random) -> str | None:
        """Let somebody move the charge in the dashboard, or its bank return a refund. Return what happened, or None if
        nothing could."""
        charge = self.find(reference)
        if charge is None:
            return None
        moves: list[tuple[str, Callable[[], object]]] = []
        if charge.status == "authorized":
            amount_minor = random.choice((charge.amount_minor, random.randint(1, charge.amount_minor)))
            moves += [
                ("captures", lambda: self.capture(charge.id, amount_minor)),
                ("voids", lambda: self.void(charge.id)),
            ]
        if refundable_minor := charge.refundable_minor:
            refund_minor = random.choice((refundable_minor, random.randint(1, refundable_minor)))
            moves.append(("refunds", lambda: self.refund(charge.id, refund_minor)))
            if not any(dispute.status == "open" for dispute in charge.disputes):
                moves.append(("reverses", lambda: self.reverse(reference)))
        for refund in charge.refunds:
            if refund.refund_reference and refund.status == "succeeded":
                moves.append(("sends back a refund of", partial(self.fail_refund, refund.id)))
        if not moves:
            return None
        verb, move = random.choice(moves)
        move()
        return verb

    def contest(self, reference: str, random: Random) -> str | None:
        """Let the cardholder dispute the reference's only charge, or a part of it. Return the charge's id, or None if
        nothing can be disputed."""
        charges = [charge for charge in self.all() if charge.reference == reference]
        if len(charges) != 1 or charges[0].status not in ("captured", "partially_refunded", "refunded"):
            return None
        if not (left_minor := charges[0].refundable_minor):
            return None
        amount_minor = random.choice((left_minor, random.randint(1, left_minor)))
        return self.dispute(charges[0].id, amount_minor=amount_minor).id

    def release(self, reference: str) -> None:
        """Let an authorization expire that nobody captured in time."""
        charge = self.find(reference)
        if charge and charge.status == "authorized":
            self.expire(charge.id)

    def charge_as_of(self, reference: str, before: datetime, charge_id: str | None = None) -> Charge | None:
        """The charge at that time; among several, the one with this id."""
        self.find(reference)  # reading it makes it expire
        charges = (
            charge
            for since, charge in reversed(self.history[reference])
            if since <= before and charge_id in (None, charge.id)
        )
        return next(charges, None)

    def _put(self, charge: Charge, event_type: str | None = None) -> Charge:
        self.history[charge.reference].append((self.clock(), charge))
        return super()._put(charge, event_type)

    def will_refuse(self, reference: str) -> bool:
        """Whether a charge that arrived now would be refused."""
        return reference in self._reversals

    def _undo(self, charge: Charge | None) -> str:
        result = super()._undo(charge)
        if charge and result in ("voided", "refunded"):
            self.reversals[charge.reference] += 1
        return result


class HttpAnswer(NamedTuple):
    """The parts of a requests.Session that the adapter uses."""

    status_code: int
    text: str

    @property
    def content(self) -> bytes:
        return self.text.encode()


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


_CHARGE_ID = re.compile(r"ch_\w+")


class GatewaySession:
    """`requests.Session` with the book as its server. A lost request times out, or is answered by garbage."""

    def __init__(self, book: Book, clock: Clock, network: Network, random: Random) -> None:
        self._book = book
        self.refund_statuses: tuple[str, ...] = ("succeeded", "succeeded", "succeeded", "pending")
        """One of these statuses for each requested refund. Pending refunds end sooner or later."""
        # Changes are visible only after these delays: not visible yet does not mean never.
        self._found_after = timedelta(seconds=random.choice((0, 60)))
        self._shown_after = min(self._found_after, timedelta(seconds=random.choice((0, 0, 60))))
        self._keys = sparkle_keys()
        self._keys_kept_seconds = 10 ** random.uniform(0, random.choice((5, -1)))
        self._clock = clock
        self._network = network
        self._random = random

    def forget(self) -> None:
        """Forget all keys and references, as gateways do after a while."""
        self._keys = sparkle_keys()
        for charge in self._book.all():
            self._book.forget(charge.reference)

    def request(self, method: str, url: str, *, headers: dict[str, str], timeout: Any, **more: Any) -> HttpAnswer:
        body = json.loads(json.dumps(more.get("json")))
        path = f"/v1/{url.rpartition('/v1/')[2]}"
        operation = f"{method} {_CHARGE_ID.sub('{id}', path)}"
        if operation == "POST /v1/reversals":
            self._book.asked_to_reverse.add(body["reference"])

        def deed() -> HttpAnswer:
            try:
                answer = self._answer(operation, path, headers.get("Idempotency-Key"), body, more.get("params"))
            except GatewayError as error:
                answer = Answer(error.status, error.body())
            return HttpAnswer(answer.status, json.dumps(answer.body))

        try:
            return self._network.ask("sparkle", operation, deed, self._random.choice((0, 0, timeout[1])))
        except Refused:
            return self._random.choice(REFUSALS)
        except Lost:
            if self._random.random() < 0.5:
                raise requests.ReadTimeout from None
            return self._random.choice(GARBAGE)

    def _answer(self, operation: str, path: str, key: str | None, body: Any, query: Any) -> Answer:
        book = self._book
        charge_id = book.get(id_match[0]).id if (id_match := _CHARGE_ID.search(path)) else ""

        def with_key(schema: str, deed: Callable[[], Answer]) -> Answer:
            check(body, schema)
            return self._with_key(str(key), path, body, deed)

        match operation:
            case "POST /v1/charges":
                return with_key("ChargeRequest", lambda: self._charge(body))
            case "POST /v1/verifications":
                return with_key("VerificationRequest", lambda: self._verify(body))
            case "POST /v1/charges/{id}/capture":
                return with_key("CaptureRequest", lambda: self._moved(key, book.capture(charge_id, **body)))
            case "POST /v1/charges/{id}/void":
                return with_key("VoidRequest", lambda: self._moved(key, book.void(charge_id)))
            case "POST /v1/charges/{id}/refunds":
                return with_key("RefundRequest", lambda: Answer(201, asdict(self._refund(charge_id, body))))
            case "POST /v1/charges/{id}/cancel_authentication":
                return Answer(200, asdict(book.cancel_authentication(charge_id)))
            case "GET /v1/charges":
                check(query, "ByReference")
                charge = book.charge_as_of(query["reference"], self._clock.now() - self._found_after)
                return Answer(200, {"charges": [asdict(charge)] if charge else []})
            case "GET /v1/charges/{id}":
                charge = book.charge_as_of(
                    book.get(charge_id).reference, self._clock.now() - self._shown_after, charge_id
                )
                return Answer(200, asdict(charge)) if charge else Answer(404, ChargeNotFound().body())
            case "POST /v1/reversals":
                check(body, "ByReference")
                return Answer(200, asdict(book.reverse(body["reference"])))
        return Answer(404, {"error": {"code": "not_found"}})

    def _charge(self, body: Any) -> Answer:
        card = Card.from_number(body["card"]["number"], body["card"].get("security_code"))
        charge = self._book.charge(
            body["reference"],
            body["amount_minor"],
            body["currency"],
            card,
            body.get("capture", True),
            stored_credential=body.get("stored_credential"),
            three_d_secure=body.get("three_d_secure", "automatic"),
            exemption=body.get("exemption"),
            return_url=body.get("return_url"),
            challenges=f"https://{self._book.gateway}.test/challenge/",
        )
        if not charge.decline_code:
            return Answer(201, asdict(charge))
        error = {"code": "card_declined", "decline_code": charge.decline_code}
        return Answer(402, {"error": error, "charge": asdict(charge)})

    def _verify(self, body: Any) -> Answer:
        card = Card.from_number(body["card"]["number"], body["card"].get("security_code"))
        verification = self._book.verify(body["reference"], card)
        if not verification.decline_code:
            return Answer(201, asdict(verification))
        error = {"code": "card_declined", "decline_code": verification.decline_code}
        return Answer(402, {"error": error, "verification": asdict(verification)})

    def _moved(self, key: str | None, charge: Charge) -> Answer:
        self._book.moved.add(str(key))
        return Answer(200, asdict(charge))

    def _refund(self, charge_id: str, body: Any) -> Refund:
        status = self._random.choice(self.refund_statuses)
        refund = self._book.refund(charge_id, **body, status=status)
        if status == "pending":
            end = self._random.choice((self._book.succeed_refund, self._book.fail_refund))

            def finish() -> None:
                end(refund.id)

            self._clock.after(10 ** self._random.uniform(0, 6), finish)
        return refund

    def _with_key(self, key: str, path: str, body: Any, deed: Callable[[], Answer]) -> Answer:
        keys = self._keys
        if earlier := keys.claim(key, path, body, path):
            return earlier
        try:
            answer = deed()
        except GatewayError as error:
            answer = Answer(error.status, error.body())

        def record() -> None:
            keys.record(key, answer)
            if self._book.keeps_references:
                self._clock.after(self._keys_kept_seconds, lambda: keys.release(key))

        # Until then, a request with the same key is answered "in progress".
        self._clock.after(self._network.latency(), record)
        return answer
