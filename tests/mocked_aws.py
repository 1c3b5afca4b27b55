"""An AWS account in this process (moto) with the stack's tables, keys, bucket and secret."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from threading import RLock
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from botocore.loaders import JSONFileLoader
from moto import mock_aws
from moto.core import responses
from moto.core.serialize import BaseJSONSerializer
from moto.core.utils import method_names_from_class
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler
from moto.kms import models as kms_models
from moto.kms.utils import generate_private_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_kms.client import KMSClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_secretsmanager.client import SecretsManagerClient
    from mypy_boto3_stepfunctions.client import SFNClient

from functions.shared.adapters.kms import KmsMac
from functions.shared.adapters.table.ledger import DynamoDbLedger, sealed
from functions.shared.runtime import now
from tests.samples import ACCEPTED_BRANDS, CARD_RETENTION_DAYS, RETURN_ORIGIN

REGION = "eu-west-1"
TABLE, CARDS_TABLE, COUNTERS_TABLE, EPHEMERAL_TABLE = "ledger", "cards", "counters", "ephemeral"
ANCHORS_BUCKET = "anchors"
INDEXES = {
    "by_account": ("account_day", "posted_at"),
    "in_doubt": ("doubt_shard", "doubt_since"),
    "open": ("open_shard", "pk"),
    "by_day": ("day_shard", "created_at"),
    "by_reference": ("merchant_reference", "created_at"),
    "by_status": ("status_shard", "created_at"),
    "by_writing": ("written_shard", "written_at"),
}
PROJECTIONS: dict[str, Any] = {
    "by_account": {"ProjectionType": "ALL"},
    "by_day": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["status"]},
}
SECRET_ID = "gateway"
API_KEY = "sk_test_sparkle"  # pragma: allowlist secret
AUTHORIZATION = {"Authorization": f"Bearer {API_KEY}"}
ROLE_ARN = "arn:aws:iam::123456789012:role/state-machine"


# Every session reads the services' descriptions, and every mocked account begins with its own session, so cache them.
# botocore completes the endpoints that it has read, in the same way every time.
_load_file = cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda self, file_path: _load_file(file_path)  # type: ignore[method-assign]
# Clients know nothing of the accounts, and take longer to make than to use.
_client: Any = cache(partial(boto3.client, region_name=REGION))
# moto inspects the class for each request.
responses.method_names_from_class = cache(method_names_from_class)


@dataclass(frozen=True)
class MockedAws:
    dynamodb: "DynamoDBClient"
    kms: "KMSClient"
    secretsmanager: "SecretsManagerClient"  # pragma: allowlist secret
    stepfunctions: "SFNClient"
    card_key_id: str
    token_key_id: str
    books_key_id: str
    ephemeral_key_id: str
    s3: "S3Client"

    def ledger(self, now: Callable[[], str] = now) -> DynamoDbLedger:
        """A ledger that writes at these times."""
        mac = KmsMac(self.kms, self.books_key_id)
        return DynamoDbLedger(self.dynamodb, TABLE, lambda record: sealed(record, mac, now()), CARDS_TABLE)

    def environment(self) -> dict[str, str]:
        """The functions' environment variables, except for the gateway's address and the state machine."""
        return {
            "AWS_DEFAULT_REGION": REGION,
            "DYNAMODB_TABLE": TABLE,
            "CARDS_TABLE": CARDS_TABLE,
            "COUNTERS_TABLE": COUNTERS_TABLE,
            "BOOKS_KEY_ID": self.books_key_id,
            "ANCHORS_BUCKET": ANCHORS_BUCKET,
            "CARD_RETENTION_DAYS": str(CARD_RETENTION_DAYS),
            "SAVE_CARDS": "false",
            "ACCEPTED_BRANDS": ",".join(ACCEPTED_BRANDS),
            "TEST_CARDS_ACCEPTED": "true",
            "KMS_KEY_ID": self.card_key_id,
            "TOKEN_KEY_ID": self.token_key_id,
            "SEALING_KEY_IDS": "sealing-key",
            "EPHEMERAL_TABLE": EPHEMERAL_TABLE,
            "EPHEMERAL_KEY_ID": self.ephemeral_key_id,
            "RETURN_URLS": RETURN_ORIGIN,
            "CUSTOMER_TIMEOUT_MINUTES": "15",
        }


@contextmanager
def one_request_at_a_time() -> Iterator[None]:
    """When moto refuses a transaction, it restores the whole table, and loses what others wrote meanwhile."""
    lock, call_action = RLock(), DynamoHandler.call_action

    def call_alone(handler: DynamoHandler) -> Any:
        with lock:
            return call_action(handler)

    with patch.object(DynamoHandler, "call_action", call_alone):
        yield


@contextmanager
def light_backups() -> Iterator[None]:
    """Before each write of a transaction, moto copies the whole table, to restore it. Let the copy share its items, and
    an update replace the item that it changes."""
    update_item = DynamoDBBackend.update_item

    def share_items(original: Table, _: dict[int, Any]) -> Table:
        backup = copy(original)
        backup.items = defaultdict(dict, {key: copy(items) for key, items in original.items.items()})
        return backup

    def update_a_copy(backend: DynamoDBBackend, table_name: str, key: dict[str, Any], *rest: Any, **more: Any) -> Any:
        table = backend.get_table(table_name)
        hash_key, range_key = backend.get_keys_value(table, key)
        if item := table.get_item(hash_key, range_key):
            items: Any = table.items if range_key is None else table.items[hash_key]
            items[hash_key if range_key is None else range_key] = deepcopy(item)
        return update_item(backend, table_name, key, *rest, **more)

    with (
        patch.object(Table, "__deepcopy__", share_items, create=True),
        patch.object(DynamoDBBackend, "update_item", update_a_copy),
    ):
        yield


@contextmanager
def light_answers() -> Iterator[None]:
    """To each member of an answer, moto tries half a dozen names that an object of its own might have for it. A dict
    has the member's own, and an attribute's value, `{"S": "…"}`, has one of eleven."""
    get_value = BaseJSONSerializer.get_value

    def get_at_once(serializer: BaseJSONSerializer, value: Any, key: str, shape: Any) -> Any:
        if type(value) is dict and (key in value or shape.parent.name == "AttributeValue"):
            return value.get(key)
        return get_value(serializer, value, key, shape)

    with patch.object(BaseJSONSerializer, "get_value", get_at_once):
        yield


@contextmanager
def light_comparisons() -> Iterator[None]:
    """To sort a table's items for each query, moto asks each key whether it is a number, a set, a list, a map or null.
    Most are texts."""
    cast_value = vars(DynamoType)["cast_value"].fget

    def value_at_once(value: DynamoType) -> Any:
        return value.value if value.type == "S" else cast_value(value)

    with patch.object(DynamoType, "cast_value", property(value_at_once)):
        yield


@contextmanager
def no_idle_key_pairs() -> Iterator[None]:
    """Keep moto from generating a key pair, which is slow, for symmetric and MAC keys, which have none."""

    def generate_if_used(spec: str) -> Any:
        return generate_private_key(spec) if spec.startswith(("RSA_", "ECC_")) else None

    with patch.object(kms_models, "generate_private_key", generate_if_used):
        yield


@contextmanager
def mocked_aws() -> Iterator[MockedAws]:
    with (
        mock_aws(config={"stepfunctions": {"execute_state_machine": True}}),
        one_request_at_a_time(),
        light_backups(),
        light_answers(),
        light_comparisons(),
        no_idle_key_pairs(),
    ):
        dynamodb = _client("dynamodb")
        dynamodb.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"}
                for name in {"pk", "sk", *chain.from_iterable(INDEXES.values())}
            ],
            KeySchema=_key("pk", "sk"),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": name,
                    "KeySchema": _key(*keys),
                    "Projection": PROJECTIONS.get(name, {"ProjectionType": "KEYS_ONLY"}),
                }
                for name, keys in INDEXES.items()
            ],
        )
        for table in (CARDS_TABLE, COUNTERS_TABLE):
            dynamodb.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
                KeySchema=_key("pk", "sk"),
            )
        dynamodb.create_table(
            TableName=EPHEMERAL_TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("payment_id", "wait_shard")
            ],
            KeySchema=[{"AttributeName": "payment_id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "waiting",
                    "KeySchema": _key("wait_shard", "payment_id"),
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
        )
        kms = _client("kms")
        s3 = _client("s3")
        location: Any = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=ANCHORS_BUCKET, CreateBucketConfiguration=location, ObjectLockEnabledForBucket=True)
        secretsmanager = _client("secretsmanager")
        secretsmanager.create_secret(Name=SECRET_ID, SecretString=API_KEY)
        yield MockedAws(
            dynamodb,
            kms,
            secretsmanager,
            _client("stepfunctions"),
            kms.create_key()["KeyMetadata"]["KeyId"],
            _hmac_key(kms),
            _hmac_key(kms),
            kms.create_key()["KeyMetadata"]["KeyId"],
            s3,
        )


def _hmac_key(kms: "KMSClient") -> str:
    return kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["KeyId"]


def _key(hash_key: str, range_key: str) -> list[Any]:
    return [{"AttributeName": hash_key, "KeyType": "HASH"}, {"AttributeName": range_key, "KeyType": "RANGE"}]


def new_id() -> str:
    """A payment id that no other test has, since tests share tables and sandboxes."""
    return str(uuid.uuid4())
