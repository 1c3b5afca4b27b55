locals {
  dead_letter_queue_name = "${local.prefix}-dead-letters"
  # Written out, since the key's policy and the queue's own policy name the queue.
  dead_letter_queue_arn = "arn:${local.partition}:sqs:${local.region}:${local.account_id}:${local.dead_letter_queue_name}"
  # Written out, so that the queue need not wait for its key: each takes long to create, but not much work. SQS looks the
  # key up when a message is sent, not before (KmsMasterKeyId takes an alias's ARN; of CreateQueue and SendMessage, only
  # the latter can fail with KmsNotFound). What sends to the queue waits for the alias.
  dead_letter_key_arn = "arn:${local.partition}:kms:${local.region}:${local.account_id}:alias/${local.prefix}-data"
}

# The events that EventBridge could not deliver: each is a payment or operation that stays unresolved until resolve is
# started for it.
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
