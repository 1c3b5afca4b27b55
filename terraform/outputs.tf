output "api_url" {
  description = "The API's URL; a path like /payments is appended to it."
  value       = var.api_domain == null ? aws_api_gateway_stage.this.invoke_url : "https://${var.api_domain.domain_name}"

  # Until the mapping exists, the domain leads to no API.
  depends_on = [aws_api_gateway_base_path_mapping.this]
}

output "api_domain_target" {
  description = "The target (name and hosted zone) of a DNS alias for var.api_domain; null without a domain."
  value = var.api_domain == null ? null : {
    name    = aws_api_gateway_domain_name.this[0].regional_domain_name
    zone_id = aws_api_gateway_domain_name.this[0].regional_zone_id
  }
}

output "api_id" {
  description = "The REST API's id, for a URL other than AWS's own."
  value       = aws_api_gateway_rest_api.this.id
}

output "stage_name" {
  description = "The API's stage."
  value       = aws_api_gateway_stage.this.stage_name
}

output "region" {
  description = "The AWS region of the deployment."
  value       = local.region
}

output "state_machine_arn" {
  description = "The payment state machine."
  value       = aws_sfn_state_machine.this["payment"].arn
}

output "resolve_state_machine_arn" {
  description = "The state machine that resolves payments in doubt."
  value       = aws_sfn_state_machine.this["resolve"].arn
}

output "reconcile_state_machine_arn" {
  description = "The state machine that reconciles a day."
  value       = aws_sfn_state_machine.this["reconcile"].arn
}

output "stable_versions" {
  description = "The current versions, which a roll-out passes as var.rollout.from: one for each state machine and for each function with an alias."
  value       = local.stable_versions
}

output "live_versions" {
  description = "The percentage of new executions for each version, by state machine and by function with an alias."
  value       = local.live_versions
}

output "newest_version_arns" {
  description = "The newest version of each state machine and function that this deployment made."
  value       = sort(concat([for machine in aws_sfn_state_machine.this : machine.state_machine_version_arn], [for function in aws_lambda_function.this : function.qualified_arn]))
}

output "live_alias_arns" {
  description = "The alias that callers start, by state machine and by function with an alias; live_versions has the versions behind it."
  value       = merge({ for name, alias in aws_sfn_alias.live : name => alias.arn }, { for name, alias in aws_lambda_alias.live : name => alias.arn })
}

output "alarm_names" {
  description = "The alarms. A deployment in steps is rolled back if one fires."
  value       = sort([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name])
}

output "ledger_table" {
  description = "The ledger's DynamoDB table."
  value       = aws_dynamodb_table.ledger.name
}

output "cards_table" {
  description = "The stored cards' DynamoDB table."
  value       = aws_dynamodb_table.cards.name
}

output "counters_table" {
  description = "The DynamoDB table of counters and temporary notes."
  value       = aws_dynamodb_table.counters.name
}

output "books_key_arn" {
  description = "The KMS key that seals the ledger's records and anchors."
  value       = aws_kms_key.this["books"].arn
}

output "anchors_bucket" {
  description = "The S3 bucket with the ledger's anchors."
  value       = aws_s3_bucket.anchors.bucket
}

output "auditor_policy_arn" {
  description = "The policy for auditors who verify the ledger; it allows reads only."
  value       = aws_iam_policy.auditor.arn
}

output "log_group_prefix" {
  description = "The prefix of each function's log group; the function's short name follows."
  value       = local.function_log_prefix

  # Otherwise a failed plan would contain only this output, and Terraform would say that it can be applied.
  depends_on = [aws_cloudwatch_log_group.this]
}

output "function_names" {
  description = "Each function's full name, by its short name."
  value       = { for name, function in aws_lambda_function.this : name => function.function_name }
}

output "card_key_arn" {
  description = "The KMS key that encrypts card numbers."
  value       = aws_kms_key.this["card"].arn
}

output "token_key_arn" {
  description = "The KMS key that turns card numbers into fingerprints, and stored cards into tokens, in its latest generation."
  value       = aws_kms_key.this[local.deriving_token_key].arn
}

output "gateways" {
  description = "The payment gateways' URLs, by name."
  value       = { for name, gateway in var.gateways : name => { url = gateway.url } }

  # Without packages there is nothing to show: the plan says what to run first, and nothing else.
  depends_on = [aws_lambda_function.this]
}

output "gateway_secret_arns" {
  description = "The secret that holds each payment gateway's API key; set its value here unless gateway_keys has it."
  value       = { for name, secret in aws_secretsmanager_secret.gateway : name => secret.arn }
}

output "gateway_event_secret_arns" {
  description = "The secret that holds a JSON list of the secrets with which each payment gateway signs its events; set its value here unless gateway_event_secrets has it."
  value       = { for name, secret in aws_secretsmanager_secret.gateway_events : name => secret.arn }
}

output "event_bus_name" {
  description = "The bus with all events; in-house consumers add rules to it (examples/consumer)."
  value       = aws_cloudwatch_event_bus.events.name
}

output "webhook_secret_arns" {
  description = "The secret that holds a JSON list of the secrets with which each webhook's events are signed; set its value here unless webhook_secrets has it."
  value       = { for name, secret in aws_secretsmanager_secret.webhook : name => secret.arn }
}

output "webhook_queue_urls" {
  description = "Each webhook's queue and that of its dead letters."
  value = {
    for name, queue in aws_sqs_queue.webhook : name => { queue = queue.url, dead_letters = aws_sqs_queue.webhook_dead_letters[name].url }
  }
}

output "caller_policy_arns" {
  description = "Policies for the API's callers, by what they allow: charge, refund, erase, read."
  value       = { for name, policy in aws_iam_policy.caller : name => policy.arn }
}
