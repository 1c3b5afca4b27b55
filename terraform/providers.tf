# Credentials, and the endpoint of an emulator if there is one, come from the environment (AWS_PROFILE, AWS_ENDPOINT_URL …).
provider "aws" {
  region = var.region
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}
