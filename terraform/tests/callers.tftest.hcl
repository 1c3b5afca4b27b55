# Who may call the API: var.api_callers.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "without_limits_whoever_iam_allows_in_this_account_may_call" {
  command = plan

  plan_options {
    target = [
      aws_api_gateway_method.function,
      aws_api_gateway_method.gateway_events,
      aws_api_gateway_method.keys,
      aws_api_gateway_method.start,
      aws_api_gateway_method.unknown,
      aws_api_gateway_rest_api.this,
      data.aws_iam_policy_document.callers,
    ]
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.callers.statement : "${coalesce(statement.effect, "Allow")} ${statement.sid}" => {
        for condition in statement.condition : "${condition.test} ${condition.variable}" => join(" ", condition.values)
      }
    } == { "Allow AllowGatewayEvents" = {}, "Deny RefuseWithoutTls" = { "Bool aws:SecureTransport" = "false" } }
    error_message = "Nobody may be refused but who comes without TLS, and nobody let in but gateways: in the API's account an Allow would do without IAM's."
  }

  assert {
    condition     = one(aws_api_gateway_rest_api.this.endpoint_configuration).types == tolist(["REGIONAL"])
    error_message = "The API must be on the internet."
  }

  assert {
    condition = alltrue([
      for method in concat(
        values(aws_api_gateway_method.start), values(aws_api_gateway_method.function), values(aws_api_gateway_method.unknown), [aws_api_gateway_method.keys]
      ) : method.authorization == "AWS_IAM"
    ])
    error_message = "Every method must need IAM."
  }

  assert {
    condition     = aws_api_gateway_method.gateway_events.authorization == "NONE" && aws_api_gateway_method.gateway_events.http_method == "POST"
    error_message = "A gateway has no AWS credentials: what it sends is checked by the function."
  }
}

run "named_principals_may_call_and_nobody_else_even_in_this_account" {
  command = plan

  plan_options {
    target = [aws_api_gateway_method.start, data.aws_iam_policy_document.callers]
  }

  variables {
    api_callers = { principals = ["210987654321", "arn:aws:iam::345678901234:role/shop/checkout"] }
  }

  assert {
    condition = one([
      for statement in data.aws_iam_policy_document.callers.statement : one(statement.principals).identifiers if statement.effect != "Deny" && statement.sid != "AllowGatewayEvents"
    ]) == toset(["arn:aws:iam::210987654321:root", "arn:aws:iam::345678901234:root"])
    error_message = "The principals' accounts must be allowed, as both accounts have to across them."
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.callers.statement : statement.sid => {
        for condition in statement.condition : "${condition.test} ${condition.variable}" => join(" ", condition.values)
      } if statement.sid == "RefuseOtherPrincipals"
      } == {
      RefuseOtherPrincipals = {
        "StringNotEquals aws:PrincipalAccount" = "210987654321"
        "ArnNotEquals aws:PrincipalArn"        = "arn:aws:iam::345678901234:role/shop/checkout"
      }
    }
    error_message = "Whoever is neither in the account nor the role must be refused."
  }

  assert {
    condition     = alltrue([for method in aws_api_gateway_method.start : method.authorization == "AWS_IAM"])
    error_message = "IAM must still be asked."
  }
}

run "named_principals_of_this_account_need_iam_as_well" {
  command = plan

  plan_options {
    target = [data.aws_iam_policy_document.callers]
  }

  variables {
    api_callers = { principals = ["123456789012", "arn:aws:iam::123456789012:role/checkout"] }
  }

  assert {
    condition     = !anytrue([for statement in data.aws_iam_policy_document.callers.statement : statement.effect != "Deny" && statement.sid != "AllowGatewayEvents"])
    error_message = "Nobody in this account may be let in without IAM."
  }

  assert {
    condition     = contains([for statement in data.aws_iam_policy_document.callers.statement : statement.sid], "RefuseOtherPrincipals")
    error_message = "Everybody else must be refused."
  }
}

run "other_addresses_than_the_ranges_are_refused" {
  command = plan

  plan_options {
    target = [data.aws_iam_policy_document.callers]
  }

  variables {
    api_callers = { ip_ranges = ["203.0.113.0/24", "2001:db8::/32"] }
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.callers.statement : statement.sid => {
        for condition in statement.condition : "${condition.test} ${condition.variable}" => join(" ", condition.values)
      } if startswith(statement.sid, "RefuseOther")
    } == { RefuseOtherAddresses = { "NotIpAddress aws:SourceIp" = "203.0.113.0/24 2001:db8::/32" } }
    error_message = "Only addresses outside the ranges must be refused."
  }
}

run "vpc_endpoints_make_the_api_private_and_other_endpoints_are_refused" {
  command = plan

  plan_options {
    target = [
      aws_api_gateway_deployment.this,
      aws_api_gateway_rest_api.this,
      data.aws_iam_policy_document.callers,
    ]
  }

  variables {
    api_callers = { vpc_endpoints = ["vpce-0123456789abcdef0"] }
  }

  assert {
    condition     = one(aws_api_gateway_rest_api.this.endpoint_configuration).types == tolist(["PRIVATE"])
    error_message = "The API must be private."
  }

  assert {
    condition     = anytrue([for resources in local.deployed : try(resources.api.private, false)])
    error_message = "It must be deployed: until then the API is on the internet."
  }

  assert {
    condition     = one(aws_api_gateway_rest_api.this.endpoint_configuration).vpc_endpoint_ids == toset(["vpce-0123456789abcdef0"])
    error_message = "The endpoints must be given names for the API."
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.callers.statement : statement.sid => {
        for condition in statement.condition : "${condition.test} ${condition.variable}" => join(" ", condition.values)
      } if startswith(statement.sid, "RefuseOther")
    } == { RefuseOtherVpcEndpoints = { "StringNotEquals aws:SourceVpce" = "vpce-0123456789abcdef0" } }
    error_message = "Only other endpoints must be refused."
  }

  assert {
    condition     = !anytrue([for statement in data.aws_iam_policy_document.callers.statement : statement.effect != "Deny" && statement.sid != "AllowGatewayEvents"])
    error_message = "Nobody may be let in without IAM, from these endpoints either."
  }
}
