"""REST API integrations with Step Functions, and mocks with templates."""

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from tests.aws_facts import facts
from tests.unit.tools.local.emulator.conftest import OPERATOR, REGION, Emulator

START = r"""
#set($key = $input.params('Idempotency-Key'))
#if(!$key.matches('[A-Za-z0-9_-]{16,64}'))
#set($key = 'not a name')
#end
{"stateMachineArn": "%s", "name": "$key",
 "input": "$util.escapeJavaScript($input.json('$')).replaceAll("\\'","'")"}
"""
ACCEPTED = """
#set($id = $input.params('Idempotency-Key'))
#set($context.responseOverride.header.Location = "/payments/$id")
{"payment_id": "$id"}
"""
REFUSED = """
#if($input.path('$.__type').endsWith('ExecutionAlreadyExists'))
#set($context.responseOverride.status = 409)
#elseif($input.path('$.__type').endsWith('InvalidName'))
#set($context.responseOverride.status = 400)
#end
{"type": $input.json('$.__type')}
"""
MODEL = {"type": "object", "properties": {"amount_minor": {"type": "integer"}}, "required": ["amount_minor"]}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Api:
    """A deployed REST API with one resource, /payments."""

    emulator: Emulator
    api_id: str

    def call(
        self,
        method: str = "POST",
        body: bytes = b'{"amount_minor": 1}',
        path: str = "/payments",
        scope: tuple[str, str] = ("execute-api", REGION),
        **headers: str,
    ) -> Answer:
        return self._send(method, f"/_aws/execute-api/{self.api_id}/test{path}", body, scope, headers)

    def get(self, path: str) -> Answer:
        """The answer at any path of the emulator."""
        return self._send("GET", path, b"", ("execute-api", REGION), {})

    def _send(self, method: str, path: str, body: bytes, scope: tuple[str, str], headers: dict[str, str]) -> Answer:
        url = self.emulator.url + path
        sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): headers[name] for name in headers}
        signed = AWSRequest(method, url, data=body, headers=sent)
        SigV4Auth(OPERATOR, *scope).add_auth(signed)
        answer = requests.request(method, url, data=body, headers=dict(signed.headers), timeout=10)
        return Answer(answer.status_code, dict(answer.headers), answer.text)


def deploy(
    emulator: Emulator,
    method: str,
    integration: dict[str, Any],
    responses: list[dict[str, Any]],
    with_model: bool = False,
    parameters: dict[str, bool] | None = None,
) -> Api:
    client = emulator.client("apigateway")
    api = client.create_rest_api(name="test")["id"]
    root = client.get_resources(restApiId=api)["items"][0]["id"]
    where = {
        "restApiId": api,
        "httpMethod": method,
        "resourceId": client.create_resource(restApiId=api, parentId=root, pathPart="payments")["id"],
    }
    options: dict[str, Any] = {}
    if with_model:
        client.create_model(restApiId=api, name="Payment", contentType="application/json", schema=json.dumps(MODEL))
        validator = client.create_request_validator(restApiId=api, name="all", validateRequestBody=True)
        options = {"requestModels": {"application/json": "Payment"}, "requestValidatorId": validator["id"]}
    if parameters:
        validator = client.create_request_validator(restApiId=api, name="parameters", validateRequestParameters=True)
        options = {"requestParameters": parameters, "requestValidatorId": validator["id"]}
    client.put_method(**where, authorizationType="AWS_IAM", **options)
    client.put_integration(**where, **integration)
    for response in responses:
        client.put_method_response(**where, statusCode=response["statusCode"])
        client.put_integration_response(**where, **response)
    for kind in (
        "API_CONFIGURATION_ERROR",
        "REQUEST_TOO_LARGE",
        "BAD_REQUEST_BODY",
        "BAD_REQUEST_PARAMETERS",
        "UNSUPPORTED_MEDIA_TYPE",
        "INVALID_SIGNATURE",
    ):
        client.put_gateway_response(
            restApiId=api, responseType=kind, responseTemplates={"application/json": f'{{"gateway": "{kind}"}}'}
        )
    client.create_deployment(restApiId=api, stageName="test")
    return Api(emulator, api)


def start_api(
    emulator: Emulator,
    machine: str,
    credentials: str,
    template: str = START,
    responses: list[dict[str, Any]] | None = None,
    with_model: bool = False,
) -> Api:
    return deploy(
        emulator,
        "POST",
        {
            "type": "AWS",
            "integrationHttpMethod": "POST",
            "credentials": credentials,
            "passthroughBehavior": "NEVER",
            "uri": f"arn:aws:apigateway:{REGION}:states:action/StartExecution",
            "requestTemplates": {"application/json": template.replace("%s", machine)},
        },
        responses
        or [
            {
                "statusCode": "202",
                "selectionPattern": "200",
                "responseTemplates": {"application/json": ACCEPTED},
                "responseParameters": {
                    "method.response.header.X-Static": "'always'",
                    "method.response.header.X-Arn": "integration.response.body.executionArn",
                    "method.response.header.X-Request": "context.requestId",
                },
            },
            {"statusCode": "502", "responseTemplates": {"application/json": REFUSED}},
        ],
        with_model,
    )


@pytest.fixture(scope="module")
def machine(emulator: Emulator) -> str:
    return emulator.state_machine({"Wait": {"Type": "Wait", "Seconds": 1, "End": True}})


@pytest.fixture(scope="module")
def api(emulator: Emulator, machine: str) -> Api:
    role = emulator.role("apigateway.amazonaws.com", {"Action": "states:StartExecution", "Resource": machine})
    return start_api(emulator, machine, role, with_model=True)


def key() -> str:
    return uuid.uuid4().hex


def executions(emulator: Emulator, machine: str) -> set[str]:
    """The names of all executions so far; a set, since an execution that ends moves in the list."""
    listed = emulator.client("stepfunctions").list_executions(stateMachineArn=machine, maxResults=1000)["executions"]
    return {execution["name"] for execution in listed}


@pytest.mark.parametrize("holder", ["O'Brien", 'a "quote"', "\\ / \u2028", "😀 é", '","name":"x'])
def test_a_request_starts_an_execution_whose_input_is_the_body(
    emulator: Emulator, machine: str, api: Api, holder: str
) -> None:
    body, name = {"amount_minor": 1, "holder": holder}, key()
    answer = api.call(body=json.dumps(body, ensure_ascii=False).encode(), Idempotency_Key=name)
    assert (answer.status, answer.json) == (202, {"payment_id": name})
    assert answer.headers["Location"] == f"/payments/{name}"
    arn = machine.replace(":stateMachine:", ":execution:") + f":{name}"
    assert json.loads(emulator.client("stepfunctions").describe_execution(executionArn=arn)["input"]) == body


def test_response_parameters_are_mapped_from_constants_the_answer_and_the_context(api: Api) -> None:
    answer, name = api.call(Idempotency_Key=(sent_key := key())), sent_key
    assert answer.headers["X-Static"] == "always"
    assert answer.headers["X-Arn"].endswith(f":{name}")
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["X-Request"])
    assert answer.headers["Content-Type"] == "application/json"


def test_the_same_key_and_body_is_the_same_answer_and_another_body_is_a_conflict(api: Api) -> None:
    name = key()
    first, again = api.call(Idempotency_Key=name), api.call(Idempotency_Key=name)
    other = api.call(body=b'{"amount_minor": 2}', Idempotency_Key=name)
    assert (first.status, again.status, first.body) == (202, 202, again.body)
    assert (other.status, other.json["type"].endswith("#ExecutionAlreadyExists")) == (409, True)


@pytest.mark.parametrize(
    "hostile",
    [
        'x","input":"{}"}',
        "short",
        "$context.apiId-aaaaaaaaaaaa",
        "a" * 65,
        "#end #stop " * 2,
    ],
)
def test_a_hostile_key_starts_nothing(emulator: Emulator, machine: str, api: Api, hostile: str) -> None:
    before = executions(emulator, machine)
    assert api.call(Idempotency_Key=hostile).status == 400
    assert executions(emulator, machine) == before


def test_a_role_without_permission_gets_access_denied_as_any_answer_of_the_service(
    emulator: Emulator, machine: str
) -> None:
    role = emulator.role(
        "apigateway.amazonaws.com", {"Action": "states:StartExecution", "Resource": f"{machine}-other"}
    )
    answer = start_api(emulator, machine, role).call(Idempotency_Key=key())
    assert answer.status == 502
    assert "AccessDenied" in answer.json["type"]


@pytest.mark.parametrize("service", ["lambda.amazonaws.com", None])
def test_a_role_that_api_gateway_cannot_assume_is_a_configuration_error(
    emulator: Emulator, machine: str, service: str | None
) -> None:
    role = (
        emulator.role(service, {"Action": "states:StartExecution"})
        if service
        else "arn:aws:iam::000000000000:role/missing"
    )
    answer = start_api(emulator, machine, role).call(Idempotency_Key=key())
    assert (answer.status, answer.json) == (500, {"gateway": "API_CONFIGURATION_ERROR"})


def test_a_broken_template_or_an_unmatched_answer_is_a_configuration_error(emulator: Emulator, machine: str) -> None:
    role = emulator.role("apigateway.amazonaws.com", {"Action": "states:StartExecution"})
    broken = start_api(emulator, machine, role, template="#if(true)never ended")
    unmatched = start_api(emulator, machine, role, responses=[{"statusCode": "202", "selectionPattern": "20"}])
    for answer in (broken.call(Idempotency_Key=key()), unmatched.call(Idempotency_Key=key())):
        assert (answer.status, answer.json) == (500, {"gateway": "API_CONFIGURATION_ERROR"})


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\xfe{}", b"[]", b"{}", b'"text"', b"[" * 5000])
def test_a_body_that_breaks_the_model_is_refused_before_the_integration(
    emulator: Emulator, machine: str, api: Api, body: bytes
) -> None:
    before = executions(emulator, machine)
    answer = api.call(body=body, Idempotency_Key=key())
    assert (answer.status, answer.json) == (400, {"gateway": "BAD_REQUEST_BODY"})
    assert executions(emulator, machine) == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"amount_minor": "1", "amount_minor": 2}', 202),
        (b'{"amount_minor": 1, "x": "\\ud800"}', 502),  # Step Functions rejects half a surrogate pair
    ],
)
def test_odd_but_valid_json_is_answered(api: Api, body: bytes, status: int) -> None:
    assert api.call(body=body, Idempotency_Key=key()).status == status


def test_of_duplicate_members_the_one_that_the_model_saw_is_passed_on(
    emulator: Emulator, machine: str, api: Api
) -> None:
    name = key()
    assert api.call(body=b'{"amount_minor": "seen by nobody", "amount_minor": 2}', Idempotency_Key=name).status == 202
    arn = machine.replace(":stateMachine:", ":execution:") + f":{name}"
    execution = emulator.client("stepfunctions").describe_execution(executionArn=arn)
    assert execution["input"] == '{"amount_minor":2}'
    refused = api.call(body=b'{"amount_minor": 2, "amount_minor": "last"}', Idempotency_Key=key())
    assert (refused.status, refused.json) == (400, {"gateway": "BAD_REQUEST_BODY"})


@pytest.mark.parametrize("scope", [("s3", REGION), ("execute-api", "eu-west-1"), ("states", REGION)])
def test_a_signature_for_another_service_or_region_is_invalid(api: Api, scope: tuple[str, str]) -> None:
    answer = api.call(scope=scope, Idempotency_Key=key())
    assert (answer.status, answer.json) == (403, {"gateway": "INVALID_SIGNATURE"})


def test_a_template_is_replaced_where_its_media_type_is_named_in_a_patch(emulator: Emulator, machine: str) -> None:
    role = emulator.role("apigateway.amazonaws.com", {"Action": "states:StartExecution"})
    api, client = start_api(emulator, machine, role), emulator.client("apigateway")
    [resource] = [item for item in client.get_resources(restApiId=api.api_id)["items"] if item["path"] == "/payments"]
    where = {"restApiId": api.api_id, "resourceId": resource["id"], "httpMethod": "POST"}
    path = "/requestTemplates/application~1json"
    client.update_integration(**where, patchOperations=[{"op": "replace", "path": path, "value": "#if(true)"}])
    assert client.get_integration(**where)["requestTemplates"] == {"application/json": "#if(true)"}
    client.update_integration(**where, patchOperations=[{"op": "remove", "path": path}])
    assert not client.get_integration(**where).get("requestTemplates")


def test_a_body_that_is_not_json_without_a_model_is_a_bad_request(emulator: Emulator, machine: str) -> None:
    role = emulator.role("apigateway.amazonaws.com", {"Action": "states:StartExecution"})
    answer = start_api(emulator, machine, role).call(body=b"not json", Idempotency_Key=key())
    assert (answer.status, answer.json) == (400, {"gateway": "BAD_REQUEST_BODY"})


@pytest.mark.parametrize("body", [b'{"amount_minor": 1}', b"amount_minor=1"])
def test_a_content_type_without_template_is_unsupported_whatever_the_body(api: Api, body: bytes) -> None:
    answer = api.call(body=body, Idempotency_Key=key(), Content_Type="text/plain")
    assert (answer.status, answer.json) == (415, {"gateway": "UNSUPPORTED_MEDIA_TYPE"})


def test_a_body_above_ten_megabytes_is_too_large(api: Api) -> None:
    answer = api.call(body=b" " * (10 * 1024 * 1024 + 1), Idempotency_Key=key())
    assert (answer.status, answer.json) == (413, {"gateway": "REQUEST_TOO_LARGE"})


def test_a_mock_renders_its_templates(emulator: Emulator) -> None:
    api = deploy(
        emulator,
        "GET",
        {
            "type": "MOCK",
            "requestTemplates": {
                "application/json": "#if($input.params('missing') == 'yes')"
                '{"statusCode": 404}#else{"statusCode": 200}#end'
            },
        },
        [
            {
                "statusCode": "200",
                "selectionPattern": "200",
                "responseTemplates": {
                    "application/json": '{"path": "$context.resourcePath", "method": "$context.httpMethod"}'
                },
            },
            {
                "statusCode": "404",
                "responseTemplates": {
                    "application/json": "#set($context.responseOverride.header.X-Reason = 'gone')"
                    '{"code": "not_found"}'
                },
            },
        ],
    )
    found, missing = api.call("GET", b""), api.call("GET", b"", "/payments?missing=yes")
    assert (found.status, found.json) == (200, {"path": "/payments", "method": "GET"})
    assert (missing.status, missing.json, missing.headers["X-Reason"]) == (404, {"code": "not_found"}, "gone")


@pytest.fixture(scope="module")
def telling_paths(emulator: Emulator) -> Api:
    mock = {"type": "MOCK", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
    return deploy(
        emulator,
        "GET",
        mock,
        [{"statusCode": "200", "responseTemplates": {"application/json": '{"path": "$context.path"}'}}],
    )


@pytest.mark.parametrize("case", facts("request_path"), ids=lambda case: f"{case['address']} {case['called']}")
def test_the_path_is_what_was_called_with_its_stage_or_base_path(
    emulator: Emulator, telling_paths: Api, case: dict[str, Any]
) -> None:
    if case["address"] == "execute-api":  # whose paths have a prefix before the stage here
        before = f"/_aws/execute-api/{telling_paths.api_id}"
        assert telling_paths.get(before + case["called"]).json == {"path": before + case["path"]}
        return
    # The only name with a dot that the emulator's access control lets in. It serves every path under that name.
    client, domain = emulator.client("apigateway", url=emulator.url.replace("127.0.0.1", "localhost")), "127.0.0.1"
    client.create_domain_name(domainName=domain)
    stage = {"stage": "test"} if case["names_the_stage"] else {}
    mapping = {"domainName": domain, "basePath": case["base_path"]}
    client.create_base_path_mapping(**mapping, restApiId=telling_paths.api_id, **stage)
    try:
        assert telling_paths.get(case["called"]).json == {"path": case["path"]}
    finally:
        client.delete_base_path_mapping(**mapping)
        client.delete_domain_name(domainName=domain)


def test_a_functions_event_has_the_same_path(emulator: Emulator) -> None:
    source = "def handler(event, context):\n    return {'statusCode': 200, 'body': event['requestContext']['path']}"
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{emulator.function(source)}/invocations"
    api = deploy(emulator, "GET", {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": uri}, [])
    assert api.call("GET", b"", "/payments?x=1").body == f"/_aws/execute-api/{api.api_id}/test/payments"


@pytest.fixture(scope="module")
def telling_queries(emulator: Emulator) -> Api:
    query = "[event['queryStringParameters'], event['multiValueQueryStringParameters']]"
    source = f"import json\ndef handler(event, context):\n    return {{'statusCode': 200, 'body': json.dumps({query})}}"
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{emulator.function(source)}/invocations"
    return deploy(emulator, "GET", {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": uri}, [])


@pytest.mark.parametrize("fact", facts("query_string"), ids=lambda fact: fact["query"] or "none")
def test_a_functions_event_has_the_query_string_as_it_was_seen_on_aws(
    telling_queries: Api, fact: dict[str, Any]
) -> None:
    single, every = telling_queries.call("GET", b"", "/payments" + fact["query"]).json
    assert single == fact["event"]
    assert {name: values[-1] for name, values in every.items()} == single if every else single is None


@pytest.mark.parametrize("name", ["X-Given", "x-given", "X-GIVEN"])
def test_header_names_are_those_that_the_client_wrote(emulator: Emulator, name: str) -> None:
    template = "#foreach($name in $input.params().header.keySet())$name #end[$input.params('X-Given')]"
    mock = {"type": "MOCK", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
    responses = [{"statusCode": "200", "responseTemplates": {"application/json": template}}]
    headers: dict[str, Any] = {name.replace("-", "_"): "a value"}
    body = deploy(emulator, "GET", mock, responses).call("GET", b"", **headers).body
    assert name in body.split()
    assert body.endswith("[a value]" if name == "X-Given" else "[]")
    asking = deploy(emulator, "GET", mock, responses, parameters={"method.request.header.X-Given": True})
    assert asking.call("GET", b"", **headers).status == (200 if name == "X-Given" else 400)
    assert asking.call("GET", b"").json == {"gateway": "BAD_REQUEST_PARAMETERS"}


def test_a_failed_proxy_function_is_a_gateway_response_without_its_error(emulator: Emulator) -> None:
    function = emulator.function("def handler(event, context):\n    raise ValueError('4242424242424242')")
    api = deploy(
        emulator,
        "GET",
        {
            "type": "AWS_PROXY",
            "integrationHttpMethod": "POST",
            "uri": f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations",
        },
        [],
    )
    answer = api.call("GET", b"")
    assert (answer.status, "4242" in answer.body) == (500, False)
