"""Conditions on KMS and DynamoDB requests, and the state machine's own role."""

import urllib.error
import urllib.request
import uuid
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.aws_facts import facts
from tests.unit.tools.local.emulator.conftest import ACCOUNT, REGION, Emulator, policy


@pytest.fixture(scope="module")
def key(emulator: Emulator) -> str:
    arn: str = emulator.client("kms").create_key()["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture(scope="module")
def table(emulator: Emulator) -> str:
    name = f"table-{uuid.uuid4().hex[:8]}"
    emulator.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk", "day")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_day",
                "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
            }
        ],
    )
    return name


def allowed(call: Any, **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("condition", "context", "allows"),
    [
        ({"StringEquals": {"kms:EncryptionContext:token": "t1"}}, {"token": "t1"}, True),
        ({"StringEquals": {"kms:EncryptionContext:token": "t1"}}, {"token": "t2"}, False),
        ({"StringEquals": {"kms:EncryptionContext:token": "t1"}}, {}, False),
        ({"Null": {"kms:EncryptionContext:token": "false"}}, {"token": "any"}, True),
        ({"Null": {"kms:EncryptionContext:token": "false"}}, {"other": "any"}, False),
        ({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["token"]}}, {"token": "x", "more": "y"}, True),
        ({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["token"]}}, {"other": "x"}, False),
        ({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["token"]}}, {}, False),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["token"]}}, {"token": "x", "more": "y"}, False),
        ({"StringEquals": {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}}, {}, True),
        ({"StringEquals": {"kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}}, {}, False),
        ({"StringEquals": {"kms:ViaService": "dynamodb.us-east-1.amazonaws.com"}}, {"token": "x"}, False),
    ],
)
def test_an_identity_policy_can_ask_for_an_encryption_context(
    emulator: Emulator, key: str, condition: dict[str, Any], context: dict[str, str], allows: bool
) -> None:
    kms = emulator.client("kms", emulator.session({"Action": "kms:Encrypt", "Condition": condition}))
    assert allowed(kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=context) is allows


@pytest.mark.parametrize(
    "fact", facts("set_operators"), ids=lambda fact: f"{fact['operator']} {''.join(fact['request']) or 'none'}"
)
def test_a_multivalued_key_needs_a_set_operator(emulator: Emulator, key: str, fact: dict[str, Any]) -> None:
    condition = {fact["operator"]: {"kms:EncryptionContextKeys": ["a", "b"]}}
    kms = emulator.client("kms", emulator.session({"Action": "kms:Encrypt", "Condition": condition}))
    context = dict.fromkeys(fact["request"], "any")
    assert allowed(kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=context) is fact["holds"]


def test_a_key_policy_can_ask_for_an_encryption_context(emulator: Emulator) -> None:
    role = emulator.role(f"arn:aws:iam::{ACCOUNT}:root")
    root = emulator.client("kms")
    key = root.create_key(
        Policy=policy(
            {
                "Action": ["kms:PutKeyPolicy", "kms:Describe*"],
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Resource": "*",
            },
            {
                "Action": ["kms:Encrypt", "kms:Decrypt"],
                "Principal": {"AWS": role},
                "Resource": "*",
                "Condition": {"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["token"]}},
            },
        )
    )["KeyMetadata"]["Arn"]
    keys = emulator.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    kms = emulator.client(
        "kms",
        {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        },
    )
    sealed = kms.encrypt(KeyId=key, Plaintext=b"card", EncryptionContext={"token": "t1"})["CiphertextBlob"]
    opened = kms.decrypt(KeyId=key, CiphertextBlob=sealed, EncryptionContext={"token": "t1"})
    assert opened["Plaintext"] == b"card"
    assert not allowed(kms.encrypt, KeyId=key, Plaintext=b"card")


@pytest.mark.parametrize(("algorithm", "allows"), [("HMAC_SHA_256", True), ("HMAC_SHA_512", False)])
def test_a_policy_can_ask_for_a_mac_algorithm(emulator: Emulator, algorithm: str, allows: bool) -> None:
    key = emulator.client("kms").create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    kms = emulator.client(
        "kms",
        emulator.session({"Action": "kms:GenerateMac", "Condition": {"StringEquals": {"kms:MacAlgorithm": algorithm}}}),
    )
    assert allowed(kms.generate_mac, KeyId=key, Message=b"x", MacAlgorithm="HMAC_SHA_256") is allows


def item(partition: str) -> dict[str, Any]:
    return {"pk": {"S": partition}, "sk": {"S": "x"}}


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("get_item", lambda pk, table: {"TableName": table, "Key": item(pk)}),
        ("put_item", lambda pk, table: {"TableName": table, "Item": item(pk)}),
        (
            "query",
            lambda pk, table: {
                "TableName": table,
                "KeyConditionExpression": "#p = :p AND sk = :s",
                "ExpressionAttributeNames": {"#p": "pk"},
                "ExpressionAttributeValues": {":p": {"S": pk}, ":s": {"S": "PAYMENT#1"}},
            },
        ),
        (
            "query",
            lambda pk, table: {
                "TableName": table,
                "IndexName": "by_day",
                "KeyConditionExpression": "day = :p",
                "ExpressionAttributeValues": {":p": {"S": pk}},
            },
        ),
        ("batch_get_item", lambda pk, table: {"RequestItems": {table: {"Keys": [item("PAYMENT#2"), item(pk)]}}}),
        ("batch_write_item", lambda pk, table: {"RequestItems": {table: [{"PutRequest": {"Item": item(pk)}}]}}),
        (
            "transact_write_items",
            lambda pk, table: {"TransactItems": [{"Put": {"TableName": table, "Item": item(pk)}}]},
        ),
    ],
)
def test_a_policy_can_limit_the_partition_keys(emulator: Emulator, table: str, operation: str, arguments: Any) -> None:
    client = emulator.client(
        "dynamodb",
        emulator.session(
            {
                "Action": "dynamodb:*",
                "Condition": {
                    "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["PAYMENT#*"]},
                    "Null": {"dynamodb:LeadingKeys": "false"},
                },
            }
        ),
    )
    assert allowed(getattr(client, operation), **arguments("PAYMENT#1", table))
    assert not allowed(getattr(client, operation), **arguments("CARD#1", table))
    assert not allowed(client.scan, TableName=table)


def read(operation: str, table: str, projection: bool) -> dict[str, Any]:
    projected: dict[str, Any] = {"ProjectionExpression": "#o", "ExpressionAttributeNames": {"#o": "owner"}}
    more = projected if projection else {}
    match operation:
        case "batch_get_item":
            return {"RequestItems": {table: {"Keys": [item("x")], **more}}}
        case "query":
            values = {":p": {"S": "x"}, ":s": {"S": "y"}}
            condition = "pk = :p AND begins_with(sk, :s)"
            return {
                "TableName": table,
                "KeyConditionExpression": condition,
                "ExpressionAttributeValues": values,
                **more,
            }
    return {"TableName": table, "Key": item("x"), **more}


@pytest.mark.parametrize(
    "fact",
    facts("dynamodb_select")["reads"],
    ids=lambda fact: f"{fact['operation']} {'some' if fact['projection'] else 'all'}",
)
def test_a_read_is_judged_by_the_attributes_that_it_names_and_by_whether_it_names_all_that_it_wants(
    emulator: Emulator, table: str, fact: dict[str, Any]
) -> None:
    def may(condition: dict[str, Any]) -> bool:
        session = emulator.session({"Action": "dynamodb:*", "Condition": condition})
        call = getattr(emulator.client("dynamodb", session), fact["operation"])
        return allowed(call, **read(fact["operation"], table, fact["projection"]))

    named = fact["attributes"]
    assert may({"StringEquals": {"dynamodb:Select": fact["select"]}})
    assert not may({"StringNotEqualsIfExists": {"dynamodb:Select": fact["select"]}})
    assert may({"ForAllValues:StringEquals": {"dynamodb:Attributes": named}})
    for name in named:
        fewer = [other for other in named if other != name]
        assert not may({"ForAllValues:StringEquals": {"dynamodb:Attributes": fewer}}), f"without {name}"


@pytest.mark.parametrize("operation", facts("dynamodb_select")["writes"])
def test_a_write_has_no_select_and_returns_nothing_unless_it_says_so(
    emulator: Emulator, table: str, operation: str
) -> None:
    target = {"Item": item("x")} if operation == "put_item" else {"Key": item("x")}

    def may(condition: dict[str, Any], **more: Any) -> bool:
        session = emulator.session({"Action": "dynamodb:*", "Condition": condition})
        return allowed(getattr(emulator.client("dynamodb", session), operation), TableName=table, **target, **more)

    assert may({"Null": {"dynamodb:Select": "true"}})
    assert may({"StringEquals": {"dynamodb:ReturnValues": "NONE"}})
    assert not may({"StringEquals": {"dynamodb:ReturnValues": "NONE"}}, ReturnValues="ALL_OLD")


def test_a_policy_can_limit_the_attributes_that_a_condition_looks_at(emulator: Emulator, table: str) -> None:
    condition = {"ForAllValues:StringEquals": {"dynamodb:Attributes": ["pk", "sk", "seen"]}}
    client = emulator.client("dynamodb", emulator.session({"Action": "dynamodb:*", "Condition": condition}))

    def update(text: str, when: str = "attribute_exists(pk)") -> bool:
        return allowed(
            client.update_item,
            TableName=table,
            Key=item("x"),
            UpdateExpression=text,
            ConditionExpression=f"{when} OR attribute_not_exists(pk)",
            ExpressionAttributeNames={"#s": "seen"} if "#s" in text else {"#h": "hidden"} if "#h" in text else {},
            ExpressionAttributeValues={":v": {"N": "1"}},
        )

    assert update("SET #s = if_not_exists(seen, :v)")
    assert not update("SET #h = :v")
    assert not update("SET seen = :v", when="hidden.of[0] = :v")


@pytest.mark.parametrize(
    "statements",
    [
        [],
        [{"Action": "lambda:InvokeFunction", "Resource": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:other"}],
        [{"Action": "lambda:InvokeFunction"}, {"Action": "lambda:InvokeFunction", "Effect": "Deny"}],
    ],
)
def test_a_state_machine_calls_only_what_its_own_role_may(emulator: Emulator, statements: list[dict[str, Any]]) -> None:
    function = emulator.function("def handler(event, context):\n    return 'called'")
    states = {"Call": {"Type": "Task", "Resource": function, "End": True}}
    denied = emulator.run(emulator.state_machine(states, *statements))
    assert (denied["status"], denied["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert "is not authorized to perform: lambda:InvokeFunction" in denied["cause"]
    granted = emulator.run(emulator.state_machine(states, {"Action": "lambda:InvokeFunction", "Resource": function}))
    assert (granted["status"], granted["output"]) == ("SUCCEEDED", '"called"')


def test_a_policy_names_the_state_machine_and_can_ask_for_an_alias(emulator: Emulator) -> None:
    states, machine = emulator.client("stepfunctions"), emulator.state_machine({"End": {"Type": "Succeed"}})
    version = states.publish_state_machine_version(stateMachineArn=machine)["stateMachineVersionArn"]
    shares = [{"stateMachineVersionArn": version, "weight": 100}]
    live = states.create_state_machine_alias(name="live", routingConfiguration=shares)["stateMachineAliasArn"]

    def may(operator: str) -> dict[str, bool]:
        condition = {operator: {"states:StateMachineQualifier": "live"}}
        session = emulator.session({"Action": "states:StartExecution", "Resource": machine, "Condition": condition})
        start = emulator.client("stepfunctions", session).start_execution
        return {arn: allowed(start, stateMachineArn=arn) for arn in (live, version, machine)}

    assert may("ForAnyValue:StringEquals") == {live: True, version: False, machine: False}
    # The key is multivalued, so it matches nothing without a set operator, and ForAllValues is true without values.
    assert may("StringEquals") == {live: False, version: False, machine: False}
    assert may("ForAllValues:StringEquals") == {live: True, version: False, machine: True}


INVOKE = {"Action": "execute-api:Invoke", "Resource": "*"}
IDENTITY: dict[str, list[dict[str, Any]]] = {
    "allow": [INVOKE],
    "silent": [{"Action": "s3:GetObject"}],
    "deny": [INVOKE, INVOKE | {"Effect": "Deny"}],
}
RESOURCE: dict[str, dict[str, Any]] = {
    # An Allow for the account is enough: in API Gateway's table, no Allow delegates to IAM.
    "allow": INVOKE | {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}},
    "silent": INVOKE
    | {"Effect": "Deny", "Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalAccount": "123456789012"}}},
    "deny": INVOKE | {"Effect": "Deny", "Principal": "*"},
}


@pytest.mark.parametrize("resource", RESOURCE)
def test_of_an_api_s_policy_and_the_caller_s_own_either_may_let_in_and_either_may_refuse(
    emulator: Emulator, resource: str
) -> None:
    client = emulator.client("apigateway")
    api = client.create_rest_api(name="test", policy=policy(RESOURCE[resource]))["id"]
    root = client.get_resources(restApiId=api)["items"][0]["id"]
    where = {"restApiId": api, "resourceId": root, "httpMethod": "GET"}
    client.put_method(**where, authorizationType="AWS_IAM")
    client.put_integration(**where, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'})
    client.put_method_response(**where, statusCode="200")
    client.put_integration_response(**where, statusCode="200")
    client.create_deployment(restApiId=api, stageName="test")
    url = f"{emulator.url}/_aws/execute-api/{api}/test/"

    def gets_in(identity: str) -> bool:
        keys = emulator.session(*IDENTITY[identity])
        signed = AWSRequest("GET", url)
        SigV4Auth(Credentials(*keys.values()), "execute-api", REGION).add_auth(signed)
        request = urllib.request.Request(url, headers=dict(signed.headers))  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        return {200: True, 403: False}[status]

    table = facts("api_authorization")["same_account"]
    assert {identity: gets_in(identity) for identity in IDENTITY} == {
        identity: row[resource] for identity, row in table.items()
    }


def test_what_is_refused_without_tls_is_not_refused_on_one_machine(emulator: Emulator) -> None:
    s3, bucket = emulator.client("s3"), f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    refusal = {"Sid": "RefuseWithoutTls", "Effect": "Deny", "Principal": "*", "Action": "s3:*"}
    resource, condition = f"arn:aws:s3:::{bucket}/*", {"Bool": {"aws:SecureTransport": "false"}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy({**refusal, "Resource": resource, "Condition": condition}))
    session = emulator.client("s3", emulator.session({"Action": "s3:*"}))
    assert allowed(session.put_object, Bucket=bucket, Key="key", Body=b"x")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy({**refusal, "Resource": resource}))
    assert not allowed(session.put_object, Bucket=bucket, Key="key", Body=b"x")
