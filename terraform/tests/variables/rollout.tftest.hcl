# A deployment in steps: var.rollout.

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "a_share_beyond_the_whole_is_refused" {
  command = plan

  variables {
    rollout = { percent = 101, from = {} }
  }

  expect_failures = [var.rollout]
}

run "a_share_in_parts_of_a_percent_and_what_is_no_version_are_refused" {
  command = plan

  variables {
    rollout = { percent = 0.5, from = { payment = "live" } }
  }

  expect_failures = [var.rollout]
}
