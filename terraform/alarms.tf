# The alarms that page the person on call, who also learns when one is over. One entry per alarm; the runbook has a
# section with the alarm's name.
#   means       the message to the person on call
#   section     the runbook's section, if several alarms share one
#   metrics     the metrics, by their ids in the expression
#   expression  metric math over the metrics; without it there is only one metric
#   above       the threshold: the alarm breaches above it
#   periods     the number of consecutive periods of five minutes that must breach
#   missing     what missing data mean: "notBreaching", nothing happened; "breaching", a count should have arrived;
#               "ignore", nobody can know, so the alarm keeps its state
#
# Executions of rejected or reversed payments end as failed, and functions signal some results by raising errors; both
# happen every day. So these alarms look at the share of failures, of at least ten: a single failed payment in a quiet
# night wakes nobody.

locals {
  alarm_arns = "arn:${local.partition}:cloudwatch:${local.region}:${local.account_id}:alarm:${local.prefix}-*"

  share         = "100 * %s / IF(asked > 10, asked, 10)"
  failing_share = format(local.share, "FILL(failed, 0)")

  own_dimensions        = { service = var.name } # Powertools' dimension
  payment_dimensions    = { StateMachineArn = local.state_machine_arns["payment"] }
  store_card_dimensions = { StateMachineArn = local.state_machine_arns["store_card"] }
  operation_dimensions  = { StateMachineArn = local.state_machine_arns["operation"] }
  resolve_dimensions    = { StateMachineArn = local.state_machine_arns["resolve"] }
  reconcile_dimensions  = { StateMachineArn = local.state_machine_arns["reconcile"] }
  api_dimensions        = { ApiName = aws_api_gateway_rest_api.this.name, Stage = local.stage_name }
  ledger_dimensions     = { TableName = aws_dynamodb_table.ledger.name }
  function_dimensions = {
    for name in local.function_names : name => { FunctionName = "${local.prefix}-${name}" }
  }

  throttled_places = {
    table     = "the ledger's table"
    cards     = "the table of cards"
    ephemeral = "the table of single-use keys and held cards"
    counters  = "the table of counters"
    waiting   = "the index of payments that wait for their customers"
  }

  # A table and each of its indexes have separate metrics ("DynamoDB Metrics and dimensions", developer guide).
  capacity_dimensions = merge(
    {
      table     = local.ledger_dimensions
      cards     = { TableName = aws_dynamodb_table.cards.name }
      ephemeral = { TableName = aws_dynamodb_table.ephemeral.name }
      counters  = { TableName = aws_dynamodb_table.counters.name }
    },
    {
      for index in aws_dynamodb_table.ledger.global_secondary_index :
      index.name => merge(local.ledger_dimensions, { GlobalSecondaryIndexName = index.name })
    },
    {
      for index in aws_dynamodb_table.ephemeral.global_secondary_index :
      index.name => { TableName = aws_dynamodb_table.ephemeral.name, GlobalSecondaryIndexName = index.name }
    },
  )

  alarms = merge(
    {
      payments-in-doubt = {
        means = "Payments or operations are in doubt: money may have moved, but the gateway has not confirmed it. Or the count of doubts is missing."
        metrics = {
          count = { namespace = local.prefix, name = "PaymentsInDoubt", dimensions = local.own_dimensions, stat = "Maximum" }
        }
        above   = 0
        periods = 2 # a payment that is reversed within a minute is briefly in doubt, and may be counted once
        missing = "breaching"
      }

      oldest-doubt = {
        means = "A payment or an operation has been in doubt for more than an hour, although the gateway was asked repeatedly."
        metrics = {
          age = { namespace = local.prefix, name = "OldestDoubtSeconds", dimensions = local.own_dimensions, stat = "Maximum" }
        }
        above   = 3600
        periods = 1
        missing = "ignore"
      }

      compensation-failed = {
        means = "A payment failed to reverse its charge. The payment is in doubt, or should be."
        metrics = {
          count = { namespace = local.prefix, name = "CompensationFailed", dimensions = local.own_dimensions, stat = "Sum" }
        }
        above   = 0
        periods = 1
        missing = "notBreaching"
      }

      gateway-mismatch = {
        means = "The gateway charged, captured or refunded a different amount, currency or reference than we requested. A wrong charge is reversed."
        metrics = {
          count = { namespace = local.prefix, name = "GatewayMismatch", dimensions = local.own_dimensions, stat = "Sum" }
        }
        above   = 0
        periods = 1
        missing = "notBreaching"
      }

      gateway-errors = {
        means = "More than a tenth of the calls to the gateway end without an outcome: it did not answer, was busy, or refused the call."
        metrics = {
          failed = { namespace = local.prefix, name = "GatewayErrors", dimensions = local.own_dimensions, stat = "Sum" }
          asked  = { namespace = local.prefix, name = "GatewayCalls", dimensions = local.own_dimensions, stat = "Sum" }
        }
        expression = local.failing_share
        above      = 10
        periods    = 2
        missing    = "notBreaching"
      }

      gateway-latency = {
        means = "One in a hundred calls to the gateway takes at least four fifths of the longest read timeout of a gateway."
        metrics = {
          p99 = { namespace = local.prefix, name = "GatewayLatency", dimensions = local.own_dimensions, stat = "p99" }
        }
        above   = local.gateway_read_seconds * 1000 * 4 / 5
        periods = 3
        missing = "notBreaching"
      }

      payments-failing = {
        means = "More than a quarter of the payments fail: rejected, reversed, or in doubt."
        metrics = {
          failed = { namespace = "AWS/States", name = "ExecutionsFailed", dimensions = local.payment_dimensions, stat = "Sum" }
          asked  = { namespace = "AWS/States", name = "ExecutionsStarted", dimensions = local.payment_dimensions, stat = "Sum" }
        }
        expression = local.failing_share
        above      = 25
        periods    = 2
        missing    = "notBreaching"
      }

      cards-failing = {
        means = "More than a quarter of the requests to store a card fail: the card is invalid, a rule declines it, or there is a technical failure."
        metrics = {
          failed    = { namespace = "AWS/States", name = "ExecutionsFailed", dimensions = local.store_card_dimensions, stat = "Sum" }
          timed_out = { namespace = "AWS/States", name = "ExecutionsTimedOut", dimensions = local.store_card_dimensions, stat = "Sum" }
          asked     = { namespace = "AWS/States", name = "ExecutionsStarted", dimensions = local.store_card_dimensions, stat = "Sum" }
        }
        expression = format(local.share, "SUM([FILL(failed, 0), FILL(timed_out, 0)])")
        above      = 25
        periods    = 2
        missing    = "notBreaching"
      }

      card-testing = {
        means = "Somebody may be testing stolen cards: a screening rule flagged many payments from one bank's cards or one caller for review."
        metrics = {
          count = { namespace = local.prefix, name = "ScreeningAlarm", dimensions = local.own_dimensions, stat = "Sum" }
        }
        above   = 5
        periods = 1
        missing = "notBreaching"
      }

      payments-stopped = {
        means = "Somebody, or the time limit, stopped payments or operations before they ended."
        metrics = {
          timed_out = { namespace = "AWS/States", name = "ExecutionsTimedOut", dimensions = local.payment_dimensions, stat = "Sum" }
          aborted   = { namespace = "AWS/States", name = "ExecutionsAborted", dimensions = local.payment_dimensions, stat = "Sum" }
          operation = { namespace = "AWS/States", name = "ExecutionsAborted", dimensions = local.operation_dimensions, stat = "Sum" }
        }
        expression = "FILL(timed_out, 0) + FILL(aborted, 0) + FILL(operation, 0)"
        above      = 0
        periods    = 1
        missing    = "notBreaching"
      }

      unattended-executions = {
        means = "EventBridge keeps missing failed executions. The doubts function finds and handles them, but minutes late."
        metrics = {
          count = { namespace = local.prefix, name = "UnattendedExecutions", dimensions = local.own_dimensions, stat = "Sum" }
        }
        above   = 0
        periods = 3
        missing = "notBreaching"
      }

      resolve-stopped = {
        means = "A payment or an operation stays in doubt: its resolve execution failed or was stopped."
        metrics = {
          failed    = { namespace = "AWS/States", name = "ExecutionsFailed", dimensions = local.resolve_dimensions, stat = "Sum" }
          timed_out = { namespace = "AWS/States", name = "ExecutionsTimedOut", dimensions = local.resolve_dimensions, stat = "Sum" }
          aborted   = { namespace = "AWS/States", name = "ExecutionsAborted", dimensions = local.resolve_dimensions, stat = "Sum" }
        }
        expression = "FILL(failed, 0) + FILL(timed_out, 0) + FILL(aborted, 0)"
        above      = 0
        periods    = 1
        missing    = "notBreaching"
      }

      refund-failed = {
        means = "A refund that had succeeded failed later at the gateway: the money came back, and the customer doesn't have it."
        metrics = {
          count = { namespace = local.prefix, name = "RefundFailed", dimensions = local.own_dimensions, stat = "Sum" }
        }
        above   = 0
        periods = 1
        missing = "notBreaching"
      }

      reconciliation-breaks = {
        means = "The gateway, the ledger and the executions don't agree about a day."
        metrics = {
          count = { namespace = local.prefix, name = "ReconciliationBreaks", dimensions = local.own_dimensions, stat = "Maximum" }
        }
        above   = 0
        periods = 1
        missing = "ignore"
      }

      not-reconciled = {
        means = "A day could not be reconciled: the gateway's report is incomplete, or a service did not answer for a long time."
        metrics = {
          failed    = { namespace = "AWS/States", name = "ExecutionsFailed", dimensions = local.reconcile_dimensions, stat = "Sum" }
          timed_out = { namespace = "AWS/States", name = "ExecutionsTimedOut", dimensions = local.reconcile_dimensions, stat = "Sum" }
          aborted   = { namespace = "AWS/States", name = "ExecutionsAborted", dimensions = local.reconcile_dimensions, stat = "Sum" }
        }
        expression = "FILL(failed, 0) + FILL(timed_out, 0) + FILL(aborted, 0)"
        above      = 0
        periods    = 1
        missing    = "notBreaching"
      }

      not-anchored = {
        means = "A day's payments could not be anchored. Until they are, tampering with their records may stay undetected."
        metrics = {
          failed   = { namespace = "AWS/Lambda", name = "Errors", dimensions = local.function_dimensions["anchor"], stat = "Sum" }
          uncalled = { namespace = "AWS/Events", name = "FailedInvocations", dimensions = { RuleName = aws_cloudwatch_event_rule.scheduled["anchor"].name }, stat = "Sum" }
        }
        expression = "FILL(failed, 0) + FILL(uncalled, 0)"
        above      = 0
        periods    = 1
        missing    = "notBreaching"
      }

      executions-throttled = {
        means = "Step Functions throttles the payments: the account's quota of state transitions is used up."
        metrics = {
          payment   = { namespace = "AWS/States", name = "ExecutionThrottled", dimensions = local.payment_dimensions, stat = "Sum" }
          operation = { namespace = "AWS/States", name = "ExecutionThrottled", dimensions = local.operation_dimensions, stat = "Sum" }
          resolve   = { namespace = "AWS/States", name = "ExecutionThrottled", dimensions = local.resolve_dimensions, stat = "Sum" }
        }
        expression = "FILL(payment, 0) + FILL(operation, 0) + FILL(resolve, 0)"
        above      = 0
        periods    = 1
        missing    = "notBreaching"
      }

      gateway-events-refused = {
        means = "More than half of what arrives as gateways' events is not signed with a secret that we know."
        metrics = {
          failed = { namespace = local.prefix, name = "GatewayEventsRefused", dimensions = local.own_dimensions, stat = "Sum" }
          asked  = { namespace = local.prefix, name = "GatewayEvents", dimensions = local.own_dimensions, stat = "Sum" }
        }
        expression = local.failing_share
        above      = 50
        periods    = 2
        missing    = "notBreaching"
      }

      dead-letters = {
        means = "EventBridge could not start an execution, or a gateway's event could not be followed: doubts may stay unresolved, or a day is not reconciled."
        metrics = {
          waiting = {
            namespace  = "AWS/SQS"
            name       = "ApproximateNumberOfMessagesVisible"
            dimensions = { QueueName = local.dead_letter_queue_name }
            stat       = "Maximum"
          }
          lost = {
            namespace  = "AWS/Events"
            name       = "InvocationsFailedToBeSentToDlq"
            dimensions = { RuleName = aws_cloudwatch_event_rule.ended_badly["payment"].name }
            stat       = "Sum"
          }
          operations_lost = {
            namespace  = "AWS/Events"
            name       = "InvocationsFailedToBeSentToDlq"
            dimensions = { RuleName = aws_cloudwatch_event_rule.ended_badly["operation"].name }
            stat       = "Sum"
          }
          days_lost = {
            namespace  = "AWS/Events"
            name       = "InvocationsFailedToBeSentToDlq"
            dimensions = { RuleName = aws_cloudwatch_event_rule.reconcile.name }
            stat       = "Sum"
          }
        }
        expression = "FILL(waiting, 0) + FILL(lost, 0) + FILL(operations_lost, 0) + FILL(days_lost, 0)"
        above      = 0
        periods    = 1
        missing    = "notBreaching" # SQS sends no metrics for an idle, empty queue
      }

      events-late = {
        means = "Changes have not been published for ten minutes: publish does not keep up with the ledger's stream, whose records are gone after a day."
        metrics = {
          age = { namespace = "AWS/Lambda", name = "IteratorAge", dimensions = local.function_dimensions["publish"], stat = "Maximum" }
        }
        above   = 10 * 60 * 1000 # milliseconds
        periods = 1
        missing = "notBreaching"
      }

      api-errors = {
        means = "More than a twentieth of the calls to our API end with a 5xx."
        metrics = {
          failed = { namespace = "AWS/ApiGateway", name = "5XXError", dimensions = local.api_dimensions, stat = "Sum" }
          asked  = { namespace = "AWS/ApiGateway", name = "Count", dimensions = local.api_dimensions, stat = "SampleCount" }
        }
        expression = local.failing_share
        above      = 5
        periods    = 2
        missing    = "notBreaching"
      }
    },

    {
      for name, queue in local.webhook_queue_names : "webhook-failing-${name}" => {
        means   = "The webhook ${name} has not accepted events for three days, or answers that it wants no more."
        section = "webhook-failing"
        metrics = {
          waiting = {
            namespace  = "AWS/SQS"
            name       = "ApproximateNumberOfMessagesVisible"
            dimensions = { QueueName = "${queue}-dead-letters" }
            stat       = "Maximum"
          }
        }
        above   = 0
        periods = 1
        missing = "notBreaching" # SQS sends no metrics for an idle, empty queue
      }
    },

    # DynamoDB sends no zeros, and an alarm on its metrics may keep its state while data are missing, whatever `missing`
    # says (PutMetricAlarm, API reference). So each alarm also uses the count of doubts, which arrives every five
    # minutes and adds nothing, since it is never negative. Each alarm has only one DynamoDB metric, so that none waits
    # for another's data.
    merge([
      for place, dimensions in local.capacity_dimensions : {
        for what, name in { reads = "ReadThrottleEvents", writes = "WriteThrottleEvents" } : "ledger-throttled-${place}-${what}" => {
          means                   = "DynamoDB throttles ${what} of ${lookup(local.throttled_places, place, "the ledger's index ${place}")}."
          section                 = "ledger-throttled"
          metrics = {
            throttled = { namespace = "AWS/DynamoDB", name = name, dimensions = dimensions, stat = "Sum" }
            doubts    = { namespace = local.prefix, name = "PaymentsInDoubt", dimensions = local.own_dimensions, stat = "Maximum" }
          }
          expression = "SUM([FILL(throttled, 0), IF(doubts < 0, 1, 0)])"
          above      = 0
          periods    = 1
          missing    = "notBreaching"
        }
      }
    ]...),

    {
      for name, dimensions in local.function_dimensions : "function-errors-${name}" => {
        means   = "More than a quarter of the ${name} function's runs end with an error."
        section = "function-errors"
        metrics = merge(
          {
            failed = { namespace = "AWS/Lambda", name = "Errors", dimensions = dimensions, stat = "Sum" }
            asked  = { namespace = "AWS/Lambda", name = "Invocations", dimensions = dimensions, stat = "Sum" }
          },
          {
            for metric in compact([try(local.functions[name].denials, null)]) :
            "denied" => { namespace = local.prefix, name = metric, dimensions = local.own_dimensions, stat = "Sum" }
          },
        )
        expression = (
          can(local.functions[name].denials)
          ? format(local.share, "SUM([FILL(failed, 0), 0 - FILL(denied, 0)])")
          : local.failing_share
        )
        above   = 25
        periods = 3
        missing = "notBreaching"
      }
    },

    {
      for name, dimensions in local.function_dimensions : "function-throttles-${name}" => {
        means   = "Lambda throttles the ${name} function: the account's concurrency or the function's own is used up."
        section = "function-throttles"
        metrics = {
          count = { namespace = "AWS/Lambda", name = "Throttles", dimensions = dimensions, stat = "Sum" }
        }
        above   = 0
        periods = 1
        missing = "notBreaching"
      }
    },
  )

  # As for functions, `local.function_names`.
  alarm_names = { for name in keys(local.alarms) : name => name }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarm_names

  alarm_name          = "${local.prefix}-${each.key}"
  alarm_description   = "${local.alarms[each.key].means} What to do: docs/runbook.md#${try(local.alarms[each.key].section, each.key)}"
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.alarms[each.key].above
  evaluation_periods  = local.alarms[each.key].periods
  treat_missing_data  = local.alarms[each.key].missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = merge(local.tags, { Name = "${local.prefix}-${each.key}" })

  dynamic "metric_query" {
    for_each = local.alarms[each.key].metrics

    content {
      id          = metric_query.key
      return_data = !can(local.alarms[each.key].expression)

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.stat
        period      = 300
      }
    }
  }

  dynamic "metric_query" {
    for_each = try([local.alarms[each.key].expression], [])

    content {
      id          = "value"
      label       = each.key
      expression  = metric_query.value
      return_data = true
    }
  }
}
