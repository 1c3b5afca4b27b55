# What the variables refuse, many of them in one run.

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

run "a_runtime_that_can_not_be_restored_is_refused" {
  command = plan

  variables {
    snap_start_enabled = true
    lambda_runtime     = "python3.11"
  }

  expect_failures = [var.snap_start_enabled]
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

  variables {
    gateway_keys          = { sparkle = "" }
    gateway_event_secrets = { sparkle = [] }
  }

  expect_failures = [var.gateway_keys, var.gateway_event_secrets]
}

run "secrets_of_no_gateway_and_too_many_are_refused" {
  command = plan

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
