"""A method for each call of the API."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError
from botocore.session import get_session

from .card_number import refused_fields
from .card_rules import broken_rules
from .errors import (
    CardNotSealed,
    KeyUsedForAnother,
    NoAnswer,
    NotFound,
    NotSent,
    RequestRefused,
    StillProcessing,
    TooManyRequests,
)
from .models import (
    CardData,
    CardSummary,
    Exemption,
    Initiator,
    Operation,
    OperationType,
    Payment,
    PaymentStatus,
    Reason,
    SealingKey,
    SingleUseKey,
    ThreeDSecure,
)
from .sealing import fingerprint, seal
from .shapes import canonical_id, is_id, is_sealed_card, is_token
from .transport import SigV4, Transport

# Step Functions may take a moment to find an execution that it just started.
_APPEARS_WITHIN_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
# How long a request asks the API to wait for the end. The API accepts at most 25 seconds, and times out after 29.
_WAIT_SECONDS = 20
# What an API without single-use keys answers: it has no such call, or its callers' policies don't name it.
_NO_SINGLE_USE_KEYS = ("not_found", "forbidden")
# The fields that are not strings.
_TYPES = {"amount_minor": int, "capture": bool, "save_card": bool, "verify": bool, "metadata": Mapping}

Resource = TypeVar("Resource", Payment, Operation)


class PaymentsClient:
    """Calls the payments API. Safe to share between threads.

    Every call that starts a payment, stores a card, or refunds, captures or voids takes an `idempotency_key`, and
    generates one if you pass none. A key is a UUID, or 16 to 64 characters of `A-Z a-z 0-9 _ -` without a run of 12 or
    more digits (dashes and underscores do not interrupt a run). The API carries out a call at most once per key,
    however often you repeat it: save the key with your order before you call, and a crash in between loses nothing.
    The key of a payment is its `payment_id`; the key of a refund, a capture or a void is its `operation_id`.

    Every call may raise errors.PaymentsError. The client refuses to send a card number in the wrong field, a value of
    the wrong type (a Decimal as the amount, say), or a card that breaks a rule: it raises NotSent, whose message says
    what is wrong.
    """

    def __init__(
        self,
        api_url: str,
        region: str,
        credentials: Credentials | None = None,
        *,
        attempts: int = 4,
        timeout_seconds: float = 10.0,
        sealing_key_fingerprint: str | None = None,
    ) -> None:
        """`credentials` are botocore's, as `boto3.Session(…).get_credentials()` returns them; by default, the client
        looks for them in the same places as the AWS CLI. A call is tried at most `attempts` times, and each try waits
        `timeout_seconds` for its answer. `sealing_key_fingerprint` pins the only key that may seal cards, which is a
        static one: it is that key's `fingerprint(key.pem)`. Without it, the client seals with single-use keys.

        Raises ValueError if `api_url` does not begin with https:// (http:// is allowed for an API on this machine).
        """
        if not _is_safe(api_url):
            raise ValueError("The API's URL must begin with https://; http:// is for this machine's own addresses.")
        credentials = credentials or get_session().get_credentials()
        if credentials is None:
            raise NoCredentialsError
        signature = SigV4(credentials, region)
        self._transport = Transport(api_url, signature, attempts=attempts, timeout_seconds=timeout_seconds)
        self._fingerprint = sealing_key_fingerprint

    @classmethod
    def from_stack_file(cls, path: Path, **options: Any) -> Self:
        """Create a client of the stack that a file like `build/stack.json` describes."""
        stack = json.loads(path.read_text())
        key_id = stack.get("access_key_id")
        credentials = Credentials(key_id, stack["secret_access_key"]) if key_id else None
        return cls(stack["api_url"], stack["region"], credentials, **options)

    def issue_key(self, payment_id: str) -> SingleUseKey:
        """Get the key for the card of this payment, or of this card to be stored: nobody can open what is sealed with
        it once the payment has ended. Asked again before that, the API returns the same key, or a new one if it has
        expired.

        Raises RequestRefused with the code `payment_exists` if the payment has ended, and with `not_found` or
        `forbidden` if the API has no single-use keys.
        """
        key = _key(payment_id)
        return SingleUseKey.from_json(self._transport.call("POST", "/keys", {}, idempotency_key=key))

    def key_for(self, payment_id: str) -> SingleUseKey | SealingKey:
        """Get the key to seal this payment's card with: its single-use key, or the static one if a key is pinned or the
        API has no single-use keys. Raises the errors of `issue_key` and `sealing_key`.
        """
        if self._fingerprint is None:
            try:
                return self.issue_key(payment_id)
            except RequestRefused as refusal:
                if refusal.code not in _NO_SINGLE_USE_KEYS:
                    raise
        return self.sealing_key()

    def seal(self, card: CardData, payment_id: str) -> str:
        """Seal a card with the payment's `key_for`; `pay` and `store_card` do it by themselves.

        Raises NotSent if the card breaks a rule, CardNotSealed, and the errors of `key_for`.
        """
        card_data = asdict(card)
        _check_types(**card_data)
        if card.security_code is None:
            del card_data["security_code"]
        if broken := broken_rules(card_data, datetime.now(UTC)):
            raise NotSent("; ".join(f"{field} {rule}" for field, rule in broken.items()) + ".")
        try:
            return seal(card_data, payment_id, asdict(self.key_for(payment_id)), self._fingerprint)
        except ValueError as error:
            raise CardNotSealed(str(error)) from None

    def keys(self) -> tuple[SealingKey, ...]:
        """Get the static keys, if the API has any. You may use any of them; the first is as good as the others."""
        return tuple(SealingKey.from_json(key) for key in self._transport.call("GET", "/keys")["keys"])

    def sealing_key(self) -> SealingKey:
        """Get a static key to seal cards with: the pinned one, or any if none is pinned.

        Raises CardNotSealed if the API has no such key.
        """
        for key in self.keys():
            with suppress(ValueError):
                if self._fingerprint is None or fingerprint(key.pem) == self._fingerprint:
                    return key
        raise CardNotSealed(
            "The API has no static key. Seal with single-use keys: the caller needs the permission to POST /keys."
            if self._fingerprint is None
            else "The API has no static key with the fingerprint that is pinned. A client that pins none seals with"
            " single-use keys."
        )

    def pay(
        self,
        *,
        amount_minor: int,
        currency: str,
        card: CardData | str | None = None,
        token: str | None = None,
        capture: bool = True,
        save_card: bool | None = None,
        merchant_reference: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        initiator: Initiator | None = None,
        reason: Reason | None = None,
        return_url: str | None = None,
        three_d_secure: ThreeDSecure | None = None,
        exemption: Exemption | None = None,
        idempotency_key: str | None = None,
    ) -> Payment:
        """Start a payment with a card or with the token of a stored card. Its status is `processing`: `wait` for the
        final one.

        `card` is a card in the clear, which the client seals with the payment's `key_for`, or one that a browser sealed
        for this `idempotency_key`. `save_card` says whether to store the card under a token, `payment.card.token`; by
        default the deployment decides. A payment with a token that the customer does not make has the `initiator`
        `merchant`, and a `reason`. `metadata` are up to 20 names (of letters, underscores and digits) with texts of up
        to 80 characters each, which the payment shows and nothing else is done with.

        `return_url` is the page of yours that the customer comes back to if the bank asks who pays (3-D Secure): one
        that the deployment allows. Without it the bank can't ask, and may decline. `three_d_secure` is `required` to
        have it asked in any case, or `none` never to; by default the bank decides. `exemption` is the reason why it
        need not ask; it may ask all the same.

        If the key was used before, returns the payment that it started, in its present state. Raises KeyUsedForAnother
        if that payment has a different amount, currency or reference.
        """
        key = _key(idempotency_key)
        _check_types(
            amount_minor=amount_minor,
            currency=currency,
            token=token,
            capture=capture,
            save_card=save_card,
            merchant_reference=merchant_reference,
            description=description,
            metadata=metadata,
            initiator=initiator,
            reason=reason,
            return_url=return_url,
            three_d_secure=three_d_secure,
            exemption=exemption,
        )
        if any(not isinstance(part, str) for pair in (metadata or {}).items() for part in pair):
            raise NotSent("metadata must have names and texts of the type str.")
        _check_texts({"merchant_reference": merchant_reference, "description": description, "metadata": metadata})
        order = {"amount_minor": amount_minor, "currency": currency, "merchant_reference": merchant_reference}
        details = {
            "token": token,
            "description": description,
            "metadata": metadata and dict(metadata),
            "capture": capture,
            "save_card": save_card,
            "initiator": initiator,
            "reason": reason,
            "return_url": return_url,
            "three_d_secure": three_d_secure,
            "exemption": exemption,
        }
        return self._start(order | details, card, key, order)

    def store_card(
        self, card: CardData | str, *, verify: bool | None = None, idempotency_key: str | None = None
    ) -> Payment:
        """Store a card, without a charge: `payment.card.token` is its token. The same card under the same key again has
        the same token. With `verify`, the issuer is asked first whether the card is good.

        Raises RequestRefused if the card is invalid, or a screening rule or the issuer declines it (`card_declined`),
        and KeyUsedForAnother if the key has stored another card, or one that was erased since.
        """
        _check_types(verify=verify)
        key = _key(idempotency_key)
        try:
            sealed = self._sealed(card, key)
        except RequestRefused as refusal:
            if refusal.code != "payment_exists":
                raise
            # No key is issued any more, so the card can't be sent again for the API to compare it.
            existing = self._get_payment(key)
            if not isinstance(card, CardData) or not _shows(existing.card, card):
                raise _used_for_another(refusal) from None
            return existing
        try:
            body = {"card_data": sealed} | ({} if verify is None else {"verify": verify})
            return Payment.from_json(self._transport.call("POST", "/cards", body, idempotency_key=key))
        except RequestRefused as refusal:
            if refusal.code != "payment_exists":
                raise
            raise _used_for_another(refusal) from None

    def payment(self, payment_id: str, *, wait_seconds: int = 0) -> Payment:
        """Get the payment in a single call. With `wait_seconds` (at most 25), the API answers when the payment has
        ended, the customer is asked, or the time is over; without it, at once. Raises NotFound.
        """
        path = _path("payments", payment_id)
        return Payment.from_json(self._transport.call("GET", path, wait_seconds=wait_seconds))

    def search(
        self,
        *,
        merchant_reference: str | None = None,
        status: PaymentStatus | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> Iterator[Payment]:
        """Find recorded payments by this very reference, or by status and the time of their request; the newest first.
        More are fetched as you go on.

        `since` and `until`, both inclusive, are dates (in UTC) or datetimes with a time zone. Without a reference, the
        period is at most 366 days; `until` is today and `since` the same day unless you say otherwise. A payment is
        recorded once it has ended, and may be missing for a second: one that is `processing`, `action_required` or
        `rejected` is found by its id alone.
        """
        _check_types(merchant_reference=merchant_reference, status=status)
        _check_texts({"merchant_reference": merchant_reference})
        period = {name: _moment(name, moment) for name, moment in (("from", since), ("to", until))}
        query = {"merchant_reference": merchant_reference, "status": status} | period
        return self._found({name: value for name, value in query.items() if value is not None})

    def _found(self, query: dict[str, str]) -> Iterator[Payment]:
        while True:
            page = self._transport.call("GET", f"/payments?{urlencode(query, quote_via=quote, safe='')}")
            yield from map(Payment.from_json, page["payments"])
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    def wait(self, payment_id: str, *, timeout_seconds: float = 60.0, for_customer: bool = False) -> Payment:
        """Wait until the payment is no longer processing: it has ended, or the customer is asked (`action_required`).
        The API answers as soon as that is so. With `for_customer`, wait until the customer has answered, too.

        Until the timeout, the client asks again after busy, failed or missing answers. After the timeout, it raises
        StillProcessing; or NoAnswer or TooManyRequests if no answer ever showed the payment. Raises NotFound if there
        is no such payment.
        """
        pending = ("processing", "action_required") if for_customer else ("processing",)
        return self._wait_until_ended(
            payment_id, lambda deadline: self._get_payment(payment_id, deadline), timeout_seconds, pending
        )

    def refund(
        self, payment_id: str, amount_minor: int | None = None, *, idempotency_key: str | None = None
    ) -> Operation:
        """Start a refund of this amount, or of everything not yet refunded. `wait_for_operation` returns its result."""
        return self._operate("refund", payment_id, amount_minor, idempotency_key)

    def capture(
        self, payment_id: str, amount_minor: int | None = None, *, idempotency_key: str | None = None
    ) -> Operation:
        """Start capturing this amount, or all that is authorized. A payment can be captured only once."""
        return self._operate("capture", payment_id, amount_minor, idempotency_key)

    def void(self, payment_id: str, *, idempotency_key: str | None = None) -> Operation:
        """Start releasing an authorization that was not captured."""
        return self._operate("void", payment_id, None, idempotency_key)

    def wait_for_operation(self, payment_id: str, operation_id: str, *, timeout_seconds: float = 60.0) -> Operation:
        """Wait until the refund, capture or void is no longer processing. Raises the same errors as `wait`.

        Also raises NotFound if the payment was rejected or there is no such operation, and KeyUsedForAnother if the
        operation belongs to another payment.
        """
        return self._wait_until_ended(
            operation_id, lambda deadline: self._get_operation(payment_id, operation_id, deadline), timeout_seconds
        )

    def card(self, token: str) -> CardSummary:
        """Get the details of a stored card that may be displayed. Raises NotFound."""
        return CardSummary.from_json(self._transport.call("GET", _path("cards", token)))

    def erase_card(self, token: str) -> bool:
        """Erase a stored card, which can't be charged from then on. Returns whether there was such a card."""
        try:
            self._transport.call("DELETE", _path("cards", token))
        except NotFound:
            return False
        return True

    def _sealed(self, card: CardData | str | None, payment_id: str) -> str | None:
        """Seal the card: none leaves this process in the clear, not even a test card."""
        if isinstance(card, CardData):
            return self.seal(card, payment_id)
        if card is not None and not is_sealed_card(card):
            raise NotSent("The card is neither CardData nor a sealed card.")
        return card

    def _start(self, body: dict[str, Any], card: CardData | str | None, key: str, order: dict[str, Any]) -> Payment:
        try:
            body = body | {"card_data": self._sealed(card, key)}
            fields = {name: value for name, value in body.items() if value is not None}
            return Payment.from_json(self._transport.call("POST", "/payments", fields, idempotency_key=key))
        except RequestRefused as refusal:
            if refusal.code != "payment_exists":
                raise
            existing = self._get_payment(key)
            if any(getattr(existing, name) != value for name, value in order.items()):
                raise _used_for_another(refusal) from None
            return existing

    def _operate(
        self, operation: OperationType, payment_id: str, amount_minor: int | None, idempotency_key: str | None
    ) -> Operation:
        key = _key(idempotency_key)
        _check_types(amount_minor=amount_minor)
        body = {} if amount_minor is None else {"amount_minor": amount_minor}
        try:
            self._transport.call("POST", _path("payments", payment_id, f"{operation}s"), body, idempotency_key=key)
        except RequestRefused as refusal:
            if refusal.code != "operation_exists":
                raise
            existing = self._get_operation(payment_id, key)
            if existing.type != operation or amount_minor not in (None, existing.amount_minor):
                raise _used_for_another(refusal) from None
            return existing
        return Operation(operation_id=key, type=operation, status="processing", amount_minor=amount_minor)

    def _wait_until_ended(
        self,
        id: str,
        get: Callable[[float], Resource],
        timeout_seconds: float,
        pending: Sequence[str] = ("processing",),
    ) -> Resource:
        """Call `get` with the deadline until it returns something whose status is no longer pending."""
        deadline, latest = time.monotonic() + timeout_seconds, None
        for _ in _poll(timeout_seconds):
            try:
                latest = get(deadline)
            except (NoAnswer, TooManyRequests) as error:
                if latest is None:
                    raise
                raise StillProcessing(f"{id} was {latest.status} when it was last seen. Since then: {error}") from None
            if latest.status not in pending:
                return latest
        raise StillProcessing(f"{id} is still {latest and latest.status} after {timeout_seconds:g} s.")

    def _get_operation(self, payment_id: str, operation_id: str, deadline: float | None = None) -> Operation:
        """Get the operation, allowing for the moment until a new one appears. Raises NotFound, KeyUsedForAnother."""
        path = _path("payments", payment_id, "operations", operation_id)
        try:
            body = self._get(path, deadline)
        except RequestRefused as refusal:
            if refusal.code == "key_used_for_another_request":
                raise _used_for_another(refusal) from None
            raise
        if body["error"] == "payment_not_found":
            raise NotFound(404, body["error"], "There is no payment with this id, or it was rejected.")
        return Operation.from_json(body)

    def _get_payment(self, payment_id: str, deadline: float | None = None) -> Payment:
        """Get the payment, which may not appear until a moment after its start. Raises NotFound."""
        return Payment.from_json(self._get(_path("payments", payment_id), deadline))

    def _get(self, path: str, deadline: float | None = None) -> dict[str, Any]:
        """Get what is at the path, trying again for a few seconds if nothing is there yet; with a deadline, ask the API
        to wait for it to end. Raises NotFound.
        """
        wait_seconds = 0 if deadline is None else _WAIT_SECONDS

        def get() -> dict[str, Any]:
            return self._transport.call("GET", path, wait_seconds=wait_seconds, deadline=deadline)

        for _ in _poll(_APPEARS_WITHIN_SECONDS):
            with suppress(NotFound):
                return get()
        return get()


def _poll(timeout_seconds: float) -> Iterator[None]:
    """Yield whenever it is time to look: at once, and then after ever longer pauses until the timeout."""
    deadline, pause = time.monotonic() + timeout_seconds, _FIRST_PAUSE_SECONDS
    yield
    while time.monotonic() + pause <= deadline:
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)
        yield


def _is_safe(api_url: str) -> bool:
    """Whether cards and signatures may be sent to this URL: it is encrypted, or it does not leave this machine."""
    url = urlsplit(api_url)
    if url.scheme == "https":
        return bool(url.hostname)
    try:
        return url.scheme == "http" and (url.hostname == "localhost" or ip_address(url.hostname or "").is_loopback)
    except ValueError:
        return False


def _moment(name: str, moment: date | None) -> str | None:
    if moment is None:
        return None
    if isinstance(moment, datetime) and moment.tzinfo is None:
        raise NotSent(f"{name} needs a time zone, and has none.")
    if not isinstance(moment, date):
        raise NotSent(f"{name} must be a date or a datetime, and is {type(moment).__name__}.")
    return moment.isoformat()


def _path(collection: str, item: str, *subpath: str) -> str:
    if not (is_token(item) if collection == "cards" else is_id(item)):
        what, name = ("stored card", "token") if collection == "cards" else ("payment", "payment_id")
        raise NotSent(f"There is no {what} with this {name}: this is no {name}, and may be a card number.")
    return "/".join(("", collection, item, *subpath))


def _key(idempotency_key: str | None) -> str:
    key = idempotency_key or str(uuid.uuid4())
    if not is_id(key):
        raise NotSent("The idempotency_key must be a UUID, or 16 to 64 of A-Z a-z 0-9 _ - without 12 digits in a row.")
    return canonical_id(key)


def _check_types(**arguments: object) -> None:
    for name, value in arguments.items():
        expected = _TYPES.get(name, str)
        if value is not None and (not isinstance(value, expected) or isinstance(value, bool) is not (expected is bool)):
            raise NotSent(f"{name} must be of the type {expected.__name__}, and is {type(value).__name__}.")


def _check_texts(texts: Mapping[str, str | Mapping[str, str] | None]) -> None:
    if refused := refused_fields(texts):
        raise NotSent(f"This looks like a card number: {', '.join(refused)}.")


def _shows(summary: CardSummary | None, card: CardData) -> bool:
    """Whether a stored card that is shown like this can be this card."""
    facts = (card.card_number[:6], card.card_number[-4:], card.expiry_date)
    return summary is not None and summary.token is not None and (summary.bin, summary.last4, summary.expiry) == facts


def _used_for_another(refusal: RequestRefused) -> KeyUsedForAnother:
    return KeyUsedForAnother(refusal.status, refusal.code, refusal.message)
