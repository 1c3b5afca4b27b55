# Whatever ended otherwise than planned is looked after: a payment that is reversed or rejected is found to be so at once.
# Only the execution's name is handed on; the event also holds its input.
resource "aws_cloudwatch_event_rule" "payment_ended_badly" {
  name        = "${local.prefix}-payment-ended-badly"
  description = "Executions of payments that failed, timed out, or were stopped by somebody"
  tags        = merge(local.tags, { Name = "${local.prefix}-payment-ended-badly" })

  event_pattern = jsonencode({
    source      = ["aws.states"]
    detail-type = ["Step Functions Execution Status Change"]
    detail = {
      stateMachineArn = [aws_sfn_state_machine.this["payment"].arn]
      status          = ["ABORTED", "FAILED", "TIMED_OUT"]
    }
  })
}

resource "aws_cloudwatch_event_target" "resolve" {
  rule     = aws_cloudwatch_event_rule.payment_ended_badly.name
  arn      = aws_sfn_state_machine.this["resolve"].arn
  role_arn = aws_iam_role.events.arn

  input_transformer {
    input_paths    = { payment_id = "$.detail.name" }
    input_template = "{\"payment_id\": <payment_id>}"
  }

  # EventBridge tries for a day, and then leaves it to the queue, whose depth is an alarm.
  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }
}

resource "aws_cloudwatch_event_rule" "doubts" {
  name                = "${local.prefix}-doubts"
  description         = "Counts the payments in doubt"
  schedule_expression = "rate(5 minutes)"
  tags                = merge(local.tags, { Name = "${local.prefix}-doubts" })
}

resource "aws_cloudwatch_event_target" "doubts" {
  rule  = aws_cloudwatch_event_rule.doubts.name
  arn   = aws_lambda_function.this["doubts"].arn
  input = jsonencode({})
}

resource "aws_lambda_permission" "doubts" {
  statement_id  = "AllowSchedule"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this["doubts"].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.doubts.arn
}
