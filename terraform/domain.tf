# The merchant's own domain name, with mutual TLS (var.api_domain).

resource "aws_api_gateway_domain_name" "this" {
  count = var.api_domain == null ? 0 : 1

  domain_name              = var.api_domain.domain_name
  regional_certificate_arn = var.api_domain.certificate_arn
  security_policy          = "TLS_1_2"
  tags                     = merge(local.tags, { Name = var.api_domain.domain_name })

  endpoint_configuration {
    types = ["REGIONAL"]
  }

  mutual_tls_authentication {
    truststore_uri     = var.api_domain.truststore_uri
    truststore_version = var.api_domain.truststore_version
  }
}

resource "aws_api_gateway_base_path_mapping" "this" {
  count = length(aws_api_gateway_domain_name.this)

  domain_name = aws_api_gateway_domain_name.this[count.index].domain_name
  api_id      = aws_api_gateway_rest_api.this.id
  stage_name  = aws_api_gateway_stage.this.stage_name
}
