# What the variables are compared with, as locals.tf and lambda.tf have it.

locals {
  card_brands = jsondecode(file("${path.module}/../../../functions/shared/domain/card_brands.json")).brands
  event_types = jsondecode(file("${path.module}/../../../functions/shared/domain/event_types.json"))
  packages    = "${path.module}/../../../build/packages/${var.lambda_runtime}-${var.lambda_architecture}"
}
