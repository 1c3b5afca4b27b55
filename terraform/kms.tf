# Keys apart, so that none of them opens more than one kind of thing.
#   card   card numbers: Encrypt by one function, Decrypt by another, always with the token as context
#   sealing  what clients seal cards with; its private half opens them, in two functions
#   token  the MAC over a card number that is the card's token
#   data   what AWS encrypts for us: the ledger, the logs, the gateway's secret
#
# A policy that named a role as its principal would do without the role's own policy. These name the account and ask for the
# role by condition, so that both must allow: who takes an action away from the role has taken it away.

locals {
  served_sealing_key = var.sealing_keys[length(var.sealing_keys) - 1]

  account_root = "arn:${local.partition}:iam::${local.account_id}:root"
}

# Whoever administers the account administers the keys but, unlike under KMS's default policy, can't use them.
# No kms:CreateGrant either: a grant would let somebody in without a word in the policy.
data "aws_iam_policy_document" "key_administration" {
  statement {
    sid = "AdministerKey"
    actions = [
      "kms:CancelKeyDeletion",
      "kms:CreateAlias",
      "kms:Delete*",
      "kms:Describe*",
      "kms:Disable*",
      "kms:Enable*",
      "kms:Get*",
      "kms:List*",
      "kms:Put*",
      "kms:Revoke*",
      "kms:ScheduleKeyDeletion",
      "kms:TagResource",
      "kms:UntagResource",
      "kms:Update*",
    ]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = [local.account_root]
    }
  }
}

resource "aws_kms_key" "card" {
  description             = "${local.prefix}: card numbers"
  enable_key_rotation     = true
  deletion_window_in_days = var.kms_deletion_window_days
  tags                    = merge(local.tags, { Name = "${local.prefix}-card" })
}

resource "aws_kms_alias" "card" {
  name          = "alias/${local.prefix}-card"
  target_key_id = aws_kms_key.card.key_id
}

data "aws_iam_policy_document" "card_key" {
  source_policy_documents = [data.aws_iam_policy_document.key_administration.json]

  dynamic "statement" {
    for_each = {
      EncryptCard = { action = "kms:Encrypt", function = "encrypt" }
      DecryptCard = { action = "kms:Decrypt", function = "charge" }
    }

    content {
      sid       = statement.key
      actions   = [statement.value.action]
      resources = ["*"]

      principals {
        type        = "AWS"
        identifiers = [local.account_root]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:PrincipalArn"
        values   = [aws_iam_role.function[statement.value.function].arn]
      }

      dynamic "condition" {
        for_each = local.token_context_conditions

        content {
          test     = condition.value.test
          variable = condition.value.variable
          values   = condition.value.values
        }
      }
    }
  }
}

# A resource of its own, as the roles that it names are made from the functions map, which names the key.
resource "aws_kms_key_policy" "card" {
  key_id = aws_kms_key.card.key_id
  policy = data.aws_iam_policy_document.card_key.json
}

# KMS can't rotate a MAC key, and a new one would give every card a new token.
resource "aws_kms_key" "token" {
  description              = "${local.prefix}: card tokens"
  key_usage                = "GENERATE_VERIFY_MAC"
  customer_master_key_spec = "HMAC_256"
  deletion_window_in_days  = var.kms_deletion_window_days
  tags                     = merge(local.tags, { Name = "${local.prefix}-token" })
}

resource "aws_kms_alias" "token" {
  name          = "alias/${local.prefix}-token"
  target_key_id = aws_kms_key.token.key_id
}

data "aws_iam_policy_document" "token_key" {
  source_policy_documents = [data.aws_iam_policy_document.key_administration.json]

  statement {
    sid       = "DeriveToken"
    actions   = ["kms:GenerateMac"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = [local.account_root]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:PrincipalArn"
      values   = [aws_iam_role.function["tokenize"].arn]
    }
  }
}

resource "aws_kms_key_policy" "token" {
  key_id = aws_kms_key.token.key_id
  policy = data.aws_iam_policy_document.token_key.json
}

# Anyone may have the public half; a generation is rotated by adding the next (KMS can't rotate RSA keys).
resource "aws_kms_key" "sealing" {
  for_each = toset(var.sealing_keys)

  description              = "${local.prefix}: sealed cards, generation ${each.key}"
  key_usage                = "ENCRYPT_DECRYPT"
  customer_master_key_spec = "RSA_4096"
  deletion_window_in_days  = var.kms_deletion_window_days
  tags                     = merge(local.tags, { Name = "${local.prefix}-sealing-${each.key}" })
}

resource "aws_kms_alias" "sealing" {
  for_each = aws_kms_key.sealing

  name          = "alias/${local.prefix}-sealing-${each.key}"
  target_key_id = each.value.key_id
}

data "aws_kms_public_key" "sealing" {
  key_id = aws_kms_key.sealing[local.served_sealing_key].arn
}

data "aws_iam_policy_document" "sealing_key" {
  source_policy_documents = [data.aws_iam_policy_document.key_administration.json]

  statement {
    sid       = "OpenSealedCard"
    actions   = ["kms:Decrypt"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = [local.account_root]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:PrincipalArn"
      values   = [aws_iam_role.function["tokenize"].arn, aws_iam_role.function["encrypt"].arn]
    }

    dynamic "condition" {
      for_each = local.sealing_conditions

      content {
        test     = condition.value.test
        variable = condition.value.variable
        values   = condition.value.values
      }
    }
  }
}

resource "aws_kms_key_policy" "sealing" {
  for_each = aws_kms_key.sealing

  key_id = each.value.key_id
  policy = data.aws_iam_policy_document.sealing_key.json
}

data "aws_iam_policy_document" "data_key" {
  source_policy_documents = [data.aws_iam_policy_document.key_administration.json]

  statement {
    sid       = "EncryptLogs"
    actions   = ["kms:Decrypt*", "kms:Describe*", "kms:Encrypt*", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${local.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values = [
        for name in ["${local.function_log_prefix}*", local.state_machine_log_group, local.api_log_group] :
        "arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group:${name}"
      ]
    }
  }

  # As AWS's own key for DynamoDB does it: whoever may use the table may, through the table only, use the key.
  statement {
    sid = "EncryptLedger"
    actions = [
      "kms:CreateGrant",
      "kms:Decrypt",
      "kms:DescribeKey",
      "kms:Encrypt",
      "kms:GenerateDataKey*",
      "kms:ReEncrypt*",
    ]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "kms:CallerAccount"
      values   = [local.account_id]
    }

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["dynamodb.${local.region}.amazonaws.com"]
    }
  }

  # The account, so that a role needs a statement of its own as well.
  statement {
    sid       = "EncryptSecret"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account_id}:root"]
    }

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${local.region}.amazonaws.com"]
    }
  }
}

resource "aws_kms_key" "data" {
  description             = "${local.prefix}: ledger, logs and secrets"
  enable_key_rotation     = true
  deletion_window_in_days = var.kms_deletion_window_days
  policy                  = data.aws_iam_policy_document.data_key.json
  tags                    = merge(local.tags, { Name = "${local.prefix}-data" })
}

resource "aws_kms_alias" "data" {
  name          = "alias/${local.prefix}-data"
  target_key_id = aws_kms_key.data.key_id
}
