# Credentials and, for an emulator, the endpoint come from the environment (AWS_PROFILE, AWS_ENDPOINT_URL …).
provider "aws" {
  region = var.region
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}
