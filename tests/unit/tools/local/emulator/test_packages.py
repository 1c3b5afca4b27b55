"""Lambda's code from S3."""

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws_facts import facts
from tests.unit.tools.local.emulator.conftest import Emulator, zipped

FACTS = facts("lambda_code_from_s3")
FUNCTION = "import answer\ndef handler(event, context):\n    return answer.ANSWER"


@pytest.fixture(scope="module")
def bucket(emulator: Emulator) -> str:
    name, s3 = f"bucket-{uuid.uuid4().hex}", emulator.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="function.zip", Body=zipped({"functions/module.py": FUNCTION}))
    s3.put_object(Bucket=name, Key="layer.zip", Body=zipped({"python/answer.py": "ANSWER = 42"}))
    return name


def create_function(emulator: Emulator, bucket: str, key: str, *layers: str) -> str:
    arn: str = emulator.client("lambda").create_function(
        FunctionName=f"function-{uuid.uuid4().hex[:12]}",
        Runtime="python3.13",
        Handler="functions.module.handler",
        Role=emulator.role("lambda.amazonaws.com"),
        Code={"S3Bucket": bucket, "S3Key": key},
        Layers=list(layers),
    )["FunctionArn"]
    return arn


def publish_layer(emulator: Emulator, bucket: str, key: str) -> str:
    arn: str = emulator.client("lambda").publish_layer_version(
        LayerName=f"layer-{uuid.uuid4().hex[:12]}", Content={"S3Bucket": bucket, "S3Key": key}
    )["LayerVersionArn"]
    return arn


def update_function(emulator: Emulator, bucket: str, key: str) -> Any:
    function = emulator.function("")
    return emulator.client("lambda").update_function_code(FunctionName=function, S3Bucket=bucket, S3Key=key)


def test_a_function_and_its_layer_run_from_a_bucket_that_is_gone_by_then(emulator: Emulator, bucket: str) -> None:
    copy, s3 = f"bucket-{uuid.uuid4().hex}", emulator.client("s3")
    s3.create_bucket(Bucket=copy)
    for key in ("function.zip", "layer.zip"):
        s3.copy_object(Bucket=copy, Key=key, CopySource={"Bucket": bucket, "Key": key})
    function = create_function(emulator, copy, "function.zip", publish_layer(emulator, copy, "layer.zip"))
    for key in ("function.zip", "layer.zip"):
        s3.delete_object(Bucket=copy, Key=key)
    s3.delete_bucket(Bucket=copy)
    assert json.loads(emulator.client("lambda").invoke(FunctionName=function)["Payload"].read()) == 42


@pytest.mark.parametrize("call", [create_function, update_function, publish_layer])
def test_code_that_is_not_there_is_refused(emulator: Emulator, bucket: str, call: Any) -> None:
    with pytest.raises(ClientError) as refused:
        call(emulator, bucket, "no-such-key.zip")
    error = refused.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == FACTS["status"]
    assert (error["Error"]["Code"], error["Error"]["Message"]) == (FACTS["code"], FACTS["message"])
