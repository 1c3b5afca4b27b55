# A firewall before the API (var.api_firewall).
#
# It has no log and keeps no samples: its records would hold the callers' signatures, and snippets of a body that a rule
# matched, which may be of a card number.

locals {
  # group = { its rules that only count }
  managed_rule_groups = {
    AWSManagedRulesAmazonIpReputationList = []
    # It blocks bodies of more than 8 KB, which a request may have; RefuseTooLarge has the bound of the API's own models.
    AWSManagedRulesCommonRuleSet         = ["SizeRestrictions_BODY"]
    AWSManagedRulesKnownBadInputsRuleSet = []
  }

  # No request that the models allow is as long: 8,192 bytes of sealed card, and the other fields with every character
  # escaped. API Gateway shows the firewall 16 KB, so that nothing gets past its rules unseen.
  body_limit_bytes = 12 * 1024
}

resource "aws_wafv2_web_acl" "this" {
  #checkov:skip=CKV2_AWS_31:Its records would hold signatures and snippets of bodies, and so perhaps of a card number

  count = var.api_firewall == null ? 0 : 1

  name        = local.prefix
  description = "Before the payments API"
  scope       = "REGIONAL"
  tags        = merge(local.tags, { Name = local.prefix })

  default_action {
    allow {}
  }

  dynamic "rule" {
    for_each = var.api_firewall.rate_limit == null ? [] : [var.api_firewall.rate_limit]

    content {
      name     = "RefuseTooMany"
      priority = 0

      action {
        block {}
      }

      statement {
        rate_based_statement {
          aggregate_key_type    = "IP"
          evaluation_window_sec = 300
          limit                 = rule.value
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${local.prefix}-too-many"
        sampled_requests_enabled   = false
      }
    }
  }

  rule {
    name     = "RefuseTooLarge"
    priority = 1

    action {
      block {}
    }

    statement {
      size_constraint_statement {
        comparison_operator = "GT"
        size                = local.body_limit_bytes

        field_to_match {
          body {
            oversize_handling = "MATCH"
          }
        }

        text_transformation {
          priority = 0
          type     = "NONE"
        }
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${local.prefix}-too-large"
      sampled_requests_enabled   = false
    }
  }

  dynamic "rule" {
    for_each = local.managed_rule_groups

    content {
      name     = rule.key
      priority = 2 + index(keys(local.managed_rule_groups), rule.key)

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          vendor_name = "AWS"
          name        = rule.key

          dynamic "rule_action_override" {
            for_each = rule.value

            content {
              name = rule_action_override.value

              action_to_use {
                count {}
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${local.prefix}-${rule.key}"
        sampled_requests_enabled   = false
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = local.prefix
    sampled_requests_enabled   = false
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  count = length(aws_wafv2_web_acl.this)

  resource_arn = aws_api_gateway_stage.this.arn
  web_acl_arn  = aws_wafv2_web_acl.this[count.index].arn
}
