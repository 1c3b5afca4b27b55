locals {
  stage_name = "v1"

  # collection = the path of an item below the collection
  collections = {
    payments = "{payment_id}"
    cards    = "{token}"
  }

  # The operations on a payment: POST /payments/{payment_id}/<path>.
  operations = {
    refunds  = { type = "refund", model = "amount_request" }
    captures = { type = "capture", model = "amount_request" }
    voids    = { type = "void", model = "void_request" }
  }

  # Each POST starts an execution of a state machine; the template turns the request into the execution's input. Only
  # for a card to be stored does the caller wait for the end.
  start_routes = merge(
    {
      payments = { machine = "payment", model = "payment_request", template = "start_payment.vtl", parameters = {} }
      cards    = { machine = "store_card", model = "card_request", template = "start_card.vtl", parameters = {} }
    },
    {
      for path, operation in local.operations : path => {
        machine    = "operation"
        model      = operation.model
        template   = "start_operation.vtl"
        parameters = { operation = operation.type }
      }
    },
  )

  start_resource_ids = merge(
    { for path, resource in aws_api_gateway_resource.collection : path => resource.id },
    { for path, resource in aws_api_gateway_resource.operation : path => resource.id },
  )

  search_parameters = ["merchant_reference", "status", "from", "to", "limit", "cursor"]

  # A function answers all other requests.
  function_routes = {
    search        = { item = "all_payments", http_method = "GET", function = "search", asks_for = [for name in local.search_parameters : "querystring.${name}"] }
    get_payment   = { item = "payments", http_method = "GET", function = "status", asks_for = ["querystring.wait"] }
    get_operation = { item = "operations", http_method = "GET", function = "status", asks_for = ["querystring.wait"] }
    get_card      = { item = "cards", http_method = "GET", function = "cards", asks_for = [] }
    delete_card   = { item = "cards", http_method = "DELETE", function = "cards", asks_for = [] }
    issue_key     = { item = "keys", http_method = "POST", function = "issue_key", asks_for = ["header.Idempotency-Key"] }
  }

  # item = { the resource, its path with * for each parameter, the parameters }
  items = merge(
    {
      for collection, parameter in local.collections : collection => {
        resource_id = aws_api_gateway_resource.item[collection].id
        path        = "${collection}/*"
        parameters  = [trim(parameter, "{}")]
      }
    },
    {
      operations = {
        resource_id = aws_api_gateway_resource.one_operation.id
        path        = "payments/*/operations/*"
        parameters  = ["payment_id", "operation_id"]
      }
      all_payments = { resource_id = aws_api_gateway_resource.collection["payments"].id, path = "payments", parameters = [] }
      keys         = { resource_id = aws_api_gateway_resource.keys.id, path = "keys", parameters = [] }
    },
  )

  # Requests that match no route go to the root or to the greedy path below it, which also gets the methods that a known
  # path does not have.
  unknown_routes = {
    root  = aws_api_gateway_rest_api.this.root_resource_id
    other = aws_api_gateway_resource.other.id
  }

  # What the API answers when Step Functions has started an execution or, of a synchronous one, when it has ended.
  started = {
    for path, route in local.start_routes : path => contains(local.express, route.machine)
    ? { action = "StartSyncExecution", status_code = "201", template = "stored.vtl", errors = ["422", "503"] }
    : { action = "StartExecution", status_code = "202", template = "accepted.vtl", errors = [] }
  }

  start_responses = merge([
    for path, started in local.started : {
      for status_code in concat([started.status_code, "400", "409", "429", "502"], started.errors) :
      "${path}_${status_code}" => { route = path, status_code = status_code, has_location = status_code == started.status_code }
    }
  ]...)

  templates = "${path.module}/api/templates"

  # A pattern for the card numbers of all brands: one of a brand's prefixes, and one of its lengths.
  card_number = join("|", [
    for brand in local.card_brands : format("(?=%s)(%s)",
      join("|", flatten([
        for prefixes in brand.begins : range(tonumber(split("-", prefixes)[0]), tonumber(reverse(split("-", prefixes))[0]) + 1)
      ])),
      join("|", [for length in brand.lengths : "[0-9]{${length}}"]),
    )
  ])

  texts = templatefile("${local.templates}/texts.vtl", { card_number = local.card_number })

  card_in_the_clear = templatefile("${local.templates}/card_in_the_clear.vtl", { card_numbers = jsonencode(var.test_cards_accepted ? keys(local.test_cards) : []) })

  # No answer may be cached: the next one may differ, and no intermediary may keep it. Functions set this themselves.
  no_store = "'no-store'"

  # Every template begins with the request's ids.
  ids = {
    for machine, ids in { payment = "payment_ids.vtl", store_card = "payment_ids.vtl", operation = "operation_ids.vtl" } :
    machine => join("", [file("${local.templates}/ids.vtl"), file("${local.templates}/${ids}")])
  }

  private = length(var.api_callers.vpc_endpoints) > 0
}

resource "aws_api_gateway_rest_api" "this" {
  name        = local.prefix
  description = "Takes card payments and stores cards"
  tags        = merge(local.tags, { Name = local.prefix })

  # The default endpoint has no mutual TLS, so it would be a way around it.
  disable_execute_api_endpoint = var.api_domain != null

  endpoint_configuration {
    types            = local.private ? ["PRIVATE"] : ["REGIONAL"]
    vpc_endpoint_ids = local.private ? var.api_callers.vpc_endpoints : null
  }

  lifecycle {
    create_before_destroy = true
  }
}

# --- Callers: IAM must allow them, and var.api_callers may restrict them further

locals {
  calling_accounts = [for principal in var.api_callers.principals : principal if can(regex("^[0-9]+$", principal))]
  calling_arns     = setsubtract(var.api_callers.principals, local.calling_accounts)

  # In the API's own account one of the two policies must allow a call. So an Allow here is not needed, and would admit
  # callers that IAM does not allow. Across accounts both policies must allow a call ("How API Gateway resource policies
  # affect authorization workflow", developer guide).
  other_accounts = setsubtract(concat(local.calling_accounts, [for arn in local.calling_arns : split(":", arn)[4]]), [local.account_id])

  # A caller that meets all conditions of a statement is refused.
  refused_callers = {
    OtherPrincipals = [
      { test = "StringNotEquals", variable = "aws:PrincipalAccount", values = local.calling_accounts },
      { test = "ArnNotEquals", variable = "aws:PrincipalArn", values = local.calling_arns },
    ]
    OtherAddresses    = [{ test = "NotIpAddress", variable = "aws:SourceIp", values = var.api_callers.ip_ranges }]
    OtherVpcEndpoints = [{ test = "StringNotEquals", variable = "aws:SourceVpce", values = var.api_callers.vpc_endpoints }]
    # It refuses nobody, since API Gateway only accepts TLS.
    WithoutTls = [{ test = "Bool", variable = "aws:SecureTransport", values = ["false"] }]
  }

  gateway_events_arn = "${aws_api_gateway_rest_api.this.execution_arn}/*/POST/gateway-events/*"
}

data "aws_iam_policy_document" "callers" {
  # To a method without authorization, the policy must admit callers explicitly ("API Gateway resource policy only", same
  # page).
  statement {
    sid       = "AllowGatewayEvents"
    actions   = ["execute-api:Invoke"]
    resources = [local.gateway_events_arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }

  # Whole accounts and not their roles, since the caller's own IAM policies must allow the call too.
  dynamic "statement" {
    for_each = length(local.other_accounts) > 0 ? [local.other_accounts] : []

    content {
      sid       = "AllowOtherAccounts"
      actions   = ["execute-api:Invoke"]
      resources = ["${aws_api_gateway_rest_api.this.execution_arn}/*"]

      principals {
        type        = "AWS"
        identifiers = [for account in statement.value : "arn:${local.partition}:iam::${account}:root"]
      }
    }
  }

  dynamic "statement" {
    for_each = {
      for sid, conditions in local.refused_callers : sid => [for condition in conditions : condition if length(condition.values) > 0]
      if anytrue([for condition in conditions : length(condition.values) > 0])
    }

    content {
      sid     = "Refuse${statement.key}"
      effect  = "Deny"
      actions = ["execute-api:Invoke"]
      # These are the merchant's callers. A gateway calls from wherever it likes, and without an AWS principal.
      not_resources = [local.gateway_events_arn]

      principals {
        type        = "*"
        identifiers = ["*"]
      }

      dynamic "condition" {
        for_each = statement.value

        content {
          test     = condition.value.test
          variable = condition.value.variable
          values   = condition.value.values
        }
      }
    }
  }
}

# The policy always exists. If Terraform removed it, the new deployment, which is made first, would still contain it.
resource "aws_api_gateway_rest_api_policy" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  policy      = data.aws_iam_policy_document.callers.json
}

# --- Paths

resource "aws_api_gateway_resource" "collection" {
  for_each = local.collections

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_rest_api.this.root_resource_id
  path_part   = each.key
}

resource "aws_api_gateway_resource" "item" {
  for_each = local.collections

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.collection[each.key].id
  path_part   = each.value
}

resource "aws_api_gateway_resource" "operation" {
  for_each = local.operations

  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.item["payments"].id
  path_part   = each.key
}

# One operation of any type: GET /payments/{payment_id}/operations/{operation_id}.
resource "aws_api_gateway_resource" "every_operation" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.item["payments"].id
  path_part   = "operations"
}

resource "aws_api_gateway_resource" "one_operation" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.every_operation.id
  path_part   = "{operation_id}"
}

resource "aws_api_gateway_resource" "other" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_rest_api.this.root_resource_id
  path_part   = "{proxy+}"
}

# --- Payments, cards, and operations on payments: straight to Step Functions

resource "aws_api_gateway_request_validator" "this" {
  rest_api_id                 = aws_api_gateway_rest_api.this.id
  name                        = "body-and-parameters"
  validate_request_body       = true
  validate_request_parameters = true
}

resource "aws_api_gateway_method" "start" {
  for_each = local.start_routes

  rest_api_id          = aws_api_gateway_rest_api.this.id
  resource_id          = local.start_resource_ids[each.key]
  http_method          = "POST"
  authorization        = "AWS_IAM"
  request_validator_id = aws_api_gateway_request_validator.this.id
  request_models       = { "application/json" = aws_api_gateway_model.this[each.value.model].name }
  # The template checks that the key is there: API Gateway may accept a required header only in this spelling, and over
  # HTTP/2 its name is in lower case.
  request_parameters = merge(
    { "method.request.header.Idempotency-Key" = false },
    contains(keys(local.operations), each.key) ? { "method.request.path.payment_id" = true } : {},
  )
}

resource "aws_api_gateway_integration" "start" {
  for_each = local.start_routes

  rest_api_id             = aws_api_gateway_rest_api.this.id
  resource_id             = aws_api_gateway_method.start[each.key].resource_id
  http_method             = aws_api_gateway_method.start[each.key].http_method
  type                    = "AWS"
  integration_http_method = "POST"
  uri                     = "arn:${local.partition}:apigateway:${local.region}:states:action/${local.started[each.key].action}"
  credentials             = aws_iam_role.api.arn
  passthrough_behavior    = "NEVER"

  request_templates = {
    "application/json" = join("", [
      local.ids[each.value.machine],
      file("${local.templates}/caller.vtl"),
      each.value.machine != "operation" ? join("", [local.card_in_the_clear, each.value.machine == "payment" ? file("${local.templates}/order.vtl") : "", local.texts, file("${local.templates}/members.vtl")]) : "",
      templatefile("${local.templates}/${each.value.template}", merge(each.value.parameters, {
        state_machine_arn = aws_sfn_alias.live[each.value.machine].arn
      })),
    ])
  }
}

resource "aws_api_gateway_method_response" "start" {
  for_each = local.start_responses

  rest_api_id = aws_api_gateway_rest_api.this.id
  resource_id = aws_api_gateway_method.start[each.value.route].resource_id
  http_method = aws_api_gateway_method.start[each.value.route].http_method
  status_code = each.value.status_code
  response_parameters = merge(
    { "method.response.header.Cache-Control" = true },
    each.value.has_location ? { "method.response.header.Location" = true } : {},
  )
}

resource "aws_api_gateway_integration_response" "started" {
  for_each = local.start_routes

  rest_api_id         = aws_api_gateway_rest_api.this.id
  resource_id         = aws_api_gateway_integration.start[each.key].resource_id
  http_method         = aws_api_gateway_integration.start[each.key].http_method
  status_code         = aws_api_gateway_method_response.start["${each.key}_${local.started[each.key].status_code}"].status_code
  selection_pattern   = "200"
  response_parameters = { "method.response.header.Cache-Control" = local.no_store }
  response_templates  = { "application/json" = join("", [local.ids[each.value.machine], file("${local.templates}/${local.started[each.key].template}")]) }
}

# Every answer of Step Functions except 200; the template gives the errors that it knows other statuses.
resource "aws_api_gateway_integration_response" "refused" {
  for_each = local.start_routes

  rest_api_id         = aws_api_gateway_rest_api.this.id
  resource_id         = aws_api_gateway_integration.start[each.key].resource_id
  http_method         = aws_api_gateway_integration.start[each.key].http_method
  status_code         = aws_api_gateway_method_response.start["${each.key}_502"].status_code
  response_parameters = { "method.response.header.Cache-Control" = local.no_store }
  response_templates  = { "application/json" = join("", [local.ids[each.value.machine], file("${local.templates}/refused.vtl")]) }
}

# --- Payments, operations and cards to look at: by a function

resource "aws_api_gateway_method" "function" {
  for_each = local.function_routes

  rest_api_id          = aws_api_gateway_rest_api.this.id
  resource_id          = local.items[each.value.item].resource_id
  http_method          = each.value.http_method
  authorization        = "AWS_IAM"
  request_validator_id = aws_api_gateway_request_validator.this.id
  request_parameters = merge(
    { for parameter in local.items[each.value.item].parameters : "method.request.path.${parameter}" => true },
    { for parameter in each.value.asks_for : "method.request.${parameter}" => false },
  )
}

resource "aws_api_gateway_integration" "function" {
  for_each = local.function_routes

  rest_api_id             = aws_api_gateway_rest_api.this.id
  resource_id             = aws_api_gateway_method.function[each.key].resource_id
  http_method             = aws_api_gateway_method.function[each.key].http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = aws_lambda_alias.live[each.value.function].invoke_arn
}

# --- Events from gateways, which sign the body instead of the request: the function checks that

resource "aws_api_gateway_resource" "gateway_events" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_rest_api.this.root_resource_id
  path_part   = "gateway-events"
}

resource "aws_api_gateway_resource" "gateway" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.gateway_events.id
  path_part   = "{gateway}"
}

resource "aws_api_gateway_method" "gateway_events" {
  #checkov:skip=CKV_AWS_59:A gateway has no AWS credentials
  #checkov:skip=CKV2_AWS_53:The signature covers the body as it is, so the function checks both
  #checkov:skip=CKV2_PAYMENTS_1:A gateway has no AWS credentials; the function checks the gateway's own signature

  rest_api_id        = aws_api_gateway_rest_api.this.id
  resource_id        = aws_api_gateway_resource.gateway.id
  http_method        = "POST"
  authorization      = "NONE"
  request_parameters = { "method.request.path.gateway" = true }
}

resource "aws_api_gateway_integration" "gateway_events" {
  rest_api_id             = aws_api_gateway_rest_api.this.id
  resource_id             = aws_api_gateway_method.gateway_events.resource_id
  http_method             = aws_api_gateway_method.gateway_events.http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = aws_lambda_alias.live["receive_event"].invoke_arn
}

# --- The static sealing key's public half: a fixed answer without a function

resource "aws_api_gateway_resource" "keys" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_rest_api.this.root_resource_id
  path_part   = "keys"
}

resource "aws_api_gateway_method" "keys" {
  #checkov:skip=CKV2_AWS_53:The answer is fixed, whatever the request contains

  rest_api_id   = aws_api_gateway_rest_api.this.id
  resource_id   = aws_api_gateway_resource.keys.id
  http_method   = "GET"
  authorization = "AWS_IAM"
}

resource "aws_api_gateway_integration" "keys" {
  rest_api_id          = aws_api_gateway_rest_api.this.id
  resource_id          = aws_api_gateway_method.keys.resource_id
  http_method          = aws_api_gateway_method.keys.http_method
  type                 = "MOCK"
  passthrough_behavior = "NEVER"
  request_templates    = { "application/json" = jsonencode({ statusCode = 200 }) }
}

resource "aws_api_gateway_method_response" "keys" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  resource_id = aws_api_gateway_method.keys.resource_id
  http_method = aws_api_gateway_method.keys.http_method
  status_code = "200"

  response_parameters = { "method.response.header.Cache-Control" = true }
}

resource "aws_api_gateway_integration_response" "keys" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  resource_id = aws_api_gateway_integration.keys.resource_id
  http_method = aws_api_gateway_integration.keys.http_method
  status_code = aws_api_gateway_method_response.keys.status_code

  response_parameters = { "method.response.header.Cache-Control" = local.no_store }

  response_templates = {
    "application/json" = jsonencode({
      keys = [
        for name in local.served_sealing_keys : {
          kid = aws_kms_key.this[name].key_id
          alg = "RSA-OAEP-256"
          enc = "A256GCM"
          pem = data.aws_kms_public_key.sealing[name].public_key_pem
        }
      ]
    })
  }
}

# --- Unknown routes: 404

resource "aws_api_gateway_method" "unknown" {
  #checkov:skip=CKV2_AWS_53:The answer is 404, whatever the request contains

  for_each = local.unknown_routes

  rest_api_id   = aws_api_gateway_rest_api.this.id
  resource_id   = each.value
  http_method   = "ANY"
  authorization = "AWS_IAM"
}

resource "aws_api_gateway_integration" "unknown" {
  for_each = local.unknown_routes

  rest_api_id          = aws_api_gateway_rest_api.this.id
  resource_id          = aws_api_gateway_method.unknown[each.key].resource_id
  http_method          = aws_api_gateway_method.unknown[each.key].http_method
  type                 = "MOCK"
  passthrough_behavior = "NEVER"

  # The common content types, so that a body sent to an unknown route gets 404 rather than 415.
  request_templates = {
    for content_type in [
      "application/json",
      "application/octet-stream",
      "application/x-www-form-urlencoded",
      "application/xml",
      "multipart/form-data",
      "text/plain",
      "text/xml",
    ] : content_type => jsonencode({ statusCode = 404 })
  }
}

resource "aws_api_gateway_method_response" "unknown" {
  for_each = local.unknown_routes

  rest_api_id = aws_api_gateway_rest_api.this.id
  resource_id = aws_api_gateway_method.unknown[each.key].resource_id
  http_method = aws_api_gateway_method.unknown[each.key].http_method
  status_code = "404"

  response_parameters = { "method.response.header.Cache-Control" = true }
}

resource "aws_api_gateway_integration_response" "unknown" {
  for_each = local.unknown_routes

  rest_api_id         = aws_api_gateway_rest_api.this.id
  resource_id         = aws_api_gateway_integration.unknown[each.key].resource_id
  http_method         = aws_api_gateway_integration.unknown[each.key].http_method
  status_code         = aws_api_gateway_method_response.unknown[each.key].status_code
  response_parameters = { "method.response.header.Cache-Control" = local.no_store }
  response_templates  = { "application/json" = local.error_bodies.RESOURCE_NOT_FOUND }
}

# --- Deployment

locals {
  # name = resource instance; everything that is part of a deployment's snapshot
  deployed = [
    {
      api = { private = local.private, disable_execute_api_endpoint = aws_api_gateway_rest_api.this.disable_execute_api_endpoint }
      # The policy as configured, since API Gateway returns it in another form.
      policy = { id = aws_api_gateway_rest_api_policy.this.id, json = data.aws_iam_policy_document.callers.json }
    },
    aws_api_gateway_resource.collection,
    aws_api_gateway_resource.item,
    aws_api_gateway_resource.operation,
    { every = aws_api_gateway_resource.every_operation, one = aws_api_gateway_resource.one_operation },
    { other = aws_api_gateway_resource.other, keys = aws_api_gateway_resource.keys },
    { gateway_events = aws_api_gateway_resource.gateway_events, gateway = aws_api_gateway_resource.gateway },
    { this = aws_api_gateway_request_validator.this },
    aws_api_gateway_model.this,
    aws_api_gateway_method.start,
    aws_api_gateway_method.function,
    aws_api_gateway_method.unknown,
    { keys = aws_api_gateway_method.keys, gateway_events = aws_api_gateway_method.gateway_events },
    aws_api_gateway_integration.start,
    aws_api_gateway_integration.function,
    aws_api_gateway_integration.unknown,
    { keys = aws_api_gateway_integration.keys, gateway_events = aws_api_gateway_integration.gateway_events },
    aws_api_gateway_method_response.start,
    aws_api_gateway_method_response.unknown,
    { keys = aws_api_gateway_method_response.keys },
    aws_api_gateway_integration_response.started,
    aws_api_gateway_integration_response.refused,
    aws_api_gateway_integration_response.unknown,
    { keys = aws_api_gateway_integration_response.keys },
    aws_api_gateway_gateway_response.this,
  ]
}

resource "aws_api_gateway_deployment" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id

  # Every change of the API must make a new deployment. Empty attributes are left out: in the provider's state they are
  # null after a resource is created, and empty from the next refresh on, which is no change.
  triggers = {
    api = sha256(jsonencode([
      for resources in local.deployed : {
        for name, instance in resources : name => {
          for attribute, value in instance : attribute => value if value != null && try(length(value) > 0, true)
        }
      }
    ]))
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "this" {
  #checkov:skip=CKV_AWS_73:A trace has a request's whole URL, which may contain a card number that was sent there by mistake
  #checkov:skip=CKV_AWS_120:A cached status would be out of date, and every POST must reach the state machine
  #checkov:skip=CKV2_AWS_4:Execution logs quote refused bodies, which may contain card numbers; the access log suffices
  #checkov:skip=CKV2_AWS_51:The certificate is for an HTTP server behind the API, and there is none
  #checkov:skip=CKV2_AWS_77:The rules against Log4j are in waf.tf, in a dynamic block that the check can't read

  rest_api_id          = aws_api_gateway_rest_api.this.id
  deployment_id        = aws_api_gateway_deployment.this.id
  stage_name           = local.stage_name
  xray_tracing_enabled = false # "http.request.url" has the path and the query (X-Ray developer guide)
  tags                 = merge(local.tags, { Name = "${local.prefix}-${local.stage_name}" })

  # Log the route and not the path, since the caller chooses the path: nothing that a caller sends is logged.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.this["api"].arn
    format = jsonencode({
      request_id          = "$context.requestId"
      extended_request_id = "$context.extendedRequestId"
      time                = "$context.requestTime"
      source_ip           = "$context.identity.sourceIp"
      caller              = "$context.identity.userArn"
      method              = "$context.httpMethod"
      route               = "$context.resourcePath"
      status              = "$context.status"
      error               = "$context.error.responseType"
      response_bytes      = "$context.responseLength"
      latency_ms          = "$context.responseLatency"
      integration_status  = "$context.integrationStatus"
      integration_ms      = "$context.integrationLatency"
    })
  }

  depends_on = [aws_api_gateway_account.this]
}

resource "aws_api_gateway_method_settings" "this" {
  #checkov:skip=CKV_AWS_225:Answers must not be cached, for the reasons at the stage

  rest_api_id = aws_api_gateway_rest_api.this.id
  stage_name  = aws_api_gateway_stage.this.stage_name
  method_path = "*/*"

  settings {
    # This is for metrics by method. Alarms and dashboard use those of the stage, which always exist and are free.
    metrics_enabled        = false
    throttling_rate_limit  = var.api_throttling_rate
    throttling_burst_limit = var.api_throttling_burst
    data_trace_enabled     = false
    # Execution logs quote a refused body, which may contain a card number.
    logging_level = "OFF"
  }
}

resource "aws_api_gateway_account" "this" {
  count = var.manage_api_gateway_account ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.api_logs[0].arn
  reset_on_delete     = true # otherwise the account keeps a deleted role, and deployments with logs fail

  depends_on = [aws_iam_role_policy_attachment.api_logs]
}
