# What a request's body must look like for an execution to exist at all.

locals {
  models_folder = "${path.module}/api/models"

  # What a request and a function's input have in common is said once, for both.
  definitions  = jsondecode(file("${path.module}/../functions/shared/contracts/definitions.json"))
  refused_text = jsonencode(local.definitions.refused_text)

  card_data_schema = templatefile("${local.models_folder}/card_data.json.tftpl", {
    refused_text = local.refused_text
    sealed_card  = jsonencode(local.definitions.sealed_card)
  })

  # What a payment is for, whichever card it is made by.
  order_schema = templatefile("${local.models_folder}/order.json.tftpl", {
    refused_text = local.refused_text
  })

  # file = the model's name in the API, where only letters and digits are allowed
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

  # Decoded and encoded again: one spelling, and a mistake shows at plan.
  schema = jsonencode(jsondecode(templatefile("${local.models_folder}/${each.key}.json.tftpl", {
    card_data = local.card_data_schema
    order     = local.order_schema
  })))
}
