# The dashboard follows the payments from top to bottom, and in each row from left to right: requests, results, doubts,
# the gateway, and the services that everything runs on. For the format see "Dashboard Body Structure and Syntax",
# CloudWatch API reference.

locals {
  dashboard_rows = [
    {
      title = "## 1. Requests and outcomes"
      graphs = [
        {
          title = "The API's calls"
          metrics = [
            ["AWS/ApiGateway", "Count", "ApiName", local.prefix, "Stage", local.stage_name, { label = "all", stat = "SampleCount" }],
            ["AWS/ApiGateway", "4XXError", "ApiName", local.prefix, "Stage", local.stage_name, { label = "4xx: refused" }],
            ["AWS/ApiGateway", "5XXError", "ApiName", local.prefix, "Stage", local.stage_name, { label = "5xx: our fault" }],
          ]
        },
        {
          title = "Payments, and cards to be stored: started and ended"
          metrics = concat(
            [
              for name in ["Started", "Succeeded", "Failed", "TimedOut", "Aborted"] :
              ["AWS/States", "Executions${name}", "StateMachineArn", local.state_machine_arns["payment"], { label = lower(name) }]
            ],
            [
              for name in ["Started", "Failed", "TimedOut"] :
              ["AWS/States", "Executions${name}", "StateMachineArn", local.state_machine_arns["store_card"], { label = "cards: ${lower(name)}" }]
            ],
          )
        },
        {
          title   = "Outcomes"
          stacked = true
          metrics = [
            for name in ["PaymentCaptured", "PaymentAuthorized", "CardStored", "PaymentDeclined", "PaymentRejected", "PaymentReversed"] :
            [local.prefix, name, "service", var.name]
          ]
        },
        {
          title = "Refunds, captures and voids; screening"
          metrics = [
            for name in ["OperationSucceeded", "OperationRejected", "OperationPending", "OperationInDoubt", "PaymentScreened", "PaymentFlagged", "ScreeningAlarm"] :
            [local.prefix, name, "service", var.name]
          ]
        },
      ]
    },
    {
      title = "## 2. Money in doubt"
      graphs = [
        {
          title   = "Payments in doubt"
          stat    = "Maximum"
          metrics = [[local.prefix, "PaymentsInDoubt", "service", var.name]]
        },
        {
          title   = "The oldest doubt (s)"
          stat    = "Maximum"
          metrics = [[local.prefix, "OldestDoubtSeconds", "service", var.name]]
          annotations = {
            horizontal = [{ value = local.alarms.oldest-doubt.above, label = "alarm" }]
          }
        },
        {
          title = "Resolutions and failures"
          metrics = [
            for name in ["PaymentResolved", "OperationResolved", "CompensationFailed", "GatewayMismatch", "UnattendedExecutions"] :
            [local.prefix, name, "service", var.name]
          ]
        },
        {
          title = "Resolve executions"
          metrics = concat(
            [
              for name in ["Started", "Succeeded", "Failed", "TimedOut", "Aborted"] :
              ["AWS/States", "Executions${name}", "StateMachineArn", local.state_machine_arns["resolve"], { label = lower(name) }]
            ],
            [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", local.dead_letter_queue_name, { label = "dead letters", stat = "Maximum" }]],
          )
        },
      ]
    },
    {
      title = "## 3. The gateway"
      graphs = [
        {
          title = "Calls"
          metrics = [
            for name in ["GatewayCalls", "GatewayErrors"] : [local.prefix, name, "service", var.name]
          ]
        },
        {
          title = "Events"
          metrics = concat(
            [for name in ["GatewayEvents", "GatewayEventsRefused"] : [local.prefix, name, "service", var.name]],
            [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.gateway_events.name, { label = "waiting", stat = "Maximum" }]],
          )
        },
        {
          title = "Calls without an outcome (%)"
          yAxis = { left = { min = 0, max = 100 } }
          metrics = [
            [{ expression = "100 * FILL(errors, 0) / calls", label = "errors", id = "share" }],
            [local.prefix, "GatewayErrors", "service", var.name, { id = "errors", visible = false }],
            [local.prefix, "GatewayCalls", "service", var.name, { id = "calls", visible = false }],
          ]
        },
        {
          title = "Latency (ms)"
          metrics = [
            for stat in ["p50", "p99"] : [local.prefix, "GatewayLatency", "service", var.name, { stat = stat, label = stat }]
          ]
          annotations = {
            horizontal = [
              { value = local.alarms.gateway-latency.above, label = "alarm" },
              { value = local.gateway_read_seconds * 1000, label = "we give up" },
            ]
          }
        },
      ]
    },
    {
      title = "## 4. The functions"
      graphs = [
        for metric, stat in { Errors = "Sum", Throttles = "Sum", Duration = "p99" } :
        {
          title = metric == "Duration" ? "Duration (p99, ms)" : metric
          stat  = stat
          metrics = [
            for name in local.function_names : ["AWS/Lambda", metric, "FunctionName", "${local.prefix}-${name}", { label = name }]
          ]
        }
      ]
    },
    {
      title = "## 5. The books"
      graphs = [
        {
          title   = "Breaks, and refunds that failed"
          stat    = "Maximum"
          metrics = [for name in ["ReconciliationBreaks", "RefundFailed"] : [local.prefix, name, "service", var.name]]
        },
        {
          title = "Reconcile executions"
          metrics = [
            for name in ["Started", "Succeeded", "Failed", "TimedOut", "Aborted"] :
            ["AWS/States", "Executions${name}", "StateMachineArn", local.state_machine_arns["reconcile"], { label = lower(name) }]
          ]
        },
      ]
    },
    {
      title = "## 6. Outgoing events"
      graphs = concat(
        [
          {
            title   = "Events"
            metrics = [for name in ["EventsPublished", "EventsMissing"] : [local.prefix, name, "service", var.name]]
          },
          {
            title = "Age of published events (ms)"
            stat  = "Maximum"
            metrics = [
              concat(["AWS/Lambda", "IteratorAge"], flatten([for key, value in local.function_dimensions["publish"] : [key, value]])),
            ]
            annotations = {
              horizontal = [{ value = local.alarms.events-late.above, label = "alarm" }]
            }
          },
          {
            title   = "Deliveries to webhooks"
            metrics = [for name in ["WebhooksDelivered", "WebhooksFailed"] : [local.prefix, name, "service", var.name]]
          },
        ],
        [
          for metrics in [flatten([
            for name, queue in local.webhook_queue_names : [
              for label, waiting in { waiting = queue, "dead letters" = "${queue}-dead-letters" } :
              { metric = ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", waiting, { label = "${name}: ${label}", stat = "Maximum" }] }
            ]
          ])] :
          { title = "Webhooks' queues", metrics = metrics[*].metric } if length(metrics) > 0
        ],
      )
    },
    {
      title = "## 7. Latency and AWS services"
      graphs = [
        {
          title = "A payment's time (p50, p99, ms)"
          metrics = [
            for stat in ["p50", "p99"] : ["AWS/States", "ExecutionTime", "StateMachineArn", local.state_machine_arns["payment"], { stat = stat, label = stat }]
          ]
        },
        {
          title = "The API's latency (p50, p99, ms)"
          metrics = [
            for stat in ["p50", "p99"] : ["AWS/ApiGateway", "Latency", "ApiName", local.prefix, "Stage", local.stage_name, { stat = stat, label = stat }]
          ]
        },
        {
          title = "The ledger's capacity, and its indexes'"
          metrics = concat([
            for place, dimensions in local.capacity_dimensions : [
              for label, name in { reads = "ConsumedReadCapacityUnits", writes = "ConsumedWriteCapacityUnits" } :
              concat(["AWS/DynamoDB", name], flatten([for key, value in dimensions : [key, value]]), [{ label = "${place}: ${label}" }])
            ]
          ]...)
        },
        {
          title = "Throttled"
          metrics = concat(
            [["AWS/States", "ExecutionThrottled", "StateMachineArn", local.state_machine_arns["payment"]]],
            [
              for place, dimensions in local.capacity_dimensions : [
                for label, name in { reads = "ReadThrottleEvents", writes = "WriteThrottleEvents" } :
                concat(["AWS/DynamoDB", name], flatten([for key, value in dimensions : [key, value]]), [{ label = "${place}: ${label}" }])
              ]
            ]...
          )
        },
      ]
    },
  ]

  # A widget shows 100 alarms at most ("Dashboard body structure and syntax", CloudWatch API reference).
  dashboard_alarms = chunklist(keys(local.alarms), 100)

  # The grid has 24 columns. Below the alarms each row has a heading of height 1 and graphs of height 6.
  dashboard_alarms_height = 6
  dashboard_row_height    = 7
  dashboard_rows_begin    = length(local.dashboard_alarms) * local.dashboard_alarms_height
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = local.prefix

  dashboard_body = jsonencode({
    widgets = concat(
      [
        for index, names in local.dashboard_alarms : {
          type   = "alarm"
          x      = 0
          y      = index * local.dashboard_alarms_height
          width  = 24
          height = local.dashboard_alarms_height
          properties = {
            title  = "Alarms: docs/runbook.md says what each means and what to do"
            sortBy = "stateUpdatedTimestamp"
            alarms = [for name in names : aws_cloudwatch_metric_alarm.this[name].arn]
          }
        }
      ],
      [
        for row, content in local.dashboard_rows : {
          type       = "text"
          x          = 0
          y          = local.dashboard_rows_begin + row * local.dashboard_row_height
          width      = 24
          height     = 1
          properties = { markdown = content.title }
        }
      ],
      flatten([
        for row, content in local.dashboard_rows : [
          for column, graph in content.graphs : {
            type   = "metric"
            x      = column * 24 / length(content.graphs)
            y      = local.dashboard_rows_begin + row * local.dashboard_row_height + 1
            width  = 24 / length(content.graphs)
            height = local.dashboard_row_height - 1
            properties = merge(
              { view = "timeSeries", stacked = false, stat = "Sum", period = 300, region = local.region, yAxis = { left = { min = 0 } } },
              graph,
            )
          }
        ]
      ]),
    )
  })
}
