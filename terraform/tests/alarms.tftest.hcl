# Who is told of alarms: var.alarm_emails.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "that_nobody_counts_the_doubts_is_an_alarm_of_its_own" {
  command = plan

  plan_options {
    target = [aws_cloudwatch_metric_alarm.this]
  }

  assert {
    condition     = [for key, alarm in aws_cloudwatch_metric_alarm.this : key if alarm.treat_missing_data == "breaching"] == ["payments-in-doubt"]
    error_message = "Missing counts of doubts, and nothing else, must raise an alarm."
  }
}

run "the_latency_alarm_rings_before_calls_are_given_up" {
  command = plan

  plan_options {
    target = [aws_cloudwatch_metric_alarm.this]
  }

  variables {
    gateways = {
      quick = { url = "https://quick.example" }
      slow  = { url = "https://slow.example", read_timeout_seconds = 6 }
    }
    gateway_routes = [{ gateway = "quick" }]
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["gateway-latency"].threshold == 4800
    error_message = "The threshold must follow the longest read timeout."
  }
}
