"""Who gets in. MiniStack 1.5.33 is made for everybody: the key `test`, any account number and no key at all are root,
without a signature; paths of its own need none either, and its answers may be read by every web page.

Here there is no root. There is the operator, an IAM user whose key the emulator was started with; whom it makes, and
what functions and services assume. Every request is signed by one of these, in its header or its query, as on AWS
("Signature Version 4", IAM user guide), also where MiniStack asks for nothing. API Gateway alone decides for itself, by
each method's authorization. MiniStack's own paths (`/_ministack/reset`) are the operator's; that of its health says
nothing but that it is there.

No web page comes in (`tools/local/browsers.py`), and no answer has CORS headers. WebSockets, which nothing here
speaks, are refused.
"""

import functools
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import detect_service, extract_access_key_id
from ministack.services import iam, lambda_svc, sts

from tools.local.browsers import foreign

HEALTH_PATH = "/_ministack/health"
_OWN_PATHS = ("/_ministack/", "/_localstack/")
# It takes a capability of its own instead of a signature, and serves databases, of which there are none.
_DATABASE_BROKER = "/_ministack/rds/iam-auth"
_DOWNLOAD_SECONDS = 300
_ONCE = (b"authorization", b"host", b"origin", b"sec-fetch-site")

Response = tuple[int, dict[str, Any], bytes]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Operator:
    """The access key of the account's operator, who may do everything."""

    access_key_id: str
    secret_access_key: str

    def enroll(self) -> None:
        """Make the operator known to IAM. Safe to repeat."""
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        user = {"UserName": "operator"}
        iam._create_user(user)
        iam._put_user_policy(user | {"PolicyName": "everything", "PolicyDocument": json.dumps(everything)})
        iam._access_keys[self.access_key_id] = {
            **user,
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key,
            "Status": "Active",
            "CreateDate": iam._now(),
        }

    def presigned(self, url: str) -> str:
        """The URL, good for a GET for five minutes, whoever makes it."""
        request = AWSRequest("GET", url)
        credentials = Credentials(self.access_key_id, self.secret_access_key)
        SigV4QueryAuth(credentials, "lambda", get_region(), _DOWNLOAD_SECONDS).add_auth(request)
        return str(request.url)


def install(operator: Operator) -> None:
    """Take root away, and ask for signatures where MiniStack does not."""
    operator.enroll()
    own_path_without_body = app._handle_pre_body_request
    own_path_with_body = app._handle_post_body_shortcuts
    enforce = iam_evaluator.enforce
    code_url, layer_url = lambda_svc._presigned_code_url, lambda_svc._layer_content_url

    async def nothing_before_the_signature(*_: object) -> None:
        """A signature covers the body, so the body is read first."""

    async def admit(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]], request_id: str
    ) -> Response | None:
        """The answer to whom is not let in, or to what is MiniStack's own; None where the request goes on."""
        if app._parse_execute_api_url(headers.get("host", ""), path):
            return None
        access_key_id = extract_access_key_id(headers, query)
        if problem := _unsigned(access_key_id, headers, query):
            service = detect_service(method, path, headers, query)
            refusal: Response = app._credential_failure(service, "", request_id, problem, headers)
            return refusal
        if not path.startswith(_OWN_PATHS):
            return None
        if access_key_id != operator.access_key_id:
            return _refusal("This path is the operator's.")
        answer = await own_path_without_body(method, path, headers, query, request_id) or await own_path_with_body(
            method, path, headers, body, query, request_id
        )
        operator.enroll()  # a reset forgets everybody
        return answer or (404, {"Content-Type": "application/json"}, b"{}")

    @functools.wraps(enforce)
    def enforce_signed(access_key_id: str, iam_action: str, *rest: Any, **more: Any) -> Any:
        if iam_action == "execute-api:Invoke" and iam_evaluator._anonymous.get():
            return None  # API Gateway's own answer says that the token is missing
        return enforce(access_key_id, iam_action, *rest, **more)

    def no_root(_: str) -> bool:
        return False

    iam_evaluator.is_root_access_key = no_root
    sts.is_root_access_key = no_root
    iam_evaluator.enforce = enforce_signed
    app._handle_pre_body_request = nothing_before_the_signature
    app._handle_post_body_shortcuts = admit
    lambda_svc._presigned_code_url = lambda name: operator.presigned(_bare(code_url(name)))
    lambda_svc._layer_content_url = lambda name, version: operator.presigned(layer_url(name, version))


def _unsigned(
    access_key_id: str, headers: Mapping[str, str], query: Mapping[str, list[str]]
) -> iam_evaluator.AuthError | None:
    """What is wrong with the signature of the request at hand, or None where it was checked and is right."""
    signed = iam_evaluator._signed_request.get()
    if signed is None:
        return iam_evaluator.AuthError("MissingAuthenticationToken", "Request is missing Authentication Token")
    if signed.s3_scoped:  # MiniStack would leave it to S3, wherever it goes
        iam_evaluator._signed_request.set(replace(signed, headers=headers, s3_scoped=False))
    checked = iam_evaluator.authenticate(access_key_id, get_account_id())
    if checked is None:  # a signature by another key than the one that the request would act for
        return iam_evaluator.AuthError(
            "UnsupportedSignature", "The request signature does not conform to AWS standards."
        )
    return checked if isinstance(checked, iam_evaluator.AuthError) else None


def _bare(url: str) -> str:
    return urlsplit(url)._replace(query="").geturl()


def _refusal(message: str) -> Response:
    body = json.dumps({"error": {"code": "forbidden", "message": message}}).encode()
    return 403, {"Content-Type": "application/json"}, body


def guarded(application: Application) -> Application:
    """The application for this machine's programs alone."""

    async def guard(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
        elif scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif problem := _problem(scope["headers"]):
            await _answer(send, *_refusal(f"This is for programs on this machine; the request's {problem} is not."))
        elif scope["path"] == HEALTH_PATH:
            await _answer(send, 200, {}, b"")
        elif scope["path"] == _DATABASE_BROKER:
            await _answer(send, *_refusal("There are no databases."))
        else:
            await application(scope, receive, _without_cors(send))

    return guard


def _problem(raw: Iterable[tuple[bytes, bytes]]) -> str | None:
    names = [name.lower() for name, _ in raw]
    twice = next((name for name in _ONCE if names.count(name) > 1), None)
    return twice.decode() if twice else foreign({k.decode("latin-1").lower(): v.decode("latin-1") for k, v in raw})


def _without_cors(send: Send) -> Send:
    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", [])
            kept = [(name, value) for name, value in headers if not name.lower().startswith(b"access-control-")]
            message = {**message, "headers": kept}
        await send(message)

    return send_on


async def _answer(send: Send, status: int, headers: dict[str, Any], body: bytes) -> None:
    headers = {"Content-Length": str(len(body)), **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
