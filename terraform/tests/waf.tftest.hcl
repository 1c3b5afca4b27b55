# The firewall before the API: var.api_firewall.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "there_is_no_firewall_unless_asked_for" {
  command = plan

  plan_options {
    target = [aws_wafv2_web_acl.this, aws_wafv2_web_acl_association.this]
  }

  assert {
    condition     = length(aws_wafv2_web_acl.this) == 0 && length(aws_wafv2_web_acl_association.this) == 0
    error_message = "There must be no firewall."
  }
}

run "a_rate_limit_counts_by_address" {
  command = plan

  plan_options {
    target = [aws_wafv2_web_acl.this]
  }

  variables {
    api_firewall = { rate_limit = 3000 }
  }

  assert {
    condition = [
      for rule in one(aws_wafv2_web_acl.this).rule : [
        for limit in rule.statement[0].rate_based_statement : "${limit.limit} ${limit.aggregate_key_type} ${limit.evaluation_window_sec}"
      ] if rule.name == "RefuseTooMany"
    ] == [["3000 IP 300"]]
    error_message = "One address may make 3,000 requests in five minutes."
  }
}
