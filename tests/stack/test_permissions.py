"""What each role may do, and that it may do nothing else."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from ministack.core import iam_evaluator

from functions.shared.adapters.table.sealing_keys import ISSUE, MAY_BE_ISSUED
from tests.aws_facts import facts
from tools.deployment.permissions import PERMISSIONS_FILE, permissions
from tools.deployment.stack import Stack
from tools.local.machine import DEFAULT_GATEWAY, Machine

TOKEN = {"token": "tok_1"}
CARD = {"pk": {"S": "CARD#tok_1"}, "sk": {"S": "CARD"}}
REQUEST = {"pk": {"S": "REQUEST#card-request-of-ours"}, "sk": {"S": "REQUEST"}}
PAYMENT = {"pk": {"S": "PAYMENT#payment-1"}, "sk": {"S": "PAYMENT"}}
ENDED = {"pk": {"S": "ENDED#payment#payment-of-ours-1"}, "sk": {"S": "ATTENDED"}}
EVENT = {"pk": {"S": "PAYMENT#payment-1"}, "sk": {"S": "EVENT#000001"}}
ERASED = {"pk": {"S": "EVENTS#tok_1"}, "sk": {"S": "EVENT#2026-11-23T09:00:00.000Z"}}
DELIVERED = {"pk": {"S": "DELIVERED#listener#PAYMENT#payment-1"}, "sk": {"S": "DELIVERED"}}
WEBHOOK, DEAD_LETTERS = "webhook-listener", "webhook-listener-dead-letters"
VELOCITY = {"pk": {"S": "VELOCITY#tok_1"}, "sk": {"S": "2026-11-23T09:00:00.000Z"}}
# If a write is allowed, this condition stops it, since other tests read the whole table.
NEVER = {"ConditionExpression": "attribute_exists(never)"}
# What a payment has only until it ends. No item has this id, so that a condition on an item stops each write.
EPHEMERAL = {"payment_id": {"S": "payment-1"}}
SEALING = {"payment_id": "payment-1", "purpose": "sealing"}
TASK_TOKEN = {"payment_id": "payment-1", "purpose": "task_token"}
ANOTHER = {"payment_id": "payment-1", "purpose": "another"}
SINGLE_USE_KEY = ("kid", "x", "y", "private_key", "issued_until", "ended_at")
HELD_CARD = ("ciphertext", "security_code", "network_transaction_id")
WAIT = ("customer_wait", "task_token", "wait_shard")
OAEP = "RSAES_OAEP_SHA_256"


def test_the_permissions_are_those_that_were_reviewed(stack: Stack, machine: Machine) -> None:
    assert permissions(machine.terraform()) == PERMISSIONS_FILE.read_text(), (
        "Who may do what has changed: run make up permissions, and review the difference."
    )


@dataclass(frozen=True)
class Caller:
    """AWS calls under one role, on the stack's own resources."""

    stack: Stack
    session: boto3.Session

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.stack.aws_endpoint_url)  # type: ignore[call-overload]

    @property
    def prefix(self) -> str:
        return self.stack.prefix

    def kms(self, action: str, key: str, **arguments: Any) -> Any:
        # By id: for a request by alias, the emulator checks the policy for the alias, where AWS checks it for the key.
        key_id = self.stack.client("kms").describe_key(KeyId=f"alias/{self.prefix}-{key}")["KeyMetadata"]["KeyId"]
        return getattr(self.client("kms"), action)(KeyId=key_id, **arguments)

    def encrypt(self, key: str = "card", context: dict[str, str] = TOKEN) -> Any:
        return self.kms("encrypt", key, Plaintext=b"x", EncryptionContext=context)

    def decrypt(self, key: str = "card", context: dict[str, str] = TOKEN) -> Any:
        return self.kms("decrypt", key, CiphertextBlob=b"x" * 64, EncryptionContext=context)

    def keep_execution(self, machine: str) -> Any:
        """Invoke as Step Functions does, with the state machine's role."""
        context = {"aws:states:stateMachineArn": self.stack.machine_arn(machine)}
        return self.kms("generate_data_key", "data", KeySpec="AES_256", EncryptionContext=context)

    def open_execution(self, machine: str) -> Any:
        return self.decrypt("data", {"aws:states:stateMachineArn": self.stack.machine_arn(machine)})

    def unseal(self, algorithm: str = OAEP) -> Any:
        return self.kms("decrypt", "sealing-1", CiphertextBlob=b"x" * 512, EncryptionAlgorithm=algorithm)

    def mac(self) -> Any:
        return self.kms("generate_mac", "token-1", Message=b"x", MacAlgorithm="HMAC_SHA_256")

    def seal(self) -> Any:
        return self.kms("generate_mac", "books", Message=b"x", MacAlgorithm="HMAC_SHA_256")

    def check_seal(self) -> Any:
        return self.kms("verify_mac", "books", Message=b"x", Mac=bytes(32), MacAlgorithm="HMAC_SHA_256")

    def anchors(self, action: str, **arguments: Any) -> Any:
        return getattr(self.client("s3"), action)(Bucket=self.stack.required("anchors_bucket"), **arguments)

    def table(self, action: str, **arguments: Any) -> Any:
        pk = (arguments.get("Key") or arguments.get("Item") or {}).get("pk", {}).get("S", "")
        return getattr(self.client("dynamodb"), action)(TableName=self.stack.table_of(pk), **arguments)

    def read(self, key: dict[str, Any], *attributes: str) -> Any:
        projection = {"ProjectionExpression": ", ".join(attributes)} if attributes else {}
        return self.table("get_item", Key=key, **projection)

    def read_many(self, key: dict[str, Any], *attributes: str) -> Any:
        names = {f"#{name}": name for name in attributes}
        projection = {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names} if names else {}
        request_items: Any = {self.stack.table_of(key["pk"]["S"]): {"Keys": [key], **projection}}
        return self.client("dynamodb").batch_get_item(RequestItems=request_items)

    def query(self, key: str, value: str, index: str | None = None) -> Any:
        return self.client("dynamodb").query(
            TableName=self.stack.table_of(value if key == "pk" else ""),
            KeyConditionExpression=f"{key} = :value",
            ExpressionAttributeValues={":value": {"S": value}},
            **({"IndexName": index} if index else {}),
        )

    def doubts(self) -> Any:
        return self.query("doubt_shard", "in_doubt#00", "in_doubt")

    def write(self, item: dict[str, Any]) -> Any:
        return self.table("put_item", Item=item, **NEVER)

    def read_ephemeral(self, *attributes: str) -> Any:
        projection = {"ProjectionExpression": ", ".join(attributes)} if attributes else {}
        return self._ephemeral("get_item", **projection)

    def issue(self, **options: Any) -> Any:
        return self._update_ephemeral(ISSUE, f"({MAY_BE_ISSUED}) AND attribute_exists(ended_at)", **options)

    def delete_key(self, **options: Any) -> Any:
        return self._ephemeral(
            "update_item",
            UpdateExpression="REMOVE private_key",
            ConditionExpression="attribute_exists(private_key)",
            **options,
        )

    def forget(self) -> Any:
        return self._ephemeral("delete_item", ConditionExpression="attribute_exists(ended_at)")

    def hold(self, **options: Any) -> Any:
        update = "SET ciphertext = :c, security_code = :s, expires_at = if_not_exists(expires_at, :e)"
        return self._update_ephemeral(
            update, "attribute_exists(ended_at) AND attribute_not_exists(ciphertext)", **options
        )

    def erase(self, **options: Any) -> Any:
        update = f"REMOVE private_key, {', '.join(HELD_CARD + WAIT)} SET ended_at = :a, expires_at = :e"
        return self._update_ephemeral(update, "attribute_exists(ended_at)", **options)

    def begin_wait(self, **options: Any) -> Any:
        update = "SET customer_wait = :w, task_token = :t, wait_shard = :s"
        return self._ephemeral(
            "update_item",
            UpdateExpression=update,
            ConditionExpression="attribute_exists(ciphertext)",
            ExpressionAttributeValues={name: {"S": "x"} for name in (":w", ":t", ":s")},
            **options,
        )

    def end_wait(self, **options: Any) -> Any:
        return self._ephemeral(
            "update_item",
            UpdateExpression=f"REMOVE {', '.join(WAIT)}",
            ConditionExpression="attribute_exists(customer_wait)",
            **options,
        )

    def waiting(self) -> Any:
        return self.client("dynamodb").query(
            TableName=f"{self.prefix}-ephemeral",
            IndexName="waiting",
            KeyConditionExpression="wait_shard = :value",
            ExpressionAttributeValues={":value": {"S": "waiting#00"}},
        )

    def resume(self) -> Any:
        return self.client("stepfunctions").send_task_success(taskToken="x" * 16, output="{}")

    def _update_ephemeral(self, update: str, condition: str, **options: Any) -> Any:
        values = {name: {"S": "x"} for name in re.findall(r":\w+", f"{update} {condition}")}
        return self._ephemeral(
            "update_item",
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeValues=values,
            **options,
        )

    def _ephemeral(self, action: str, **arguments: Any) -> Any:
        return getattr(self.client("dynamodb"), action)(
            TableName=f"{self.prefix}-ephemeral", Key=EPHEMERAL, **arguments
        )

    def secret(self, action: str, name: str = "api-key", **arguments: Any) -> Any:
        return getattr(self.client("secretsmanager"), action)(
            SecretId=f"{self.prefix}/gateway/{DEFAULT_GATEWAY}/{name}", **arguments
        )

    def queue(self, action: str, name: str = "gateway-events", **arguments: Any) -> Any:
        url = self.stack.client("sqs").get_queue_url(QueueName=f"{self.prefix}-{name}")["QueueUrl"]
        return getattr(self.client("sqs"), action)(QueueUrl=url, **arguments)

    def signing_secrets(self, action: str, **arguments: Any) -> Any:
        name = f"{self.prefix}/webhook/listener/signing-secrets"
        return getattr(self.client("secretsmanager"), action)(SecretId=name, **arguments)

    def publish(self, bus: str) -> Any:
        """Of no source that a rule takes."""
        entry = {"EventBusName": bus, "Source": "test", "DetailType": "test", "Detail": "{}"}
        return self.client("events").put_events(Entries=[entry])

    def execution(self, action: str, machine: str = "payment") -> Any:
        arn = self.stack.execution_arn("no-such-payment", machine)
        return getattr(self.client("stepfunctions"), action)(executionArn=arn)

    def list_executions(self, machine: str = "payment") -> Any:
        return self.client("stepfunctions").list_executions(stateMachineArn=self.stack.machine_arn(machine))

    def start(self, machine: str = "payment") -> Any:
        return self._start(self.stack.live_arn(machine))

    def store(self) -> Any:
        # Not to sync-127.0.0.1, which botocore would make of the address.
        config = Config(inject_host_prefix=False)
        states = self.session.client("stepfunctions", endpoint_url=self.stack.aws_endpoint_url, config=config)
        return states.start_sync_execution(stateMachineArn=self.stack.live_arn("store_card"), input="{}")

    def start_newest(self, machine: str) -> Any:
        return self._start(self.stack.machine_arn(machine))

    def _start(self, arn: str) -> Any:
        return self.client("stepfunctions").start_execution(stateMachineArn=arn, input="{}")

    def invoke(self, function: str) -> Any:
        return self.client("lambda").invoke(FunctionName=f"{self.prefix}-{function}:1", Payload=b"{}")

    def log(self, function: str) -> Any:
        return self.client("logs").create_log_stream(
            logGroupName=self.stack.log_group_prefix + function, logStreamName=f"test-{time.time_ns()}"
        )


Call = Callable[[Caller], Any]


@contextmanager
def assumed(stack: Stack, name: str) -> Iterator[Caller]:
    """Assume a role that trusts only AWS services. During the test it trusts the operator too."""
    iam, sts = stack.client("iam"), stack.client("sts")
    role = iam.get_role(RoleName=f"{stack.prefix}-{name}")["Role"]
    trust = role["AssumeRolePolicyDocument"]
    operator = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": sts.get_caller_identity()["Arn"]},
    }
    iam.update_assume_role_policy(
        RoleName=role["RoleName"], PolicyDocument=json.dumps(trust | {"Statement": [*trust["Statement"], operator]})
    )
    try:
        key = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]
        yield Caller(
            stack,
            boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], region_name=stack.region),
        )
    finally:
        iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=json.dumps(trust))


def refused(call: Call, caller: Caller) -> bool:
    """Whether the call is denied. Any other error means that it is allowed."""
    try:
        call(caller)
    except ClientError as error:
        return error.response["Error"]["Code"] in ("AccessDeniedException", "AccessDenied")
    return False


# What a role may do, and the closest actions that it may not do.
ALLOWED: dict[str, dict[str, Call]] = {
    "tokenize": {
        "open a sealed card": lambda as_role: as_role.unseal(),
        "derive a token": lambda as_role: as_role.mac(),
        "look a stored card up": lambda as_role: as_role.read(CARD, "token", "expiry"),
        "read a single-use key": lambda as_role: as_role.read_ephemeral(*SINGLE_USE_KEY),
        "open a card sealed to a single-use key": lambda as_role: as_role.decrypt("ephemeral", SEALING),
    },
    "screen": {
        "count a payment": lambda as_role: as_role.table("update_item", Key=VELOCITY, **NEVER),
        "look at how often a card pays": lambda as_role: as_role.query("pk", "VELOCITY#tok_1"),
        "look at how many cards come by a reference": lambda as_role: as_role.read_many(VELOCITY),
    },
    "encrypt": {
        "open a sealed card": lambda as_role: as_role.unseal(),
        "encrypt a card": lambda as_role: as_role.encrypt(),
        "take a stored card's ciphertext": lambda as_role: as_role.read(
            CARD, "ciphertext", "network_transaction_id", "expires_at"
        ),
        "read a single-use key": lambda as_role: as_role.read_ephemeral(*SINGLE_USE_KEY),
        "open a card sealed to a single-use key": lambda as_role: as_role.decrypt("ephemeral", SEALING),
        "hold a card": lambda as_role: as_role.hold(),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
    },
    "charge": {
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "see whether a payment is recorded": lambda as_role: as_role.read_many(PAYMENT, "payment_id", "status"),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
    },
    "await_customer": {
        "begin a wait": lambda as_role: as_role.begin_wait(),
        "encrypt a task token": lambda as_role: as_role.encrypt("ephemeral", TASK_TOKEN),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
    },
    "confirm": {
        "end a wait": lambda as_role: as_role.end_wait(),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
    },
    "resume": {
        "find who waits": lambda as_role: as_role.waiting(),
        "read a task token": lambda as_role: as_role.read_ephemeral("customer_wait", "task_token"),
        "decrypt a task token": lambda as_role: as_role.decrypt("ephemeral", TASK_TOKEN),
        "let an execution go on": lambda as_role: as_role.resume(),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
    },
    "persist": {
        "seal a record": lambda as_role: as_role.seal(),
        "read a payment": lambda as_role: as_role.read(PAYMENT),
        "write a card": lambda as_role: as_role.write(CARD),
        "keep a card for longer": lambda as_role: as_role.table("update_item", Key=CARD, **NEVER),
        "count a decline": lambda as_role: as_role.table("update_item", Key=VELOCITY, **NEVER),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "erase a held card": lambda as_role: as_role.erase(),
    },
    "keep": {
        "write a card": lambda as_role: as_role.write(CARD),
        "write what asked for it": lambda as_role: as_role.write(REQUEST),
        "read what asked for it": lambda as_role: as_role.read(REQUEST),
        "look a stored card up": lambda as_role: as_role.read(CARD, "token", "expiry"),
        "delete a single-use key": lambda as_role: as_role.delete_key(),
    },
    "verify": {
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "count a decline": lambda as_role: as_role.table("update_item", Key=VELOCITY, **NEVER),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
    },
    "compensate": {
        "seal a record": lambda as_role: as_role.seal(),
        "count a decline": lambda as_role: as_role.table("update_item", Key=VELOCITY, **NEVER),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
        "erase a held card": lambda as_role: as_role.erase(),
    },
    "reserve": {
        "seal a record": lambda as_role: as_role.seal(),
        "read a payment": lambda as_role: as_role.read(PAYMENT),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "look at an execution": lambda as_role: as_role.execution("describe_execution"),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
    },
    "perform": {
        "read a payment": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
    },
    "settle": {
        "seal a record": lambda as_role: as_role.seal(),
        "read a payment": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
    },
    "reconcile": {
        "seal a record": lambda as_role: as_role.seal(),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
        "read a payment": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "read many payments": lambda as_role: as_role.read_many(PAYMENT),
        "look at an account's postings": lambda as_role: as_role.query("account_day", "suspense#2026", "by_account"),
        "find what the gateway may yet end": lambda as_role: as_role.query("open_shard", "open#00", "open"),
        "write a break": lambda as_role: as_role.write({"pk": {"S": "BREAK#2026-11-23"}, "sk": {"S": "x"}}),
        "tell of a break": lambda as_role: as_role.write({"pk": {"S": "EVENTS#2026-11-23"}, "sk": {"S": "x"}}),
        "read closed days": lambda as_role: as_role.query("pk", "CLOSE#2026"),
        "list the executions": lambda as_role: as_role.list_executions(),
        "look at an execution": lambda as_role: as_role.execution("describe_execution"),
    },
    "status": {
        "read a payment": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
        "read what asked for a card": lambda as_role: as_role.read(REQUEST),
        "look a stored card up": lambda as_role: as_role.read(CARD, "token", "expiry"),
        "look at an execution": lambda as_role: as_role.execution("describe_execution"),
        "see who is waited for": lambda as_role: as_role.read_ephemeral("customer_wait"),
    },
    "search": {
        "find payments of a reference": lambda as_role: as_role.query("merchant_reference", "order-1", "by_reference"),
        "find payments of a status": lambda as_role: as_role.query(
            "status_shard", "captured#2026-11-23#00", "by_status"
        ),
        "find payments of a day": lambda as_role: as_role.query("day_shard", "2026-11-23#00", "by_day"),
        "read payments": lambda as_role: as_role.read_many(PAYMENT),
    },
    "issue_key": {
        "see whether a payment is recorded": lambda as_role: as_role.read_many(PAYMENT, "payment_id", "status"),
        "read a single-use key": lambda as_role: as_role.read_ephemeral(*SINGLE_USE_KEY),
        "issue a key": lambda as_role: as_role.issue(),
        "encrypt a key": lambda as_role: as_role.encrypt("ephemeral", SEALING),
    },
    "cards": {
        "read a card's last four digits": lambda as_role: as_role.read(CARD, "last4"),
        "erase a card": lambda as_role: as_role.table("delete_item", Key=CARD),
        "record that a card is erased": lambda as_role: as_role.write(ERASED),
    },
    "resolve": {
        "seal a record": lambda as_role: as_role.seal(),
        "read a payment": lambda as_role: as_role.read(PAYMENT),
        "look at an execution": lambda as_role: as_role.execution("describe_execution"),
        "look at an operation's execution": lambda as_role: as_role.execution("describe_execution", "operation"),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
        "look after an execution": lambda as_role: as_role.write(ENDED),
        "erase a held card": lambda as_role: as_role.erase(),
    },
    "receive_event": {
        "read the secrets of events": lambda as_role: as_role.secret("get_secret_value", "event-secrets"),
        "queue an event": lambda as_role: as_role.queue("send_message", MessageBody="x", DelaySeconds=9_000),
    },
    "follow_event": {
        "take an event": lambda as_role: as_role.queue("delete_message", ReceiptHandle="x"),
        "look at an execution": lambda as_role: as_role.execution("describe_execution"),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
        "read a payment": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "seal a record": lambda as_role: as_role.seal(),
        "read a task token": lambda as_role: as_role.read_ephemeral("customer_wait", "task_token"),
        "decrypt a task token": lambda as_role: as_role.decrypt("ephemeral", TASK_TOKEN),
        "let an execution go on": lambda as_role: as_role.resume(),
    },
    "publish": {
        "read events": lambda as_role: as_role.read_many(EVENT),
        "publish an event": lambda as_role: as_role.publish(f"{as_role.prefix}-events"),
    },
    "deliver": {
        "read earlier events": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
        "see what was delivered": lambda as_role: as_role.read(DELIVERED),
        "keep what was delivered": lambda as_role: as_role.table(
            "update_item",
            Key=DELIVERED,
            UpdateExpression="SET delivered = :d",
            ExpressionAttributeValues={":d": {"S": "1"}},
            **NEVER,
        ),
        "take an event": lambda as_role: as_role.queue("delete_message", WEBHOOK, ReceiptHandle="x"),
        "read what signs events": lambda as_role: as_role.signing_secrets("get_secret_value"),
    },
    "doubts": {
        "look at the payments in doubt": lambda as_role: as_role.doubts(),
        "list the payments": lambda as_role: as_role.list_executions(),
        "list the operations": lambda as_role: as_role.list_executions("operation"),
        "see who is looked after": lambda as_role: as_role.read_many(ENDED),
        "see until when it was looked": lambda as_role: as_role.read(ENDED),
        "write until when it was looked": lambda as_role: as_role.write(ENDED),
        "start resolving": lambda as_role: as_role.start("resolve"),
    },
    "anchor": {
        "find what was written": lambda as_role: as_role.query("written_shard", "2026-11-23#00", "by_writing"),
        "read records": lambda as_role: as_role.read_many(PAYMENT),
        "seal an anchor": lambda as_role: as_role.seal(),
        "list anchors": lambda as_role: as_role.anchors("list_objects_v2"),
        "keep an anchor": lambda as_role: as_role.anchors(
            "put_object", Key="tried/anchor.json", Body=b"", IfMatch="never"
        ),
    },
    "payment-state-machine": {
        "call a step": lambda as_role: as_role.invoke("tokenize"),
        "keep what an execution has": lambda as_role: as_role.keep_execution("payment"),
        "open it again": lambda as_role: as_role.open_execution("payment"),
    },
    "store_card-state-machine": {
        "call a step": lambda as_role: as_role.invoke("keep"),
        "keep what an execution has": lambda as_role: as_role.keep_execution("store_card"),
        "open it again": lambda as_role: as_role.open_execution("store_card"),
    },
    "operation-state-machine": {
        "call a step": lambda as_role: as_role.invoke("perform"),
        "keep what an execution has": lambda as_role: as_role.keep_execution("operation"),
        "open it again": lambda as_role: as_role.open_execution("operation"),
    },
    "resolve-state-machine": {
        "call a step": lambda as_role: as_role.invoke("resolve"),
        "keep what an execution has": lambda as_role: as_role.keep_execution("resolve"),
        "open it again": lambda as_role: as_role.open_execution("resolve"),
    },
    "reconcile-state-machine": {
        "call a step": lambda as_role: as_role.invoke("reconcile"),
        "keep what an execution has": lambda as_role: as_role.keep_execution("reconcile"),
        "open it again": lambda as_role: as_role.open_execution("reconcile"),
    },
    "events": {
        "start resolving": lambda as_role: as_role.start("resolve"),
        "start reconciling": lambda as_role: as_role.start("reconcile"),
    },
    "api": {
        "start a payment": lambda as_role: as_role.start(),
        "start an operation": lambda as_role: as_role.start("operation"),
        "store a card": lambda as_role: as_role.store(),
    },
}

FORBIDDEN: dict[str, dict[str, Call]] = {
    "tokenize": {
        "open a sealed card in another way": lambda as_role: as_role.unseal("RSAES_OAEP_SHA_1"),
        "encrypt a card": lambda as_role: as_role.encrypt(),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "check a token": lambda as_role: as_role.kms(
            "verify_mac", "token-1", Message=b"x", Mac=b"x" * 32, MacAlgorithm="HMAC_SHA_256"
        ),
        "read the ledger": lambda as_role: as_role.read(PAYMENT),
        "read a stored card's ciphertext": lambda as_role: as_role.read(CARD, "ciphertext"),
        "log as another function": lambda as_role: as_role.log("charge"),
        "encrypt a key": lambda as_role: as_role.encrypt("ephemeral", SEALING),
        "issue a key": lambda as_role: as_role.issue(),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "decrypt under the ephemeral key for another purpose": lambda as_role: as_role.decrypt("ephemeral", ANOTHER),
        "hold a card": lambda as_role: as_role.hold(),
        "read all that a payment has": lambda as_role: as_role.read_ephemeral(),
    },
    "screen": {
        "read a payment": lambda as_role: as_role.read(PAYMENT),
        "read a stored card": lambda as_role: as_role.query("pk", "CARD#tok_1"),
        "change a payment": lambda as_role: as_role.table("update_item", Key=PAYMENT, **NEVER),
        "forget a payment": lambda as_role: as_role.table("delete_item", Key=VELOCITY, **NEVER),
        "open a sealed card": lambda as_role: as_role.unseal(),
        "read all that a payment has": lambda as_role: as_role.read_ephemeral(),
    },
    "encrypt": {
        "open a sealed card in another way": lambda as_role: as_role.unseal("RSAES_OAEP_SHA_1"),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "encrypt a card without its name": lambda as_role: as_role.encrypt(context={}),
        "encrypt a card under more than its token": lambda as_role: as_role.encrypt(context=TOKEN | {"more": "x"}),
        "encrypt under the data key": lambda as_role: as_role.encrypt("data"),
        "derive a token": lambda as_role: as_role.mac(),
        "read all of a stored card": lambda as_role: as_role.read(CARD),
        "look a stored card up": lambda as_role: as_role.read(CARD, "ciphertext", "last4"),
        "write a card": lambda as_role: as_role.write(CARD),
        "encrypt a key": lambda as_role: as_role.encrypt("ephemeral", SEALING),
        "decrypt under the ephemeral key for another purpose": lambda as_role: as_role.decrypt("ephemeral", ANOTHER),
        "issue a key": lambda as_role: as_role.issue(),
        "read all that a payment has": lambda as_role: as_role.read_ephemeral(),
        "see what it holds a card beside": lambda as_role: as_role.hold(ReturnValues="ALL_NEW"),
    },
    "charge": {
        "decrypt a card without its token": lambda as_role: as_role.decrypt(context={}),
        "decrypt under the data key": lambda as_role: as_role.decrypt("data"),
        "encrypt a card": lambda as_role: as_role.encrypt(),
        "open a sealed card": lambda as_role: as_role.unseal(),
        "read all of a payment": lambda as_role: as_role.read_many(PAYMENT),
        "read what a payment is of": lambda as_role: as_role.read_many(PAYMENT, "amount_minor"),
        "see whether a card is stored": lambda as_role: as_role.read_many(CARD, "payment_id", "status"),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "change the gateway's key": lambda as_role: as_role.secret("put_secret_value", SecretString="x"),
        "read a single-use key": lambda as_role: as_role.read_ephemeral(*SINGLE_USE_KEY),
        "open a card sealed to a single-use key": lambda as_role: as_role.decrypt("ephemeral", SEALING),
        "encrypt under the ephemeral key for another purpose": lambda as_role: as_role.encrypt("ephemeral", ANOTHER),
        "hold a card": lambda as_role: as_role.hold(),
        "erase a held card": lambda as_role: as_role.erase(),
        "read all that a payment has": lambda as_role: as_role.read_ephemeral(),
    },
    "await_customer": {
        "decrypt a task token": lambda as_role: as_role.decrypt("ephemeral", TASK_TOKEN),
        "read a task token": lambda as_role: as_role.read_ephemeral("customer_wait", "task_token"),
        "let an execution go on": lambda as_role: as_role.resume(),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "encrypt a key": lambda as_role: as_role.encrypt("ephemeral", SEALING),
        "see what it writes beside": lambda as_role: as_role.begin_wait(ReturnValues="ALL_NEW"),
        "read a payment": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
    },
    "confirm": {
        "read a task token": lambda as_role: as_role.read_ephemeral("customer_wait", "task_token"),
        "decrypt a task token": lambda as_role: as_role.decrypt("ephemeral", TASK_TOKEN),
        "let an execution go on": lambda as_role: as_role.resume(),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "hold a card": lambda as_role: as_role.hold(),
        "read a payment": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
        "see what it removes": lambda as_role: as_role.end_wait(ReturnValues="ALL_OLD"),
    },
    "resume": {
        "encrypt a task token": lambda as_role: as_role.encrypt("ephemeral", TASK_TOKEN),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "open a card sealed to a single-use key": lambda as_role: as_role.decrypt("ephemeral", SEALING),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "stop a payment": lambda as_role: as_role.execution("stop_execution"),
        "start a payment": lambda as_role: as_role.start(),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "read all that waits": lambda as_role: as_role.read_ephemeral(),
    },
    "persist": {
        "check a seal": lambda as_role: as_role.check_seal(),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "open a sealed card": lambda as_role: as_role.unseal(),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "update a payment in place": lambda as_role: as_role.table("update_item", Key=PAYMENT),
        "delete a payment": lambda as_role: as_role.table("delete_item", Key=PAYMENT),
        "read all of the table": lambda as_role: as_role.table("scan"),
        "look at how often a card pays": lambda as_role: as_role.query("pk", "VELOCITY#tok_1"),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
        "read a single-use key": lambda as_role: as_role.read_ephemeral(*SINGLE_USE_KEY),
        "open a card sealed to a single-use key": lambda as_role: as_role.decrypt("ephemeral", SEALING),
        "decrypt under the ephemeral key for another purpose": lambda as_role: as_role.decrypt("ephemeral", ANOTHER),
        "issue a key": lambda as_role: as_role.issue(),
        "see what it erases of a payment": lambda as_role: as_role.erase(ReturnValues="ALL_OLD"),
        "read all that a payment has": lambda as_role: as_role.read_ephemeral(),
    },
    "keep": {
        "read all of a card": lambda as_role: as_role.read(CARD),
        "read a card's ciphertext": lambda as_role: as_role.read(CARD, "ciphertext"),
        "see what it replaces": lambda as_role: as_role.table("put_item", Item=CARD, ReturnValues="ALL_OLD", **NEVER),
        "erase a card": lambda as_role: as_role.table("delete_item", Key=CARD),
        "encrypt a card": lambda as_role: as_role.encrypt(),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "read a payment": lambda as_role: as_role.read(PAYMENT),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "read a single-use key": lambda as_role: as_role.read_ephemeral(*SINGLE_USE_KEY),
        "issue a key": lambda as_role: as_role.issue(),
        "see what it erases of a payment": lambda as_role: as_role.delete_key(ReturnValues="ALL_OLD"),
        "erase a held card": lambda as_role: as_role.erase(),
    },
    "verify": {
        "encrypt a card": lambda as_role: as_role.encrypt(),
        "encrypt under the ephemeral key for another purpose": lambda as_role: as_role.encrypt("ephemeral", ANOTHER),
        "open a sealed card": lambda as_role: as_role.unseal(),
        "open a card sealed to a single-use key": lambda as_role: as_role.decrypt("ephemeral", SEALING),
        "read all that a payment has": lambda as_role: as_role.read_ephemeral(),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "write a card": lambda as_role: as_role.write(CARD),
        "see whether a payment is recorded": lambda as_role: as_role.read_many(PAYMENT, "payment_id", "status"),
        "change the gateway's key": lambda as_role: as_role.secret("put_secret_value", SecretString="x"),
        "look at how often a card pays": lambda as_role: as_role.query("pk", "VELOCITY#tok_1"),
    },
    "compensate": {
        "check a seal": lambda as_role: as_role.check_seal(),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "open a sealed card": lambda as_role: as_role.unseal(),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "write a card": lambda as_role: as_role.write(CARD),
        "delete a payment": lambda as_role: as_role.table("delete_item", Key=PAYMENT),
        "read all of the table": lambda as_role: as_role.table("scan"),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "read a single-use key": lambda as_role: as_role.read_ephemeral(*SINGLE_USE_KEY),
        "open a card sealed to a single-use key": lambda as_role: as_role.decrypt("ephemeral", SEALING),
        "decrypt under the ephemeral key for another purpose": lambda as_role: as_role.decrypt("ephemeral", ANOTHER),
        "issue a key": lambda as_role: as_role.issue(),
        "see what it erases of a payment": lambda as_role: as_role.erase(ReturnValues="ALL_OLD"),
    },
    "reserve": {
        "check a seal": lambda as_role: as_role.check_seal(),
        "change the gateway's key": lambda as_role: as_role.secret("put_secret_value", SecretString="x"),
        "look at an operation's execution": lambda as_role: as_role.execution("describe_execution", "operation"),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "delete a payment": lambda as_role: as_role.table("delete_item", Key=PAYMENT),
    },
    "perform": {
        "read a stored card": lambda as_role: as_role.query("pk", "CARD#tok_1"),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "change the gateway's key": lambda as_role: as_role.secret("put_secret_value", SecretString="x"),
    },
    "settle": {
        "check a seal": lambda as_role: as_role.check_seal(),
        "ask the gateway": lambda as_role: as_role.secret("get_secret_value"),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "delete a payment": lambda as_role: as_role.table("delete_item", Key=PAYMENT),
        "read all of the table": lambda as_role: as_role.table("scan"),
    },
    "reconcile": {
        "check a seal": lambda as_role: as_role.check_seal(),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "read many stored cards": lambda as_role: as_role.read_many(CARD),
        "write a card": lambda as_role: as_role.write(CARD),
        "delete a payment": lambda as_role: as_role.table("delete_item", Key=PAYMENT),
        "read all of the table": lambda as_role: as_role.table("scan"),
        "start a payment": lambda as_role: as_role.start(),
        "look at the history of an execution": lambda as_role: as_role.execution("get_execution_history"),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
    },
    "status": {
        "seal a record": lambda as_role: as_role.seal(),
        "open an execution without Step Functions": lambda as_role: as_role.open_execution("payment"),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "read a stored card's ciphertext": lambda as_role: as_role.read(CARD, "ciphertext"),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "look at the history of an execution": lambda as_role: as_role.execution("get_execution_history"),
        "stop an execution": lambda as_role: as_role.execution("stop_execution"),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "read a single-use key": lambda as_role: as_role.read_ephemeral(*SINGLE_USE_KEY),
        "erase a held card": lambda as_role: as_role.erase(),
    },
    "search": {
        "seal a record": lambda as_role: as_role.seal(),
        "find doubts": lambda as_role: as_role.doubts(),
        "read an account": lambda as_role: as_role.query("account_day", "asset:bank#2026-11-23#00", "by_account"),
        "read the journal of a payment": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
        "read all of the table": lambda as_role: as_role.table("scan"),
        "read closed days": lambda as_role: as_role.query("pk", "CLOSE#2026"),
        "read a stored card": lambda as_role: as_role.read(CARD, "last4"),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "look at an execution": lambda as_role: as_role.execution("describe_execution"),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
    },
    "issue_key": {
        "open a card sealed to a single-use key": lambda as_role: as_role.decrypt("ephemeral", SEALING),
        "encrypt under the ephemeral key for another purpose": lambda as_role: as_role.encrypt("ephemeral", ANOTHER),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "read all that a payment has": lambda as_role: as_role.read_ephemeral(),
        "hold a card": lambda as_role: as_role.hold(),
        "encrypt a key of no payment": lambda as_role: as_role.encrypt("ephemeral", {"purpose": "sealing"}),
        "see what it replaces": lambda as_role: as_role.issue(ReturnValues="ALL_OLD"),
        "forget a payment": lambda as_role: as_role.forget(),
        "open a card sealed to the static key": lambda as_role: as_role.unseal(),
        "read a payment": lambda as_role: as_role.read(PAYMENT),
        "log as another function": lambda as_role: as_role.log("charge"),
    },
    "cards": {
        "seal a record": lambda as_role: as_role.seal(),
        "read all of a card": lambda as_role: as_role.read(CARD),
        "read a card's ciphertext": lambda as_role: as_role.read(CARD, "last4", "ciphertext"),
        "see what it erases": lambda as_role: as_role.table("delete_item", Key=CARD, ReturnValues="ALL_OLD"),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "read a payment": lambda as_role: as_role.read(PAYMENT, "last4"),
        "delete a payment": lambda as_role: as_role.table("delete_item", Key=PAYMENT),
        "write a card": lambda as_role: as_role.write(CARD),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "erase a held card": lambda as_role: as_role.erase(),
    },
    "resolve": {
        "check a seal": lambda as_role: as_role.check_seal(),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "delete a payment": lambda as_role: as_role.table("delete_item", Key=PAYMENT),
        "start a payment": lambda as_role: as_role.start(),
        "look at the history of an execution": lambda as_role: as_role.execution("get_execution_history"),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "read a single-use key": lambda as_role: as_role.read_ephemeral(*SINGLE_USE_KEY),
        "decrypt under the ephemeral key for another purpose": lambda as_role: as_role.decrypt("ephemeral", ANOTHER),
        "issue a key": lambda as_role: as_role.issue(),
        "see what it erases of a payment": lambda as_role: as_role.erase(ReturnValues="ALL_OLD"),
    },
    "receive_event": {
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
        "change the secrets of events": lambda as_role: as_role.secret(
            "put_secret_value", "event-secrets", SecretString="x"
        ),
        "take an event": lambda as_role: as_role.queue("receive_message"),
        "send a dead letter": lambda as_role: as_role.queue("send_message", "dead-letters", MessageBody="x"),
        "look at an execution": lambda as_role: as_role.execution("describe_execution"),
        "read a payment": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "follow an event": lambda as_role: as_role.invoke("follow_event"),
    },
    "follow_event": {
        "read the secrets of events": lambda as_role: as_role.secret("get_secret_value", "event-secrets"),
        "queue an event": lambda as_role: as_role.queue("send_message", MessageBody="x"),
        "drop all events": lambda as_role: as_role.queue("purge_queue"),
        "check a seal": lambda as_role: as_role.check_seal(),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
        "delete a payment": lambda as_role: as_role.table("delete_item", Key=PAYMENT),
        "start a payment": lambda as_role: as_role.start(),
        "stop a payment": lambda as_role: as_role.execution("stop_execution"),
    },
    "publish": {
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "write an event": lambda as_role: as_role.write(EVENT),
        "read all of the table": lambda as_role: as_role.table("scan"),
        "read a stored card": lambda as_role: as_role.read_many(CARD),
        "seal a record": lambda as_role: as_role.seal(),
        "publish on the account's own bus": lambda as_role: as_role.publish("default"),
        "take an event": lambda as_role: as_role.queue("receive_message", WEBHOOK),
    },
    "deliver": {
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "read a stored card": lambda as_role: as_role.read(CARD),
        "read all of the table": lambda as_role: as_role.table("scan"),
        "count a payment": lambda as_role: as_role.table(
            "update_item",
            Key=VELOCITY,
            UpdateExpression="SET payments = :p",
            ExpressionAttributeValues={":p": {"N": "1"}},
            **NEVER,
        ),
        "publish an event": lambda as_role: as_role.publish(f"{as_role.prefix}-events"),
        "queue an event": lambda as_role: as_role.queue("send_message", WEBHOOK, MessageBody="x"),
        "take a dead letter": lambda as_role: as_role.queue("receive_message", DEAD_LETTERS),
        "take a gateway's event": lambda as_role: as_role.queue("receive_message"),
        "change what signs events": lambda as_role: as_role.signing_secrets("put_secret_value", SecretString="x"),
        "read the gateway's key": lambda as_role: as_role.secret("get_secret_value"),
    },
    "doubts": {
        "seal a record": lambda as_role: as_role.seal(),
        "look at an account's postings": lambda as_role: as_role.query("account_day", "suspense#2026", "by_account"),
        "look at a payment": lambda as_role: as_role.query("pk", "PAYMENT#payment-1"),
        "read a payment": lambda as_role: as_role.read(PAYMENT),
        "read many payments": lambda as_role: as_role.read_many(PAYMENT),
        "read all of the table": lambda as_role: as_role.table("scan"),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "look at an execution": lambda as_role: as_role.execution("describe_execution"),
        "start a payment": lambda as_role: as_role.start(),
        "start what is not in service": lambda as_role: as_role.start_newest("resolve"),
        "take a held card": lambda as_role: as_role.read_ephemeral(*HELD_CARD),
    },
    "anchor": {
        "check a seal": lambda as_role: as_role.check_seal(),
        "write a payment": lambda as_role: as_role.write(PAYMENT),
        "delete a payment": lambda as_role: as_role.table("delete_item", Key=PAYMENT),
        "read all of the table": lambda as_role: as_role.table("scan"),
        "read a stored card": lambda as_role: as_role.read_many(CARD),
        "take an anchor away": lambda as_role: as_role.anchors("delete_object", Key="anchors/00000001.json"),
        "unlock an anchor": lambda as_role: as_role.anchors(
            "put_object_retention", Key="anchors/00000001.json", Retention={"Mode": "GOVERNANCE"}
        ),
        "change for how long anchors are kept": lambda as_role: as_role.anchors(
            "put_object_lock_configuration", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
        ),
    },
    "payment-state-machine": {
        "call a function that is no step": lambda as_role: as_role.invoke("cards"),
        "decrypt a card": lambda as_role: as_role.decrypt(),
        "open another state machine's executions": lambda as_role: as_role.open_execution("operation"),
        "decrypt what is no execution's": lambda as_role: as_role.decrypt("data", {}),
        "start another payment": lambda as_role: as_role.start(),
    },
    "store_card-state-machine": {
        "open a payment's execution": lambda as_role: as_role.open_execution("payment"),
        "call a payment's step": lambda as_role: as_role.invoke("charge"),
        "start a payment": lambda as_role: as_role.start(),
    },
    "operation-state-machine": {
        "open a payment's execution": lambda as_role: as_role.open_execution("payment"),
        "call a payment's step": lambda as_role: as_role.invoke("charge"),
        "start a payment": lambda as_role: as_role.start(),
    },
    "reconcile-state-machine": {
        "open a payment's execution": lambda as_role: as_role.open_execution("payment"),
        "call a payment's step": lambda as_role: as_role.invoke("charge"),
        "start a payment": lambda as_role: as_role.start(),
    },
    "resolve-state-machine": {
        "open a payment's execution": lambda as_role: as_role.open_execution("payment"),
        "call a payment's step": lambda as_role: as_role.invoke("charge"),
        "start a payment": lambda as_role: as_role.start(),
    },
    "events": {
        "start a payment": lambda as_role: as_role.start(),
        "start what is not in service": lambda as_role: as_role.start_newest("resolve"),
        "call a function": lambda as_role: as_role.invoke("resolve"),
    },
    "api": {
        "call a step without the workflow": lambda as_role: as_role.invoke("charge"),
        "start another state machine": lambda as_role: as_role.start("resolve"),
        "store a card without waiting": lambda as_role: as_role.start("store_card"),
        "start what is not in service": lambda as_role: as_role.start_newest("payment"),
        "stop a payment": lambda as_role: as_role.execution("stop_execution"),
        "look at a payment": lambda as_role: as_role.execution("describe_execution"),
    },
}


def test_every_role_is_tested(stack: Stack) -> None:
    roles = stack.client("iam").list_roles()["Roles"]
    prefix = f"{stack.prefix}-"
    own_roles = {role["RoleName"].removeprefix(prefix) for role in roles if role["RoleName"].startswith(prefix)}
    assert own_roles - {"api-logs"} == ALLOWED.keys() == FORBIDDEN.keys()  # api-logs has AWS's own policy


@pytest.mark.parametrize("role", ALLOWED)
def test_a_role_may_do_its_work_and_not_the_closest_other_actions(stack: Stack, role: str) -> None:
    with assumed(stack, role) as caller:
        assert [name for name, call in ALLOWED[role].items() if refused(call, caller)] == []
        assert [name for name, call in FORBIDDEN[role].items() if not refused(call, caller)] == []


@pytest.mark.parametrize(
    "use",
    [
        lambda administrator: administrator.encrypt(),
        lambda administrator: administrator.decrypt(),
        lambda administrator: administrator.unseal(),
        lambda administrator: administrator.decrypt("ephemeral", SEALING),
        lambda administrator: administrator.decrypt("ephemeral", ANOTHER),
        lambda administrator: administrator.mac(),
        lambda administrator: administrator.seal(),
        lambda administrator: administrator.decrypt("data"),
        lambda administrator: administrator.open_execution("payment"),
        lambda administrator: administrator.kms(
            "create_grant", "card", GranteePrincipal="arn:aws:iam::000000000000:user/operator", Operations=["Decrypt"]
        ),
    ],
    ids=[
        "encrypt a card",
        "decrypt a card",
        "open a sealed card",
        "decrypt a single-use key",
        "decrypt a security code",
        "derive a token",
        "seal a record",
        "read data",
        "open an execution",
        "let somebody in",
    ],
)
def test_an_administrator_of_the_account_administers_the_keys_and_cannot_use_them(stack: Stack, use: Call) -> None:
    administrator = Caller(stack, stack.session())
    assert refused(use, administrator)
    assert not refused(lambda caller: caller.kms("describe_key", "card"), administrator)


@pytest.mark.parametrize(
    "fact", facts("kms_callers")["service_principals"], ids=lambda fact: fact["principal"].split(".amazonaws")[0]
)
def test_a_service_uses_the_data_key_only_for_our_resources(stack: Stack, fact: dict[str, Any]) -> None:
    caller, account = Caller(stack, stack.session()), stack.state_machine_arn.split(":")[4]
    key_policy = caller.kms("get_key_policy", "data", PolicyName="default")["Policy"]
    names = {
        "log_group": f"{stack.log_group_prefix}charge",
        "queue": f"{caller.prefix}-dead-letters",
        "topic": f"{caller.prefix}-alarms",
        "alarm": f"{caller.prefix}-dead-letters",
    }

    def may(action: str, **where: str) -> bool:
        where = {"region": stack.region, "account": account} | names | where
        keys = {f"kms:encryptioncontext:{name}": value.format(**where) for name, value in fact["context"].items()}
        if source := fact.get("source"):
            keys["aws:sourcearn"] = source.format(**where)
        context = iam_evaluator.EvalContext(
            principal_arn="",
            principal_type="Service",
            principal_account=account,
            action=action,
            resource_arn="*",
            region=stack.region,
            service_context={name.lower(): value for name, value in keys.items()},
        )
        principal = fact["principal"].format(region=stack.region)
        decision = iam_evaluator.evaluate_resource_policy(key_policy, context, service=principal).decision
        return bool(decision == "Allow")

    assert all(may(action) for action in fact["actions"])
    assert not any(may(action, account="123456789012") for action in fact["actions"])
    assert not may("kms:CreateGrant")
    others = {
        name for name in names if any(f"{{{name}}}" in str(value) for value in (fact["context"], fact.get("source")))
    }
    assert not any(may(action, **dict.fromkeys(others, "another")) for action in fact["actions"] if others)


def test_only_lambda_assumes_a_functions_role(stack: Stack) -> None:
    account = stack.state_machine_arn.split(":")[4]
    role = f"arn:aws:iam::{account}:role/{stack.prefix}-charge"
    with pytest.raises(ClientError, match="AccessDenied"):
        stack.client("sts").assume_role(RoleArn=role, RoleSessionName="test")
