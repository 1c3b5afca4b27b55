# The functions' packages, on their way to Lambda.

mock_provider "aws" {
  source = "./tests/aws"
}

# The longest names there are.
variables {
  name        = "payments-of-a-long-named"
  environment = "environment1"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "functions_take_packages_that_are_named_by_what_they_hold_and_nobody_else_gets_at_them" {
  plan_options {
    target = [
      aws_lambda_function.this,
      aws_lambda_layer_version.dependencies,
      aws_s3_bucket.packages,
      aws_s3_bucket_public_access_block.this,
      aws_s3_object.package,
      data.aws_iam_policy_document.bucket,
      data.aws_iam_policy_document.function,
      data.aws_iam_policy_document.state_machine,
    ]
  }

  assert {
    condition = alltrue([
      for name, package in aws_s3_object.package :
      package.key == "${name}-${filesha256("${local.packages}/${name}.zip")}.zip" && package.source == "${local.packages}/${name}.zip"
    ])
    error_message = "What is built anew and is the same must not be deployed again, and what is not the same must be."
  }

  assert {
    condition = alltrue([
      for function in aws_lambda_function.this :
      function.s3_bucket == aws_s3_bucket.packages.bucket && function.s3_key == aws_s3_object.package["functions"].key
    ])
    error_message = "Every function must take its code from the bucket: from a file Terraform uploads one after the other."
  }

  assert {
    condition     = aws_lambda_layer_version.dependencies.s3_key == aws_s3_object.package["layer"].key
    error_message = "The layer must take its packages from the bucket."
  }

  assert {
    condition = (
      aws_s3_bucket_public_access_block.this["packages"].bucket == aws_s3_bucket.packages.bucket &&
      aws_s3_bucket_public_access_block.this["packages"].block_public_acls &&
      aws_s3_bucket_public_access_block.this["packages"].block_public_policy &&
      aws_s3_bucket_public_access_block.this["packages"].ignore_public_acls &&
      aws_s3_bucket_public_access_block.this["packages"].restrict_public_buckets
    )
    error_message = "The bucket must be closed to the public."
  }

  assert {
    condition = (
      one(data.aws_iam_policy_document.bucket["packages"].statement).effect == "Deny" &&
      one(data.aws_iam_policy_document.bucket["packages"].statement).actions == toset(["s3:*"]) &&
      one(data.aws_iam_policy_document.bucket["packages"].statement).resources == toset([aws_s3_bucket.packages.arn, "${aws_s3_bucket.packages.arn}/*"]) &&
      one(one(data.aws_iam_policy_document.bucket["packages"].statement).principals).identifiers == toset(["*"]) &&
      one(one(data.aws_iam_policy_document.bucket["packages"].statement).condition).variable == "aws:SecureTransport" &&
      one(one(data.aws_iam_policy_document.bucket["packages"].statement).condition).values == tolist(["false"])
    )
    error_message = "The bucket's policy must refuse everybody without TLS, and let nobody in."
  }

  assert {
    condition = !anytrue(flatten([
      for document in concat(values(data.aws_iam_policy_document.function), values(data.aws_iam_policy_document.state_machine)) : [
        for statement in document.statement : [for resource in statement.resources : strcontains(resource, aws_s3_bucket.packages.arn)]
      ]
    ]))
    error_message = "A role that runs needs no package: Lambda has a copy."
  }

  assert {
    condition     = aws_s3_bucket.packages.force_destroy
    error_message = "Destroying a deployment must leave no package."
  }

  assert {
    condition     = length(aws_s3_bucket.packages.bucket) <= 63
    error_message = "S3 takes names of up to 63 characters."
  }
}
