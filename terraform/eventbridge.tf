# Resolve examines every execution that failed, timed out or was stopped. If the payment was reversed or rejected, it
# sees so at once. It gets only the execution's name, since the event also holds the input. Step Functions sends these
# events on a best-effort basis; the doubts function finds executions whose event got lost.
locals {
  looked_after = {
    payment   = "{\"payment_id\": <name>, \"operation_id\": null}"
    operation = "{\"payment_id\": null, \"operation_id\": <name>}"
  }
}

resource "aws_cloudwatch_event_rule" "ended_badly" {
  for_each = local.looked_after

  name        = "${local.prefix}-${each.key}-ended-badly"
  description = "Executions of the ${each.key} state machine that failed, timed out or were stopped"
  tags        = merge(local.tags, { Name = "${local.prefix}-${each.key}-ended-badly" })

  event_pattern = jsonencode({
    source      = ["aws.states"]
    detail-type = ["Step Functions Execution Status Change"]
    detail = {
      stateMachineArn = [aws_sfn_state_machine.this[each.key].arn]
      status          = ["ABORTED", "FAILED", "TIMED_OUT"]
    }
  })
}

resource "aws_cloudwatch_event_target" "resolve" {
  for_each = local.looked_after

  rule     = aws_cloudwatch_event_rule.ended_badly[each.key].name
  arn      = aws_sfn_alias.live["resolve"].arn
  role_arn = aws_iam_role.events.arn

  input_transformer {
    input_paths    = { name = "$.detail.name" }
    input_template = each.value
  }

  # EventBridge retries for a day, and then moves the event to the queue, whose depth has an alarm.
  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }

  depends_on = [aws_kms_alias.this] # by which the queue names its key
}

# The functions that are called on a schedule.
locals {
  scheduled = {
    doubts = {
      does  = "Counts the payments in doubt, and finds failed executions whose event never arrived"
      when  = "rate(5 minutes)"
      input = {}
    }
    resume = {
      does  = "Looks at the payments that wait for their customers, whose event may never arrive"
      when  = "rate(1 minute)"
      input = {}
    }
    # Half an hour after midnight (UTC), when the index contains everything written before midnight.
    anchor = {
      does  = "Anchors the day before"
      when  = "cron(30 0 * * ? *)"
      input = { day = null }
    }
  }
}

resource "aws_cloudwatch_event_rule" "scheduled" {
  for_each = local.scheduled

  name                = "${local.prefix}-${each.key}"
  description         = each.value.does
  schedule_expression = each.value.when
  tags                = merge(local.tags, { Name = "${local.prefix}-${each.key}" })
}

resource "aws_cloudwatch_event_target" "scheduled" {
  for_each = local.scheduled

  rule  = aws_cloudwatch_event_rule.scheduled[each.key].name
  arn   = aws_lambda_alias.live[each.key].arn
  input = jsonencode(each.value.input)
}

resource "aws_lambda_permission" "scheduled" {
  for_each = local.scheduled

  statement_id  = "AllowSchedule"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_alias.live[each.key].function_name
  qualifier     = aws_lambda_alias.live[each.key].name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.scheduled[each.key].arn
}

# Two hours after midnight (UTC), when the day's last charges are in the books and the gateway has closed its day.
resource "aws_cloudwatch_event_rule" "reconcile" {
  name                = "${local.prefix}-reconcile"
  description         = "Reconciles the day before"
  schedule_expression = "cron(0 2 * * ? *)"
  tags                = merge(local.tags, { Name = "${local.prefix}-reconcile" })
}

resource "aws_cloudwatch_event_target" "reconcile" {
  rule     = aws_cloudwatch_event_rule.reconcile.name
  arn      = aws_sfn_alias.live["reconcile"].arn
  role_arn = aws_iam_role.events.arn
  input    = jsonencode({ day = null, cursor = null })

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }

  depends_on = [aws_kms_alias.this] # by which the queue names its key
}

# Every event of ours. In-house consumers add rules of their own (examples/consumer).
resource "aws_cloudwatch_event_bus" "events" {
  name        = "${local.prefix}-events"
  description = "Events about payments, stored cards and reconciliation"
  tags        = merge(local.tags, { Name = "${local.prefix}-events" })
}

resource "aws_cloudwatch_event_rule" "webhook" {
  for_each = var.webhooks

  name           = "${local.prefix}-webhook-${each.key}"
  description    = "The events for the webhook ${each.key}"
  event_bus_name = aws_cloudwatch_event_bus.events.name
  tags           = merge(local.tags, { Name = "${local.prefix}-webhook-${each.key}" })

  event_pattern = jsonencode({
    source      = ["payments"]
    detail-type = length(each.value.events) > 0 ? each.value.events : local.event_types
  })
}

resource "aws_cloudwatch_event_target" "webhook" {
  for_each = var.webhooks

  rule           = aws_cloudwatch_event_rule.webhook[each.key].name
  event_bus_name = aws_cloudwatch_event_bus.events.name
  arn            = aws_sqs_queue.webhook[each.key].arn
  input_path     = "$.detail" # the CloudEvent

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }

  depends_on = [aws_kms_alias.this] # by which the queues name their key
}
