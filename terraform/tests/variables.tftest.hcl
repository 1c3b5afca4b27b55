# What the variables refuse, many of them in one run; those of callers, domain, firewall, alarms and roll-out are tested beside
# what they do.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "values_just_outside_what_is_allowed_are_refused" {
  command = plan

  variables {
    name                     = "1st-payments"
    environment              = "prod-eu"
    tags                     = { "aws:owner" = "me" }
    lambda_runtime           = "python3.10"
    lambda_architecture      = "riscv64"
    log_level                = "info"
    log_retention_days       = 90
    kms_deletion_window_days = 6
    gateways                 = { sparkle = { url = "https://sparkle.example/" } }
    card_retention_days      = 0.5
    accepted_brands          = ["visa", "Visa"]
    sealing_keys             = ["1", "1"]
    token_keys               = ["1", "1"]
    api_throttling_rate      = 0
    api_throttling_burst     = 1.5
    status_concurrency       = 0
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
    var.gateways,
    var.card_retention_days,
    var.accepted_brands,
    var.sealing_keys,
    var.token_keys,
    var.api_throttling_rate,
    var.api_throttling_burst,
    var.status_concurrency,
  ]
}

run "so_are_those_on_the_other_side" {
  command = plan

  variables {
    name                     = "payments-of-a-very-long-name"
    environment              = "p"
    tags                     = { project = "mine" }
    lambda_runtime           = "python3.14"
    kms_deletion_window_days = 31
    gateways                 = { sparkle = { url = "http://sparkle.example" } }
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
    var.gateways,
    var.card_retention_days,
    var.token_keys,
    var.api_throttling_burst,
  ]
}

# The region is judged together with the packages, whose place depends on other variables: where those are refused, it isn't
# looked at.
run "what_is_no_name_no_whole_number_or_no_region_is_refused" {
  command = plan

  variables {
    region                   = "Frankfurt"
    tags                     = { Team = "payments; billing" }
    kms_deletion_window_days = 7.5
    sealing_keys             = ["a b"]
    token_keys               = ["abcdefghijklmnopqrstuvwxyz-abcdef"] # pragma: allowlist secret
  }

  expect_failures = [
    var.region,
    var.tags,
    var.kms_deletion_window_days,
    var.sealing_keys,
    var.token_keys,
  ]
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

run "a_runtime_that_can_not_be_restored_is_refused" {
  command = plan

  plan_options {
    target = [aws_lambda_function.this]
  }

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

run "functions_get_each_gateway_and_the_routes" {
  plan_options {
    target = [
      aws_lambda_function.this,
      aws_secretsmanager_secret_version.gateway,
      aws_secretsmanager_secret_version.gateway_events,
      data.aws_iam_policy_document.function,
    ]
  }

  variables {
    gateways = {
      first  = { url = "https://first.example", settings = { account = "a-1" } }
      second = { url = "https://second.example", connect_timeout_seconds = 1, read_timeout_seconds = 6 }
    }
    gateway_keys          = { second = "key-2" }             # pragma: allowlist secret
    gateway_event_secrets = { first = ["newest", "oldest"] } # pragma: allowlist secret
    gateway_routes = [
      { gateway = "second", currencies = ["JPY"], brands = ["visa", "jcb"], bins = ["4", "352800"], percent = 10 },
      { gateway = "first" },
    ]
  }

  assert {
    condition = jsondecode(aws_lambda_function.this["charge"].environment[0].variables["GATEWAYS"]) == {
      first = {
        url                     = "https://first.example"
        secret_id               = aws_secretsmanager_secret.gateway["first"].arn
        connect_timeout_seconds = 2
        read_timeout_seconds    = 5
        settings                = { account = "a-1" }
      }
      second = {
        url                     = "https://second.example"
        secret_id               = aws_secretsmanager_secret.gateway["second"].arn
        connect_timeout_seconds = 1
        read_timeout_seconds    = 6
        settings                = {}
      }
    }
    error_message = "Each gateway must have its own secret, timeouts and settings."
  }

  assert {
    condition = jsondecode(aws_lambda_function.this["screen"].environment[0].variables["GATEWAY_ROUTES"]) == [
      { gateway = "second", currencies = ["JPY"], brands = ["visa", "jcb"], bins = ["4", "352800"], percent = 10 },
      { gateway = "first", currencies = null, brands = null, bins = null, percent = 100 },
    ]
    error_message = "The routes must be in their order."
  }

  assert {
    condition = alltrue([
      for document in data.aws_iam_policy_document.function :
      toset(flatten([for statement in document.statement : statement.resources if statement.sid == "ReadGatewayKey"])) ==
      toset([for secret in aws_secretsmanager_secret.gateway : secret.arn])
      if contains(document.statement[*].sid, "ReadGatewayKey")
    ])
    error_message = "Who calls gateways must read their keys, and no other secret."
  }

  assert {
    condition     = { for name, version in aws_secretsmanager_secret_version.gateway : name => version.secret_string } == { second = "key-2" }
    error_message = "Only a key that is given may be stored."
  }

  assert {
    condition     = { for name, version in aws_secretsmanager_secret_version.gateway_events : name => jsondecode(version.secret_string) } == { first = ["newest", "oldest"] }
    error_message = "The secrets of events must be a list, newest first."
  }
}

run "several_gateways_need_routes" {
  command = plan

  variables {
    gateways = { first = { url = "https://first.example" }, second = { url = "https://second.example" } }
  }

  expect_failures = [var.gateway_routes]
}

run "the_last_route_must_match_all" {
  command = plan

  variables {
    gateway_routes = [{ gateway = "sparkle" }, { gateway = "sparkle", currencies = ["USD"] }]
  }

  expect_failures = [var.gateway_routes]
}

run "a_route_to_no_gateway_is_refused" {
  command = plan

  variables {
    gateway_routes = [{ gateway = "elsewhere" }]
  }

  expect_failures = [var.gateway_routes]
}

run "a_route_that_can_not_match_is_refused" {
  command = plan

  variables {
    gateway_routes = [{ gateway = "sparkle", currencies = [] }, { gateway = "sparkle" }]
  }

  expect_failures = [var.gateway_routes]
}

run "a_route_for_a_part_that_is_none_is_refused" {
  command = plan

  variables {
    gateway_routes = [{ gateway = "sparkle", percent = 101 }, { gateway = "sparkle", brands = ["Visa"] }, { gateway = "sparkle", bins = ["4242424"] }, { gateway = "sparkle" }]
  }

  expect_failures = [var.gateway_routes]
}

# The gateways must be good for these to be looked at.
run "secrets_that_are_empty_are_refused" {
  command = plan

  plan_options {
    target = [aws_secretsmanager_secret_version.gateway, aws_secretsmanager_secret_version.gateway_events]
  }

  variables {
    gateway_keys          = { sparkle = "" }
    gateway_event_secrets = { sparkle = [] }
  }

  expect_failures = [var.gateway_keys, var.gateway_event_secrets]
}

run "secrets_of_no_gateway_and_too_many_are_refused" {
  command = plan

  plan_options {
    target = [aws_secretsmanager_secret_version.gateway, aws_secretsmanager_secret_version.gateway_events]
  }

  variables {
    gateway_keys          = { elsewhere = "key" }
    gateway_event_secrets = { sparkle = ["4", "3", "2", "1"] }
  }

  expect_failures = [var.gateway_keys, var.gateway_event_secrets]
}

run "a_gateway_whose_name_is_no_folder_is_refused" {
  command = plan

  variables {
    gateways = { Sparkle = { url = "https://sparkle.example", connect_timeout_seconds = 0 } }
  }

  expect_failures = [var.gateways]
}
