data "aws_iam_policy_document" "trust" {
  for_each = toset(["apigateway", "events", "lambda", "states"])

  statement {
    sid     = "AssumeRole"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }

    # Only on behalf of this account. The other services do not say for which account they act.
    dynamic "condition" {
      for_each = contains(["events", "states"], each.key) ? [local.account_id] : []

      content {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [condition.value]
      }
    }
  }
}

resource "aws_iam_role" "function" {
  for_each = local.function_names

  name               = "${local.prefix}-${each.key}"
  description        = "What the ${each.key} function may do"
  assume_role_policy = data.aws_iam_policy_document.trust["lambda"].json
  tags               = merge(local.tags, { Name = "${local.prefix}-${each.key}" })
}

data "aws_iam_policy_document" "function" {
  for_each = local.function_names

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this["function_${each.key}"].arn}:*"]
  }

  # X-Ray has no resources to restrict this to.
  statement {
    sid       = "WriteTraces"
    actions   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = local.functions[each.key].statements

    content {
      sid       = statement.value.sid
      actions   = statement.value.actions
      resources = statement.value.resources

      dynamic "condition" {
        for_each = try(statement.value.conditions, [])

        content {
          test     = condition.value.test
          variable = condition.value.variable
          values   = condition.value.values
        }
      }
    }
  }
}

resource "aws_iam_role_policy" "function" {
  for_each = local.function_names

  name   = each.key
  role   = aws_iam_role.function[each.key].id
  policy = data.aws_iam_policy_document.function[each.key].json
}

resource "aws_iam_role" "state_machine" {
  for_each = local.state_machines

  # A function is called resolve too; the suffix keeps the names of the two roles apart.
  name               = "${local.state_machine_names[each.key]}-state-machine"
  description        = "What the ${each.key} state machine may do"
  assume_role_policy = data.aws_iam_policy_document.trust["states"].json
  tags               = merge(local.tags, { Name = "${local.state_machine_names[each.key]}-state-machine" })
}

data "aws_iam_policy_document" "state_machine" {
  for_each = local.state_machines

  statement {
    sid     = "InvokeSteps"
    actions = ["lambda:InvokeFunction"]
    # All versions, since an execution keeps the one that it started with.
    resources = [for function in each.value : "${aws_lambda_function.this[function].arn}:*"]
  }

  statement {
    sid       = "EncryptExecutions"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this["data"].arn]

    dynamic "condition" {
      for_each = local.execution_context_conditions[each.key]

      content {
        test     = condition.value.test
        variable = condition.value.variable
        values   = condition.value.values
      }
    }
  }

  statement {
    sid       = "EncryptLogDelivery"
    actions   = ["kms:GenerateDataKey"]
    resources = [aws_kms_key.this["data"].arn]

    condition {
      test     = "StringLike"
      variable = "kms:EncryptionContext:SourceArn"
      values   = [local.log_delivery_source]
    }
  }

  # Log deliveries and traces have no resources to restrict these two statements to.
  statement {
    sid = "DeliverLogs"
    actions = [
      "logs:CreateLogDelivery",
      "logs:DeleteLogDelivery",
      "logs:DescribeLogGroups",
      "logs:DescribeResourcePolicies",
      "logs:GetLogDelivery",
      "logs:ListLogDeliveries",
      "logs:PutResourcePolicy",
      "logs:UpdateLogDelivery",
    ]
    resources = ["*"]
  }

  statement {
    sid = "WriteTraces"
    actions = [
      "xray:GetSamplingRules",
      "xray:GetSamplingTargets",
      "xray:PutTelemetryRecords",
      "xray:PutTraceSegments",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_role_policy" "state_machine" {
  for_each = local.state_machines

  name   = each.key
  role   = aws_iam_role.state_machine[each.key].id
  policy = data.aws_iam_policy_document.state_machine[each.key].json
}

resource "aws_iam_role" "api" {
  name               = "${local.prefix}-api"
  description        = "Lets the API start payments and operations on them"
  assume_role_policy = data.aws_iam_policy_document.trust["apigateway"].json
  tags               = merge(local.tags, { Name = "${local.prefix}-api" })
}

# API Gateway and EventBridge start the live state machines by their alias. The condition key is multivalued, so it
# needs a set operator; ForAnyValue is false for a request without an alias.
data "aws_iam_policy_document" "api" {
  statement {
    sid       = "StartPayment"
    actions   = ["states:StartExecution"]
    resources = [for machine in ["payment", "operation"] : aws_sfn_state_machine.this[machine].arn]

    condition {
      test     = "ForAnyValue:StringEquals"
      variable = "states:StateMachineQualifier"
      values   = [local.live]
    }
  }

  # Whether this action has the condition key is not documented, and a condition on a key that is not there is false.
  statement {
    sid       = "StoreCard"
    actions   = ["states:StartSyncExecution"]
    resources = [aws_sfn_state_machine.this["store_card"].arn]
  }

  # Who waits for an execution's end must be able to decrypt the definition (StartSyncExecution, API reference).
  statement {
    sid       = "ReadStoreCardDefinition"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.this["data"].arn]

    dynamic "condition" {
      for_each = local.execution_context_conditions["store_card"]

      content {
        test     = condition.value.test
        variable = condition.value.variable
        values   = condition.value.values
      }
    }
  }
}

resource "aws_iam_role_policy" "api" {
  name   = "start-payment"
  role   = aws_iam_role.api.id
  policy = data.aws_iam_policy_document.api.json
}

resource "aws_iam_role" "api_logs" {
  count = var.manage_api_gateway_account ? 1 : 0

  name               = "${local.prefix}-api-logs"
  description        = "Lets API Gateway write this account's access logs"
  assume_role_policy = data.aws_iam_policy_document.trust["apigateway"].json
  tags               = merge(local.tags, { Name = "${local.prefix}-api-logs" })
}

resource "aws_iam_role_policy_attachment" "api_logs" {
  count = var.manage_api_gateway_account ? 1 : 0

  role       = aws_iam_role.api_logs[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

resource "aws_iam_role" "events" {
  name               = "${local.prefix}-events"
  description        = "Lets EventBridge start the resolve and reconcile state machines"
  assume_role_policy = data.aws_iam_policy_document.trust["events"].json
  tags               = merge(local.tags, { Name = "${local.prefix}-events" })
}

data "aws_iam_policy_document" "events" {
  statement {
    sid       = "StartExecutions"
    actions   = ["states:StartExecution"]
    resources = [for machine in ["reconcile", "resolve"] : aws_sfn_state_machine.this[machine].arn]

    condition {
      test     = "ForAnyValue:StringEquals"
      variable = "states:StateMachineQualifier"
      values   = [local.live]
    }
  }
}

resource "aws_iam_role_policy" "events" {
  name   = "start-executions"
  role   = aws_iam_role.events.id
  policy = data.aws_iam_policy_document.events.json
}
