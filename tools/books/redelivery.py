"""Sends a webhook's dead letters again, or the events of one payment."""

from collections.abc import Callable

from functions.shared.adapters.table.items import marshal, query
from functions.shared.adapters.table.keys import FIRST_EVENT, delivered_key, payment_pk
from tools.deployment.stack import Stack, StackError

_BATCH = 10  # the most that SQS returns at a time
_VISIBILITY_SECONDS = 60
_WAIT_SECONDS = 2  # so that SQS asks all of its servers


def redeliver_dead_letters(stack: Stack, webhook: str, moved: Callable[[int], object]) -> int:
    """Move the webhook's dead letters back into its queue, and return how many there were. Raises StackError.

    `moved` is called with the number so far. A letter is deleted once the queue has it: if this stops in between, it is
    sent twice, and never lost. (StartMessageMoveTask would move only what SQS itself has put there.)
    """
    urls = stack.webhook_queue_urls.get(webhook)
    if urls is None:
        webhooks = ", ".join(sorted(stack.webhook_queue_urls)) or "none"
        raise StackError(f"This stack has no webhook {webhook}. It has: {webhooks}.")
    sqs = stack.client("sqs")
    count = 0
    while letters := sqs.receive_message(
        QueueUrl=urls["dead_letters"],
        MaxNumberOfMessages=_BATCH,
        VisibilityTimeout=_VISIBILITY_SECONDS,
        WaitTimeSeconds=_WAIT_SECONDS,
    ).get("Messages"):
        for letter in letters:
            sqs.send_message(QueueUrl=urls["queue"], MessageBody=letter["Body"])
            sqs.delete_message(QueueUrl=urls["dead_letters"], ReceiptHandle=letter["ReceiptHandle"])
        count += len(letters)
        moved(count)
    return count


def publish_again(stack: Stack, payment_id: str) -> int:
    """Publish all events of a payment again, to everybody, and return how many there are. Raises StackError.

    What was delivered is forgotten first: otherwise a webhook would get nothing that it has accepted before.
    """
    dynamodb, pk = stack.client("dynamodb"), payment_pk(payment_id)
    values = {":pk": pk, ":event": FIRST_EVENT}
    condition = "pk = :pk AND begins_with(sk, :event)"
    places = [item["sk"] for item in query(dynamodb, stack.ledger_table, condition, values, ProjectionExpression="sk")]
    if not places:
        raise StackError(f"The ledger has no events of a payment {payment_id}.")
    for webhook in stack.webhook_queue_urls:
        dynamodb.delete_item(TableName=stack.required("counters_table"), Key=marshal(delivered_key(webhook, pk)))
    records = [{"dynamodb": {"Keys": {"pk": {"S": pk}, "sk": {"S": sk}}}} for sk in places]
    stack.invoke("publish", {"Records": records})
    return len(places)
