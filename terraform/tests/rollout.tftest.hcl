# What is in service, and a deployment in steps: var.rollout. Mocked, each state machine and function is at version 7.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "the_newest_versions_are_in_service_and_nothing_else_is_started" {
  plan_options {
    target = [
      aws_api_gateway_integration.function,
      aws_api_gateway_integration.start,
      aws_cloudwatch_event_target.reconcile,
      aws_cloudwatch_event_target.resolve,
      aws_cloudwatch_event_target.scheduled,
      aws_lambda_alias.live,
      aws_lambda_permission.api,
      aws_lambda_permission.scheduled,
      aws_sfn_alias.live,
      aws_sfn_state_machine.this,
    ]
  }

  assert {
    condition = alltrue([
      for name in ["payment", "operation", "resolve", "reconcile", "status", "cards", "doubts", "anchor"] :
      output.live_versions[name] == [{ version = "7", percent = 100 }]
    ])
    error_message = "Everything must be at its newest version."
  }

  assert {
    condition = { for name, alias in aws_sfn_alias.live : name => [for share in alias.routing_configuration : "${share.state_machine_version_arn} ${share.weight}"] } == {
      for name in ["operation", "payment", "reconcile", "resolve", "store_card"] : name => ["arn:aws:states:eu-west-1:123456789012:stateMachine:mock:7 100"]
    }
    error_message = "Each state machine's alias must point at its newest version."
  }

  assert {
    condition     = alltrue([for alias in aws_lambda_alias.live : alias.function_version == "7" && length(alias.routing_config) == 0])
    error_message = "Each function's alias must point at its newest version."
  }

  assert {
    condition = alltrue(flatten([
      for machine in aws_sfn_state_machine.this : [
        for state in jsondecode(machine.definition).States :
        endswith(try(state.Parameters.FunctionName, state.Resource), ":function:mock:7") if state.Type == "Task"
      ]
    ]))
    error_message = "An execution must end with the functions that it began with."
  }

  assert {
    condition = alltrue([
      for integration in aws_api_gateway_integration.start :
      strcontains(integration.request_templates["application/json"], "\"stateMachineArn\": \"arn:aws:states:eu-west-1:123456789012:stateMachine:mock:live\"")
    ])
    error_message = "The API must start the alias."
  }

  assert {
    condition = alltrue([
      for target in concat(values(aws_cloudwatch_event_target.resolve), [aws_cloudwatch_event_target.reconcile], values(aws_cloudwatch_event_target.scheduled)) :
      endswith(target.arn, ":live")
    ])
    error_message = "EventBridge must start aliases."
  }

  assert {
    condition     = alltrue([for integration in aws_api_gateway_integration.function : endswith(integration.uri, ":live/invocations")])
    error_message = "The API must call aliases."
  }

  assert {
    condition     = alltrue([for permission in concat(values(aws_lambda_permission.api), values(aws_lambda_permission.scheduled)) : permission.qualifier == "live"])
    error_message = "Only the alias may be called from outside."
  }
}

run "a_share_goes_to_the_newest_versions_and_the_rest_to_those_from_before" {
  plan_options {
    target = [aws_lambda_alias.live, aws_sfn_alias.live]
  }

  variables {
    rollout = { percent = 10, from = { payment = "6", status = "5", resolve = "7" } }
  }

  assert {
    condition = toset([for share in aws_sfn_alias.live["payment"].routing_configuration : "${share.state_machine_version_arn} ${share.weight}"]) == toset([
      "arn:aws:states:eu-west-1:123456789012:stateMachine:mock:6 90",
      "arn:aws:states:eu-west-1:123456789012:stateMachine:mock:7 10",
    ])
    error_message = "One payment in ten must be started with the newest version."
  }

  assert {
    condition     = aws_lambda_alias.live["status"].function_version == "5" && one(aws_lambda_alias.live["status"].routing_config).additional_version_weights == tomap({ "7" = 0.1 })
    error_message = "One call in ten must go to the newest version."
  }

  assert {
    condition     = output.live_versions["resolve"] == [{ version = "7", percent = 100 }] && output.live_versions["operation"] == [{ version = "7", percent = 100 }]
    error_message = "What did not change, or is new, must be in service entirely."
  }

  assert {
    condition     = output.stable_versions["payment"] == "6" && output.stable_versions["operation"] == "7"
    error_message = "The next deployment must keep what this one keeps."
  }
}

run "nothing_goes_to_versions_that_are_taken_back" {
  plan_options {
    target = [aws_lambda_alias.live, aws_sfn_alias.live]
  }

  variables {
    rollout = { percent = 0, from = { payment = "6", status = "5" } }
  }

  assert {
    condition     = output.live_versions["payment"] == [{ version = "6", percent = 100 }] && output.live_versions["status"] == [{ version = "5", percent = 100 }]
    error_message = "The versions from before must get everything."
  }
}

run "a_whole_roll_out_is_as_none" {
  plan_options {
    target = [aws_lambda_alias.live, aws_sfn_alias.live]
  }

  variables {
    rollout = { percent = 100, from = { payment = "6", status = "5" } }
  }

  assert {
    condition     = output.live_versions["payment"] == [{ version = "7", percent = 100 }] && output.live_versions["status"] == [{ version = "7", percent = 100 }]
    error_message = "The newest versions must get everything."
  }
}
