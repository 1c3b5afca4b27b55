locals {
  follow_event_timeout = 45 # seconds
  follow_event_trials  = 300

  # In seconds; the trials are those of PAUSES_SECONDS (functions/deliver/deliver_event.py), and a last one.
  deliver_timeout = 30
  deliver_trials  = 12

  # Written out, since the key's policy names them.
  webhook_queue_names = { for name in keys(var.webhooks) : name => "${local.prefix}-webhook-${name}" }
  webhook_queue_arns = {
    for name, queue in local.webhook_queue_names : name => "arn:${local.partition}:sqs:${local.region}:${local.account_id}:${queue}"
  }

  dead_letter_queue_name = "${local.prefix}-dead-letters"
  # Written out, since the key's policy and the queue's own policy name the queue.
  dead_letter_queue_arn = "arn:${local.partition}:sqs:${local.region}:${local.account_id}:${local.dead_letter_queue_name}"
  # Written out, so that the queue need not wait for its key: each takes long to create, but not much work. SQS looks the
  # key up when a message is sent, not before (KmsMasterKeyId takes an alias's ARN; of CreateQueue and SendMessage, only
  # the latter can fail with KmsNotFound). What sends to the queue waits for the alias.
  dead_letter_key_arn = "arn:${local.partition}:kms:${local.region}:${local.account_id}:alias/${local.prefix}-data"
}

# The events that EventBridge could not deliver: each is a payment or operation that stays unresolved until resolve is
# started for it. And the gateways' events that could not be followed.
resource "aws_sqs_queue" "dead_letters" {
  name                              = local.dead_letter_queue_name
  message_retention_seconds         = 1209600 # 14 days, the maximum
  kms_master_key_id                 = local.dead_letter_key_arn
  kms_data_key_reuse_period_seconds = 300
  policy                            = data.aws_iam_policy_document.dead_letters.json
  tags                              = merge(local.tags, { Name = local.dead_letter_queue_name })
}

data "aws_iam_policy_document" "dead_letters" {
  statement {
    sid       = "SendDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [local.dead_letter_queue_arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:events:${local.region}:${local.account_id}:rule/${local.prefix}-*"]
    }
  }
}

# The gateways' events on their way to follow_event. An event comes again while its payment's execution runs, and while
# the gateway doesn't show its charge yet.
resource "aws_sqs_queue" "gateway_events" {
  name                              = "${local.prefix}-gateway-events"
  kms_master_key_id                 = local.dead_letter_key_arn
  kms_data_key_reuse_period_seconds = 300
  message_retention_seconds         = 1209600 # 14 days, the maximum
  # Most events are about what a running execution has just done, which then records it within seconds.
  delay_seconds = 5
  # Six times the function's timeout, so that Lambda can try again if it is throttled ("Creating and configuring an Amazon
  # SQS event source mapping", Lambda developer guide).
  visibility_timeout_seconds = 6 * local.follow_event_timeout
  tags                       = merge(local.tags, { Name = "${local.prefix}-gateway-events" })
}

# For about a day. It is a resource of its own, so that neither the queue nor the functions, which know its URL, wait
# for the other queue: Terraform looks at a new queue for 25 seconds, whatever it finds
# (hashicorp/terraform-provider-aws#27393).
resource "aws_sqs_queue_redrive_policy" "gateway_events" {
  queue_url      = aws_sqs_queue.gateway_events.url
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letters.arn, maxReceiveCount = local.follow_event_trials })
}

resource "aws_lambda_event_source_mapping" "gateway_events" {
  event_source_arn = aws_sqs_queue.gateway_events.arn
  function_name    = aws_lambda_alias.live["follow_event"].arn
  # One event may take several calls to the gateway.
  batch_size              = 1
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = merge(local.tags, { Name = "${local.prefix}-gateway-events" })

  # A gateway may send thousands at once. They can wait; payments can't.
  scaling_config {
    maximum_concurrency = 10
  }

  # Lambda checks the role when the mapping is made; the queue names its key by its alias.
  depends_on = [aws_iam_role_policy.function, aws_kms_alias.this]
}

# The events that a webhook has not accepted yet.
resource "aws_sqs_queue" "webhook" {
  for_each = local.webhook_queue_names

  name                              = each.value
  kms_master_key_id                 = local.dead_letter_key_arn
  kms_data_key_reuse_period_seconds = 300
  message_retention_seconds         = 1209600 # 14 days, the maximum
  # As for gateway_events. The function itself sets the pause after each trial.
  visibility_timeout_seconds = 6 * local.deliver_timeout
  policy                     = data.aws_iam_policy_document.webhook[each.key].json
  tags                       = merge(local.tags, { Name = each.value })
}

data "aws_iam_policy_document" "webhook" {
  for_each = local.webhook_queue_arns

  statement {
    sid       = "SendEvents"
    actions   = ["sqs:SendMessage"]
    resources = [each.value]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.webhook[each.key].arn]
    }
  }
}

# A resource of its own, like that of gateway_events.
resource "aws_sqs_queue_redrive_policy" "webhook" {
  for_each = aws_sqs_queue.webhook

  queue_url      = each.value.url
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.webhook_dead_letters[each.key].arn, maxReceiveCount = local.deliver_trials })
}

# The events that it has not accepted for three days, or that it did not want any more; `payments redeliver` sends them again.
resource "aws_sqs_queue" "webhook_dead_letters" {
  for_each = local.webhook_queue_names

  name                              = "${each.value}-dead-letters" # as functions/shared/runtime/factories.py has it
  kms_master_key_id                 = local.dead_letter_key_arn
  kms_data_key_reuse_period_seconds = 300
  message_retention_seconds         = 1209600 # 14 days, the maximum
  tags                              = merge(local.tags, { Name = "${each.value}-dead-letters" })
}

resource "aws_lambda_event_source_mapping" "webhook" {
  for_each = aws_sqs_queue.webhook

  event_source_arn        = each.value.arn
  function_name           = aws_lambda_alias.live["deliver"].arn
  batch_size              = 1 # one slow answer must not hold up other events
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = merge(local.tags, { Name = each.value.name })

  # A slow endpoint must not take the concurrency that payments need.
  scaling_config {
    maximum_concurrency = var.webhooks[each.key].concurrency
  }

  # As for gateway_events.
  depends_on = [aws_iam_role_policy.function, aws_kms_alias.this]
}
