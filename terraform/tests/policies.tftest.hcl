# The policies' shape: nobody may do everything, and nothing may be done to everything, but where AWS knows no narrower.
# Who may do what in full is docs/permissions.yaml, which a test compares with a deployed stack.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
  webhooks    = { shop = { url = "https://shop.example" } }
}

# One run, since all of these look at the same deployment, and each run plans anew.
run "nobody_may_do_more_than_is_named" {
  plan_options {
    target = [
      aws_iam_role.state_machine,
      data.aws_iam_policy_document.api,
      data.aws_iam_policy_document.events,
      data.aws_iam_policy_document.function,
      data.aws_iam_policy_document.key,
      data.aws_iam_policy_document.state_machine,
      data.aws_iam_policy_document.trust,
    ]
  }

  assert {
    condition = alltrue(flatten([
      for document in concat(
        values(data.aws_iam_policy_document.function),
        values(data.aws_iam_policy_document.state_machine),
        [data.aws_iam_policy_document.api, data.aws_iam_policy_document.events],
        ) : [
        for statement in document.statement : [for action in statement.actions : !strcontains(action, "*")]
      ]
    ]))
    error_message = "Every action must be named in full."
  }

  assert {
    condition = toset(flatten([
      for document in concat(
        values(data.aws_iam_policy_document.function),
        values(data.aws_iam_policy_document.state_machine),
        [data.aws_iam_policy_document.api, data.aws_iam_policy_document.events],
        ) : [
        for statement in document.statement : statement.sid if contains(statement.resources, "*")
      ]
    ])) == toset(["DeliverLogs", "ResumePayment", "WriteTraces"])
    error_message = "Only log deliveries, task tokens and traces, which have no resources of their own, may be of all resources."
  }

  assert {
    condition = alltrue(flatten([
      for document in concat(
        values(data.aws_iam_policy_document.function),
        values(data.aws_iam_policy_document.state_machine),
        [data.aws_iam_policy_document.api, data.aws_iam_policy_document.events],
        ) : [
        for statement in document.statement : coalesce(statement.effect, "Allow") == "Allow" && statement.not_actions == null && statement.not_resources == null
      ]
    ]))
    error_message = "A role may what is named, and not everything but what is named."
  }

  assert {
    condition = alltrue(flatten([
      for document in data.aws_iam_policy_document.function : [
        for statement in document.statement :
        anytrue([for resource in statement.resources : strcontains(resource, "/index/")]) ||
        length(setintersection(["dynamodb:LeadingKeys", "dynamodb:Attributes"], [for condition in statement.condition : condition.variable])) > 0
        if anytrue([for action in statement.actions : startswith(action, "dynamodb:")]) && statement.sid != "FollowLedger"
      ]
    ]))
    error_message = "No function may read or write all of the table."
  }

  assert {
    condition = aws_dynamodb_table.ledger.stream_view_type == "KEYS_ONLY" && {
      for name, document in data.aws_iam_policy_document.function : name => [
        for statement in document.statement : [statement.actions, statement.resources] if statement.sid == "FollowLedger"
      ] if anytrue([for statement in document.statement : statement.sid == "FollowLedger"])
      } == {
      publish = [[
        toset(["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"]),
        toset([aws_dynamodb_table.ledger.stream_arn]),
      ]]
    }
    error_message = "Only publish may follow the stream, in which there are no items but their keys."
  }

  assert {
    condition = toset(flatten([
      for name, document in data.aws_iam_policy_document.function : [
        for statement in document.statement : name if contains(statement.actions, "dynamodb:DeleteItem")
      ]
    ])) == toset(["cards"])
    error_message = "Nothing but stored cards may be deleted."
  }

  assert {
    condition = !anytrue(flatten([
      for document in data.aws_iam_policy_document.function : [
        for statement in document.statement : contains(statement.actions, "dynamodb:Scan")
      ]
    ]))
    error_message = "No function may read through the table."
  }

  assert {
    condition = {
      for key, document in data.aws_iam_policy_document.key : key => {
        for statement in document.statement : statement.sid => join(" ", flatten([
          for condition in statement.condition : [for arn in condition.values : element(split("payments-test-", arn), 1)] if condition.variable == "aws:PrincipalArn"
        ])) if contains([for condition in statement.condition : condition.variable], "aws:PrincipalArn")
      }
      } == {
      card  = { EncryptCard = "encrypt", DecryptCard = "charge verify" }
      books = { SealBooks = "anchor compensate follow_event persist reconcile reserve resolve settle" }
      data  = { EncryptExecutions = "operation-state-machine payment-state-machine reconcile-state-machine resolve-state-machine store_card-state-machine" }
      ephemeral = {
        IssueKey       = "issue_key"
        OpenSealedCard = "tokenize encrypt"
        KeepTaskToken  = "await_customer"
        OpenTaskToken  = "follow_event resume"
      }
      sealing-1 = { OpenSealedCard = "tokenize encrypt" }
      token-1   = { DeriveToken = "tokenize" }
      vault     = {}
    }
    error_message = "A key is used by exactly the functions that need it."
  }

  assert {
    condition = alltrue([
      for document in data.aws_iam_policy_document.key : alltrue([
        for action in one([for statement in document.statement : statement.actions if statement.sid == "AdministerKey"]) :
        !contains(["kms:*", "kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateMac", "kms:ReEncrypt*", "kms:Sign"], action)
      ])
    ])
    error_message = "Who administers a key must not be able to use it."
  }

  assert {
    condition = alltrue(flatten([
      for document in data.aws_iam_policy_document.key : [
        for statement in document.statement : length(statement.condition) > 0 if statement.sid != "AdministerKey"
      ]
    ]))
    error_message = "No key may be used without a condition on who uses it or for what."
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.key["data"].statement : statement.sid => join(" ", flatten([
        for condition in statement.condition : [for service in condition.values : split(".", service)[0]] if condition.variable == "kms:ViaService"
      ])) if one(statement.principals).type == "AWS" && statement.sid != "AdministerKey"
      } == {
      EncryptExecutions                   = ""
      EncryptLedger                       = "dynamodb"
      EncryptLogDelivery                  = ""
      EncryptSecretsExecutionsAndMessages = "secretsmanager sns sqs states" # pragma: allowlist secret
    }
    error_message = "Whoever calls a service uses the key through it; a state machine's role calls KMS itself, for executions and the log."
  }

  assert {
    condition = {
      for name, document in data.aws_iam_policy_document.state_machine : name => one([
        for statement in document.statement : {
          for condition in statement.condition : condition.variable => join(" ", condition.values)
        } if statement.sid == "EncryptExecutions"
      ])
      } == {
      for name, arn in local.state_machine_arns : name => { "kms:EncryptionContext:aws:states:stateMachineArn" = arn }
    }
    error_message = "Each role must be bound to its own state machine, and to no service that it would call KMS through."
  }

  assert {
    condition = {
      for name, role in aws_iam_role.state_machine : name => "arn:aws:iam::123456789012:role/${role.name}"
      } == {
      for name in keys(local.state_machines) : name => one([
        for arn in one([
          for condition in one([for statement in data.aws_iam_policy_document.key["data"].statement : statement if statement.sid == "EncryptExecutions"]).condition :
          condition.values if condition.variable == "aws:PrincipalArn"
        ]) : arn if strcontains(arn, "-${name}-")
      ])
    }
    error_message = "The key's policy must name the roles as they are called."
  }

  assert {
    condition = alltrue(flatten([
      for document in data.aws_iam_policy_document.function : [
        for statement in document.statement : alltrue([
          for wanted in ["StringEquals dynamodb:Select SPECIFIC_ATTRIBUTES", "Null dynamodb:Attributes false"] :
          contains([for condition in statement.condition : "${condition.test} ${condition.variable} ${join(" ", condition.values)}"], wanted)
        ]) if contains([for condition in statement.condition : condition.variable], "dynamodb:Attributes") && !contains(statement.actions, "dynamodb:UpdateItem")
      ]
    ]))
    error_message = "A read without a projection names the key alone, and must not get everything."
  }

  assert {
    condition = alltrue([
      for service, document in data.aws_iam_policy_document.trust :
      one(one(document.statement).principals).identifiers == toset(["${service}.amazonaws.com"])
    ])
    error_message = "Nobody but the service may assume a service's role."
  }

  assert {
    condition = alltrue([
      for service in ["events", "states"] :
      [for condition in one(data.aws_iam_policy_document.trust[service].statement).condition : condition.variable] == ["aws:SourceAccount"]
    ])
    error_message = "EventBridge and Step Functions must come on this account's behalf."
  }

  assert {
    condition = alltrue([
      for document in [data.aws_iam_policy_document.api, data.aws_iam_policy_document.events] : (
        document.statement[0].actions == toset(["states:StartExecution"]) &&
        one(document.statement[0].condition).test == "ForAnyValue:StringEquals" &&
        one(document.statement[0].condition).variable == "states:StateMachineQualifier" &&
        one(document.statement[0].condition).values == tolist(["live"])
      )
    ])
    error_message = "The API and EventBridge must start what is in service, and nothing else."
  }
}
