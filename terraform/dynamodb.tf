# The books. Nothing is ever removed: items have no time to live, and no role of ours may delete any.
resource "aws_dynamodb_table" "ledger" {
  name                        = "${local.prefix}-ledger"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection
  # By its keys, publish reads the events that were recorded.
  stream_enabled   = true
  stream_view_type = "KEYS_ONLY"
  tags             = merge(local.tags, { Name = "${local.prefix}-ledger" })

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  # {account}#{day}#{shard}. The shards spread a busy account's postings of a day over several partitions.
  attribute {
    name = "account_day"
    type = "S"
  }

  attribute {
    name = "posted_at"
    type = "S"
  }

  # in_doubt#{shard}, and the time since when. Only payments in doubt have both, so the index holds no other items.
  attribute {
    name = "doubt_shard"
    type = "S"
  }

  attribute {
    name = "doubt_since"
    type = "S"
  }

  # open#{shard}. Only payments that the gateway may still change by itself have it.
  attribute {
    name = "open_shard"
    type = "S"
  }

  # {day}#{shard} and the time of each payment's latest version. A day's anchor is made from them.
  attribute {
    name = "written_shard"
    type = "S"
  }

  # {day}#{shard} and the time of the payment's request.
  attribute {
    name = "day_shard"
    type = "S"
  }

  # {status}#{day}#{shard}, and the same time. Payments that are captured don't have it: by_day shows the status, too.
  attribute {
    name = "status_shard"
    type = "S"
  }

  attribute {
    name = "merchant_reference"
    type = "S"
  }

  attribute {
    name = "written_at"
    type = "S"
  }

  attribute {
    name = "created_at"
    type = "S"
  }

  global_secondary_index {
    name            = "open"
    hash_key        = "open_shard"
    range_key       = "pk"
    projection_type = "KEYS_ONLY"
  }

  global_secondary_index {
    name               = "by_day"
    hash_key           = "day_shard"
    range_key          = "created_at"
    projection_type    = "INCLUDE"
    non_key_attributes = ["status"]
  }

  global_secondary_index {
    name            = "by_status"
    hash_key        = "status_shard"
    range_key       = "created_at"
    projection_type = "KEYS_ONLY"
  }

  global_secondary_index {
    name            = "by_reference"
    hash_key        = "merchant_reference"
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

  global_secondary_index {
    name            = "by_writing"
    hash_key        = "written_shard"
    range_key       = "written_at"
    projection_type = "KEYS_ONLY"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.this["data"].arn
  }
}

# The stored cards, each until it expires or is erased.
resource "aws_dynamodb_table" "cards" {
  name                        = "${local.prefix}-cards"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection
  tags                        = merge(local.tags, { Name = "${local.prefix}-cards" })

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
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
    kms_key_arn = aws_kms_key.this["vault"].arn
  }
}

# What a payment has only until it ends: its single-use key, its card, its security code, and what it waits for. No copy
# of it may outlive that.
resource "aws_dynamodb_table" "ephemeral" {
  #checkov:skip=CKV_AWS_28:A backup would hold what the payment's end deletes

  name                        = "${local.prefix}-ephemeral"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "payment_id"
  deletion_protection_enabled = var.deletion_protection
  tags                        = merge(local.tags, { Name = "${local.prefix}-ephemeral" })

  attribute {
    name = "payment_id"
    type = "S"
  }

  # waiting#{shard}. Only payments that wait for their customers have it.
  attribute {
    name = "wait_shard"
    type = "S"
  }

  global_secondary_index {
    name            = "waiting"
    hash_key        = "wait_shard"
    range_key       = "payment_id"
    projection_type = "KEYS_ONLY"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.this["ephemeral"].arn
  }
}

# Temporary counts and notes: how often cards paid, and which executions that ended badly are being handled.
resource "aws_dynamodb_table" "counters" {
  #checkov:skip=CKV_AWS_28:Counters of an hour or a day are not worth restoring, and lost notes are written again

  name                        = "${local.prefix}-counters"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.deletion_protection
  tags                        = merge(local.tags, { Name = "${local.prefix}-counters" })

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.this["data"].arn
  }
}
