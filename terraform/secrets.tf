# Each gateway's API key, and the secrets with which it signs its events (a JSON list). Only their values are secret, not whether
# there are any.

resource "aws_secretsmanager_secret" "gateway" {
  #checkov:skip=CKV2_AWS_57:The gateway issues the key and has no call to renew it; an operator stores a new one
  for_each = var.gateways

  name                    = "${local.prefix}/gateway/${each.key}/api-key"
  description             = "The API key for the payment gateway ${each.key}"
  kms_key_id              = aws_kms_key.this["data"].arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
  tags                    = merge(local.tags, { Name = "${local.prefix}/gateway/${each.key}/api-key" })

  lifecycle {
    # A secret's name can't be changed without a new secret, and older versions, which knew one gateway, named it otherwise.
    ignore_changes = [name]
  }
}

resource "aws_secretsmanager_secret_version" "gateway" {
  for_each = toset(nonsensitive(keys(var.gateway_keys)))

  secret_id     = aws_secretsmanager_secret.gateway[each.key].id
  secret_string = var.gateway_keys[each.key]
}

resource "aws_secretsmanager_secret" "gateway_events" {
  #checkov:skip=CKV2_AWS_57:The gateway issues these secrets; an operator stores a new one
  for_each = var.gateways

  name                    = "${local.prefix}/gateway/${each.key}/event-secrets"
  description             = "The secrets with which the payment gateway ${each.key} signs its events, newest first"
  kms_key_id              = aws_kms_key.this["data"].arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
  tags                    = merge(local.tags, { Name = "${local.prefix}/gateway/${each.key}/event-secrets" })
}

resource "aws_secretsmanager_secret_version" "gateway_events" {
  for_each = toset(nonsensitive(keys(var.gateway_event_secrets)))

  secret_id     = aws_secretsmanager_secret.gateway_events[each.key].id
  secret_string = jsonencode(var.gateway_event_secrets[each.key])
}

resource "aws_secretsmanager_secret" "webhook" {
  #checkov:skip=CKV2_AWS_57:The endpoint's owner has to take a new secret first; an operator stores it
  for_each = var.webhooks

  name                    = "${local.prefix}/webhook/${each.key}/signing-secrets"
  description             = "The secrets with which the events for the webhook ${each.key} are signed, newest first"
  kms_key_id              = aws_kms_key.this["data"].arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
  tags                    = merge(local.tags, { Name = "${local.prefix}/webhook/${each.key}/signing-secrets" })
}

resource "aws_secretsmanager_secret_version" "webhook" {
  for_each = toset(nonsensitive(keys(var.webhook_secrets)))

  secret_id     = aws_secretsmanager_secret.webhook[each.key].id
  secret_string = jsonencode(var.webhook_secrets[each.key])
}

# Older versions knew one gateway, the one for which there was an adapter.
moved {
  from = aws_secretsmanager_secret.gateway
  to   = aws_secretsmanager_secret.gateway["sparkle"]
}

moved {
  from = aws_secretsmanager_secret_version.gateway[0]
  to   = aws_secretsmanager_secret_version.gateway["sparkle"]
}
