locals {
  packages = "${path.module}/../build/packages/${var.lambda_runtime}-${var.lambda_architecture}"

  environments = { for name, function in local.functions : name => merge(local.common_environment, function.environment) }
}

resource "aws_lambda_layer_version" "dependencies" {
  layer_name               = "${local.prefix}-dependencies"
  description              = "Third-party packages, at the versions that were tested"
  s3_bucket                = aws_s3_object.package["layer"].bucket
  s3_key                   = aws_s3_object.package["layer"].key
  compatible_runtimes      = [var.lambda_runtime]
  compatible_architectures = [var.lambda_architecture]
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_115:A reservation would take from the whole account; the API's throttle limits concurrent runs
  #checkov:skip=CKV_AWS_116:Dead letters are for asynchronous calls; if those on a schedule stop, alarms tell
  #checkov:skip=CKV_AWS_117:Nothing can connect to them; limiting egress takes a VPC, NAT and endpoints, billed hourly
  #checkov:skip=CKV_AWS_173:The variables are names and ARNs; the only secret is in Secrets Manager
  #checkov:skip=CKV_AWS_272:A signing profile and its bucket belong to the account; the plan pins packages by hash

  for_each = local.function_names

  function_name = "${local.prefix}-${each.key}"
  role          = aws_iam_role.function[each.key].arn
  handler       = "functions.${each.key}.handler.handler"
  runtime       = var.lambda_runtime
  architectures = [var.lambda_architecture]
  s3_bucket     = aws_s3_object.package["functions"].bucket
  s3_key        = aws_s3_object.package["functions"].key
  layers        = [aws_lambda_layer_version.dependencies.arn]
  publish       = true
  timeout       = local.functions[each.key].timeout
  memory_size   = local.functions[each.key].memory

  # -1 means no limit.
  reserved_concurrent_executions = coalesce(try(local.functions[each.key].concurrency, null), -1)

  environment {
    variables = local.environments[each.key]
  }

  dynamic "snap_start" {
    for_each = var.snap_start_enabled ? ["PublishedVersions"] : []

    content {
      apply_on = snap_start.value
    }
  }

  # Text, since the functions' own logger writes JSON.
  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this["function_${each.key}"].name
  }

  tracing_config {
    mode = var.tracing_enabled ? "Active" : "PassThrough"
  }

  tags = merge(local.tags, { Name = "${local.prefix}-${each.key}" })

  lifecycle {
    # Resolve may look, look again and reverse: three calls in a row. A function that is killed in between can't return
    # what it has learned.
    precondition {
      condition = (
        !contains(keys(local.functions[each.key].environment), "GATEWAYS") ||
        try(local.functions[each.key].gateway_calls, 3) * local.gateway_call_seconds < local.functions[each.key].timeout
      )
      error_message = "Each gateway's connect and read timeouts together, ${try(local.functions[each.key].gateway_calls, 3)} times, must be less than the ${each.key} function's timeout, ${local.functions[each.key].timeout} seconds."
    }

    # Lambda measures the variables as JSON ("Lambda quotas", Lambda developer guide).
    precondition {
      condition     = length(jsonencode(local.environments[each.key])) <= 4096
      error_message = "The ${each.key} function's settings would exceed Lambda's 4096 bytes. Shorten what is longest among webhooks, gateways, gateway_routes and return_urls: URLs, names, lists of event types."
    }
  }

  # If a function ran before its role may write logs, its logs would be lost.
  depends_on = [aws_iam_role_policy.function]
}

# Only events pass the filter. Lambda retries a batch until it succeeds, or until its records are a day old and gone
# from the stream; the alarm events-late fires long before.
resource "aws_lambda_event_source_mapping" "events" {
  event_source_arn               = aws_dynamodb_table.ledger.stream_arn
  function_name                  = aws_lambda_alias.live["publish"].arn
  starting_position              = "TRIM_HORIZON"
  batch_size                     = 100
  parallelization_factor         = 10
  bisect_batch_on_function_error = true
  tags                           = merge(local.tags, { Name = "${local.prefix}-events" })

  filter_criteria {
    filter {
      pattern = jsonencode({ eventName = ["INSERT"], dynamodb = { Keys = { sk = { S = [{ prefix = "EVENT#" }] } } } })
    }
  }

  depends_on = [aws_iam_role_policy.function]
}

resource "aws_lambda_permission" "api" {
  for_each = local.function_routes

  statement_id  = "AllowApi${replace(title(replace(each.key, "_", " ")), " ", "")}"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_alias.live[each.value.function].function_name
  qualifier     = aws_lambda_alias.live[each.value.function].name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.this.execution_arn}/${local.stage_name}/${each.value.http_method}/${local.items[each.value.item].path}"
}

resource "aws_lambda_permission" "gateway_events" {
  statement_id  = "AllowApiReceiveEvent"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_alias.live["receive_event"].function_name
  qualifier     = aws_lambda_alias.live["receive_event"].name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.this.execution_arn}/${local.stage_name}/POST/gateway-events/*"
}
