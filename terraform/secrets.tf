resource "aws_secretsmanager_secret" "gateway" {
  #checkov:skip=CKV2_AWS_57:The gateway issues the key and has no call to renew it; an operator stores a new one

  name                    = "${local.prefix}/gateway-api-key"
  description             = "The payment gateway's bearer key"
  kms_key_id              = aws_kms_key.this["data"].arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
  tags                    = merge(local.tags, { Name = "${local.prefix}/gateway-api-key" })
}

resource "aws_secretsmanager_secret_version" "gateway" {
  # Only the key's value is secret, not whether there is one.
  count = nonsensitive(var.gateway_api_key != null) ? 1 : 0

  secret_id     = aws_secretsmanager_secret.gateway.id
  secret_string = var.gateway_api_key
}
