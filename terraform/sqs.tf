locals {
  follow_event_timeout = 45 # seconds
  follow_event_trials  = 300

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

# What the gateways' events are about, on its way to follow_event. A payment whose execution still runs comes again, and so
# does one that the gateway doesn't show yet.
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

# For about a day. By itself, so that neither the queue nor the functions, which know its URL, wait for the other queue:
# Terraform looks at a new queue for 25 seconds, whatever it finds (hashicorp/terraform-provider-aws#27393).
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
