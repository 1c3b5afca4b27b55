"""The audit and the soak, as run by `make audit` and `make soak`."""

import re
from collections.abc import Iterator

import pytest

from tests.stack.driver import Driver, payments
from tools.local.machine import Machine
from tools.trials.audit import audit


@pytest.fixture
def paid(driver: Driver) -> Iterator[str]:
    """A captured payment whose record is restored at the end."""
    payment_id = driver.paid()["payment_id"]
    record = driver.payment_items(payment_id)["PAYMENT"]
    yield payment_id
    driver.stack.client("dynamodb").put_item(TableName=driver.stack.ledger_table, Item=record)


def test_a_soak_with_faults_loses_and_doubles_nothing(machine: Machine, driver: Driver) -> None:
    process = payments(machine.stack_file, "soak", "60", "--seed", "14", "--concurrency", "4")
    assert process.returncode == 0, process.stdout
    assert re.search("[1-9][0-9]* met faults; 0 were answered or ended amiss", process.stdout)
    assert re.search(r"\b0 findings in 5\d payments", process.stdout)  # the others are cards to be stored


def test_the_audit_of_a_payment_fails_once_its_record_is_tampered_with(
    machine: Machine, driver: Driver, paid: str
) -> None:
    assert payments(machine.stack_file, "audit", paid).returncode == 0
    driver.stack.client("dynamodb").update_item(
        TableName=driver.stack.ledger_table,
        Key={"pk": {"S": f"PAYMENT#{paid}"}, "sk": {"S": "PAYMENT"}},
        UpdateExpression="SET captured_minor = :less",
        ExpressionAttributeValues={":less": {"N": "1998"}},
    )
    process = payments(machine.stack_file, "audit", paid)
    assert process.returncode == 1
    assert paid in process.stdout
    assert "record differs" in process.stdout


def test_reading_all_payments_at_once_finds_the_same_as_one_by_one(driver: Driver, paid: str) -> None:
    everything = audit(driver.stack)
    [alone] = audit(driver.stack, [paid]).evidence.values()
    together = everything.evidence[paid]
    assert (alone.items, alone.charges, alone.status) == (together.items, together.charges, together.status)
    assert paid not in {finding.payment_id for finding in everything.findings}
