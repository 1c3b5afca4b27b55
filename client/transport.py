"""One call to the API: signed, and repeated as long as that can help and is safe."""

import json
import math
import random
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any

import requests
from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from .errors import AccessDenied, NoAnswer, NotFound, RequestRefused, TooManyRequests

_CONNECT_TIMEOUT_SECONDS = 3.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_LEAST_TIMEOUT_SECONDS = 1.0
# Opened as they are needed. Each thread that is in a call has one.
_MOST_CONNECTIONS = 256
# AWS takes a signature of the last five minutes, or the next.
_CLOCK_TOLERANCE = timedelta(minutes=1)
_SIGNED_HEADERS = ("Content-Type", "Idempotency-Key")
_KEY_USED = ("payment_exists", "operation_exists")
_NOT_FOUND = ("payment_not_found", "operation_not_found", "card_not_found")

_dice = random.SystemRandom()


class SigV4(AuthBase):
    """Signs a request for API Gateway. Only what this program sets is signed, since proxies change the rest."""

    def __init__(self, credentials: Credentials, region: str) -> None:
        self._credentials = credentials
        self._region = region
        self._behind = timedelta()  # so far is this machine's clock behind the API's

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        headers = {name: request.headers[name] for name in _SIGNED_HEADERS if name in request.headers}
        signed = AWSRequest(request.method, request.url, headers=headers, data=request.body)
        # Frozen, since credentials of a role may be renewed by another thread in the middle of it.
        signer = _SignerOfATime(self._credentials.get_frozen_credentials(), "execute-api", self._region)
        signer.timestamp = (_now() + self._behind).strftime(SIGV4_TIMESTAMP)
        signer.add_auth(signed)
        request.headers.update(signed.headers)
        return request

    def corrects_clock(self, answer: requests.Response) -> bool:
        """Whether the request was signed at another time than the API's, which is signed with from now on."""
        date = _date(answer, "Date")
        signed_at = datetime.strptime(answer.request.headers["X-Amz-Date"], SIGV4_TIMESTAMP).replace(tzinfo=UTC)
        if date is None or abs(date - signed_at) < _CLOCK_TOLERANCE:
            return False
        self._behind = date - _now()
        return True


class _SignerOfATime(SigV4Auth):
    """botocore's, which by itself signs with this machine's time."""

    timestamp: str

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        request.context["timestamp"] = self.timestamp
        super()._modify_request_before_signing(request)  # type: ignore[misc]  # the stubs don't have it


class Transport:
    """Calls one API. Safe to share between threads."""

    def __init__(self, api_url: str, signature: SigV4, *, attempts: int, timeout_seconds: float) -> None:
        self._api_url = api_url.rstrip("/")
        self._signature = signature
        self._attempts = attempts
        self._timeout_seconds = timeout_seconds
        self._session = requests.Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_MOST_CONNECTIONS))

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        wait_seconds: int = 0,
        deadline: float | None = None,
    ) -> dict[str, Any]:
        """The answer's JSON, {} where it has none. For `wait_seconds`, or until a second before the deadline if that is
        sooner, the API may wait for what is asked about to end; one that doesn't know of that answers at once.

        Only what the API says in its own JSON counts. A call that is answered by 429, by 5xx, by anybody else or not at
        all is made again with the same key and the same bytes, after a random pause that doubles on average, or the
        one that `Retry-After` asks for: until the `deadline` (of time.monotonic) if there is one, and else so many
        times, unless a pause of more than five seconds is asked for. A call that is refused for the time of its
        signature is made again with the API's. Raises RequestRefused, TooManyRequests and NoAnswer.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        unclear: str | None = None
        for tries in count(1):
            left = math.inf if deadline is None else deadline - time.monotonic()
            wait = max(0, math.floor(min(wait_seconds, left - 1)))
            pause = _dice.uniform(0, min(_FIRST_PAUSE_SECONDS * 2.0**tries, _LONGEST_PAUSE_SECONDS))
            try:
                answer = self._session.request(
                    method,
                    self._api_url + path + (f"?wait={wait}" if wait else ""),
                    data=data,
                    headers=headers,
                    auth=self._signature,
                    timeout=(
                        _CONNECT_TIMEOUT_SECONDS,
                        min(wait + self._timeout_seconds, max(left, _LEAST_TIMEOUT_SECONDS)),
                    ),
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                # Its name alone: the exception holds the request.
                last = unclear = type(error).__name__
            else:
                own, last = _own_json(answer), f"HTTP {answer.status_code}"
                if answer.status_code == 403 and tries <= self._attempts and self._signature.corrects_clock(answer):
                    continue
                pause = max(pause, _retry_after(answer))
                if answer.status_code != 429:
                    if own is None or answer.status_code >= 500:
                        unclear = last
                    elif answer.status_code < 300:
                        return own
                    else:
                        refusal = _refusal(answer.status_code, own["error"])
                        if unclear and idempotency_key and refusal.code not in _KEY_USED:
                            break  # this try did nothing, and an earlier one may have
                        raise refusal
            if deadline is None:
                if tries >= self._attempts or pause > _LONGEST_PAUSE_SECONDS:
                    break
            elif (left := deadline - time.monotonic()) > 0:
                pause = min(pause, left)
            else:
                break
            time.sleep(pause)
        told = f"{method} {path}: {last} at the last of {tries} tries."
        if unclear:
            raise NoAnswer(told, idempotency_key)
        raise TooManyRequests(told)


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _retry_after(answer: requests.Response) -> float:
    """The seconds that `Retry-After` asks to wait, which it says as such or as a date (RFC 9110, 10.2.3)."""
    asked = answer.headers.get("Retry-After", "")
    if asked.isascii() and asked.isdecimal():
        return float(asked)
    until, since = _date(answer, "Retry-After"), _date(answer, "Date")
    return (until - since).total_seconds() if until and since else 0.0


def _date(answer: requests.Response, header: str) -> datetime | None:
    try:
        return parsedate_to_datetime(answer.headers[header]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def _own_json(answer: requests.Response) -> dict[str, Any] | None:
    """The API's answer: an object, and an error where it is not a success; None where somebody else answered."""
    if answer.status_code == 204:
        return {}
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not (answer.status_code < 300 or isinstance(body.get("error"), dict)):
        return None
    return body


def _refusal(status: int, error: dict[str, Any]) -> RequestRefused:
    code, message = str(error.get("code")), str(error.get("message"))
    kind = AccessDenied if status == 403 else NotFound if code in _NOT_FOUND else RequestRefused
    return kind(status, code, message)
