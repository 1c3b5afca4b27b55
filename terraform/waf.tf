# A firewall in front of the API (var.api_firewall).
#
# It writes no log and keeps no samples: its records would contain the callers' signatures, and the parts of a body that
# a rule matched, which may belong to a card number.

locals {
  # group = [its rules that only count requests]
  managed_rule_groups = {
    AWSManagedRulesAmazonIpReputationList = []
    # This rule blocks bodies of more than 8 KB, which a valid request may have. RefuseTooLarge has a limit that fits
    # the API's own models.
    AWSManagedRulesCommonRuleSet         = ["SizeRestrictions_BODY"]
    AWSManagedRulesKnownBadInputsRuleSet = []
  }

  # Every request that the models allow is shorter: it has at most 8,192 bytes of sealed card, and the other fields,
  # even with every character escaped. The firewall inspects the first 16 KB of a body, so that nothing bypasses its
  # rules.
  body_limit_bytes = 16 * 1024
}

resource "aws_wafv2_web_acl" "this" {
  #checkov:skip=CKV2_AWS_31:The log would contain signatures and parts of bodies, perhaps of a card number

  count = var.api_firewall == null ? 0 : 1

  name        = local.prefix
  description = "In front of the payments API"
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
      and_statement {
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

        # A gateway's event may be longer; receive_event has a limit of its own.
        statement {
          not_statement {
            statement {
              regex_match_statement {
                regex_string = "^(/[^/]+)?/gateway-events/[a-z0-9]+$"

                field_to_match {
                  uri_path {}
                }

                text_transformation {
                  priority = 0
                  type     = "NONE"
                }
              }
            }
          }
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
