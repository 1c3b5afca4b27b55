# API Gateway's own error answers, in the API's error format. The messages are fixed, since API Gateway's messages quote
# the request, which may contain a card number.

locals {
  forbidden = { status = "403", code = "forbidden", message = "The request is not signed, its signature is wrong or has expired, or its caller may not make it." }
  throttled = { status = "429", code = "too_many_requests", message = "Too many requests. Try again later." }

  gateway_errors = {
    BAD_REQUEST_BODY = {
      status  = "400"
      code    = "invalid_request"
      message = "Missing card data. Or another field is missing, unknown, or not as documented; or the body is not JSON."
    }
    REQUEST_TOO_LARGE            = { status = "413", code = "request_too_large", message = "The body is too large." }
    UNSUPPORTED_MEDIA_TYPE       = { status = "415", code = "unsupported_media_type", message = "The body must be application/json." }
    RESOURCE_NOT_FOUND           = { status = "404", code = "not_found", message = "There is no such route." }
    THROTTLED                    = local.throttled
    QUOTA_EXCEEDED               = local.throttled
    ACCESS_DENIED                = local.forbidden
    EXPIRED_TOKEN                = local.forbidden
    INVALID_API_KEY              = local.forbidden
    INVALID_SIGNATURE            = local.forbidden
    MISSING_AUTHENTICATION_TOKEN = local.forbidden
    UNAUTHORIZED                 = local.forbidden
    WAF_FILTERED                 = local.forbidden
    INTEGRATION_FAILURE          = { status = "502", code = "bad_gateway", message = "A service behind the API failed. Try again with the same Idempotency-Key." }
    INTEGRATION_TIMEOUT          = { status = "504", code = "gateway_timeout", message = "A service behind the API took too long. Try again with the same Idempotency-Key." }
    API_CONFIGURATION_ERROR      = { status = "500", code = "internal_error", message = "Something went wrong in the API." }
    DEFAULT_5XX                  = { status = "500", code = "internal_error", message = "Something went wrong in the API." }
    # The remaining errors keep their own status. Most of them are unknown credentials, with 403.
    DEFAULT_4XX = { status = null, code = "refused", message = "The request was refused: its credentials are unknown, or it is malformed." }
  }

  error_bodies = {
    for type, error in local.gateway_errors :
    type => jsonencode({ error = { code = error.code, message = error.message } })
  }
}

resource "aws_api_gateway_gateway_response" "this" {
  for_each = local.gateway_errors

  rest_api_id         = aws_api_gateway_rest_api.this.id
  response_type       = each.key
  status_code         = each.value.status
  response_parameters = { "gatewayresponse.header.Cache-Control" = local.no_store }
  response_templates  = { "application/json" = local.error_bodies[each.key] }
}
