# What belongs to a webhook: its rule, its queue, its dead letters, its secret and its alarm. Names and ARNs that are text
# must be the right ones.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "a_webhook_has_a_rule_a_queue_dead_letters_a_secret_and_an_alarm" {
  command = plan

  plan_options {
    target = [
      aws_cloudwatch_event_target.webhook,
      aws_cloudwatch_metric_alarm.this,
      aws_kms_alias.this,
      aws_sqs_queue.webhook_dead_letters,
      data.aws_iam_policy_document.webhook,
      aws_secretsmanager_secret_version.webhook,
    ]
  }

  variables {
    webhooks = {
      shop  = { url = "https://shop.example/events", events = ["payment.captured", "card.erased"] }
      books = { url = "http://localhost:8000" }
    }
    webhook_secrets = { shop = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] } # pragma: allowlist secret
  }

  assert {
    condition = {
      for name, rule in aws_cloudwatch_event_rule.webhook : name => jsondecode(rule.event_pattern)
      } == {
      shop  = { source = ["payments"], detail-type = ["payment.captured", "card.erased"] }
      books = { source = ["payments"], detail-type = local.event_types }
    }
    error_message = "A rule must take the types that its webhook wants, or all."
  }

  assert {
    condition     = alltrue([for rule in aws_cloudwatch_event_rule.webhook : length(rule.event_pattern) <= 2048])
    error_message = "A rule's pattern may have 2,048 characters."
  }

  assert {
    condition = alltrue([
      for name, target in aws_cloudwatch_event_target.webhook :
      target.rule == aws_cloudwatch_event_rule.webhook[name].name &&
      target.event_bus_name == aws_cloudwatch_event_bus.events.name && target.input_path == "$.detail"
    ])
    error_message = "The rule must send what is told, and nothing around it."
  }

  assert {
    condition = local.webhook_queue_arns == {
      for name, queue in aws_sqs_queue.webhook : name => "arn:aws:sqs:eu-west-1:123456789012:${queue.name}"
    }
    error_message = "The ARNs must be the queues'."
  }

  assert {
    condition = alltrue([
      for name, document in data.aws_iam_policy_document.webhook :
      one(document.statement).resources == toset([local.webhook_queue_arns[name]]) &&
      one(document.statement).actions == toset(["sqs:SendMessage"]) &&
      one(one(document.statement).principals).identifiers == toset(["events.amazonaws.com"])
    ])
    error_message = "EventBridge may send to the queue, and nobody may anything else."
  }

  assert {
    condition = alltrue([
      for queue in concat(values(aws_sqs_queue.webhook), values(aws_sqs_queue.webhook_dead_letters)) :
      queue.kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:${aws_kms_alias.this["data"].name}"
    ])
    error_message = "The key must be ours for data, by its alias."
  }

  assert {
    condition = {
      for name in keys(var.webhooks) : name => one([
        for query in aws_cloudwatch_metric_alarm.this["webhook-failing-${name}"].metric_query :
        query.metric[0].dimensions["QueueName"] if query.id == "waiting"
      ])
    } == { for name, queue in aws_sqs_queue.webhook_dead_letters : name => queue.name }
    error_message = "The alarm must look at the dead letters."
  }

  assert {
    condition     = alltrue([for queue in aws_sqs_queue.webhook : queue.visibility_timeout_seconds >= 6 * local.deliver_timeout])
    error_message = "Lambda must be able to try again before the event is shown to another call."
  }

  assert {
    condition     = keys(aws_secretsmanager_secret.webhook) == ["books", "shop"] && keys(aws_secretsmanager_secret_version.webhook) == ["shop"]
    error_message = "Each webhook must have a secret, and those that were given must have a value."
  }
}

run "without_webhooks_there_is_the_bus_alone" {
  command = plan

  plan_options {
    target = [aws_cloudwatch_event_bus.events, aws_cloudwatch_event_target.webhook, aws_lambda_event_source_mapping.webhook]
  }

  assert {
    condition     = aws_cloudwatch_event_bus.events.name == "payments-test-events" && length(aws_sqs_queue.webhook) == 0
    error_message = "There must be a bus for in-house consumers, and no queue."
  }
}
