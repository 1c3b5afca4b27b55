"""An AWS account in this process (moto) with the stack's table, keys and secret."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from moto import mock_aws
from moto.dynamodb.responses import DynamoHandler

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_kms.client import KMSClient
    from mypy_boto3_secretsmanager.client import SecretsManagerClient
    from mypy_boto3_stepfunctions.client import SFNClient

from tests.samples import ACCEPTED_BRANDS, CARD_RETENTION_DAYS

REGION = "eu-west-1"
TABLE = "ledger"
SECRET_ID = "gateway"
API_KEY = "sk_test_sparkle"  # pragma: allowlist secret
AUTHORIZATION = {"Authorization": f"Bearer {API_KEY}"}
ROLE_ARN = "arn:aws:iam::123456789012:role/state-machine"


@dataclass(frozen=True)
class MockedAws:
    dynamodb: "DynamoDBClient"
    kms: "KMSClient"
    secretsmanager: "SecretsManagerClient"  # pragma: allowlist secret
    stepfunctions: "SFNClient"
    card_key_id: str
    token_key_id: str

    def environment(self) -> dict[str, str]:
        """The functions' environment variables, but for the gateway's address and the state machine."""
        return {
            "AWS_DEFAULT_REGION": REGION,
            "DYNAMODB_TABLE": TABLE,
            "CARD_RETENTION_DAYS": str(CARD_RETENTION_DAYS),
            "SAVE_CARDS": "false",
            "ACCEPTED_BRANDS": ",".join(ACCEPTED_BRANDS),
            "TEST_CARDS_ACCEPTED": "true",
            "KMS_KEY_ID": self.card_key_id,
            "TOKEN_KEY_ID": self.token_key_id,
            "SEALING_KEY_IDS": "sealing-key",
            "GATEWAY_SECRET_ID": SECRET_ID,
            "GATEWAY_CONNECT_TIMEOUT_SECONDS": "1",
            "GATEWAY_READ_TIMEOUT_SECONDS": "1",
        }


@contextmanager
def one_request_at_a_time() -> Iterator[None]:
    """A transaction that moto refuses puts back the whole table as it was before, with what others wrote meanwhile."""
    lock, call_action = RLock(), DynamoHandler.call_action

    def call_alone(handler: DynamoHandler) -> Any:
        with lock:
            return call_action(handler)

    with patch.object(DynamoHandler, "call_action", call_alone):
        yield


@contextmanager
def mocked_aws() -> Iterator[MockedAws]:
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}), one_request_at_a_time():
        dynamodb = boto3.client("dynamodb", REGION)
        dynamodb.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"}
                for name in (
                    *("pk", "sk", "account_day", "posted_at", "doubt_shard", "doubt_since"),
                    *("day_shard", "created_at"),
                )
            ],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by_account",
                    "KeySchema": [
                        {"AttributeName": "account_day", "KeyType": "HASH"},
                        {"AttributeName": "posted_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                },
                {
                    "IndexName": "by_day",
                    "KeySchema": [
                        {"AttributeName": "day_shard", "KeyType": "HASH"},
                        {"AttributeName": "created_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                },
                {
                    "IndexName": "in_doubt",
                    "KeySchema": [
                        {"AttributeName": "doubt_shard", "KeyType": "HASH"},
                        {"AttributeName": "doubt_since", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                },
            ],
        )
        kms = boto3.client("kms", REGION)
        secretsmanager = boto3.client("secretsmanager", REGION)
        secretsmanager.create_secret(Name=SECRET_ID, SecretString=API_KEY)
        yield MockedAws(
            dynamodb,
            kms,
            secretsmanager,
            boto3.client("stepfunctions", REGION),
            kms.create_key()["KeyMetadata"]["KeyId"],
            kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["KeyId"],
        )


def new_id() -> str:
    """A payment id that no other test has: they share tables and sandboxes."""
    return str(uuid.uuid4())
