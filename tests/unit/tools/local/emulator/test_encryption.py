"""Customer managed keys: which service checks which principal with KMS, and the effect of a denial."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws_facts import facts
from tests.unit.tools.local.emulator.conftest import ACCOUNT, REGION, Emulator, policy
from tools.deployment.polling import wait_for

ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
CALLERS = facts("kms_callers")
PASS = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})


def saying(*statements: dict[str, Any]) -> str:
    """A key policy with these statements, which also allows everything to the emulator's operator."""
    operator = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/operator"}, "Action": "kms:*", "Resource": "*"}
    return policy(operator, *({"Principal": ROOT, "Resource": "*"} | statement for statement in statements))


def key(emulator: Emulator, *statements: dict[str, Any]) -> str:
    """Create a key with these statements in its policy. Returns its ARN."""
    arn: str = emulator.client("kms").create_key(Policy=saying(*statements))["KeyMetadata"]["Arn"]
    return arn


def change(emulator: Emulator, key_arn: str, *statements: dict[str, Any]) -> None:
    emulator.client("kms").put_key_policy(KeyId=key_arn, Policy=saying(*statements))


def code(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


def new(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:8]}"


class Deployed:
    """One resource of each kind that a key can encrypt, and calls to it as a caller with all permissions."""

    def __init__(self, emulator: Emulator, key_arn: str) -> None:
        role = emulator.role("states.amazonaws.com", {"Action": "kms:*"})
        self.encryption = {"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": key_arn}
        self.machine = emulator.client("stepfunctions").create_state_machine(
            name=new("machine"), roleArn=role, definition=PASS, encryptionConfiguration=self.encryption
        )["stateMachineArn"]
        execution: str = emulator.client("stepfunctions").start_execution(stateMachineArn=self.machine)["executionArn"]
        secret = emulator.client("secretsmanager").create_secret(
            Name=new("secret"), SecretString="x", KmsKeyId=key_arn
        )["ARN"]
        self.table = table = new("table")
        item = {"pk": {"S": "x"}}
        emulator.client("dynamodb").create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key_arn},
        )
        # The queue is created before the alias that it names, as when the product is deployed.
        alias = f"alias/{new('queue')}"
        alias_arn = key_arn.replace(f"key/{key_arn.partition('key/')[2]}", alias)
        queue = emulator.client("sqs").create_queue(QueueName=new("queue"), Attributes={"KmsMasterKeyId": alias_arn})[
            "QueueUrl"
        ]
        emulator.client("kms").create_alias(AliasName=alias, TargetKeyId=key_arn)
        self.topic: str = emulator.client("sns").create_topic(
            Name=new("topic"), Attributes={"KmsMasterKeyId": key_arn}
        )["TopicArn"]
        caller = emulator.session({"Action": "*"})
        states = emulator.client("stepfunctions", caller)
        secrets = emulator.client("secretsmanager", caller)
        tables = emulator.client("dynamodb", caller)
        self.calls: dict[str, Callable[[], Any]] = {
            "states:CreateStateMachine": lambda: states.create_state_machine(
                name=new("machine"), roleArn=role, definition=PASS, encryptionConfiguration=self.encryption
            ),
            "states:DescribeStateMachine": lambda: states.describe_state_machine(stateMachineArn=self.machine),
            "states:DescribeExecution": lambda: states.describe_execution(executionArn=execution),
            "states:GetExecutionHistory": lambda: states.get_execution_history(executionArn=execution),
            "states:StartExecution": lambda: states.start_execution(stateMachineArn=self.machine),
            "states:StopExecution": lambda: states.stop_execution(executionArn=execution),
            "states:ListExecutions": lambda: states.list_executions(stateMachineArn=self.machine),
            "secretsmanager:GetSecretValue": lambda: secrets.get_secret_value(SecretId=secret),
            "secretsmanager:PutSecretValue": lambda: secrets.put_secret_value(SecretId=secret, SecretString="y"),
            "dynamodb:GetItem": lambda: tables.get_item(TableName=table, Key=item),
            "dynamodb:PutItem": lambda: tables.put_item(TableName=table, Item=item),
            "sqs:SendMessage": lambda: emulator.client("sqs", caller).send_message(QueueUrl=queue, MessageBody="x"),
            "sns:Publish": lambda: emulator.client("sns", caller).publish(TopicArn=self.topic, Message="x"),
        }


@pytest.fixture(scope="module")
def key_arn(emulator: Emulator) -> str:
    return key(emulator, {"Action": "kms:*"})


@pytest.fixture(scope="module")
def deployed(emulator: Emulator, key_arn: str) -> Deployed:
    return Deployed(emulator, key_arn)


def through(fact: dict[str, Any], actions: list[str]) -> dict[str, Any]:
    """A statement that allows the account these actions through the service, with the service's context."""
    names = [] if actions == ["kms:DescribeKey"] else fact["context"]
    return {
        "Action": actions,
        "Condition": {
            "StringEquals": {"kms:ViaService": f"{fact['via']}.{REGION}.amazonaws.com"},
            "Null": {f"kms:EncryptionContext:{name}": "false" for name in names},
        },
    }


@pytest.mark.parametrize("fact", CALLERS["for_the_caller"], ids=lambda fact: str(fact["call"]))
def test_a_service_uses_the_key_for_its_caller_who_needs_each_of_these_actions_through_it(
    emulator: Emulator, deployed: Deployed, key_arn: str, fact: dict[str, Any]
) -> None:
    statements = {action: through(fact, [action]) for action in fact["actions"]}
    change(emulator, key_arn, *statements.values())
    assert code(deployed.calls[fact["call"]]) is None
    for action in fact["actions"]:
        others = [statement for other, statement in statements.items() if other != action]
        change(emulator, key_arn, *others, {"Action": "kms:Sign"})
        assert code(deployed.calls[fact["call"]]) == fact["error"], f"without {action}"
    elsewhere = {"StringEquals": {"kms:ViaService": f"rds.{REGION}.amazonaws.com"}}
    change(emulator, key_arn, {"Action": "kms:*", "Condition": elsewhere})
    assert code(deployed.calls[fact["call"]]) == fact["error"], "through another service"


@pytest.mark.parametrize("call", CALLERS["without_kms"])
def test_whoever_starts_stops_or_lists_executions_needs_no_key(
    emulator: Emulator, deployed: Deployed, key_arn: str, call: str
) -> None:
    start = CALLERS["execution_role"]["start"]
    of_machine = {f"kms:EncryptionContext:{start['context']}": deployed.machine}
    directly = {"StringEquals": of_machine, "Null": {"kms:ViaService": "true"}}
    change(emulator, key_arn, {"Action": start["actions"], "Condition": directly})
    # StopExecution fails if the execution has ended. Any other error means that it was allowed.
    assert code(deployed.calls[call]) not in (start["error"], "AccessDeniedException")


def test_whoever_has_used_a_table_is_refused_as_soon_as_the_role_may_not_use_its_key(
    emulator: Emulator, deployed: Deployed, key_arn: str
) -> None:
    change(emulator, key_arn, {"Action": "kms:*"})
    iam, role = emulator.client("iam"), emulator.role(f"arn:aws:iam::{ACCOUNT}:root", {"Action": "dynamodb:*"})
    permission = {"RoleName": role.rpartition("/")[2], "PolicyName": "key"}
    tables = emulator.client("dynamodb", emulator.session_of(role))

    def read() -> str | None:
        return code(lambda: tables.scan(TableName=deployed.table))

    for _ in range(2):
        assert read() == "AccessDeniedException"
        iam.put_role_policy(**permission, PolicyDocument=policy({"Action": "kms:Decrypt"}))
        assert (read(), read()) == (None, None)
        iam.delete_role_policy(**permission)


def test_metadata_of_an_execution_needs_no_key(emulator: Emulator, deployed: Deployed, key_arn: str) -> None:
    change(emulator, key_arn, {"Action": "kms:*"})
    states = emulator.client("stepfunctions", emulator.session({"Action": "states:*"}))
    execution = states.start_execution(stateMachineArn=deployed.machine)["executionArn"]
    assert code(lambda: states.describe_execution(executionArn=execution)) == "KmsAccessDeniedException"
    assert states.describe_execution(executionArn=execution, includedData="METADATA_ONLY")["executionArn"] == execution


@pytest.mark.parametrize(
    ("of_key", "of_role", "starts"),
    [
        ({}, {}, True),
        ({"StringEquals": {"kms:ViaService": f"states.{REGION}.amazonaws.com"}}, {}, False),
        ({}, {"StringEquals": {"kms:ViaService": f"states.{REGION}.amazonaws.com"}}, False),
        ({"StringEquals": {"kms:EncryptionContext:aws:states:stateMachineArn": "{machine}"}}, {}, True),
        ({"StringEquals": {"kms:EncryptionContext:aws:states:stateMachineArn": "arn:another"}}, {}, False),
        ({"ArnEquals": {"aws:PrincipalArn": "{role}"}}, {}, True),
    ],
)
def test_an_execution_starts_where_its_role_may_use_the_key_directly(
    emulator: Emulator, of_key: dict[str, Any], of_role: dict[str, Any], starts: bool
) -> None:
    start, name = CALLERS["execution_role"]["start"], new("machine")
    role = emulator.role("states.amazonaws.com", {"Action": start["actions"], "Condition": of_role})
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}"
    of_key = json.loads(json.dumps(of_key).replace("{machine}", machine).replace("{role}", role))
    key_arn = key(emulator, {"Action": start["actions"], "Condition": of_key})
    states = emulator.client("stepfunctions")
    states.create_state_machine(
        name=name,
        roleArn=role,
        definition=PASS,
        encryptionConfiguration={"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": key_arn},
    )
    started = code(lambda: states.start_execution(stateMachineArn=machine, name="x"))
    assert started == (None if starts else start["error"])
    assert [execution["name"] for execution in states.list_executions(stateMachineArn=machine)["executions"]] == (
        ["x"] if starts else []
    )


@pytest.mark.parametrize("missing", [None, "kms:GenerateDataKey", "kms:Decrypt"])
def test_a_log_group_is_encrypted_where_the_key_lets_cloudwatch_logs(emulator: Emulator, missing: str | None) -> None:
    [logs] = [each for each in CALLERS["service_principals"] if each["principal"].startswith("logs.")]
    name = f"/aws/lambda/{new('group')}"
    arn = logs["context"]["aws:logs:arn"].format(region=REGION, account=ACCOUNT, log_group=name)
    key_arn = key(
        emulator,
        {
            "Principal": {"Service": logs["principal"].format(region=REGION)},
            "Action": [action for action in logs["actions"] if action != missing],
            "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": arn}},
        },
    )
    group = emulator.client("logs", emulator.session({"Action": "logs:*"}))
    answer = code(lambda: group.create_log_group(logGroupName=name, kmsKeyId=key_arn))
    assert answer == ("AccessDeniedException" if missing else None)


@pytest.mark.parametrize(("of", "is_published"), [("alarm:heard-*", True), ("alarm:others-*", False)])
def test_an_alarm_is_published_where_the_topic_s_key_lets_cloudwatch(
    emulator: Emulator, of: str, is_published: bool
) -> None:
    [alarms] = [each for each in CALLERS["service_principals"] if each["principal"].startswith("cloudwatch.")]
    source = {"ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:{of}"}}
    key_arn = key(
        emulator,
        {"Principal": {"Service": alarms["principal"]}, "Action": alarms["actions"], "Condition": source},
    )
    sns, sqs, cloudwatch = (emulator.client(service) for service in ("sns", "sqs", "cloudwatch"))
    topic = sns.create_topic(Name=new("topic"), Attributes={"KmsMasterKeyId": key_arn})["TopicArn"]
    anybody = policy({"Action": "sqs:SendMessage", "Principal": "*", "Resource": "*"})
    queue = sqs.create_queue(QueueName=new("queue"), Attributes={"Policy": anybody})["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    name = new("heard")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="test",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[topic],
    )
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    messages = wait_for(lambda: sqs.receive_message(QueueUrl=queue).get("Messages", []), 5 if is_published else 0.5)
    assert bool(messages) is is_published
