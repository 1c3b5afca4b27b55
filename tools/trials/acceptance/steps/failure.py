"""Automatic recovery: a stopped execution is resolved, and an event whose target fails goes to the dead letters."""

import json
import time
from typing import Any

from tools.deployment.stack import new_payment_id
from tools.trials.acceptance.run import Run, Skipped, Step, expect_equal, wait_for
from tools.trials.acceptance.steps.payments import PAYMENT
from tools.trials.replay import set_fault

RESOLVED_WITHIN_SECONDS = 600.0
"""The first wait of the resolve state machine takes 300 seconds."""
ALARM_WITHIN_SECONDS = 900.0
"""The alarm evaluates five minutes, and CloudWatch may receive the metrics some minutes late."""
PROPAGATION_SECONDS = 60.0
_MAX_TRIES = 10

FINAL_STATUSES = {"captured", "reversed", "declined"}


def stop_payment(run: Run) -> str:
    """Start a payment, stop its execution and return its id. If there is a sandbox, it responds slowly meanwhile."""
    states = run.client("stepfunctions")

    def final_status() -> str | None:
        status: str = run.stack.describe_execution(arn)["status"]
        return None if status == "RUNNING" else status

    for _ in range(_MAX_TRIES):
        payment_id = new_payment_id()
        if run.stack.sandboxes:
            fault = {"operation": "charge", "fault": "slow", "seconds": 3, "reference": payment_id}
            set_fault(run.stack, fault)
        run.start("/payments", PAYMENT, key=payment_id)
        arn = run.stack.execution_arn(payment_id)
        states.stop_execution(executionArn=arn)
        if wait_for("the execution's end", final_status, timeout_seconds=30) == "ABORTED":
            return payment_id
    raise Skipped(f"{_MAX_TRIES} executions in a row ended before they could be stopped.")


def resolve_stopped_payment(run: Run) -> None:
    payment_id = stop_payment(run)
    run.wait_until(
        payment_id, lambda payment: payment.get("status") in FINAL_STATUSES, timeout_seconds=RESOLVED_WITHIN_SECONDS
    )


def dead_letters(run: Run) -> None:
    """Break EventBridge's target for a while, then do what docs/runbook.md tells an operator to do.

    EventBridge does not retry such a failure, but sends the event to the dead-letter queue at once ("Using dead-letter
    queues to process undelivered events", EventBridge user guide).
    """
    run.require_aws("The emulator's EventBridge keeps no dead letters, and evaluates no alarm on several metrics.")
    events, sqs, states = run.client("events"), run.client("sqs"), run.client("stepfunctions")
    rule, alarm = f"{run.stack.prefix}-payment-ended-badly", f"{run.stack.prefix}-dead-letters"
    [target] = events.list_targets_by_rule(Rule=rule)["Targets"]
    queue_url = sqs.get_queue_url(QueueName=f"{run.stack.prefix}-dead-letters")["QueueUrl"]
    broken_target = target | {"Arn": target["Arn"].rpartition(":")[0] + ":nowhere"}
    expect_equal(
        "targets that can't be broken", events.put_targets(Rule=rule, Targets=[broken_target])["FailedEntries"], []
    )
    try:
        time.sleep(PROPAGATION_SECONDS)
        payment_id = stop_payment(run)
        dead_letter = wait_for(
            "a dead letter",
            lambda: next(iter(receive(sqs, queue_url)), None),
            timeout_seconds=RESOLVED_WITHIN_SECONDS,
        )
        expect_equal("whether it names the payment", payment_id in dead_letter["Body"], True)
        wait_for(
            f"the alarm {alarm}",
            lambda: cloudwatch_alarm(run, alarm)["StateValue"] == "ALARM",
            timeout_seconds=ALARM_WITHIN_SECONDS,
        )
    finally:
        events.put_targets(Rule=rule, Targets=[target])
    states.start_execution(
        stateMachineArn=run.stack.live_arn("resolve"),
        input=json.dumps({"payment_id": payment_id, "operation_id": None}),
    )
    sqs.purge_queue(QueueUrl=queue_url)
    run.wait_until(
        payment_id, lambda payment: payment.get("status") in FINAL_STATUSES, timeout_seconds=RESOLVED_WITHIN_SECONDS
    )


def receive(sqs: Any, queue_url: str) -> list[dict[str, Any]]:
    """Receive messages but leave them visible in the queue, because the alarm counts the visible ones."""
    answer = sqs.receive_message(
        QueueUrl=queue_url, VisibilityTimeout=0, WaitTimeSeconds=5, MessageAttributeNames=["All"]
    )
    return list(answer.get("Messages", []))


def cloudwatch_alarm(run: Run, name: str) -> dict[str, Any]:
    [alarm] = run.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(alarm)


STEPS = [
    Step("failure", "an execution is stopped, and resolve brings the payment to its end", resolve_stopped_payment),
    Step("failure", "a broken target leaves a dead letter, which is an alarm", dead_letters),
]
