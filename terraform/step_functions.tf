locals {
  # The functions that the state machine calls, each ${<step>_function_arn} in its definition.
  steps = ["tokenize", "encrypt", "charge", "persist", "compensate"]
}

resource "aws_sfn_state_machine" "payment" {
  #checkov:skip=CKV_AWS_285:It wants execution data in the log; terraform/checks demands the opposite

  name     = local.state_machine_name
  type     = "STANDARD"
  role_arn = aws_iam_role.state_machine.arn
  tags     = merge(local.tags, { Name = local.state_machine_name })

  definition = templatefile("${path.module}/../statemachine/payment.asl.json", {
    for step in local.steps : "${step}_function_arn" => aws_lambda_function.this[step].arn
  })

  encryption_configuration {
    type                              = "CUSTOMER_MANAGED_KMS_KEY"
    kms_key_id                        = aws_kms_key.this["data"].arn
    kms_data_key_reuse_period_seconds = 300
  }

  # Every transition, and never what goes in or comes out.
  logging_configuration {
    level                  = "ALL"
    include_execution_data = false
    log_destination        = "${aws_cloudwatch_log_group.this["state_machine"].arn}:*"
  }

  tracing_configuration {
    enabled = var.tracing_enabled
  }

  # Step Functions checks at once that the role may deliver logs.
  depends_on = [aws_iam_role_policy.state_machine]
}
