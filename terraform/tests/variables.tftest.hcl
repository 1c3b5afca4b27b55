# What the variables refuse, many of them in one run; those of callers, domain, firewall, alarms and roll-out are tested beside
# what they do.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateway_url = "https://sparkle.example"
}

run "values_just_outside_what_is_allowed_are_refused" {
  command = plan

  variables {
    name                            = "1st-payments"
    environment                     = "prod-eu"
    tags                            = { "aws:owner" = "me" }
    lambda_runtime                  = "python3.10"
    lambda_architecture             = "riscv64"
    log_level                       = "info"
    log_retention_days              = 90
    kms_deletion_window_days        = 6
    gateway_url                     = "https://sparkle.example/"
    gateway_api_key                 = ""
    gateway_connect_timeout_seconds = 0
    gateway_read_timeout_seconds    = -1
    card_retention_days             = 0.5
    accepted_brands                 = ["visa", "Visa"]
    sealing_keys                    = ["1", "1"]
    token_keys                      = ["1", "1"]
    api_throttling_rate             = 0
    api_throttling_burst            = 1.5
    status_concurrency              = 0
  }

  expect_failures = [
    var.name,
    var.environment,
    var.tags,
    var.lambda_runtime,
    var.lambda_architecture,
    var.log_level,
    var.log_retention_days,
    var.kms_deletion_window_days,
    var.gateway_url,
    var.gateway_api_key,
    var.gateway_connect_timeout_seconds,
    var.gateway_read_timeout_seconds,
    var.card_retention_days,
    var.accepted_brands,
    var.sealing_keys,
    var.token_keys,
    var.api_throttling_rate,
    var.api_throttling_burst,
    var.status_concurrency,
  ]
}

# It is judged together with the packages, whose place depends on other variables: where those are refused, it isn't looked at.
run "a_region_that_is_none_is_refused" {
  command = plan

  variables {
    region = "Frankfurt"
  }

  expect_failures = [var.region]
}

run "so_are_those_on_the_other_side" {
  command = plan

  variables {
    name                     = "payments-of-a-very-long-name"
    environment              = "p"
    tags                     = { project = "mine" }
    lambda_runtime           = "python3.14"
    kms_deletion_window_days = 31
    gateway_url              = "http://sparkle.example"
    card_retention_days      = 3651
    token_keys               = []
    api_throttling_burst     = 0
  }

  expect_failures = [
    var.name,
    var.environment,
    var.tags,
    var.lambda_runtime,
    var.kms_deletion_window_days,
    var.gateway_url,
    var.card_retention_days,
    var.token_keys,
    var.api_throttling_burst,
  ]
}

run "what_is_no_name_or_no_whole_number_is_refused" {
  command = plan

  variables {
    tags                     = { Team = "payments; billing" }
    kms_deletion_window_days = 7.5
    sealing_keys             = ["a b"]
    token_keys               = ["abcdefghijklmnopqrstuvwxyz-abcdef"] # pragma: allowlist secret
  }

  expect_failures = [
    var.tags,
    var.kms_deletion_window_days,
    var.sealing_keys,
    var.token_keys,
  ]
}

run "a_gateway_that_a_function_can_not_wait_for_is_refused" {
  command = plan

  variables {
    gateway_read_timeout_seconds = 8
  }

  # Charge, perform: 30 seconds.
  expect_failures = [aws_lambda_function.this]
}

run "values_on_the_edge_are_taken" {
  command = plan

  variables {
    name                         = "pay"
    environment                  = "qa"
    region                       = "us-gov-west-1"
    kms_deletion_window_days     = 30
    log_retention_days           = 3653
    lambda_runtime               = var.lambda_runtime
    gateway_url                  = "http://127.0.0.1:4567"
    gateway_read_timeout_seconds = 7.5
    card_retention_days          = 1
    sealing_keys                 = ["1", "2"]
    token_keys                   = ["2"]
    api_throttling_burst         = 1
    status_concurrency           = 300
    tags                         = { Team = "payments", Environment = "mine" }
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

run "no_function_starts_from_a_snapshot_unless_that_is_asked_for" {
  command = plan

  assert {
    condition     = alltrue([for function in aws_lambda_function.this : length(function.snap_start) == 0])
    error_message = "SnapStart costs money, and must be asked for."
  }
}

run "snapshots_are_of_the_versions_that_run" {
  command = plan

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

run "a_runtime_that_can_not_be_restored_is_refused" {
  command = plan

  variables {
    snap_start_enabled = true
    lambda_runtime     = "python3.11"
  }

  expect_failures = [var.snap_start_enabled]
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
