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

run "a_firewall_blocks_by_aws_s_rules_and_keeps_nothing_of_a_request" {
  plan_options {
    target = [aws_api_gateway_stage.this, aws_wafv2_web_acl.this, aws_wafv2_web_acl_association.this]
  }

  variables {
    api_firewall = {}
  }

  assert {
    condition = toset([for rule in one(aws_wafv2_web_acl.this).rule : rule.name]) == toset([
      "AWSManagedRulesAmazonIpReputationList", "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet", "RefuseTooLarge",
    ])
    error_message = "The rules must be AWS's three groups and our bound on bodies, without a rate limit."
  }

  assert {
    condition     = length(toset([for rule in one(aws_wafv2_web_acl.this).rule : rule.priority])) == 4
    error_message = "Each rule must have a priority of its own."
  }

  assert {
    condition = one([
      for rule in one(aws_wafv2_web_acl.this).rule : [
        for override in rule.statement[0].managed_rule_group_statement[0].rule_action_override : "${override.name} ${length(override.action_to_use[0].count)}"
      ] if rule.name == "AWSManagedRulesCommonRuleSet"
    ]) == ["SizeRestrictions_BODY 1"]
    error_message = "AWS's bound on bodies must only count: a sealed card may be longer."
  }

  assert {
    # A sealed card, a return_url, and of the free texts and the metadata the longest characters of UTF-8.
    condition     = local.body_limit_bytes > 5845 + 1024 + 4 * (64 + 140) + 20 * (40 + 4 * 80 + 6) + 400
    error_message = "The bound must let every request through that the models allow."
  }

  assert {
    # How much of a body WAF inspects before an API Gateway, by default ("Body inspection size limits", WAF developer
    # guide).
    condition     = local.body_limit_bytes == 16 * 1024
    error_message = "WAF would have to inspect more than it does by default."
  }

  assert {
    condition = one([
      for rule in one(aws_wafv2_web_acl.this).rule : [
        for path in ["/v1/gateway-events/sparkle", "/gateway-events/stripe", "/v1/payments", "/v1/gateway-events/sparkle/more", "/payments/gateway-events/x/y"] :
        can(regex(one([
          for statement in rule.statement[0].and_statement[0].statement : statement.not_statement[0].statement[0].regex_match_statement[0].regex_string
          if length(statement.not_statement) > 0
        ]), path))
      ] if rule.name == "RefuseTooLarge"
    ]) == [true, true, false, false, false]
    error_message = "Only gateways' events may be longer."
  }

  assert {
    condition = !anytrue([
      for config in concat(
        one(aws_wafv2_web_acl.this).visibility_config, flatten([for rule in one(aws_wafv2_web_acl.this).rule : rule.visibility_config])
      ) : config.sampled_requests_enabled
    ])
    error_message = "No request may be sampled."
  }

  assert {
    condition     = one(aws_wafv2_web_acl_association.this).resource_arn == aws_api_gateway_stage.this.arn
    error_message = "The firewall must be before the API's stage."
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
