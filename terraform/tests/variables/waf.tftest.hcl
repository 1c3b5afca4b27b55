# The firewall before the API: var.api_firewall.

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "a_rate_limit_that_aws_does_not_take_is_refused" {
  command = plan

  variables {
    api_firewall = { rate_limit = 9 }
  }

  expect_failures = [var.api_firewall]
}

run "a_rate_limit_of_half_requests_is_refused" {
  command = plan

  variables {
    api_firewall = { rate_limit = 100.5 }
  }

  expect_failures = [var.api_firewall]
}
