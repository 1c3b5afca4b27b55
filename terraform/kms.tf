# Separate keys, so that each protects only one kind of data.
#   card       card numbers: one function encrypts, two others decrypt, always with the token or fingerprint as context
#   data       data that AWS encrypts for us: the ledger, the counters, the logs, the gateway's secret, the executions'
#              histories, the alarms and the dead letters
#   vault      the table of stored cards, which DynamoDB encrypts
#   ephemeral  single-use keys and task tokens, each with its payment and its purpose as context, and their table
#   books      MACs of each version of a payment's record and of each anchor: the functions that write them make the
#              MACs, and auditors verify them. The key is never replaced, since its MACs must be verifiable as long as
#              the books are kept
#   sealing    static keys: clients seal cards with the public half; two functions open them with the private half
#   token      MACs: of a card number, its fingerprint; of a number and its payment's id, the stored card's token
# KMS rotates the first four automatically. It can't rotate the others: each generation of sealing and token is a new
# key (docs/rotation.md).
#
# If a key policy named a role as its principal, the role would need no policy of its own. These policies name the
# account and restrict the role by a condition, so that both policies must allow an action: removing it from the role's
# policy is enough to revoke it. The account's administrators administer the keys but, unlike under KMS's default
# policy, can't use them.

locals {
  # The one that GET /keys serves; none if there is no static key.
  served_sealing_keys = [
    for generation in slice(reverse(var.sealing_keys), 0, min(1, length(var.sealing_keys))) : "sealing-${generation}"
  ]
  deriving_token_key = "token-${var.token_keys[length(var.token_keys) - 1]}"

  account_root = "arn:${local.partition}:iam::${local.account_id}:root"

  # uses = { sid = the allowed actions }
  #   by          the principal, { type = principal }; the account by default
  #   roles       allows only these roles of the account
  #   conditions  allows the actions only under these conditions
  customer_keys = merge(
    {
      card = {
        description = "card numbers"
        usage       = "ENCRYPT_DECRYPT"
        spec        = "SYMMETRIC_DEFAULT"
        uses = {
          EncryptCard = { actions = ["kms:Encrypt"], roles = ["encrypt"], conditions = local.card_context_conditions }
          DecryptCard = { actions = ["kms:Decrypt"], roles = ["charge", "verify"], conditions = local.card_context_conditions }
        }
      }
      data = {
        description = "ledger, logs, secrets, executions and messages"
        usage       = "ENCRYPT_DECRYPT"
        spec        = "SYMMETRIC_DEFAULT"
        uses        = merge(local.data_key_uses, { EncryptLedger = local.table_key_use })
      }
      vault = {
        description = "the table of stored cards"
        usage       = "ENCRYPT_DECRYPT"
        spec        = "SYMMETRIC_DEFAULT"
        uses        = { EncryptCards = local.table_key_use }
      }
      ephemeral = {
        description = "single-use keys, task tokens, and their table"
        usage       = "ENCRYPT_DECRYPT"
        spec        = "SYMMETRIC_DEFAULT"
        uses = {
          EncryptTable   = local.table_key_use
          IssueKey       = { actions = ["kms:Encrypt"], roles = ["issue_key"], conditions = local.ephemeral_conditions["sealing"] }
          OpenSealedCard = { actions = ["kms:Decrypt"], roles = ["tokenize", "encrypt"], conditions = local.ephemeral_conditions["sealing"] }
          KeepTaskToken  = { actions = ["kms:Encrypt"], roles = ["await_customer"], conditions = local.ephemeral_conditions["task_token"] }
          OpenTaskToken  = { actions = ["kms:Decrypt"], roles = ["follow_event", "resume"], conditions = local.ephemeral_conditions["task_token"] }
        }
      }
      books = {
        description = "seals of the ledger's records and anchors"
        usage       = "GENERATE_VERIFY_MAC"
        spec        = "HMAC_256"
        uses = {
          SealBooks = { actions = ["kms:GenerateMac"], roles = local.sealing_roles, conditions = [] }
          # The principal is the account, so an auditor also needs a policy (audit.tf). None of our roles has it.
          VerifyBooks = {
            actions    = ["kms:VerifyMac"]
            conditions = [{ test = "StringEquals", variable = "kms:CallerAccount", values = [local.account_id] }]
          }
        }
      }
    },
    {
      for generation in var.sealing_keys : "sealing-${generation}" => {
        description = "sealed cards, generation ${generation}"
        usage       = "ENCRYPT_DECRYPT"
        spec        = "RSA_4096"
        uses = {
          OpenSealedCard = { actions = ["kms:Decrypt"], roles = ["tokenize", "encrypt"], conditions = local.sealing_conditions }
        }
      }
    },
    {
      for generation in var.token_keys : "token-${generation}" => {
        description = "card tokens, generation ${generation}"
        usage       = "GENERATE_VERIFY_MAC"
        spec        = "HMAC_256"
        uses = {
          DeriveToken = { actions = ["kms:GenerateMac"], roles = ["tokenize"], conditions = [] }
        }
      }
    },
  )

  log_delivery_conditions = [
    { test = "StringLike", variable = "kms:EncryptionContext:SourceArn", values = [local.log_delivery_source] },
  ]

  # Like AWS's own key for DynamoDB: everyone who may use the table may use the key, but only through DynamoDB.
  table_key_use = {
    by = { AWS = "*" }
    actions = [
      "kms:CreateGrant",
      "kms:Decrypt",
      "kms:DescribeKey",
      "kms:Encrypt",
      "kms:GenerateDataKey*",
      "kms:ReEncrypt*",
    ]
    conditions = [
      { test = "StringEquals", variable = "kms:CallerAccount", values = [local.account_id] },
      { test = "StringEquals", variable = "kms:ViaService", values = ["dynamodb.${local.region}.amazonaws.com"] },
    ]
  }

  data_key_uses = {
    # An execution's role encrypts the data that Step Functions stores for the execution. It calls KMS directly and not
    # through Step Functions, so with a condition on kms:ViaService no execution could start ("Data at rest encryption
    # in Step Functions", developer guide). Each role's own policy names its own state machine.
    EncryptExecutions = {
      actions = ["kms:Decrypt", "kms:GenerateDataKey"]
      roles   = [for machine in keys(local.state_machines) : "${machine}-state-machine"]
      conditions = [
        {
          test     = "StringEquals"
          variable = "kms:EncryptionContext:aws:states:stateMachineArn"
          values   = values(local.state_machine_arns)
        },
      ]
    }

    # To read an execution or create a state machine, a caller uses the key through Step Functions; likewise for the
    # other services. The principal is the account, so that a role also needs a statement of its own.
    EncryptSecretsExecutionsAndMessages = {
      actions = ["kms:Decrypt", "kms:GenerateDataKey*"]
      conditions = [
        {
          test     = "StringEquals"
          variable = "kms:ViaService"
          values   = [for service in ["secretsmanager", "sns", "sqs", "states"] : "${service}.${local.region}.amazonaws.com"]
        },
      ]
    }

    EncryptLogs = {
      by      = { Service = "logs.${local.region}.amazonaws.com" }
      actions = ["kms:Decrypt*", "kms:Describe*", "kms:Encrypt*", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
      conditions = [
        {
          test     = "ArnLike"
          variable = "kms:EncryptionContext:aws:logs:arn"
          values = [
            for name in ["${local.function_log_prefix}*", "${local.state_machine_log_prefix}*", local.api_log_group] :
            "arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group:${name}"
          ]
        },
      ]
    }

    # This service delivers the state machines' logs ("Data at rest encryption in Step Functions").
    DeliverLogs = {
      by         = { Service = "delivery.logs.amazonaws.com" }
      actions    = ["kms:Decrypt*"]
      conditions = local.log_delivery_conditions
    }
    EncryptLogDelivery = {
      actions    = ["kms:GenerateDataKey"]
      conditions = local.log_delivery_conditions
    }

    # "Enable compatibility between event sources from AWS services and encrypted topics" (SNS developer guide).
    EncryptAlarms = {
      by         = { Service = "cloudwatch.amazonaws.com" }
      actions    = ["kms:Decrypt", "kms:GenerateDataKey*"]
      conditions = [{ test = "ArnLike", variable = "aws:SourceArn", values = [local.alarm_arns] }]
    }

    # The condition names the queue and not the rule, since EventBridge does not tell KMS which rule it acts for (same
    # guide).
    EncryptQueuedEvents = {
      by      = { Service = "events.amazonaws.com" }
      actions = ["kms:Decrypt", "kms:GenerateDataKey*"]
      conditions = [
        {
          test     = "StringEquals"
          variable = "kms:EncryptionContext:aws:sqs:arn"
          values   = concat([local.dead_letter_queue_arn], values(local.webhook_queue_arns))
        },
      ]
    }
  }
}

resource "aws_kms_key" "this" {
  for_each = local.customer_keys

  description              = "${local.prefix}: ${each.value.description}"
  key_usage                = each.value.usage
  customer_master_key_spec = each.value.spec
  enable_key_rotation      = each.value.spec == "SYMMETRIC_DEFAULT"
  deletion_window_in_days  = var.kms_deletion_window_days
  policy                   = data.aws_iam_policy_document.key[each.key].json
  tags                     = merge(local.tags, { Name = "${local.prefix}-${each.key}" })
}

resource "aws_kms_alias" "this" {
  for_each = aws_kms_key.this

  name          = "alias/${local.prefix}-${each.key}"
  target_key_id = each.value.key_id
}

# The public half is not secret.
data "aws_kms_public_key" "sealing" {
  for_each = toset(local.served_sealing_keys)

  key_id = aws_kms_key.this[each.key].arn
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:In a key policy "*" means only the key that has the policy
  #checkov:skip=CKV_AWS_111:In a key policy "*" means only the key that has the policy
  #checkov:skip=CKV_AWS_356:In a key policy "*" means only the key that has the policy

  for_each = local.customer_keys

  # No kms:CreateGrant, since a grant gives access that the policy does not show.
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

  dynamic "statement" {
    for_each = each.value.uses

    content {
      sid       = statement.key
      actions   = statement.value.actions
      resources = ["*"]

      dynamic "principals" {
        for_each = try(statement.value.by, { AWS = local.account_root })

        content {
          type        = principals.key
          identifiers = [principals.value]
        }
      }

      dynamic "condition" {
        for_each = try([statement.value.roles], [])

        content {
          test     = "ArnEquals"
          variable = "aws:PrincipalArn"
          # Written out, since the functions map defines the roles and refers to the keys: a reference would be a cycle.
          values = [
            for role in condition.value : "arn:${local.partition}:iam::${local.account_id}:role/${local.prefix}-${role}"
          ]
        }
      }

      dynamic "condition" {
        for_each = statement.value.conditions

        content {
          test     = condition.value.test
          variable = condition.value.variable
          values   = condition.value.values
        }
      }
    }
  }
}
