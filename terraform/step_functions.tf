locals {
  # name = the functions that its definition, statemachine/<name>.asl.json, calls as ${<function>_function_arn}
  state_machines = {
    payment    = ["tokenize", "screen", "encrypt", "charge", "await_customer", "confirm", "persist", "compensate"]
    store_card = ["tokenize", "screen", "encrypt", "verify", "keep"]
    operation  = ["reserve", "perform", "settle"]
    resolve    = ["resolve"]
    reconcile  = ["reconcile"]
  }

  # A caller waits for their end, and may repeat them. Step Functions keeps no history of them.
  express = ["store_card"]

  # The retries that all states share; they replace "lambda_retries" in a state's own list.
  lambda_retries = trim(file("${path.module}/../statemachine/lambda_retries.json"), "[] \n")

  state_machine_names = { for name in keys(local.state_machines) : name => "${local.prefix}-${name}" }

  # Written out, since some functions refer to state machines, which in turn refer to functions.
  state_machine_arns = {
    for name, full_name in local.state_machine_names :
    name => "arn:${local.partition}:states:${local.region}:${local.account_id}:stateMachine:${full_name}"
  }
}

resource "aws_sfn_state_machine" "this" {
  #checkov:skip=CKV_AWS_285:This check requires execution data in the log, terraform/checks the opposite

  for_each = local.state_machines

  name     = local.state_machine_names[each.key]
  type     = contains(local.express, each.key) ? "EXPRESS" : "STANDARD"
  publish  = true
  role_arn = aws_iam_role.state_machine[each.key].arn
  tags     = merge(local.tags, { Name = local.state_machine_names[each.key] })

  definition = replace(
    replace(
      templatefile("${path.module}/../statemachine/${each.key}.asl.json", merge(
        { partition = local.partition },
        { for function in each.value : "${function}_function_arn" => aws_lambda_function.this[function].qualified_arn },
      )),
      "\"lambda_retries\"", local.lambda_retries,
    ),
    "\"customer_timeout_seconds\"", tostring(60 * var.customer_timeout_minutes),
  )

  encryption_configuration {
    type                              = "CUSTOMER_MANAGED_KMS_KEY"
    kms_key_id                        = aws_kms_key.this["data"].arn
    kms_data_key_reuse_period_seconds = 300
  }

  # Log every transition, but never input or output.
  logging_configuration {
    level                  = "ALL"
    include_execution_data = false
    log_destination        = "${aws_cloudwatch_log_group.this["state_machine_${each.key}"].arn}:*"
  }

  tracing_configuration {
    enabled = var.tracing_enabled
  }

  # Step Functions checks at creation that the role may deliver logs.
  depends_on = [aws_iam_role_policy.state_machine]
}
