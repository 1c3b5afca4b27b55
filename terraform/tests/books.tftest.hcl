# Nobody rewrites the books: the ledger keeps what is written, and its anchors are out of everybody's reach.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

run "the_ledger_forgets_nothing" {
  command = plan

  plan_options {
    target = [aws_dynamodb_table.cards, aws_dynamodb_table.ledger]
  }

  assert {
    condition     = length(aws_dynamodb_table.ledger.ttl) == 0 && one(aws_dynamodb_table.cards.ttl).enabled
    error_message = "The ledger has no time to live; stored cards have."
  }
}

run "who_writes_seals_and_nobody_who_writes_verifies" {
  command = plan

  plan_options {
    target = [
      data.aws_iam_policy_document.auditor,
      data.aws_iam_policy_document.function,
      data.aws_iam_policy_document.key,
    ]
  }

  assert {
    condition = toset(flatten([
      for name, document in data.aws_iam_policy_document.function : [
        for statement in document.statement : name if statement.sid == "SealBooks"
      ]
    ])) == toset(local.sealing_roles)
    error_message = "The key's policy must name exactly the roles that seal."
  }

  assert {
    condition = !anytrue(flatten([
      for document in data.aws_iam_policy_document.function : [
        for statement in document.statement : contains(statement.actions, "kms:VerifyMac")
      ]
    ]))
    error_message = "Who writes must not verify."
  }

  assert {
    condition = toset(flatten([
      for statement in data.aws_iam_policy_document.auditor.statement : statement.actions
      ])) == toset([
      "dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan",
      "kms:VerifyMac", "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucketVersions",
    ])
    error_message = "Who audits reads and verifies, and changes nothing."
  }
}

run "anchors_are_locked_for_everybody_in_production" {
  command = plan

  plan_options {
    target = [
      aws_s3_bucket.anchors,
      aws_s3_bucket_object_lock_configuration.anchors,
      data.aws_iam_policy_document.function,
    ]
  }

  variables {
    deletion_protection   = true
    anchor_retention_days = 90
  }

  assert {
    condition = (
      aws_s3_bucket.anchors.object_lock_enabled && !aws_s3_bucket.anchors.force_destroy &&
      one(one(aws_s3_bucket_object_lock_configuration.anchors.rule).default_retention).mode == "COMPLIANCE" &&
      one(one(aws_s3_bucket_object_lock_configuration.anchors.rule).default_retention).days == 90
    )
    error_message = "In production nobody takes an anchor away before its time."
  }

  assert {
    condition = toset(flatten([
      for document in data.aws_iam_policy_document.function : [
        for statement in document.statement : [for action in statement.actions : action if startswith(action, "s3:")]
      ]
    ])) == toset(["s3:GetObject", "s3:ListBucket", "s3:PutObject"])
    error_message = "The function may add anchors, and neither delete nor unlock any."
  }
}

run "anchors_may_go_where_a_deployment_may" {
  command = plan

  plan_options {
    target = [aws_s3_bucket.anchors, aws_s3_bucket_object_lock_configuration.anchors]
  }

  variables {
    deletion_protection = false
  }

  assert {
    condition     = aws_s3_bucket.anchors.force_destroy && one(one(aws_s3_bucket_object_lock_configuration.anchors.rule).default_retention).mode == "GOVERNANCE"
    error_message = "A deployment that may be destroyed can be."
  }
}
