"""Access to the emulator: only signed requests, none as MiniStack's root, and none from web pages."""

import http.client
import io
import json
import re
import socket
import urllib.parse
import uuid
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import botocore.auth
import pytest
import requests
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from tests.unit.tools.local.emulator.conftest import ACCOUNT, OPERATOR, OPERATOR_KEYS, REGION, Emulator
from tests.unit.tools.local.emulator.test_apigateway import deploy
from tools.local.browsers import foreign

DAY = "20261128"
FOREIGN = {
    "another page's": {"Origin": "https://shop.example"},
    "a file's": {"Origin": "null"},
    "another port's": {"Origin": "http://localhost:8080"},
    "an image": {"Sec-Fetch-Site": "cross-site"},
    "another port's image": {"Sec-Fetch-Site": "same-site"},
    "a name that came to mean this machine": {"Host": "rebound.example:4566"},
    "a name with ours in it": {"Host": "127.0.0.1.rebound.example"},
    "a name with ours before it": {"Host": "localhost@rebound.example"},
    "a bucket's name": {"Host": "bucket.localhost"},
    "the address of every interface": {"Host": "0.0.0.0:4566"},
    "no address": {"Host": "[::1"},
}


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str


def ask(
    emulator: Emulator, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Answer:
    """The answer to a request without a signature."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(emulator.url).netloc, timeout=10)
    connection.request(method, path, body or None, headers or {})
    answer = connection.getresponse()
    return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode())


def signed(
    emulator: Emulator, path: str, service: str = "s3", method: str = "GET", body: bytes = b"", key: Any = OPERATOR
) -> AWSRequest:
    request = AWSRequest(method, f"{emulator.url}{path}", data=body)
    request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    botocore.auth.SigV4Auth(key, service, REGION).add_auth(request)
    return request


def send(request: AWSRequest, **headers: str) -> requests.Response:
    call: dict[str, Any] = {"method": request.method, "url": request.url, "data": request.data}
    return requests.request(**call, headers=dict(request.headers) | headers, timeout=10)


def header_of(key: str) -> str:
    scope = f"{key}/{DAY}/{REGION}/lambda/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}"


def query_of(key: str, service: str = "lambda", **more: str) -> str:
    scope = f"{key}/{DAY}/{REGION}/{service}/aws4_request"
    signature = {"X-Amz-Signature": "0" * 64, "X-Amz-SignedHeaders": "host", "X-Amz-Date": f"{DAY}T000000Z"}
    query = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": scope, "X-Amz-Expires": "604800", **signature}
    return urllib.parse.urlencode(query | more)


WITHOUT_A_SIGNATURE = {
    "nothing": ("", {}),
    "root": ("", {"Authorization": header_of("test")}),
    "an account": ("", {"Authorization": header_of(ACCOUNT)}),
    "another account": ("", {"Authorization": header_of("123456789012")}),
    "no key": ("", {"Authorization": header_of("")}),
    "half a header": ("", {"Authorization": "AWS4-HMAC-SHA256 SignedHeaders=host"}),
    "the operator": ("", {"Authorization": header_of(OPERATOR.access_key)}),
    "the operator by an older way": ("", {"Authorization": f"AWS {OPERATOR.access_key}:c2lnbmF0dXJl"}),
    "root by an older way": ("", {"Authorization": "AWS test:c2lnbmF0dXJl"}),
    "the operator by a way unheard of": ("", {"Authorization": f"AWS4-HMAC-MD5 Credential={OPERATOR.access_key}/x"}),
    "a bearer": ("", {"Authorization": "Bearer test"}),
    "a password": ("", {"Authorization": "Basic dGVzdDp0ZXN0"}),
    "root in the query": (query_of("test"), {}),
    "an account in the query": (query_of(ACCOUNT), {}),
    "the operator in the query": (query_of(OPERATOR.access_key), {}),
    "the operator of S3 in the query": (query_of(OPERATOR.access_key, "s3"), {}),
    "a lower case credential": (f"x-amz-credential={ACCOUNT}/{DAY}/{REGION}/lambda/aws4_request", {}),
    "a credential alone": (f"X-Amz-Credential={OPERATOR.access_key}/{DAY}/{REGION}/lambda/aws4_request", {}),
    "SigV2's key": ("AWSAccessKeyId=test&Signature=x&Expires=99999999999", {}),
    "SigV2's key, the operator's": (f"AWSAccessKeyId={OPERATOR.access_key}&Signature=x&Expires=99999999999", {}),
    "SigV2's key alone": (f"AWSAccessKeyId={ACCOUNT}", {}),
    "a token": ("X-Amz-Security-Token=test", {"X-Amz-Security-Token": "test"}),
    "a cookie": ("", {"Cookie": f"Authorization={ACCOUNT}; aws-access-key=test"}),
}
CALLS = {
    "a function's start": ("POST", "/2015-03-31/functions", b'{"FunctionName": "f"}'),
    "a function's call": ("POST", "/2015-03-31/functions/f/invocations", b"{}"),
    "the functions": ("GET", "/2015-03-31/functions", b""),
    "a bucket's making": ("PUT", "/anybucket", b""),
    "the buckets": ("GET", "/", b""),
    "an upload by a form": ("POST", "/anybucket", b"--x\r\n"),
    "a query": ("GET", "/?Action=CreateUser&UserName=intruder&Version=2010-05-08", b""),
    "who am I": ("POST", "/", b"Action=GetCallerIdentity&Version=2011-06-15"),
    "a reset": ("POST", "/_ministack/reset", b""),
    "a setting": ("POST", "/_ministack/config", b"{}"),
    "mails": ("GET", "/_ministack/ses/messages", b""),
    "a function's code": ("GET", f"/_ministack/lambda-code/{ACCOUNT}/{REGION}/f", b""),
    "readiness": ("GET", "/_ministack/ready", b""),
    "an unknown path of LocalStack's": ("GET", "/_localstack/init", b""),
    "the other health": ("GET", "/_localstack/health", b""),
    "sign-in": ("GET", "/oauth2/authorize", b""),
    "a load balancer": ("GET", "/_alb/balancer/", b""),
    "Iceberg": ("GET", "/iceberg/v1/config", b""),
    "a registry": ("GET", "/v2/", b""),
    "a database's broker": ("POST", "/_ministack/rds/iam-auth", b"{}"),
    "GraphQL": ("POST", "/v1/apis/a/graphql", b"{}"),
    "a preflight": ("OPTIONS", "/anybucket", b""),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("way", WITHOUT_A_SIGNATURE)
def test_without_a_signature_nothing_is_done(emulator: Emulator, way: str, call: str) -> None:
    (query, headers), (method, path, body) = WITHOUT_A_SIGNATURE[way], CALLS[call]
    url = path + ("&" if "?" in path else "?" if query else "") + query
    answer = ask(emulator, method, url, body, headers)
    assert answer.status in (400, 403), answer
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("way", WITHOUT_A_SIGNATURE)
def test_api_gateway_refuses_by_itself_what_has_no_signature(emulator: Emulator, way: str) -> None:
    responses = [{"statusCode": "200", "responseTemplates": {"application/json": "{}"}}]
    mock = {"type": "MOCK", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
    api = deploy(emulator, "GET", mock, responses)
    query, headers = WITHOUT_A_SIGNATURE[way]
    answer = ask(emulator, "GET", f"/_aws/execute-api/{api.api_id}/test/payments?{query}", headers=headers)
    assert answer.status == 403
    if way == "nothing":
        assert answer.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    assert api.call("GET", b"").status == 200


def test_nothing_was_done(emulator: Emulator) -> None:
    assert emulator.client("s3").list_buckets()["Buckets"] == []
    assert "intruder" not in str(emulator.client("iam").list_users()["Users"])


def test_a_key_in_a_second_header_is_no_key(emulator: Emulator) -> None:
    """MiniStack checks the first header, and would act for the second."""
    url = urllib.parse.urlsplit(emulator.url)
    lines = (
        "GET / HTTP/1.1",
        f"Host: {url.netloc}",
        "Authorization: AWS4-HMAC-SHA256 SignedHeaders=host",
        f"Authorization: Credential={OPERATOR.access_key}/",
        "Connection: close",
    )
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(12) == b"HTTP/1.1 403"


@pytest.mark.parametrize("page", FOREIGN)
@pytest.mark.parametrize("path", ["/", "/_ministack/health", "/_aws/execute-api/a/b/keys"])
def test_a_web_page_is_refused_even_with_a_signature(emulator: Emulator, page: str, path: str) -> None:
    request = signed(emulator, path)
    assert send(request).status_code != 403 or "execute-api" in path
    answer = send(request, **FOREIGN[page])
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_loopback_has_several_names(name: str) -> None:
    assert foreign({"host": f"{name}:4566"}) is None
    assert (
        foreign({"host": f"{name}:4566", "origin": f"http://{name.lower()}:4566", "sec-fetch-site": "same-origin"})
        is None
    )


def test_a_preflight_is_refused(emulator: Emulator) -> None:
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    answer = ask(emulator, "OPTIONS", "/2015-03-31/functions", headers=headers)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_no_answer_may_be_read_by_other_pages(emulator: Emulator) -> None:
    answer = send(signed(emulator, "/"))
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_a_websocket_is_refused(emulator: Emulator) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    answer = ask(emulator, "GET", "/_aws/execute-api/a/b", headers=upgrade)
    assert answer.status == 403


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/config"])
def test_ministacks_own_paths_are_the_operators(emulator: Emulator, path: str) -> None:
    keys = emulator.session({"Action": "*"})
    other = Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"], keys["aws_session_token"])
    answer = send(signed(emulator, path, "ministack", "POST", b"{}", key=other))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    if path.endswith("config"):
        assert send(signed(emulator, path, "ministack", "POST", b"{}")).status_code == 200


def test_health_says_that_it_is_there_and_nothing_else(emulator: Emulator) -> None:
    answer = ask(emulator, "GET", "/_ministack/health")
    assert (answer.status, answer.text) == (200, "")


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_signature_in_the_query_gets_in(emulator: Emulator, version: str) -> None:
    s3 = emulator.client("s3")
    bucket = f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"content")
    try:
        signer = emulator.client("s3", OPERATOR_KEYS | {"config": Config(signature_version=version)})
        url = signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "key"})
        assert requests.get(url, timeout=10).content == b"content"
        assert requests.get(url.replace("/key?", "/other?"), timeout=10).status_code == 403
        assert requests.put(url, data=b"other", timeout=10).status_code == 403
        identity = emulator.client("sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
        assert "user/operator" in requests.get(identity, timeout=10).text
    finally:
        s3.delete_object(Bucket=bucket, Key="key")
        s3.delete_bucket(Bucket=bucket)


def test_a_functions_code_is_downloaded_by_the_url_that_names_it(emulator: Emulator) -> None:
    name = emulator.function("def handler(event, context):\n    return event")
    url = emulator.client("lambda").get_function(FunctionName=name)["Code"]["Location"]
    with zipfile.ZipFile(io.BytesIO(requests.get(url, timeout=10).content)) as package:
        assert package.namelist() == ["functions/module.py"]
    assert requests.get(url.partition("?")[0], timeout=10).status_code == 403


def test_a_functions_credentials_can_not_be_worked_out(emulator: Emulator) -> None:
    source = "import os\ndef handler(event, context):\n    return dict(os.environ)"
    name = emulator.function(source)
    client = emulator.client("lambda")
    variables = json.loads(client.invoke(FunctionName=name)["Payload"].read())
    emulated = Credentials(
        *(variables[f"AWS_{part}"] for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"))
    )
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    assert ":assumed-role/role-" in send(signed(emulator, "/", "sts", "POST", body, key=emulated)).text
    # As MiniStack derives them.
    role = client.get_function_configuration(FunctionName=name)["Role"]
    digest = sha256(f"{name}:{role}".encode()).hexdigest()
    guessed = Credentials(
        f"ASIA{digest[:16].upper()}",
        sha256(f"secret:{digest}".encode()).hexdigest(),
        sha256(f"token:{digest}".encode()).hexdigest(),
    )
    assert send(signed(emulator, "/", "sts", "POST", body, key=guessed)).status_code == 403


def test_the_operators_key_is_in_no_functions_environment(emulator: Emulator) -> None:
    name = emulator.function("import os\ndef handler(event, context):\n    return dict(os.environ)")
    variables = emulator.client("lambda").invoke(FunctionName=name)["Payload"].read().decode()
    assert "AWS_ACCESS_KEY_ID" in variables
    assert OPERATOR.secret_key not in variables


@pytest.mark.parametrize("page", FOREIGN)
def test_no_web_page_talks_to_a_functions_runtime(emulator: Emulator, page: str) -> None:
    source = "import os\ndef handler(event, context):\n    return os.environ['AWS_LAMBDA_RUNTIME_API']"
    client, name = emulator.client("lambda"), emulator.function(source)
    address = json.loads(client.invoke(FunctionName=name)["Payload"].read())
    assert re.fullmatch(r"127\.0\.0\.1:[0-9]+", address)
    next_event = f"http://{address}/2018-06-01/runtime/invocation/next"
    assert requests.get(next_event, headers=FOREIGN[page], timeout=5).status_code == 403
    assert json.loads(client.invoke(FunctionName=name)["Payload"].read()) == address
