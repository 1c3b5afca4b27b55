"""The audit: compares payments across executions, the ledger and the gateways' sandboxes, and reports differences.

The sources are read without the product's own classes, because those could not represent most of the errors that the
audit looks for.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from functions.shared.adapters.currencies import minor_unit
from functions.shared.adapters.gateways.registry import adapter
from functions.shared.adapters.table.keys import DOUBT_SHARDS, is_of_payment, payment_id_of
from functions.shared.adapters.table.ledger import doubts_in
from tools.books.findings import Evidence, Finding, findings
from tools.books.reading import Item, items_of_payment, read_items
from tools.deployment.stack import Stack
from tools.output import counted, table

_MAX_SINGLE_READS = 100
_MAX_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Audit:
    """The evidence that was read, and the findings in it."""

    evidence: dict[str, Evidence]
    findings: list[Finding]


def audit(stack: Stack, payment_ids: Collection[str] | None = None) -> Audit:
    """Audit these payments, or all if none are given. Unless every gateway is a sandbox, the gateways are not
    checked."""
    evidence = _read(stack, payment_ids)
    with_gateway = stack.has_only_sandboxes
    # The sources are read one after another, and a payment may change in between. Read suspicious payments again.
    if suspects := {finding.payment_id for finding in findings(evidence, with_gateway) if finding.payment_id}:
        operations = {payment_id: evidence[payment_id].operation_executions for payment_id in suspects}
        evidence |= _read(stack, suspects, operations)
    return Audit(evidence, list(findings(evidence, with_gateway)))


def show(audited: Audit, console: Console) -> None:
    """Print the number of payments and operations by status, and a table of the findings."""
    payments = audited.evidence.values()
    by_status = Counter(payment.status for payment in payments)
    operations = Counter(f"{each['type']} {each['status']}" for payment in payments for each in payment.operations())
    for counts in filter(None, (by_status, operations)):
        console.print(" · ".join(f"{count:,} {status}" for status, count in counts.most_common()), highlight=False)
    if audited.findings:
        grid = table("Findings", ("payment", "what", "expected", "found"))
        for finding in audited.findings[:_MAX_SHOWN]:
            grid.add_row(finding.payment_id or "all", finding.kind, finding.expected, finding.found)
        console.print(grid)
        if len(audited.findings) > _MAX_SHOWN:
            console.print(f"… and {len(audited.findings) - _MAX_SHOWN:,} more.", highlight=False)
    color = "red" if audited.findings else "green"
    summary = f"{counted(len(audited.findings), 'finding')} in {counted(len(audited.evidence), 'payment')}"
    console.print(f"[{color}]{summary}[/{color}]", highlight=False)


def _read(
    stack: Stack, payment_ids: Collection[str] | None, operation_ids: Mapping[str, Collection[str]] | None = None
) -> dict[str, Evidence]:
    """Read the executions first, then the ledger and last the gateway. A few payments are read one by one, else all.

    Executions cannot be looked up by payment. For a few payments, the operations read are therefore those in the
    payments' records and those in `operation_ids`.
    """
    read_singly = payment_ids is not None and len(payment_ids) <= _MAX_SINGLE_READS
    evidence: dict[str, Evidence] = {}

    def evidence_of(payment_id: str) -> Evidence:
        return evidence.setdefault(payment_id, Evidence(payment_id))

    operations = {} if read_singly else {each["name"]: each for each in _executions(stack, "operation")}
    for execution in _executions(stack, "payment", payment_ids if read_singly else None):
        evidence_of(execution["name"]).execution = execution
    for item in _items(stack, payment_ids if read_singly else None):
        evidence_of(payment_id_of(item["pk"])).items[item["sk"]] = item
    for payment_id in _doubts(stack):
        evidence_of(payment_id).in_index = True
    for charge in _charges(stack):
        evidence_of(charge["reference"]).charges.append(charge)
    if payment_ids is not None:
        evidence = {payment_id: evidence_of(payment_id) for payment_id in payment_ids}
    for payment in evidence.values():
        if payment.execution and not payment.is_running and not payment.record:
            [payment.execution] = _executions(stack, "payment", [payment.payment_id])
        names = {each["operation_id"] for each in payment.operations() if not each.get("charge_id")}
        names |= set((operation_ids or {}).get(payment.payment_id, ()))
        if read_singly:
            operations |= {execution["name"]: execution for execution in _executions(stack, "operation", names)}
        payment.operation_executions = {name: operations.pop(name) for name in names if name in operations}
    for execution in _executions(stack, "operation", operations):  # those that are in no record
        request = json.loads(execution["input"])
        operated_id = request.get("payment_id") if isinstance(request, dict) else None
        if isinstance(operated_id, str) and operated_id in evidence:
            evidence[operated_id].operation_executions[execution["name"]] = execution
    return evidence


def _executions(stack: Stack, machine: str, names: Collection[str] | None = None) -> Iterator[Item]:
    """Yield all executions from ListExecutions or, if names are given, those from DescribeExecution."""
    states = stack.client("stepfunctions")
    if names is None:
        for page in states.get_paginator("list_executions").paginate(stateMachineArn=stack.machine_arn(machine)):
            yield from page["executions"]
    for name in names or ():
        try:
            yield states.describe_execution(executionArn=stack.execution_arn(name, machine))
        except states.exceptions.ExecutionDoesNotExist:
            continue


def _items(stack: Stack, payment_ids: Collection[str] | None) -> Iterator[Item]:
    """Yield the payments' items, converted to Python types, without stored cards."""
    client = stack.resource("dynamodb").meta.client
    if payment_ids is None:
        scanned = read_items(client, "scan", stack.ledger_table, ConsistentRead=True)
        yield from (item for item in scanned if is_of_payment(item["pk"]))
    for payment_id in payment_ids or ():
        yield from items_of_payment(client, stack.ledger_table, payment_id)


def _doubts(stack: Stack) -> Iterator[str]:
    """Yield the ids of the payments in the index of doubts."""
    for shard in range(DOUBT_SHARDS):
        for payment_id, _ in doubts_in(stack.client("dynamodb"), stack.ledger_table, shard):
            yield payment_id


def _charges(stack: Stack) -> Iterator[Item]:
    """Yield each sandbox's charges, with the gateway's name added."""
    for name, sandbox in stack.sandboxes.items():
        for charge in sandbox.call("GET", "/sandbox/charges").json()["charges"]:
            yield _in_ledger_units(charge, adapter(name).MINOR_UNITS) | {"gateway": name}


def _in_ledger_units(charge: Item, minor_units: Mapping[str, int]) -> dict[str, Any]:
    """Convert a charge's amounts from the gateway's minor units, where they differ from ISO 4217, to the ledger's.

    An amount that the ledger cannot represent stays unchanged and therefore shows up as a difference.
    """
    decimals = minor_units.get(charge["currency"], minor_unit(charge["currency"]) or 0)
    factor = 10 ** (decimals - (minor_unit(charge["currency"]) or 0))
    amounts = {name: amount for name, amount in charge.items() if name.endswith("_minor") and amount is not None}
    return {**charge} | {name: amount // factor for name, amount in amounts.items() if amount % factor == 0}
