locals {
  prefix     = "${var.name}-${var.environment}"
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name

  test_cards = jsondecode(file("${path.module}/../functions/shared/contracts/test_cards.json"))

  card_brands = jsondecode(file("${path.module}/../functions/shared/domain/card_brands.json")).brands

  event_types = jsondecode(file("${path.module}/../functions/shared/domain/event_types.json"))
}
