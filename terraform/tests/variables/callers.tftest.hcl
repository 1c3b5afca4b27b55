# Who may call the API: var.api_callers.

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "everybody_is_no_principal" {
  command = plan

  variables {
    api_callers = { principals = ["*"] }
  }

  expect_failures = [var.api_callers]
}

run "an_assumed_role_is_no_principal" {
  command = plan

  variables {
    api_callers = { principals = ["arn:aws:sts::123456789012:assumed-role/checkout/session"] }
  }

  expect_failures = [var.api_callers]
}

run "an_address_without_a_prefix_is_no_range" {
  command = plan

  variables {
    api_callers = { ip_ranges = ["203.0.113.7"] }
  }

  expect_failures = [var.api_callers]
}

run "a_vpc_is_no_endpoint" {
  command = plan

  variables {
    api_callers = { vpc_endpoints = ["vpc-0123456789abcdef0"] }
  }

  expect_failures = [var.api_callers]
}

run "a_private_api_has_no_callers_with_public_addresses" {
  command = plan

  variables {
    api_callers = { ip_ranges = ["203.0.113.0/24"], vpc_endpoints = ["vpce-0123456789abcdef0"] }
  }

  expect_failures = [var.api_callers]
}
