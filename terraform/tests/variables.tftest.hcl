# What follows from the variables that have no file of their own. What the variables refuse is in tests/variables/.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "a_gateway_that_a_function_can_not_wait_for_is_refused" {
  command = plan

  plan_options {
    target = [aws_lambda_function.this]
  }

  variables {
    gateways = {
      quick = { url = "https://quick.example" }
      slow  = { url = "https://slow.example", read_timeout_seconds = 8 }
    }
    gateway_routes = [{ gateway = "quick" }]
  }

  # Charge, perform: 30 seconds.
  expect_failures = [aws_lambda_function.this]
}

run "settings_that_lambda_does_not_take_are_refused" {
  command = plan

  plan_options {
    target = [aws_lambda_function.this["screen"]]
  }

  variables {
    gateway_routes = concat(
      [for number in range(45) : { gateway = "sparkle", percent = 1 }],
      [{ gateway = "sparkle" }],
    )
  }

  # 46 routes of some 90 bytes each.
  expect_failures = [aws_lambda_function.this["screen"]]
}

run "values_on_the_edge_are_taken" {
  command = plan

  variables {
    name                     = "pay"
    environment              = "qa"
    region                   = "us-gov-west-1"
    kms_deletion_window_days = 30
    log_retention_days       = 3653
    lambda_runtime           = var.lambda_runtime
    gateways                 = { g2345678901234567890 = { url = "http://127.0.0.1:4567", read_timeout_seconds = 7.5 } }
    gateway_keys             = { g2345678901234567890 = "k" }             # pragma: allowlist secret
    gateway_event_secrets    = { g2345678901234567890 = ["3", "2", "1"] } # pragma: allowlist secret
    card_retention_days      = 1
    sealing_keys             = ["1", "2"]
    token_keys               = ["2"]
    api_throttling_burst     = 1
    status_concurrency       = 300
    tags                     = { Team = "payments", Environment = "mine" }
  }

  assert {
    condition     = toset(keys(aws_kms_key.this)) == toset(["books", "card", "data", "ephemeral", "vault", "sealing-1", "sealing-2", "token-2"])
    error_message = "There must be a key for each generation."
  }

  assert {
    condition     = [for name, function in aws_lambda_function.this : name if function.reserved_concurrent_executions != -1] == ["status"]
    error_message = "Who waits must have runs of his own, and nobody else."
  }

  assert {
    condition = (
      aws_dynamodb_table.ledger.tags["Project"] == "pay" &&
      aws_dynamodb_table.ledger.tags["Team"] == "payments"
    )
    error_message = "Every resource must carry the tags that were asked for."
  }
}

run "snapshots_are_of_the_versions_that_run" {
  command = plan

  plan_options {
    target = [aws_lambda_function.this]
  }

  variables {
    snap_start_enabled = true
  }

  assert {
    condition = alltrue([
      for function in aws_lambda_function.this : one(function.snap_start).apply_on == "PublishedVersions" && function.publish
    ])
    error_message = "Every function must be published, with a snapshot of each version."
  }
}

run "without_a_static_key_only_single_use_keys_are_accepted" {
  command = plan

  plan_options {
    target = [
      aws_api_gateway_integration_response.keys,
      aws_lambda_function.this,
      data.aws_iam_policy_document.function,
    ]
  }

  variables {
    sealing_keys = []
  }

  assert {
    condition     = jsondecode(aws_api_gateway_integration_response.keys.response_templates["application/json"]) == { keys = [] }
    error_message = "GET /keys must say that there is no static key."
  }

  assert {
    condition     = aws_lambda_function.this["tokenize"].environment[0].variables["SEALING_KEY_IDS"] == ""
    error_message = "Tokenize must accept no static key."
  }

  assert {
    condition     = !contains([for statement in data.aws_iam_policy_document.function["tokenize"].statement : statement.sid], "OpenStaticallySealedCard")
    error_message = "A statement without resources would be refused."
  }
}

run "unless_asked_otherwise_all_payments_go_to_the_only_gateway_and_no_function_starts_from_a_snapshot" {
  command = plan

  plan_options {
    target = [aws_lambda_function.this]
  }

  assert {
    condition = jsondecode(aws_lambda_function.this["screen"].environment[0].variables["GATEWAY_ROUTES"]) == [
      { gateway = "sparkle", currencies = null, brands = null, bins = null, percent = 100 },
    ]
    error_message = "Its route must match every payment."
  }

  assert {
    condition     = alltrue([for function in aws_lambda_function.this : length(function.snap_start) == 0])
    error_message = "SnapStart costs money, and must be asked for."
  }
}
