resource "aws_dynamodb_table" "ledger" {
  name                        = "${local.prefix}-ledger"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection
  tags                        = merge(local.tags, { Name = "${local.prefix}-ledger" })

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  # {account}#{day}#{shard}: a busy account's postings of one day lie on several partitions.
  attribute {
    name = "account_day"
    type = "S"
  }

  attribute {
    name = "posted_at"
    type = "S"
  }

  # in_doubt#{shard}, and since when. Only payments in doubt have them, so the index holds nothing else.
  attribute {
    name = "doubt_shard"
    type = "S"
  }

  attribute {
    name = "doubt_since"
    type = "S"
  }

  # {day}#{shard}, and when the payment was asked for. It never changes, so that only a payment's first record costs a write.
  attribute {
    name = "day_shard"
    type = "S"
  }

  attribute {
    name = "created_at"
    type = "S"
  }

  global_secondary_index {
    name            = "by_day"
    hash_key        = "day_shard"
    range_key       = "created_at"
    projection_type = "KEYS_ONLY"
  }

  global_secondary_index {
    name            = "in_doubt"
    hash_key        = "doubt_shard"
    range_key       = "doubt_since"
    projection_type = "KEYS_ONLY"
  }

  global_secondary_index {
    name            = "by_account"
    hash_key        = "account_day"
    range_key       = "posted_at"
    projection_type = "ALL"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.this["data"].arn
  }
}
