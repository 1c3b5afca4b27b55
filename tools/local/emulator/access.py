"""Access control. MiniStack 1.5.33 lets everybody in: the key `test`, any account number, or no key at all act as root
without a signature; its own paths need no signature either, and every web page may read its answers.

Here nobody is root. The emulator admits the operator, an IAM user whose key it was started with; the users that the
operator creates; and the roles that functions and services assume. One of them must sign every request, in its header
or its query, as on AWS ("Signature Version 4", IAM user guide), even where MiniStack requires no signature. The only
exception is API Gateway, where each method's authorization decides. Only the operator may use MiniStack's own paths
(`/_ministack/reset`); its health path needs no signature, and says only that the emulator runs.

Requests from web pages are refused (`tools/local/browsers.py`), and no answer has CORS headers. WebSockets are refused
too, since nothing here uses them.
"""

import functools
import json
from collections.abc import Iterable, Mapping
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
from tools.local.emulator.http_server import Application, Message, Receive, Send

HEALTH_PATH = "/_ministack/health"
_OWN_PATHS = ("/_ministack/", "/_localstack/")
# This path accepts its own kind of token instead of a signature. It serves databases, and there are none here.
_DATABASE_BROKER = "/_ministack/rds/iam-auth"
_DOWNLOAD_SECONDS = 300
_SINGLE_HEADERS = (b"authorization", b"host", b"origin", b"sec-fetch-site")

Response = tuple[int, dict[str, Any], bytes]


@dataclass(frozen=True)
class Operator:
    """The access key of the account's operator, who has all permissions."""

    access_key_id: str
    secret_access_key: str

    def enroll(self) -> None:
        """Create the operator's IAM user and access key. Safe to repeat."""
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
        """Presign the URL: for five minutes, anyone may GET it."""
        request = AWSRequest("GET", url)
        credentials = Credentials(self.access_key_id, self.secret_access_key)
        SigV4QueryAuth(credentials, "lambda", get_region(), _DOWNLOAD_SECONDS).add_auth(request)
        return str(request.url)


def install(operator: Operator) -> None:
    """Disable root access, and require signatures where MiniStack does not."""
    operator.enroll()
    own_path_without_body = app._handle_pre_body_request
    own_path_with_body = app._handle_post_body_shortcuts
    enforce = iam_evaluator.enforce
    code_url, layer_url = lambda_svc._presigned_code_url, lambda_svc._layer_content_url

    async def nothing_before_the_signature(*_: object) -> None:
        """Answer nothing before the body is read, since the signature covers it."""

    async def admit(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]], request_id: str
    ) -> Response | None:
        """Answer a request that is refused or is for one of MiniStack's own paths; return None to let it pass."""
        if app._parse_execute_api_url(headers.get("host", ""), path):
            return None
        access_key_id = extract_access_key_id(headers, query)
        if problem := _signature_problem(access_key_id, headers, query):
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
        operator.enroll()  # a reset deletes all users
        return answer or (404, {"Content-Type": "application/json"}, b"{}")

    @functools.wraps(enforce)
    def enforce_signed(access_key_id: str, iam_action: str, *rest: Any, **options: Any) -> Any:
        if iam_action == "execute-api:Invoke" and iam_evaluator._anonymous.get():
            return None  # API Gateway itself answers that the token is missing
        return enforce(access_key_id, iam_action, *rest, **options)

    def no_root(_: str) -> bool:
        return False

    iam_evaluator.is_root_access_key = no_root
    sts.is_root_access_key = no_root
    iam_evaluator.enforce = enforce_signed
    app._handle_pre_body_request = nothing_before_the_signature
    app._handle_post_body_shortcuts = admit
    lambda_svc._presigned_code_url = lambda name: operator.presigned(_without_query(code_url(name)))
    lambda_svc._layer_content_url = lambda name, version: operator.presigned(layer_url(name, version))


def _signature_problem(
    access_key_id: str, headers: Mapping[str, str], query: Mapping[str, list[str]]
) -> iam_evaluator.AuthError | None:
    """Return what is wrong with the current request's signature, or None if it is valid."""
    signed = iam_evaluator._signed_request.get()
    if signed is None:
        return iam_evaluator.AuthError("MissingAuthenticationToken", "Request is missing Authentication Token")
    if signed.s3_scoped:  # MiniStack leaves the check of such a signature to S3, even if the request is not for S3
        iam_evaluator._signed_request.set(replace(signed, headers=headers, s3_scoped=False))
    checked = iam_evaluator.authenticate(access_key_id, get_account_id())
    if checked is None:  # the signature is by another key than the one that the request acts for
        return iam_evaluator.AuthError(
            "UnsupportedSignature", "The request signature does not conform to AWS standards."
        )
    return checked if isinstance(checked, iam_evaluator.AuthError) else None


def _without_query(url: str) -> str:
    return urlsplit(url)._replace(query="").geturl()


def _refusal(message: str) -> Response:
    body = json.dumps({"error": {"code": "forbidden", "message": message}}).encode()
    return 403, {"Content-Type": "application/json"}, body


def guard_application(application: Application) -> Application:
    """Wrap the application so that only programs on this machine can use it."""

    async def guarded(scope: Message, receive: Receive, send: Send) -> None:
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

    return guarded


def _problem(raw: Iterable[tuple[bytes, bytes]]) -> str | None:
    names = [name.lower() for name, _ in raw]
    repeated = next((name for name in _SINGLE_HEADERS if names.count(name) > 1), None)
    return (
        repeated.decode() if repeated else foreign({k.decode("latin-1").lower(): v.decode("latin-1") for k, v in raw})
    )


def _without_cors(send: Send) -> Send:
    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", [])
            remaining = [(name, value) for name, value in headers if not name.lower().startswith(b"access-control-")]
            message = {**message, "headers": remaining}
        await send(message)

    return send_on


async def _answer(send: Send, status: int, headers: dict[str, Any], body: bytes) -> None:
    headers = {"Content-Length": str(len(body)), **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
