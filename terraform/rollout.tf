# A roll-out moves the alias `live` of the state machines and of the functions that no state machine calls. Callers
# start them by this alias. A state machine's definition names its functions' versions, so an execution ends with the
# code that it started with, and an earlier version that worked keeps working.

locals {
  live = "live"
  functions_with_alias = toset(concat(
    [for route in local.function_routes : route.function],
    ["anchor", "deliver", "doubts", "follow_event", "publish", "receive_event", "resume"],
  ))

  newest_versions = merge(
    { for name, machine in aws_sfn_state_machine.this : name => split(":", machine.state_machine_version_arn)[7] },
    { for name in local.functions_with_alias : name => aws_lambda_function.this[name].version },
  )

  stable_versions = {
    for name, newest in local.newest_versions : name => var.rollout == null ? newest : lookup(var.rollout.from, name, newest)
  }

  # name = [{ version, percent }], without versions of zero percent
  live_versions = {
    for name, newest in local.newest_versions : name => [
      for share in(
        newest == local.stable_versions[name]
        ? [{ version = newest, percent = 100 }]
        : [
          { version = local.stable_versions[name], percent = 100 - var.rollout.percent },
          { version = newest, percent = var.rollout.percent },
        ]
      ) : share if share.percent > 0
    ]
  }
}

resource "aws_sfn_alias" "live" {
  for_each = local.state_machines

  name        = local.live
  description = "The versions of the ${each.key} state machine that are in service"

  dynamic "routing_configuration" {
    for_each = local.live_versions[each.key]

    content {
      state_machine_version_arn = "${aws_sfn_state_machine.this[each.key].arn}:${routing_configuration.value.version}"
      weight                    = routing_configuration.value.percent
    }
  }
}

resource "aws_lambda_alias" "live" {
  for_each = local.functions_with_alias

  name             = local.live
  description      = "The versions of the ${each.key} function that are in service"
  function_name    = aws_lambda_function.this[each.key].function_name
  function_version = local.live_versions[each.key][0].version

  dynamic "routing_config" {
    for_each = slice(local.live_versions[each.key], 1, length(local.live_versions[each.key]))

    content {
      additional_version_weights = { (routing_config.value.version) = routing_config.value.percent / 100 }
    }
  }
}
