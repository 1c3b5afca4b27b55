# Resources that earlier deployments know by other names.

moved {
  from = aws_cloudwatch_event_rule.doubts
  to   = aws_cloudwatch_event_rule.scheduled["doubts"]
}

moved {
  from = aws_cloudwatch_event_target.doubts
  to   = aws_cloudwatch_event_target.scheduled["doubts"]
}

moved {
  from = aws_lambda_permission.doubts
  to   = aws_lambda_permission.scheduled["doubts"]
}

moved {
  from = aws_s3_bucket_public_access_block.packages
  to   = aws_s3_bucket_public_access_block.this["packages"]
}

moved {
  from = aws_s3_bucket_server_side_encryption_configuration.packages
  to   = aws_s3_bucket_server_side_encryption_configuration.this["packages"]
}

moved {
  from = aws_s3_bucket_versioning.packages
  to   = aws_s3_bucket_versioning.this["packages"]
}

moved {
  from = aws_s3_bucket_policy.packages
  to   = aws_s3_bucket_policy.this["packages"]
}
