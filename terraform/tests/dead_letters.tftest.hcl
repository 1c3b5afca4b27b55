# The names and ARNs of the queue and of its key are text where they themselves would have to be waited for: they must be
# the right ones.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "its_policy_its_alarm_and_its_key_are_of_the_queue" {
  command = plan

  plan_options {
    target = [
      aws_cloudwatch_metric_alarm.this,
      aws_kms_alias.this,
      aws_sqs_queue.dead_letters,
      aws_sqs_queue.gateway_events,
      aws_sqs_queue_redrive_policy.gateway_events,
      data.aws_iam_policy_document.dead_letters,
    ]
  }

  assert {
    condition = (
      aws_sqs_queue.dead_letters.kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:${aws_kms_alias.this["data"].name}"
    )
    error_message = "The key must be ours for data, by its alias."
  }

  assert {
    condition     = local.dead_letter_queue_arn == "arn:aws:sqs:eu-west-1:123456789012:${aws_sqs_queue.dead_letters.name}"
    error_message = "The ARN must be the queue's."
  }

  assert {
    condition = (
      one(data.aws_iam_policy_document.dead_letters.statement).resources == toset([local.dead_letter_queue_arn]) &&
      one(data.aws_iam_policy_document.dead_letters.statement).actions == toset(["sqs:SendMessage"]) &&
      one(one(data.aws_iam_policy_document.dead_letters.statement).principals).identifiers == toset(["events.amazonaws.com"])
    )
    error_message = "EventBridge may send to the queue, and nobody may anything else."
  }

  assert {
    condition = [
      for query in aws_cloudwatch_metric_alarm.this["dead-letters"].metric_query :
      query.metric[0].dimensions if query.id == "waiting"
    ] == [tomap({ QueueName = aws_sqs_queue.dead_letters.name })]
    error_message = "The alarm must look at the queue."
  }

  assert {
    condition     = aws_sqs_queue.gateway_events.visibility_timeout_seconds >= 6 * local.follow_event_timeout
    error_message = "Lambda must be able to try again before the event is shown to another call."
  }

  assert {
    condition     = aws_sqs_queue.gateway_events.message_retention_seconds > local.follow_event_trials * aws_sqs_queue.gateway_events.visibility_timeout_seconds
    error_message = "What can't be followed must become a dead letter before the queue drops it."
  }
}
