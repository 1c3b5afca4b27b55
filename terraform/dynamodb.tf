# The books. What is written here stays: there is no time to live, and no role of ours may delete.
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

  # open#{shard}. Only payments of which the gateway may yet end something by itself have it.
  attribute {
    name = "open_shard"
    type = "S"
  }

  # {day}#{shard}, and when, of each payment's last version: what a day's anchor is made of.
  attribute {
    name = "written_shard"
    type = "S"
  }

  # {day}#{shard}, and when the payment was asked for. It never changes, so that only a payment's first record costs a write.
  attribute {
    name = "day_shard"
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

# The stored cards, each until its time is over or it is erased.
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

# What is counted or noted for a while, and then forgotten: how often cards paid, and who looks after which execution.
resource "aws_dynamodb_table" "counters" {
  #checkov:skip=CKV_AWS_28:Nobody brings back counters of an hour or a day, and notes that are lost are made anew

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
