# The schemas that a request's body must match before an execution starts.

locals {
  models_folder = "${path.module}/api/models"

  # The definitions that requests and the functions' inputs share.
  definitions  = jsondecode(file("${path.module}/../functions/shared/contracts/definitions.json"))
  refused_text = jsonencode(local.definitions.refused_text)

  card_data_schema = templatefile("${local.models_folder}/card_data.json.tftpl", {
    refused_text = local.refused_text
    sealed_card  = jsonencode(local.definitions.sealed_card)
  })

  # The fields of a payment that do not depend on the card.
  order_schema = templatefile("${local.models_folder}/order.json.tftpl", {
    refused_text = local.refused_text
  })

  # Of payments that a customer makes.
  authentication_schema = templatefile("${local.models_folder}/authentication.json.tftpl", {
    for field in ["three_d_secure", "exemption"] : field => jsonencode(concat(local.definitions[field].enum, [null]))
  })

  # file = the model's name in the API, which may contain only letters and digits
  models = {
    payment_request = "PaymentRequest"
    card_request    = "CardRequest"
    amount_request  = "AmountRequest"
    void_request    = "VoidRequest"
  }
}

resource "aws_api_gateway_model" "this" {
  for_each = local.models

  rest_api_id  = aws_api_gateway_rest_api.this.id
  name         = each.value
  content_type = "application/json"

  # Decode and encode again, for a uniform format and so that the plan already reveals invalid JSON.
  schema = jsonencode(jsondecode(templatefile("${local.models_folder}/${each.key}.json.tftpl", {
    card_data      = local.card_data_schema
    order          = local.order_schema
    authentication = local.authentication_schema
    reasons        = jsonencode(local.definitions.reason.enum)
  })))
}
