"""What every step uses: the deployment, recorded calls to its API and to AWS, assertions and their exceptions."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import boto3
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from client import seal
from tools.deployment import polling
from tools.deployment.stack import HTTP_TIMEOUT_SECONDS, Stack, new_payment_id, payment_or_operation
from tools.trials.acceptance.recorder import Recorder

if TYPE_CHECKING:
    from tools.trials.acceptance.deployment import Deployment

Protocol = Literal["HTTP/1.1", "HTTP/2"]
T = TypeVar("T")

POLL_SECONDS = 0.5
ENDED_WITHIN_SECONDS = 120.0
_SIGNED_HEADERS = ("Content-Type", "Idempotency-Key")


class Skipped(Exception):
    """This step cannot run here; the message explains why."""


class Unexpected(Exception):
    """The answer is not what the product promises."""


@dataclass(frozen=True, slots=True)
class Step:
    """One check. `check` raises an exception if the check fails, and Skipped if it is not possible here."""

    group: str
    name: str
    check: Callable[["Run"], None]
    always: bool = False
    """Run the step even after an interruption, to destroy what was created."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API, with its request."""

    request: Mapping[str, Any]
    protocol: str
    status: int
    headers: Mapping[str, str]
    """The keys are in lower case."""
    text: str

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.text)
        except ValueError:
            raise Unexpected(f"{self} is not JSON: {self.text[:200]}") from None

    def __str__(self) -> str:
        return f"{self.request['method']} {self.request['path']} over {self.protocol}: {self.status}"


class Signature(httpx.Auth):
    """Signs a request for API Gateway. Of the optional headers, it signs only those that this program sets itself."""

    requires_request_body = True

    def __init__(self, credentials: Credentials, region: str) -> None:
        self._credentials = credentials.get_frozen_credentials()
        self._region = region

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        headers = {name: request.headers[name] for name in _SIGNED_HEADERS if name in request.headers}
        signed = AWSRequest(request.method, str(request.url), headers=headers, data=request.content)
        SigV4Auth(self._credentials, "execute-api", self._region).add_auth(signed)
        request.headers.update(dict(signed.headers))
        yield request


class Run:
    """One acceptance run. `environment` is `local` or the base environment; on AWS, `deployment` is created from that.

    If `keeps_deployment` is set, the deployment is not destroyed. `notes` are shown to the user at the end.
    """

    def __init__(
        self,
        environment: str,
        recorder: Recorder,
        session: boto3.Session,
        *,
        stack: Stack | None = None,
        deployment: "Deployment | None" = None,
        keeps_deployment: bool = False,
    ) -> None:
        self.environment = environment
        self.recorder = recorder
        self.keeps_deployment = keeps_deployment
        self.notes: list[str] = []
        self._session = session
        self._stack = stack
        self._deployment = deployment
        self._http: dict[Protocol, httpx.Client] = {}
        recorder.watch(session)

    # -- The deployment

    @property
    def stack(self) -> Stack:
        if self._stack is None:
            raise Skipped("Nothing is deployed.")
        return self._stack

    @stack.setter
    def stack(self, stack: Stack | None) -> None:
        self._stack = stack

    @property
    def deployment(self) -> "Deployment":
        if self._deployment is None:
            raise Skipped("The local stack is shared, so it is not changed for this test.")
        return self._deployment

    @property
    def is_emulated(self) -> bool:
        return self._stack is not None and self._stack.aws_endpoint_url is not None

    def require_aws(self, why: str) -> None:
        if self.stack.aws_endpoint_url is not None:
            raise Skipped(why)

    def require_sandbox(self) -> None:
        if not self.stack.sandboxes:
            raise Skipped("Only a sandbox of ours can be told to fail, and this gateway is none.")

    def client(self, service: str, *, region: str | None = None, session: boto3.Session | None = None) -> Any:
        """Create a recorded AWS client, from this run's session or from another one."""
        endpoint = self._stack.aws_endpoint_url if self._stack else None
        return (session or self._session).client(service, endpoint_url=endpoint, region_name=region)  # type: ignore[call-overload]

    @property
    def credentials(self) -> Credentials:
        credentials = self._session.get_credentials()
        assert credentials is not None
        return credentials

    # -- The API

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        protocol: Protocol = "HTTP/1.1",
        credentials: Credentials | None = None,
        signed: bool = True,
        headers: Mapping[str, str] | None = None,
        record: bool = True,
    ) -> Answer:
        """Call the API. Bytes are sent unchanged, None means no body, and everything else is sent as JSON."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        all_headers = {} if content is None else {"Content-Type": "application/json"}
        if key is not None:
            all_headers["Idempotency-Key"] = key
        response = self._client(protocol).request(
            method,
            self.stack.api_url + path,
            content=content,
            headers={**all_headers, **(headers or {})},
            auth=Signature(credentials or self.credentials, self.stack.region) if signed else None,
        )
        if protocol == "HTTP/2" and response.http_version != protocol:
            raise Skipped(f"The API's endpoint speaks {response.http_version} only.")
        sent = {name.decode(): value.decode(errors="replace") for name, value in response.request.headers.raw}
        answer = Answer(
            {
                "protocol": response.http_version,
                "method": method,
                "path": path,
                "headers": {name.lower(): value for name, value in sent.items()} if protocol == "HTTP/2" else sent,
                "body": None if content is None else content[:10_000].decode(errors="replace"),
            },
            response.http_version,
            response.status_code,
            dict(response.headers),
            response.text,
        )
        if record:
            self.save(answer)
        return answer

    def save(self, answer: Answer) -> None:
        title = f"{answer.request['method']}{answer.request['path']}"
        response = {"status": answer.status, "headers": dict(answer.headers), "body": answer.text}
        self.recorder.save(title, answer.request, response)

    def start(self, path: str, body: Any, *, key: str | None = None, protocol: Protocol = "HTTP/1.1") -> str:
        """Send a POST request, expect that it starts a payment or has stored a card, and return the idempotency key."""
        key = key or new_payment_id()
        expect(self.call("POST", path, body, key=key, protocol=protocol), accepted_status(path))
        return key

    def wait_until_ended(
        self, payment_id: str, operation_id: str | None = None, *, protocol: Protocol = "HTTP/1.1"
    ) -> dict[str, Any]:
        """Wait until the payment, or the given operation on it, has ended. Only the last answer is recorded."""
        return self.wait_until(
            payment_id,
            lambda payment: payment_or_operation(payment, operation_id).get("status", "processing") != "processing",
            protocol=protocol,
        )

    def wait_until(
        self,
        payment_id: str,
        is_over: Callable[[dict[str, Any]], bool],
        *,
        protocol: Protocol = "HTTP/1.1",
        timeout_seconds: float = ENDED_WITHIN_SECONDS,
    ) -> dict[str, Any]:
        """Poll the payment until `is_over` accepts it, and return it. A new payment may not be found at first."""
        answer = polling.wait_for(
            lambda: self.call("GET", f"/payments/{payment_id}", protocol=protocol, record=False),
            timeout_seconds,
            pause_seconds=2.0,
            until=lambda answer: is_over(answer.json),
        )
        self.save(answer)
        payment: dict[str, Any] = answer.json
        if not is_over(payment):
            raise Unexpected(f"After {timeout_seconds:g} s the payment is still: {answer.text}")
        return payment

    def seal(self, card_data: Mapping[str, str], payment_id: str) -> str:
        """Seal the card to the payment's own key."""
        return seal(card_data, payment_id, self.call("POST", "/keys", key=payment_id).json)

    def seal_to_static_key(self, card_data: Mapping[str, str], payment_id: str) -> str:
        """Raises Skipped if the deployment accepts only single-use keys."""
        keys = self.call("GET", "/keys").json["keys"]
        if not keys:
            raise Skipped("The deployment has no static key.")
        return seal(card_data, payment_id, keys[0])

    def close(self) -> None:
        for client in self._http.values():
            client.close()

    def _client(self, protocol: Protocol) -> httpx.Client:
        if protocol not in self._http:
            http2 = protocol == "HTTP/2"
            # Without TLS the protocol cannot be negotiated, so HTTP/2 has to be used from the start.
            http1 = not http2 or self.stack.api_url.startswith("https:")
            self._http[protocol] = httpx.Client(
                http1=http1, http2=http2, timeout=HTTP_TIMEOUT_SECONDS, trust_env=not self.is_emulated
            )
        return self._http[protocol]


def accepted_status(path: str) -> int:
    """The status that answers an accepted POST: a card is stored at once, and everything else is only started."""
    return 201 if path == "/cards" else 202


def expect(answer: Answer, status: int) -> None:
    """Raises Unexpected unless the answer has this status."""
    if answer.status != status:
        raise Unexpected(f"{answer}, not {status}: {answer.text[:500]}")


def expect_equal(what: str, found: Any, expected: Any) -> None:
    """Raises Unexpected unless both values are equal."""
    if found != expected:
        raise Unexpected(f"{what} is {found!r}, not {expected!r}")


def wait_for(what: str, look: Callable[[], T | None], *, timeout_seconds: float) -> T:
    """Poll `look` until it finds something, and return that. Raises Unexpected after the timeout."""
    if found := polling.wait_for(look, timeout_seconds, POLL_SECONDS):
        return found
    raise Unexpected(f"{what}: not within {timeout_seconds:g} s")
