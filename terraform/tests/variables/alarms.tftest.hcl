# Who is told of alarms: var.alarm_emails.

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "what_is_no_email_address_is_refused" {
  command = plan

  variables {
    alarm_emails = ["on-call"]
  }

  expect_failures = [var.alarm_emails]
}
