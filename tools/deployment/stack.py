"""A running stack, local or on AWS: its addresses and names, and signed calls to its API."""

import functools
import json
import re
import time
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Self

import boto3
import requests
from botocore.config import Config

from client import PaymentsClient
from client.transport import SigV4
from tools.deployment.polling import wait_for
from tools.deployment.private import write_private

_VISIBLE_WITHIN_SECONDS = 10
HTTP_TIMEOUT_SECONDS = 30
# How long each request asks the API to wait for a payment's end.
_WAIT_SECONDS = 20
# No function may run for longer, so none is given up while it runs, and called again.
_INVOKING = Config(read_timeout=910)

_MACHINES = ("payment", "operation", "store_card", "resolve", "reconcile")

UNDER_WAY = ("processing", "action_required")
"""The statuses of a payment that has not ended: the workflow is running, or it waits for the customer."""


HOW_TO_START = "If this is the local stack, start it: make up (or payments up)."


class StackError(Exception):
    """There is no such stack, or it doesn't answer; the message says what to do."""


def _request(method: str, url: str, path: str, **options: Any) -> requests.Response:
    """`options` are those of requests. Raises StackError if nothing answers."""
    try:
        return requests.request(method, url + path, timeout=HTTP_TIMEOUT_SECONDS, **options)
    except requests.RequestException as error:
        raise StackError(f"{url} does not answer: {type(error).__name__}. {HOW_TO_START}") from None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A payment gateway of a stack. `api_key` is None where only AWS knows it.

    A sandbox lists its charges and can be told to fail, in the way of docs/sparkle.yaml, whichever gateway it is.
    """

    url: str
    api_key: str | None = None
    sandbox: bool = False

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call the gateway with its key. `options` are those of requests. Raises StackError if it does not answer."""
        headers = {"Authorization": f"Bearer {self.api_key}", **options.pop("headers", {})}
        return _request(method, self.url, path, headers=headers, **options)


@dataclass(frozen=True, slots=True)
class Listener:
    """The webhook endpoint of a local stack, which keeps the events (tools/local/listener), signed with this secret."""

    url: str
    api_key: str
    secret: str

    def events(self, after: int | None = None, wait_seconds: int = 0) -> dict[str, Any]:
        """`{"events", "last"}`: the events with a number above `after`, each `{"number", "headers", "body"}`, and the
        number of the last one. Without `after`, only that. Raises StackError."""
        parameters = {"wait": wait_seconds} | ({} if after is None else {"after": after})
        events: dict[str, Any] = self._call("GET", "/events", params=parameters).json()
        return events

    def refuse(self, *statuses: int, subject: str | None = None) -> None:
        """Let it answer the next events, or those of a subject, with these statuses. Raises StackError."""
        self._call("POST", "/refusals", json={"statuses": statuses, "subject": subject})

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = _request(method, self.url, path, headers={"Authorization": f"Bearer {self.api_key}"}, **options)
        if not answer.ok:
            raise StackError(f"{self.url}{path} answers {answer.status_code}. {HOW_TO_START}")
        return answer


@dataclass(frozen=True, slots=True)
class Stack:
    """The content of `build/stack.json`. On AWS the credentials may be absent; boto3 then finds them as usual.

    `gateways` has the payment gateways by name, `webhook_queue_urls` each webhook's `queue` and `dead_letters`. The
    file also has each sandbox's `<name>_url` and `<name>_api_key`.
    """

    api_url: str
    region: str
    state_machine_arn: str
    ledger_table: str
    log_group_prefix: str
    aws_endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    cards_table: str | None = None
    counters_table: str | None = None
    books_key_arn: str | None = None
    anchors_bucket: str | None = None
    gateways: Mapping[str, Gateway] = field(default_factory=dict)
    webhook_queue_urls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    listener: Listener | None = None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a stack file. Raises StackError."""
        try:
            return cls.from_outputs(json.loads(path.read_text()))
        except FileNotFoundError:
            raise StackError(
                f"There is no {path}. Start the local stack (make up), or name another: --stack FILE"
            ) from None
        except (AttributeError, ValueError, TypeError) as error:
            raise StackError(f"{path} is not a stack file: {error}") from None

    @classmethod
    def from_outputs(cls, outputs: Mapping[str, Any], **more: Any) -> Self:
        """The stack that Terraform's outputs describe; others among them are ignored. `more` are further fields."""
        values = {field.name: outputs[field.name] for field in fields(cls) if field.name in outputs} | more
        gateways = {name: Gateway(**gateway) for name, gateway in values.pop("gateways", {}).items()}
        listener = values.pop("listener", None)
        return cls(**values, gateways=gateways, listener=listener and Listener(**listener))

    def save(self, path: Path) -> None:
        """Write the stack file, and curl configurations (`--config`) beside it, so that no command line contains a
        secret."""
        path.parent.mkdir(parents=True, exist_ok=True)
        sandboxes = {
            f"{name}_{part}": value
            for name, gateway in self.sandboxes.items()
            for part, value in (("url", gateway.url), ("api_key", gateway.api_key))
        }
        write_private(path, json.dumps(asdict(self) | sandboxes, indent=2) + "\n")
        if self.access_key_id:
            signature = f'aws-sigv4 = "aws:amz:{self.region}:execute-api"'
            user = f'user = "{self.access_key_id}:{self.secret_access_key}"'
            write_private(api_curlrc(path), f"silent\nshow-error\n{signature}\n{user}\n")
        # The sandboxes of a local stack share their key.
        for api_key in {gateway.api_key for gateway in self.sandboxes.values() if gateway.api_key}:
            key = f'header = "Authorization: Bearer {api_key}"'
            write_private(sandbox_curlrc(path), f"silent\nshow-error\n{key}\n")

    def required(self, name: str) -> Any:
        """A field that older stack files lack. Raises StackError if it is missing."""
        value = getattr(self, name)
        if not value:
            raise StackError(
                f"The stack file has no {name}. An older version wrote it: rewrite it with make up or make deploy."
            )
        return value

    @property
    def sandboxes(self) -> dict[str, Gateway]:
        """The gateways that are sandboxes, by name."""
        return {name: gateway for name, gateway in self.gateways.items() if gateway.sandbox}

    @property
    def only_sandbox(self) -> Gateway:
        """Raises StackError if the stack has no sandbox, or several."""
        if len(self.sandboxes) != 1:
            raise StackError(f"One gateway's sandbox is needed, and this stack has {len(self.sandboxes)}.")
        [sandbox] = self.sandboxes.values()
        return sandbox

    @property
    def has_only_sandboxes(self) -> bool:
        """Whether every payment goes to a sandbox."""
        return bool(self.gateways) and all(gateway.sandbox for gateway in self.gateways.values())

    @property
    def gateway_names(self) -> tuple[str, ...]:
        """The gateways' names in their order. Raises StackError if the stack file lacks them."""
        return tuple(sorted(self.required("gateways")))

    def table_of(self, pk: str) -> str:
        """The table that holds the items with this partition key. Raises StackError."""
        table_fields = {
            "CARD": "cards_table",
            "REQUEST": "cards_table",
            "VELOCITY": "counters_table",
            "ENDED": "counters_table",
            "DELIVERED": "counters_table",
        }
        return str(self.required(table_fields.get(pk.partition("#")[0], "ledger_table")))

    def session(self) -> boto3.Session:
        return _session(self.access_key_id, self.secret_access_key, self.region)

    def client(self, service: str, config: Config | None = None) -> Any:
        """A boto3 client for the stack's account, which all threads share."""
        return _client(self.session(), service, self.aws_endpoint_url, config)

    def resource(self, service: str) -> Any:
        """A boto3 resource for the stack's account."""
        return self.session().resource(service, endpoint_url=self.aws_endpoint_url)  # type: ignore[call-overload]

    def payments_client(self) -> PaymentsClient:
        """The client of the stack's API."""
        return PaymentsClient(self.api_url, self.region, self.session().get_credentials())

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        """Call the API, signed with SigV4. Raises StackError if it does not answer."""
        data = None if body is None else json.dumps(body).encode()
        all_headers = {**({"Content-Type": "application/json"} if data else {}), **(headers or {})}
        credentials = self.session().get_credentials()
        if credentials is None:
            raise StackError("No AWS credentials. Put them in the stack file, or configure them as for the AWS CLI.")
        auth = SigV4(credentials, self.region)
        return _request(method, self.api_url, path, data=data, headers=all_headers, auth=auth, allow_redirects=False)

    def sandbox(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call the only sandbox. `options` are those of requests."""
        return self.only_sandbox.call(method, path, **options)

    def execution_arn(self, name: str, machine: str = "payment") -> str:
        """The ARN of an execution. Its name is the payment's or the operation's id."""
        return f"{self.machine_arn(machine).replace(':stateMachine:', ':execution:')}:{name}"

    def describe_execution(self, execution_arn: str) -> dict[str, Any]:
        """Describe an execution that was just started, which Step Functions may show a moment late. Raises
        StackError."""
        states = self.client("stepfunctions")

        def find() -> dict[str, Any] | None:
            with suppress(states.exceptions.ExecutionDoesNotExist):
                execution: dict[str, Any] = states.describe_execution(executionArn=execution_arn)
                return execution
            return None

        if execution := wait_for(find, _VISIBLE_WITHIN_SECONDS):
            return execution
        raise StackError(f"There is no execution {execution_arn}.")

    def machine_arn(self, name: str) -> str:
        """The ARN of a state machine: `payment`, `store_card`, `operation`, `resolve` or `reconcile`."""
        return self.state_machine_arn.removesuffix("payment") + name

    @property
    def prefix(self) -> str:
        """What the deployment's names begin with, without the dash that follows: `payments-dev`."""
        return self.log_group_prefix.rpartition("/")[2].removesuffix("-")

    def function_name(self, name: str) -> str:
        """A function's full name."""
        return f"{self.prefix}-{name}"

    def invoke(self, function: str, event: Any) -> Any:
        """Invoke the version of a function that is in service. Returns its answer. Raises StackError, also if the
        function fails."""
        answer = self.attempt(function, event)
        if failed(answer):
            raise StackError(f"{answer['errorType']}: {answer['errorMessage']}")
        return answer

    def attempt(self, function: str, event: Any) -> Any:
        """Like `invoke`, but returns the function's error as Lambda reports it: `{"errorType", "errorMessage", …}`."""
        client = self.client("lambda", _INVOKING)
        call = functools.partial(
            client.invoke, FunctionName=self.function_name(function), Payload=json.dumps(event).encode()
        )
        try:
            answer = call(Qualifier="live")
        except client.exceptions.ResourceNotFoundException:  # a state machine's step has no alias
            answer = call(Qualifier=self._version_of_step(function))
        return json.loads(answer["Payload"].read())

    def _version_of_step(self, function: str) -> str:
        """The function's version that a state machine in service names; during a roll-out, that of most executions.
        Raises StackError."""
        states, name = self.client("stepfunctions"), self.function_name(function)
        for machine in _MACHINES:
            alias = states.describe_state_machine_alias(stateMachineAliasArn=self.live_arn(machine))
            most = max(alias["routingConfiguration"], key=lambda route: route["weight"])
            definition = states.describe_state_machine(stateMachineArn=most["stateMachineVersionArn"])["definition"]
            if named := re.search(rf":{name}:(\d+)", definition):
                return named[1]
        raise StackError(f"This stack has no function {name}.")

    def live_arn(self, name: str) -> str:
        """The ARN to start executions of, as the API does: the alias of the versions in service."""
        return f"{self.machine_arn(name)}:live"

    def payment(self, payment_id: str, wait_seconds: int = 0) -> dict[str, Any]:
        """The payment as the API shows it, or the API's error. The API waits for its end for at most this long."""
        answer: dict[str, Any] = self.call("GET", f"/payments/{payment_id}?wait={wait_seconds}").json()
        return answer

    def follow(
        self,
        payment_id: str,
        operation_id: str | None = None,
        *,
        timeout_seconds: float,
        pending: Collection[str] = ("processing",),
    ) -> dict[str, Any]:
        """Read a payment until it, or one of its operations, has none of the pending statuses any more, or the time is
        over. Returns the last answer. From the second read on, the API waits for the end."""
        deadline, waits = time.monotonic() + timeout_seconds, chain([0], repeat(_WAIT_SECONDS))
        return wait_for(
            lambda: self.payment(payment_id, max(0, min(next(waits), int(deadline - time.monotonic())))),
            timeout_seconds,
            pause_seconds=1.0,
            until=lambda payment: (
                payment_or_operation(payment, operation_id).get("status", "processing") not in pending
            ),
        )


def failed(answer: Any) -> bool:
    """Whether a function's answer is an error in the form in which Lambda reports it."""
    return isinstance(answer, dict) and "errorType" in answer


def payment_or_operation(payment: Mapping[str, Any], operation_id: str | None) -> Mapping[str, Any]:
    """The payment, or the operation on it with this id; empty if the payment doesn't show that operation."""
    if operation_id is None:
        return payment
    operations: dict[str, Mapping[str, Any]] = {each["operation_id"]: each for each in payment.get("operations") or ()}
    return operations.get(operation_id, {})


def api_curlrc(stack_file: Path) -> Path:
    """The file with which curl signs calls to the stack's API."""
    return stack_file.with_suffix(".api.curlrc")


def sandbox_curlrc(stack_file: Path) -> Path:
    """The file with which curl calls the gateways' sandboxes."""
    return stack_file.with_suffix(".sandbox.curlrc")


@functools.cache
def _session(access_key_id: str | None, secret_access_key: str | None, region: str) -> boto3.Session:
    """Cached, because making a session takes longer than a call."""
    return boto3.Session(aws_access_key_id=access_key_id, aws_secret_access_key=secret_access_key, region_name=region)


@functools.cache
def _client(session: boto3.Session, service: str, endpoint_url: str | None, config: Config | None) -> Any:
    """Cached, because making a client takes longer than a call, and its connections stay open."""
    return session.client(service, endpoint_url=endpoint_url, config=config)  # type: ignore[call-overload]


def new_payment_id() -> str:
    return str(uuid.uuid4())
