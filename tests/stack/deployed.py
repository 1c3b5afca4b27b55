"""The REST API as API Gateway has it deployed: what each method accepts, and each answer other than success."""

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from functions.shared import http
from tests.mapping_templates import Message
from tools.deployment.paths import ROOT
from tools.deployment.stack import Stack


class Answer(NamedTuple):
    """A status, and the body as canonical JSON."""

    status: str
    body: str


def answer(status: int | str, body: Any) -> Answer:
    return Answer(str(status), json.dumps(body, sort_keys=True))


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a path, as GetMethod describes it."""

    path: str
    description: Mapping[str, Any]

    @property
    def parameters(self) -> set[str]:
        """The parameters that the method declares, like `header.Idempotency-Key`."""
        return {name.removeprefix("method.request.") for name in self.description.get("requestParameters", {})}

    @property
    def models(self) -> dict[str, str]:
        """The request's model, by content type."""
        return dict(self.description.get("requestModels", {}))

    @property
    def headers(self) -> dict[str, set[str]]:
        """The headers of each integration response, by status."""
        return {
            status: {name.removeprefix("method.response.header.") for name in response.get("responseParameters", {})}
            for status, response in self.description.get("methodResponses", {}).items()
        }

    @property
    def caching(self) -> set[str | None]:
        """The Cache-Control of each integration response that doesn't come from a function."""
        responses = self._integration.get("integrationResponses", {}).values()
        name = "method.response.header.Cache-Control"
        return {response.get("responseParameters", {}).get(name) for response in responses}

    @property
    def function(self) -> str | None:
        """The function that the method calls, without the deployment's prefix and the alias."""
        match = re.search(r":function:[\w-]+-(\w+)[:/]", self._integration.get("uri", ""))
        return match[1] if match else None

    @property
    def starts_executions(self) -> bool:
        return bool(self._integration["type"] == "AWS")

    def can_answer(self, gateway_response: str) -> bool:
        """Whether API Gateway itself may give this answer."""
        match gateway_response:
            case "RESOURCE_NOT_FOUND":
                return False
            case "BAD_REQUEST_BODY" | "REQUEST_TOO_LARGE":
                return bool(self.models)
            case "UNSUPPORTED_MEDIA_TYPE":
                return self.function is None
            case (
                "ACCESS_DENIED"
                | "EXPIRED_TOKEN"
                | "INVALID_API_KEY"
                | "INVALID_SIGNATURE"
                | "MISSING_AUTHENTICATION_TOKEN"
                | "UNAUTHORIZED"
            ):
                return bool(self.description["authorizationType"] != "NONE")
            case "INTEGRATION_FAILURE" | "INTEGRATION_TIMEOUT":
                return bool(self._integration["type"] != "MOCK")
        return True

    def errors(self) -> set[str]:
        """The Step Functions errors that the method distinguishes, and one other."""
        error_names = re.findall(r'endsWith\("(\w+)"\)', json.dumps(self._integration).replace('\\"', '"'))
        # StartSyncExecution, for which a name is no more than a label, doesn't know ExecutionAlreadyExists.
        never = {"ExecutionAlreadyExists"} if "StartSyncExecution" in self._integration["uri"] else set()
        return {*error_names, "AnyOther"} - never

    def rendered(
        self, error: str | None, payment_id: str, key: str | None, body: str | None = None
    ) -> tuple[Answer, dict[str, str]]:
        """The answer to an error of Step Functions, or None for a success with this body; and the answer's headers."""
        responses = self._integration["integrationResponses"].values()
        (response,) = (each for each in responses if bool(each.get("selectionPattern")) == (error is None))
        message = Message(
            body or json.dumps({"__type": error}),
            {"Idempotency-Key": key} if key else {},
            {"payment_id": payment_id},
            sent_to="/v1" + self.path.replace("{payment_id}", payment_id),
        )
        text, override = message.rendered(response["responseTemplates"]["application/json"])
        return answer(override.get("status", response["statusCode"]), json.loads(text)), override["header"]

    @property
    def request_template(self) -> str:
        return str(self._integration["requestTemplates"]["application/json"])

    @property
    def response_templates(self) -> set[str]:
        responses = self._integration["integrationResponses"].values()
        return {response["responseTemplates"]["application/json"] for response in responses}

    @property
    def _integration(self) -> dict[str, Any]:
        integration: dict[str, Any] = self.description["methodIntegration"]
        return integration


@dataclass(frozen=True, slots=True)
class Api:
    methods: dict[tuple[str, str], Method]
    """The methods by method and path; ANY matches what no other method does."""

    models: dict[str, Any]
    """The JSON Schemas, by name."""

    gateway_responses: dict[str, set[Answer]]
    """API Gateway's own answers, by type."""

    gateway_caching: set[str | None]
    """The Cache-Control of API Gateway's own answers."""


def deployed(stack: Stack) -> Api:
    client = stack.client("apigateway")
    match = re.search(r"/execute-api/(\w+)/", stack.api_url)
    assert match
    of = {"restApiId": match[1]}
    resources = client.get_resources(**of, limit=500)["items"]
    responses = client.get_gateway_responses(**of, limit=500)["items"]
    own = [response for response in responses if not response["defaultResponse"]]
    return Api(
        methods={
            (method, resource["path"]): Method(
                resource["path"], client.get_method(**of, resourceId=resource["id"], httpMethod=method)
            )
            for resource in resources
            for method in resource.get("resourceMethods", {})
        },
        models={model["name"]: json.loads(model["schema"]) for model in client.get_models(**of, limit=500)["items"]},
        gateway_responses={
            response["responseType"]: {
                answer(status, json.loads(response["responseTemplates"]["application/json"]))
                # Without its own status, the answer keeps API Gateway's.
                for status in ([response["statusCode"]] if response.get("statusCode") else ["400", "403"])
            }
            for response in own
        },
        gateway_caching={
            response.get("responseParameters", {}).get("gatewayresponse.header.Cache-Control") for response in own
        },
    )


_OF_OPERATIONS = {"operation_not_found", "key_used_for_another_request"}


def function_refusals(function: str, path: str) -> set[Answer]:
    """Return a function's refusals on a route: its handler's calls of `http.error` and the answers of `http` that it
    names, except those of other routes."""
    elsewhere = {"payment_not_found"} if "{operation_id}" in path else _OF_OPERATIONS
    tree = ast.parse((ROOT / "functions" / function / "handler.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "http.error"]
    refusals = ([ast.literal_eval(argument) for argument in call.args] for call in calls)
    attributes = [
        node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "http"
    ]
    shared = [getattr(http, node.attr) for node in attributes if node.attr.isupper()]
    return {
        answer(status, {"error": {"code": code, "message": message}})
        for status, code, message in refusals
        if code not in elsewhere
    } | {answer(each["statusCode"], json.loads(each["body"])) for each in shared}
