"""Sign each call to the API, and repeat it as long as that is useful and safe."""

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
_MIN_TIMEOUT_SECONDS = 1.0
# The pool opens connections on demand: one for each thread that is making a call.
_MAX_CONNECTIONS = 256
# AWS accepts a signature whose time is at most five minutes off.
_CLOCK_TOLERANCE = timedelta(minutes=1)
_SIGNED_HEADERS = ("Content-Type", "Idempotency-Key")
_KEY_USED_CODES = ("payment_exists", "operation_exists")
_NOT_FOUND_CODES = ("payment_not_found", "operation_not_found", "card_not_found")

_random = random.SystemRandom()


class SigV4(AuthBase):
    """Signs a request for API Gateway. It signs only the headers that this program sets, since proxies may change
    the others.
    """

    def __init__(self, credentials: Credentials, region: str) -> None:
        self._credentials = credentials
        self._region = region
        self._clock_offset = timedelta()  # how far this machine's clock is behind the API's

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # Signatures cover a space as %20 ("Create a signed AWS API request", IAM user guide); requests writes a plus.
        path, mark, query = (request.url or "").partition("?")
        request.url = path + mark + query.replace("+", "%20")
        headers = {name: request.headers[name] for name in _SIGNED_HEADERS if name in request.headers}
        signed = AWSRequest(request.method, request.url, headers=headers, data=request.body)
        # Frozen, since another thread may renew a role's credentials while this one signs.
        signer = SignerAtTime(self._credentials.get_frozen_credentials(), "execute-api", self._region)
        signer.timestamp = (_now() + self._clock_offset).strftime(SIGV4_TIMESTAMP)
        signer.add_auth(signed)
        request.headers.update(signed.headers)
        return request

    def corrects_clock(self, answer: requests.Response) -> bool:
        """Return whether the signature's time differed from the API's; if so, later ones use the API's time."""
        date = _date(answer, "Date")
        signed_at = datetime.strptime(answer.request.headers["X-Amz-Date"], SIGV4_TIMESTAMP).replace(tzinfo=UTC)
        if date is None or abs(date - signed_at) < _CLOCK_TOLERANCE:
            return False
        self._clock_offset = date - _now()
        return True


class SignerAtTime(SigV4Auth):
    """botocore's signer with a time of our choice; its own is this machine's time."""

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
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_MAX_CONNECTIONS))

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
        """Make the call, and return its answer's JSON, or {} if the status is 204. The API may delay its answer until
        the payment or operation has ended, for at most `wait_seconds` and at most until a second before the deadline;
        an API without this feature answers at once.

        Only answers in the API's own JSON count. After a 429, a 5xx, an answer from anything else, or none, `call`
        repeats the request with the same key and the same bytes. Between tries it pauses for a random time that doubles
        on average, or longer if `Retry-After` asks for it. With a `deadline` (of time.monotonic), it tries until then;
        without one, it makes at most `attempts` tries, and gives up sooner if it would have to pause for more than five
        seconds. If the API refuses a signature because of its time, `call` signs again with the API's time. Raises
        RequestRefused, TooManyRequests and NoAnswer.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        unknown_outcome: str | None = None
        for attempt in count(1):
            remaining = math.inf if deadline is None else deadline - time.monotonic()
            wait = max(0, math.floor(min(wait_seconds, remaining - 1)))
            pause = _random.uniform(0, min(_FIRST_PAUSE_SECONDS * 2.0**attempt, _LONGEST_PAUSE_SECONDS))
            try:
                answer = self._session.request(
                    method,
                    self._api_url + path + (f"?wait={wait}" if wait else ""),
                    data=data,
                    headers=headers,
                    auth=self._signature,
                    timeout=(
                        _CONNECT_TIMEOUT_SECONDS,
                        min(wait + self._timeout_seconds, max(remaining, _MIN_TIMEOUT_SECONDS)),
                    ),
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                # Report only the exception's name, since its text may show the request.
                result = unknown_outcome = type(error).__name__
            else:
                api_json, result = _api_json(answer), f"HTTP {answer.status_code}"
                if answer.status_code == 403 and attempt <= self._attempts and self._signature.corrects_clock(answer):
                    continue
                pause = max(pause, _retry_after(answer))
                if answer.status_code != 429:
                    if api_json is None or answer.status_code >= 500:
                        unknown_outcome = result
                    elif answer.status_code < 300:
                        return api_json
                    else:
                        refusal = _refusal(answer.status_code, api_json["error"])
                        if unknown_outcome and idempotency_key and refusal.code not in _KEY_USED_CODES:
                            break  # this try did nothing, but an earlier one may have
                        raise refusal
            if deadline is None:
                if attempt >= self._attempts or pause > _LONGEST_PAUSE_SECONDS:
                    break
            elif (remaining := deadline - time.monotonic()) > 0:
                pause = min(pause, remaining)
            else:
                break
            time.sleep(pause)
        message = f"{method} {path}: {result} at the last of {attempt} tries."
        if unknown_outcome:
            raise NoAnswer(message, idempotency_key)
        raise TooManyRequests(message)


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _retry_after(answer: requests.Response) -> float:
    """Return the seconds to wait by `Retry-After`, which gives them as a number or as a date (RFC 9110, 10.2.3)."""
    value = answer.headers.get("Retry-After", "")
    if value.isascii() and value.isdecimal():
        return float(value)
    until, since = _date(answer, "Retry-After"), _date(answer, "Date")
    return (until - since).total_seconds() if until and since else 0.0


def _date(answer: requests.Response, header: str) -> datetime | None:
    try:
        return parsedate_to_datetime(answer.headers[header]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def _api_json(answer: requests.Response) -> dict[str, Any] | None:
    """Return the API's JSON object; None if the answer is not the API's, since it is no object, or a failure without an
    `error`.
    """
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
    error_class = AccessDenied if status == 403 else NotFound if code in _NOT_FOUND_CODES else RequestRefused
    return error_class(status, code, message)
