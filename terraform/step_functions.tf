locals {
  # name = the functions that its definition, statemachine/<name>.asl.json, calls as ${<function>_function_arn}
  state_machines = {
    payment   = ["tokenize", "screen", "encrypt", "charge", "persist", "compensate"]
    operation = ["reserve", "perform", "settle"]
    resolve   = ["resolve"]
    reconcile = ["reconcile"]
  }

  # What every state retries, in the place of "lambda_retries" in its own list.
  lambda_retries = trim(file("${path.module}/../statemachine/lambda_retries.json"), "[] \n")

  state_machine_names = { for name in keys(local.state_machines) : name => "${local.prefix}-${name}" }

  # Text, as functions that look at executions are themselves called by the state machines.
  state_machine_arns = {
    for name, full_name in local.state_machine_names :
    name => "arn:${local.partition}:states:${local.region}:${local.account_id}:stateMachine:${full_name}"
  }
}

resource "aws_sfn_state_machine" "this" {
  #checkov:skip=CKV_AWS_285:It wants execution data in the log; terraform/checks demands the opposite

  for_each = local.state_machines

  name     = local.state_machine_names[each.key]
  type     = "STANDARD"
  publish  = true
  role_arn = aws_iam_role.state_machine[each.key].arn
  tags     = merge(local.tags, { Name = local.state_machine_names[each.key] })

  definition = replace(
    templatefile("${path.module}/../statemachine/${each.key}.asl.json", {
      for function in each.value : "${function}_function_arn" => aws_lambda_function.this[function].qualified_arn
    }),
    "\"lambda_retries\"", local.lambda_retries,
  )

  encryption_configuration {
    type                              = "CUSTOMER_MANAGED_KMS_KEY"
    kms_key_id                        = aws_kms_key.this["data"].arn
    kms_data_key_reuse_period_seconds = 300
  }

  # Every transition, and never what goes in or comes out.
  logging_configuration {
    level                  = "ALL"
    include_execution_data = false
    log_destination        = "${aws_cloudwatch_log_group.this["state_machine_${each.key}"].arn}:*"
  }

  tracing_configuration {
    enabled = var.tracing_enabled
  }

  # Step Functions checks at once that the role may deliver logs.
  depends_on = [aws_iam_role_policy.state_machine]
}
