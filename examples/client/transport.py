"""One call to the API: signed, and repeated as long as that can help and is safe."""

import json
import random
import time
from typing import Any

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from requests.auth import AuthBase

from .errors import AccessDenied, NoAnswer, NotFound, RequestRefused, TooManyRequests

_CONNECT_TIMEOUT_SECONDS = 3.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_SIGNED_HEADERS = ("Content-Type", "Idempotency-Key")
_KEY_USED = ("payment_exists", "operation_exists")
_NOT_FOUND = ("payment_not_found", "operation_not_found", "card_not_found")

_dice = random.SystemRandom()


class SigV4(AuthBase):
    """Signs a request for API Gateway. Only what this program sets is signed, since proxies change the rest."""

    def __init__(self, credentials: Credentials, region: str) -> None:
        self._credentials = credentials
        self._region = region

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        headers = {name: request.headers[name] for name in _SIGNED_HEADERS if name in request.headers}
        signed = AWSRequest(request.method, request.url, headers=headers, data=request.body)
        # Frozen, since credentials of a role may be renewed by another thread in the middle of it.
        SigV4Auth(self._credentials.get_frozen_credentials(), "execute-api", self._region).add_auth(signed)
        request.headers.update(signed.headers)
        return request


class Transport:
    """Calls one API. Safe to share between threads."""

    def __init__(self, api_url: str, signature: AuthBase, *, attempts: int, timeout_seconds: float) -> None:
        self._api_url = api_url.rstrip("/")
        self._signature = signature
        self._attempts = attempts
        self._timeouts = (_CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        self._session = requests.Session()

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The answer's JSON, {} where it has none.

        Only what the API says in its own JSON counts. A call that is answered by 429, by 5xx, by anybody else or not at
        all is made again with the same key and the same bytes, after a random pause that doubles on average. Raises
        RequestRefused, TooManyRequests and NoAnswer.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        unclear: str | None = None
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(_dice.uniform(0, min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)))
            try:
                answer = self._session.request(
                    method,
                    self._api_url + path,
                    data=data,
                    headers=headers,
                    auth=self._signature,
                    timeout=self._timeouts,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                # Its name alone: the exception holds the request.
                unclear = type(error).__name__
                continue
            if answer.status_code == 429:
                continue
            body = _own_json(answer)
            if body is None or answer.status_code >= 500:
                unclear = f"HTTP {answer.status_code}"
            elif answer.status_code < 300:
                return body
            else:
                refusal = _refusal(answer.status_code, body["error"])
                if unclear and idempotency_key and refusal.code not in _KEY_USED:
                    break  # this try did nothing, and an earlier one may have
                raise refusal
        if unclear:
            raise NoAnswer(f"{method} {path}: {unclear}.", idempotency_key)
        raise TooManyRequests(f"{method} {path}: still too many requests after {self._attempts} tries.")


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
