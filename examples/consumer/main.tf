# A queue with the events that a service of yours wants, taken from the deployment's bus:
#
#   module "payments" {
#     source = "./consumer"
#     name   = "warehouse-payments"
#     bus    = "payments-prod-events"
#     events = ["payment.captured", "payment.refunded"]
#   }
#
# A message's body is the CloudEvent (docs/webhooks.md). There is no order: keep the highest sequence of each subject.

variable "name" {
  description = "The name of the queue and of the rule."
  type        = string
}

variable "bus" {
  description = "The deployment's output event_bus_name."
  type        = string
}

variable "events" {
  description = "The types that the service wants."
  type        = list(string)
}

resource "aws_cloudwatch_event_rule" "events" {
  name           = var.name
  description    = "The payments' events for ${var.name}"
  event_bus_name = var.bus
  event_pattern  = jsonencode({ source = ["payments"], detail-type = var.events })
}

resource "aws_cloudwatch_event_target" "queue" {
  rule           = aws_cloudwatch_event_rule.events.name
  event_bus_name = var.bus
  arn            = aws_sqs_queue.events.arn
  input_path     = "$.detail" # the CloudEvent
}

resource "aws_sqs_queue" "events" {
  name                      = var.name
  message_retention_seconds = 1209600 # 14 days, the maximum
  # By a key of SQS's own. For one of yours, its policy must let events.amazonaws.com use it.
  sqs_managed_sse_enabled = true
  redrive_policy          = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letters.arn, maxReceiveCount = 10 })
}

# What the service has failed at ten times.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.url
  policy    = data.aws_iam_policy_document.events.json
}

data "aws_iam_policy_document" "events" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.events.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.events.arn]
    }
  }
}

output "queue_url" {
  description = "Where the service takes the events from."
  value       = aws_sqs_queue.events.url
}
