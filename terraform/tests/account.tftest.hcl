# The role that API Gateway writes logs with, of which an account has one: var.manage_api_gateway_account.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "another_deployment_s_role_is_neither_set_nor_unset" {
  command = plan

  plan_options {
    target = [aws_api_gateway_account.this, aws_iam_role.api_logs]
  }

  variables {
    manage_api_gateway_account = false
  }

  assert {
    condition     = length(aws_api_gateway_account.this) == 0 && length(aws_iam_role.api_logs) == 0
    error_message = "The account must be left as it is."
  }
}
