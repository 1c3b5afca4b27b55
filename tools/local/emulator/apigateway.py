"""REST API integrations that MiniStack 1.5.33 lacks: `AWS` to Step Functions actions, and templates in `MOCK`.

MiniStack's `AWS` integration supports only Lambda and SQS, and its `MOCK` does not render templates. On AWS ("Set up
REST API integrations" and "Mapping template transformations", API Gateway developer guide) an integration with the URI
`arn:aws:apigateway:{region}:states:action/{Action}`

1. picks the request template by the request's Content-Type, and renders it (`vtl.py`);
2. assumes the integration's `credentials` role, and signs the call to the service with it;
3. picks the integration response whose `selectionPattern` matches the whole HTTP status code, else the one without a
   pattern;
4. maps headers, renders the response template, and applies `$context.responseOverride`.

If a step fails, one of the API's gateway responses answers: API_CONFIGURATION_ERROR if a role or template can't be used
or no integration response matches, INTEGRATION_TIMEOUT or INTEGRATION_FAILURE if the service doesn't answer.

This module also adds:

- REQUEST_TOO_LARGE for bodies above 10 MB;
- request models that apply only to their own content type (or `$default`), and validate an empty body as an empty
  object (localstack's pull request 7916 compared it with AWS);
- DEFAULT_5XX for a failed Lambda proxy call (AWS: status 502 unless the gateway response sets one; 500 here), without
  the function's error text;
- INVALID_SIGNATURE for a signature whose credential scope has another region or service ("Troubleshoot request
  signing", IAM user guide: "Credential should be scoped to …");
- `~1` for a slash in the path of a patch operation (RFC 6901);
- `$context.path` as the client sent it, with the stage or the base path (`tests/aws_facts/request_path.yaml`);
- header names that "are processed in a case-sensitive way" ("Amazon API Gateway important notes"): templates and the
  check for required headers see them as the client wrote them, which is in lower case over HTTP/2;
- the last value of a repeated query parameter in a function's event (`tests/aws_facts/query_string.yaml`).

The integration's `requestParameters` and `$context.requestOverride` are not supported.
"""

import contextvars
import functools
import http.client
import json
import os
import uuid
from collections.abc import Mapping
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from ministack import app
from ministack.core import iam_evaluator, sigv4
from ministack.core.concurrency import run_reentrant
from ministack.core.responses import request_scope
from ministack.services import apigateway_v1

from tools.local.emulator import java, roles, vtl

PAYLOAD_LIMIT_BYTES = 10 * 1024 * 1024
_TARGET_PREFIXES = {"states": "AWSStepFunctions"}
# The session name that CloudTrail shows for API Gateway.
_SESSION_NAME = "BackplaneAssumeRoleSession"

Response = tuple[int, dict[str, Any], bytes]
_request: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("rest_api_request")
# The path as the client sent it; MiniStack keeps only the part after the stage or the base path.
_raw_path: contextvars.ContextVar[str] = contextvars.ContextVar("sent_path", default="")
# The request's header names as the client wrote them, by their lower-case forms, which are all that MiniStack keeps.
_header_names: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("header_names", default={})  # noqa: B039


class IntegrationError(Exception):
    """An integration failed before it could answer. `response_type` names the gateway response."""

    def __init__(self, response_type: str, message: str = "Internal server error") -> None:
        super().__init__(message)
        self.response_type = response_type


class MalformedProxyResponse(Exception):
    """A Lambda proxy function raised an exception, or did not return `{"statusCode": …}`."""


def install() -> None:
    """Replace MiniStack's handlers with ours, some of which call the original ones."""
    execute = apigateway_v1._execute_in_scope
    custom = apigateway_v1._invoke_lambda_custom_v1
    proxy_response = apigateway_v1._lambda_proxy_response
    validate = apigateway_v1._check_request_validation
    missing_parameters = apigateway_v1._missing_request_parameters
    application = app.app
    put_integration = apigateway_v1._put_integration
    enforce = app._enforce_data_plane
    build_event = apigateway_v1._build_lambda_event_v1

    @functools.wraps(build_event)
    def lambda_event(*rest: Any, **options: Any) -> dict[str, Any]:
        event: dict[str, Any] = build_event(*rest, **options)
        event["requestContext"]["path"] = _raw_path.get()
        all_values = event["multiValueQueryStringParameters"]
        event["queryStringParameters"] = all_values and {name: values[-1] for name, values in all_values.items()}
        return event

    @functools.wraps(application)
    async def remember_raw_request(scope: dict[str, Any], *rest: Any) -> None:
        names = (name.decode("latin-1") for name, _ in scope.get("headers", ()))
        names_token = _header_names.set({name.lower(): name for name in names})
        path_token = _raw_path.set(scope.get("raw_path", b"").decode("latin-1"))
        try:
            await application(scope, *rest)
        finally:
            _raw_path.reset(path_token)
            _header_names.reset(names_token)

    @functools.wraps(execute)
    async def execute_in_scope(
        request: dict[str, Any],
        api_id: str,
        stage_name: str,
        method: str,
        path: str,
        headers: dict[str, Any],
        body: bytes,
        *rest: Any,
    ) -> Any:
        stage = apigateway_v1._stages_v1.get(api_id, {}).get(stage_name)
        if stage and len(body or b"") > PAYLOAD_LIMIT_BYTES:
            request["stage"] = stage
            return apigateway_v1._gw_error(
                "REQUEST_TOO_LARGE", f"HTTP content length exceeded {PAYLOAD_LIMIT_BYTES} bytes."
            )
        request.update(method=method, path=path, body=body)
        token = _request.set(request)
        try:
            return await execute(request, api_id, stage_name, method, path, headers, body, *rest)
        except IntegrationError as error:
            return apigateway_v1._gw_error(error.response_type, str(error))
        except MalformedProxyResponse:
            return apigateway_v1._gw_error("DEFAULT_5XX", "Internal server error")
        finally:
            _request.reset(token)

    @functools.wraps(custom)
    async def invoke_aws(
        integration: dict[str, Any],
        api_id: str,
        stage_name: str,
        stage: dict[str, Any],
        resource: dict[str, Any],
        path: str,
        method: str,
        headers: dict[str, Any],
        body: bytes,
        *rest: Any,
        **options: Any,
    ) -> Response:
        target = apigateway_v1._parse_service_integration_uri(integration.get("uri", ""))
        if not target or target[1] not in _TARGET_PREFIXES or target[2] != "action":
            answer: Response = await custom(
                integration, api_id, stage_name, stage, resource, path, method, headers, body, *rest, **options
            )
            return answer
        context = _context(resource, options.get("caller_identity"), options.get("authorizer_context"))
        region, service, _, action = target
        return await _invoke_action(integration, region, service, action, context)

    @functools.wraps(proxy_response)
    def lambda_proxy_response(result: dict[str, Any]) -> Any:
        envelope, error = proxy_response(result)
        if error or result.get("error"):
            raise MalformedProxyResponse
        return envelope, None

    def check_request_validation(
        method: dict[str, Any], api_id: str, request: Any, headers: Any, body: bytes, *rest: Any
    ) -> Any:
        models = method.get("requestModels") or {}
        model = models.get(_media_type(headers)) or models.get("$default")
        method = {**method, "requestModels": {"application/json": model} if model else {}}
        return validate(method, api_id, request, headers, body or b"{}", *rest)

    @functools.wraps(missing_parameters)
    def missing_request_parameters(method: dict[str, Any], *rest: Any) -> list[str]:
        required = (name for name, needed in (method.get("requestParameters") or {}).items() if needed)
        headers = {name.split(".", 3)[3] for name in required if name.startswith("method.request.header.")}
        sent_names = set(_header_names.get().values())
        return list(dict.fromkeys([*missing_parameters(method, *rest), *sorted(headers - sent_names)]))

    @functools.wraps(put_integration)
    def put(api_id: str, resource_id: str, http_method: str, data: dict[str, Any]) -> Any:
        # A mock has no integration method. MiniStack sets POST, which Terraform would try to remove on each apply.
        mock = {"httpMethod": data.get("httpMethod")} if data.get("type") == "MOCK" else {}
        return put_integration(api_id, resource_id, http_method, data | mock)

    @functools.wraps(enforce)
    def enforce_data_plane(
        service: str, iam_action: str, headers: dict[str, Any], query: dict[str, Any], *rest: Any, **options: Any
    ) -> Any:
        if iam_action == "execute-api:Invoke" and (problem := _scope_problem(options["resource_arn"], headers)):
            return options["auth_error_response"](iam_evaluator.AuthError("SignatureDoesNotMatch", problem))
        # If IAM denies the call, MiniStack answers on its own, but AWS with the gateway response ACCESS_DENIED.
        denied = enforce(service, iam_action, headers, query, *rest, **options)
        if denied is None or iam_action != "execute-api:Invoke" or b"not authorized" not in denied[2]:
            return denied
        return _access_denied(options["resource_arn"], headers, query) or denied

    app.app = remember_raw_request
    apigateway_v1._build_lambda_event_v1 = lambda_event
    app._enforce_data_plane = enforce_data_plane
    apigateway_v1._missing_request_parameters = missing_request_parameters
    apigateway_v1._apply_patch = _apply_patch
    apigateway_v1._put_integration = put
    apigateway_v1._execute_in_scope = execute_in_scope
    apigateway_v1._invoke_lambda_custom_v1 = invoke_aws
    apigateway_v1._lambda_proxy_response = lambda_proxy_response
    apigateway_v1._check_request_validation = check_request_validation
    apigateway_v1._invoke_mock_v1 = _invoke_mock


def _scope_problem(method_arn: str, headers: dict[str, Any]) -> str | None:
    """Return AWS's message if the signature's credential scope does not match the API, else None."""
    api = apigateway_v1.find_api_scope(_api_and_stage(method_arn)[0])
    signature = sigv4.parse_header_signature(headers)
    if api is None or not isinstance(signature, sigv4.HeaderSignature):
        return None
    if signature.region != api[1]:
        return f"Credential should be scoped to a valid region, not '{signature.region}'."
    return (
        None if signature.service == "execute-api" else "Credential should be scoped to correct service: 'execute-api'."
    )


def _api_and_stage(method_arn: str) -> list[str]:
    return method_arn.rsplit(":", 1)[1].split("/")[:2]


def _apply_patch(target: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """Add, replace or remove members of nested maps, in place."""
    for operation in operations:
        path = operation.get("path", "").lstrip("/")
        *parents, name = (part.replace("~1", "/").replace("~0", "~") for part in path.split("/"))
        owner = target
        for parent in parents:
            if not isinstance(owner.get(parent), dict):
                owner[parent] = {}
            owner = owner[parent]
        if operation.get("op", "replace") == "remove":
            owner.pop(name, None)
        elif name:
            owner[name] = operation.get("value")
    return target


def _access_denied(method_arn: str, headers: dict[str, Any], query: dict[str, Any]) -> Any:
    """Return the gateway response ACCESS_DENIED of the stage in the method's ARN, or None if there is no such stage."""
    api_id, stage_name = _api_and_stage(method_arn)
    stage = apigateway_v1.stages_for_api(api_id).get(stage_name)
    if stage is None:
        return None
    request = {
        "api_id": api_id,
        "stage_name": stage_name,
        "stage": stage,
        "headers": headers,
        "query_params": query,
        "path_params": {},
        "resource_path": "",
        "request_id": str(uuid.uuid4()),
    }
    with request_scope(*apigateway_v1.find_api_scope(api_id)):
        return apigateway_v1._gateway_error_response(apigateway_v1._deny_error(explicit=False), request)


async def _invoke_action(
    integration: dict[str, Any], region: str, service: str, action: str, context: dict[str, Any]
) -> Response:
    request = _request.get()
    payload = _render_request(integration, context)
    source_arn = (
        f"arn:aws:execute-api:{region}:{context['accountId']}:{request['api_id']}/{request['stage_name']}"
        f"/{request['method']}{request['resource_path']}"
    )
    try:
        role = roles.assume(integration.get("credentials") or "", "apigateway.amazonaws.com", _SESSION_NAME, source_arn)
    except roles.RoleNotAssumable as error:
        raise IntegrationError("API_CONFIGURATION_ERROR") from error
    timeout_seconds = int(integration.get("timeoutInMillis") or 29000) / 1000
    status, headers, answer = await run_reentrant(
        _call, role, region, service, action, payload, timeout_seconds, thread_name="apigateway-action"
    )
    return _respond(integration, status, headers, answer, context)


def _call(
    role: roles.Session, region: str, service: str, action: str, payload: bytes, timeout_seconds: float
) -> tuple[int, Mapping[str, str], str]:
    """Call the action through the emulator's own port, which checks signature and permissions as for any caller."""
    host = f"127.0.0.1:{os.environ['GATEWAY_PORT']}"
    signed = AWSRequest(
        "POST",
        f"http://{host}/",
        data=payload,
        headers={"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"{_TARGET_PREFIXES[service]}.{action}"},
    )
    SigV4Auth(Credentials(role.access_key_id, role.secret_access_key, role.session_token), service, region).add_auth(
        signed
    )
    connection = http.client.HTTPConnection(host, timeout=timeout_seconds)
    try:
        connection.request("POST", "/", payload, dict(signed.headers))
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body
    except TimeoutError as error:
        raise IntegrationError("INTEGRATION_TIMEOUT", "Endpoint request timed out") from error
    except OSError as error:
        raise IntegrationError("INTEGRATION_FAILURE") from error
    finally:
        connection.close()


def _invoke_mock(integration: dict[str, Any]) -> Response:
    request = _request.get()
    resource = next(
        item
        for item in apigateway_v1._resources[request["api_id"]].values()
        if item["path"] == request["resource_path"]
    )
    context = _context(resource, None, None)
    try:
        status = int(json.loads(_render_request(integration, context))["statusCode"])
    except (ValueError, TypeError, KeyError) as error:  # "Unable to parse statusCode. It should be an integer …"
        raise IntegrationError("API_CONFIGURATION_ERROR") from error
    return _respond(integration, status, {}, "{}", context)


# -- The request ----------------------------------------------------------------------------------------------------


def _media_type(headers: Mapping[str, Any]) -> str:
    """Return the request's content type without its parameters. Like AWS, default to application/json."""
    header = str(apigateway_v1._header_ci(headers, "content-type") or "application/json")
    return header.split(";", 1)[0].strip().lower()


def _input(body: str) -> vtl.Input:
    request = _request.get()
    querystring = {name: values[-1] for name, values in request["query_params"].items() if values}
    names = _header_names.get()
    header = {names.get(name, name): value for name, value in request["headers"].items()}
    return vtl.Input(body, request["path_params"], querystring, header)


def _render_request(integration: dict[str, Any], context: dict[str, Any]) -> bytes:
    request = _request.get()
    body = (request["body"] or b"").decode(errors="replace")
    templates = integration.get("requestTemplates") or {}
    media_type = _media_type(request["headers"])
    template = next(
        (text for key, text in templates.items() if key.split(";", 1)[0].strip().lower() == media_type), None
    )
    if template is None:
        behavior = (integration.get("passthroughBehavior") or "WHEN_NO_MATCH").upper()
        if behavior == "NEVER" or (behavior == "WHEN_NO_TEMPLATES" and templates):
            raise IntegrationError("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type")
        return body.encode()
    try:
        return _render(template, body, context).encode(errors="replace")
    except vtl.BodyNotJson as error:
        raise IntegrationError("BAD_REQUEST_BODY", str(error)) from error


def _render(template: str, body: str, context: dict[str, Any]) -> str:
    try:
        return vtl.render(template, _input(body), context, _request.get()["stage"].get("variables") or {})
    except vtl.TransformationError as error:
        apigateway_v1.logger.warning("Execution failed due to configuration error: %s", error)
        raise IntegrationError("API_CONFIGURATION_ERROR") from error


def _context(
    resource: dict[str, Any], caller: dict[str, Any] | None, authorizer: dict[str, Any] | None
) -> dict[str, Any]:
    """Build the current request's `$context`, with its nested maps and with empty overrides."""
    request = _request.get()
    event = apigateway_v1._build_lambda_event_v1(
        request["api_id"],
        request["stage_name"],
        request["stage"],
        resource,
        request["path"],
        request["method"],
        request["headers"],
        b"",
        request["query_params"],
        request["path_params"],
        authorizer_context=authorizer,
        caller_identity=caller,
    )
    return {
        **event["requestContext"],
        "requestId": request["request_id"],
        "extendedRequestId": request["request_id"],
        "deploymentId": request["stage"].get("deploymentId"),
        "responseOverride": {"header": {}},
        "requestOverride": {"header": {}, "path": {}, "querystring": {}},
    }


# -- The response -----------------------------------------------------------------------------------------------------


def _respond(
    integration: dict[str, Any], status: int, headers: Mapping[str, str], body: str, context: dict[str, Any]
) -> Response:
    """Render the integration response that matches the status, and apply the overrides."""
    selected = apigateway_v1._select_service_integration_response(integration, status)
    if selected is None:
        raise IntegrationError("API_CONFIGURATION_ERROR")
    media_type, template = _response_template(selected.get("responseTemplates") or {})
    answer_headers: dict[str, Any] = {"Content-Type": media_type}
    for destination, source in (selected.get("responseParameters") or {}).items():
        value = _parameter_value(source, headers, body, context)
        if value:
            _set_header(answer_headers, destination.removeprefix("method.response.header."), value)
    try:
        rendered = body if template is None else _render(template, body, context)
    except vtl.BodyNotJson as error:
        raise IntegrationError("API_CONFIGURATION_ERROR") from error
    override = context["responseOverride"]
    for name, value in override.get("header", {}).items():
        _set_header(answer_headers, name, java.text(value))
    answer_headers["x-amzn-requestid"] = context["requestId"]
    code = int(override.get("status") or selected.get("statusCode") or status)
    return code, answer_headers, rendered.encode(errors="replace")


def _response_template(templates: dict[str, str]) -> tuple[str, str | None]:
    """Pick the template of the first type that the client accepts, else of application/json, else the first, if any."""
    accepted = str(apigateway_v1._header_ci(_request.get()["headers"], "accept") or "")
    accepted_types = [part.split(";", 1)[0].strip().lower() for part in accepted.split(",")]
    for media_type in [*accepted_types, "application/json", *templates]:
        if media_type in templates:
            return media_type, templates[media_type]
    return "application/json", None


def _parameter_value(source: str, headers: Mapping[str, str], body: str, context: dict[str, Any]) -> str:
    """Return a response parameter's value: a `'static'` one, or a part of the integration's answer or the context."""
    if len(source) >= 2 and source[0] == source[-1] == "'":
        return source[1:-1]
    if source.startswith("integration.response.header."):
        return headers.get(source.removeprefix("integration.response.header.").lower(), "")
    if source == "integration.response.body":
        return body
    if source.startswith("integration.response.body."):
        reference = "$input.path('$" + source.removeprefix("integration.response.body").replace("'", "") + "')"
    elif source.startswith(("context.", "stageVariables.")):
        reference = f"${source}"
    else:
        return ""
    try:
        return _render(reference, body, context)
    except vtl.BodyNotJson:
        return ""


def _set_header(headers: dict[str, Any], name: str, value: str) -> None:
    for existing in [key for key in headers if key.lower() == name.lower()]:
        del headers[existing]
    # A line break would end the header, so a template must not be able to insert one.
    headers[name] = value.replace("\r", "").replace("\n", "")
