locals {
  function_log_prefix = "/aws/lambda/${local.prefix}-"
  # The vendedlogs prefix keeps Step Functions from adding to the account's log resource policy, which is limited in size.
  state_machine_log_prefix = "/aws/vendedlogs/states/${local.prefix}-"
  api_log_group            = "/aws/apigateway/${local.prefix}"
  # The encryption context of log deliveries says no more than this about their source.
  log_delivery_source = "arn:${local.partition}:logs:${local.region}:${local.account_id}:*"

  log_groups = merge(
    { for name in local.function_names : "function_${name}" => "${local.function_log_prefix}${name}" },
    { for name in keys(local.state_machines) : "state_machine_${name}" => "${local.state_machine_log_prefix}${name}" },
    { api = local.api_log_group },
  )
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.log_groups

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this["data"].arn
  tags              = merge(local.tags, { Name = each.value })
}
