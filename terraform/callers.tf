# Policies for callers of the API, one per kind of work. Attach them to the merchant's own users and roles; Terraform
# attaches them to nobody.

locals {
  # name = a description of what the policy allows, and the calls as METHOD/path
  caller_policies = {
    charge = {
      allows = "starting payments and storing cards"
      calls  = ["POST/payments", "POST/cards", "POST/keys", "GET/keys"]
    }
    refund = {
      allows = "refunding, capturing and voiding payments"
      calls  = [for path in keys(local.operations) : "POST/payments/*/${path}"]
    }
    erase = {
      allows = "erasing stored cards"
      calls  = ["DELETE/cards/*"]
    }
    read = {
      allows = "seeing payments and what may be shown of stored cards"
      calls  = ["GET/payments", "GET/payments/*", "GET/cards/*"]
    }
  }
}

data "aws_iam_policy_document" "caller" {
  for_each = local.caller_policies

  statement {
    sid       = "Call${title(each.key)}"
    actions   = ["execute-api:Invoke"]
    resources = [for call in each.value.calls : "${aws_api_gateway_rest_api.this.execution_arn}/${local.stage_name}/${call}"]
  }
}

resource "aws_iam_policy" "caller" {
  for_each = local.caller_policies

  name        = "${local.prefix}-may-${each.key}"
  description = "Allows ${each.value.allows} over the API"
  policy      = data.aws_iam_policy_document.caller[each.key].json
  tags        = merge(local.tags, { Name = "${local.prefix}-may-${each.key}" })
}
