# Who is told of alarms: var.alarm_emails.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "everybody_named_is_told_of_each_alarm_and_that_it_is_over" {
  plan_options {
    target = [aws_cloudwatch_metric_alarm.this, aws_sns_topic.alarms, aws_sns_topic_subscription.alarms]
  }

  variables {
    alarm_emails = ["on-call@merchant.example", "ops@merchant.example"]
  }

  assert {
    condition     = { for email, subscription in aws_sns_topic_subscription.alarms : email => subscription.protocol } == { "on-call@merchant.example" = "email", "ops@merchant.example" = "email" }
    error_message = "Both must be subscribed by e-mail."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.alarm_actions == toset([aws_sns_topic.alarms.arn]) && alarm.ok_actions == alarm.alarm_actions
    ])
    error_message = "Every alarm and every recovery must go to the topic."
  }
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
