# The merchant's own domain name with mutual TLS: var.api_domain.

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "a_url_is_no_domain_name" {
  command = plan

  variables {
    api_domain = {
      domain_name     = "https://payments.example.com"
      certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/7f3c0e6a-5f0b-4c5e-9a5e-0d7b1f1c2a3b"
      truststore_uri  = "s3://example-truststore/clients.pem"
    }
  }

  expect_failures = [var.api_domain]
}

run "a_certificate_of_iam_is_refused" {
  command = plan

  variables {
    api_domain = {
      domain_name     = "payments.example.com"
      certificate_arn = "arn:aws:iam::123456789012:server-certificate/payments"
      truststore_uri  = "s3://example-truststore/clients.pem"
    }
  }

  expect_failures = [var.api_domain]
}

run "a_truststore_elsewhere_than_in_s3_is_refused" {
  command = plan

  variables {
    api_domain = {
      domain_name     = "payments.example.com"
      certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/7f3c0e6a-5f0b-4c5e-9a5e-0d7b1f1c2a3b"
      truststore_uri  = "https://example.com/clients.pem"
    }
  }

  expect_failures = [var.api_domain]
}

run "a_private_api_has_no_mutual_tls" {
  command = plan

  variables {
    api_callers = { vpc_endpoints = ["vpce-0123456789abcdef0"] }
    api_domain = {
      domain_name     = "payments.example.com"
      certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/7f3c0e6a-5f0b-4c5e-9a5e-0d7b1f1c2a3b"
      truststore_uri  = "s3://example-truststore/clients.pem"
    }
  }

  expect_failures = [var.api_domain]
}
