# What a request's body must look like for an execution to exist at all.

locals {
  models_folder = "${path.module}/api/models"

  # Free text holds no control characters, and nothing that looks like a card number: 13 digits or more, spaces
  # and dashes between them included.
  refused_text = jsonencode("[\\u0000-\\u001f\\u007f-\\u009f]|[0-9]([ -]*[0-9]){12}")

  card_data_schema = templatefile("${local.models_folder}/card_data.json.tftpl", {
    card_numbers = jsonencode(keys(local.test_cards))
    refused_text = local.refused_text
  })

  # file = the model's name in the API, where only letters and digits are allowed
  models = {
    payment_request = "PaymentRequest"
    card_request    = "CardRequest"
  }
}

resource "aws_api_gateway_model" "this" {
  for_each = local.models

  rest_api_id  = aws_api_gateway_rest_api.this.id
  name         = each.value
  content_type = "application/json"

  # Decoded and encoded again: one spelling, and a mistake shows at plan.
  schema = jsonencode(jsondecode(templatefile("${local.models_folder}/${each.key}.json.tftpl", {
    card_data    = local.card_data_schema
    refused_text = local.refused_text
  })))
}
