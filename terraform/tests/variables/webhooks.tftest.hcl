# Who is sent events, and what signs them: var.webhooks and var.webhook_secrets.

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "plain_http_to_another_machine_is_refused" {
  command = plan

  variables {
    webhooks = { shop = { url = "http://shop.example" } }
  }

  expect_failures = [var.webhooks]
}

run "a_password_in_a_url_is_refused" {
  command = plan

  variables {
    webhooks = { shop = { url = "https://user:password@shop.example" } } # pragma: allowlist secret
  }

  expect_failures = [var.webhooks]
}

run "a_fragment_in_a_url_is_refused" {
  command = plan

  variables {
    webhooks = { shop = { url = "https://shop.example/#events" } }
  }

  expect_failures = [var.webhooks]
}

run "a_type_that_does_not_exist_is_refused" {
  command = plan

  variables {
    webhooks = { shop = { url = "https://shop.example", events = ["payment.made_up"] } }
  }

  expect_failures = [var.webhooks]
}

run "a_name_in_upper_case_is_refused" {
  command = plan

  variables {
    webhooks = { Shop = { url = "https://shop.example" } }
  }

  expect_failures = [var.webhooks]
}

run "a_name_of_19_letters_is_too_long_for_a_rule_s_name" {
  command = plan

  variables {
    webhooks = { a234567890123456789 = { url = "https://shop.example" } }
  }

  expect_failures = [var.webhooks]
}

run "a_secret_of_no_webhook_is_refused" {
  command = plan

  variables {
    webhook_secrets = { shop = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] } # pragma: allowlist secret
  }

  expect_failures = [var.webhook_secrets]
}

run "three_secrets_are_too_many" {
  command = plan

  variables {
    webhooks        = { shop = { url = "https://shop.example" } }
    webhook_secrets = { shop = [for letter in ["a", "b", "c"] : "whsec_${join("", [for n in range(32) : letter])}"] }
  }

  expect_failures = [var.webhook_secrets]
}

run "a_secret_of_another_form_is_refused" {
  command = plan

  variables {
    webhooks        = { shop = { url = "https://shop.example" } }
    webhook_secrets = { shop = ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] } # pragma: allowlist secret
  }

  expect_failures = [var.webhook_secrets]
}

run "no_secret_is_no_list_of_secrets" {
  command = plan

  variables {
    webhooks        = { shop = { url = "https://shop.example" } }
    webhook_secrets = { shop = [] }
  }

  expect_failures = [var.webhook_secrets]
}

run "a_concurrency_that_lambda_does_not_take_is_refused" {
  command = plan

  variables {
    webhooks = { shop = { url = "https://shop.example", concurrency = 1 } }
  }

  expect_failures = [var.webhooks]
}
