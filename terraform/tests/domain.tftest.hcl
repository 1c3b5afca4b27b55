# The merchant's own domain name with mutual TLS: var.api_domain.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "without_a_domain_the_api_answers_under_aws_s_own_name" {
  plan_options {
    target = [
      aws_api_gateway_base_path_mapping.this,
      aws_api_gateway_deployment.this,
      aws_api_gateway_domain_name.this,
      aws_api_gateway_stage.this,
    ]
  }

  assert {
    condition     = length(aws_api_gateway_domain_name.this) == 0 && length(aws_api_gateway_base_path_mapping.this) == 0
    error_message = "There must be no domain."
  }

  assert {
    condition     = !aws_api_gateway_rest_api.this.disable_execute_api_endpoint
    error_message = "AWS's own name must answer."
  }

  assert {
    condition     = output.api_url == "https://mock.execute-api.eu-west-1.amazonaws.com/v1" && output.api_domain_target == null
    error_message = "The outputs must name the stage."
  }
}

run "a_domain_has_mutual_tls_and_is_the_only_way_in" {
  plan_options {
    target = [
      aws_api_gateway_base_path_mapping.this,
      aws_api_gateway_deployment.this,
      aws_api_gateway_domain_name.this,
      aws_api_gateway_stage.this,
    ]
  }

  variables {
    api_domain = {
      domain_name        = "payments.example.com"
      certificate_arn    = "arn:aws:acm:eu-west-1:123456789012:certificate/7f3c0e6a-5f0b-4c5e-9a5e-0d7b1f1c2a3b"
      truststore_uri     = "s3://example-truststore/clients.pem"
      truststore_version = "3"
    }
  }

  assert {
    condition     = one(aws_api_gateway_domain_name.this).mutual_tls_authentication == tolist([{ truststore_uri = "s3://example-truststore/clients.pem", truststore_version = "3" }])
    error_message = "Clients must show a certificate that the truststore knows."
  }

  assert {
    condition     = one(aws_api_gateway_domain_name.this).security_policy == "TLS_1_2"
    error_message = "TLS must be 1.2 at least."
  }

  assert {
    condition     = one(aws_api_gateway_domain_name.this).regional_certificate_arn == var.api_domain.certificate_arn
    error_message = "The certificate must be the one that was given."
  }

  assert {
    condition = (
      one(aws_api_gateway_base_path_mapping.this).api_id == aws_api_gateway_rest_api.this.id &&
      one(aws_api_gateway_base_path_mapping.this).stage_name == aws_api_gateway_stage.this.stage_name &&
      one(aws_api_gateway_base_path_mapping.this).domain_name == "payments.example.com"
    )
    error_message = "The domain must lead to the API's stage."
  }

  assert {
    condition     = aws_api_gateway_rest_api.this.disable_execute_api_endpoint
    error_message = "AWS's own name must not answer: it knows no mutual TLS."
  }

  assert {
    condition     = anytrue([for resources in local.deployed : try(resources.api.disable_execute_api_endpoint, false)])
    error_message = "It must be deployed: until then AWS's own name answers."
  }

  assert {
    condition     = output.api_url == "https://payments.example.com"
    error_message = "The API's URL must be the domain's."
  }

  assert {
    condition     = output.api_domain_target == { name = "d-mock.execute-api.eu-west-1.amazonaws.com", zone_id = "ZMOCK" }
    error_message = "The output must say what DNS has to point at."
  }
}
