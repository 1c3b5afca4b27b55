# To verify the ledger (make verify-ledger, make audit), an auditor reads all of it and every version of its anchors,
# and asks KMS to verify the seals. Attach the policy to the auditors' own users and roles: Terraform attaches it to
# nobody.

data "aws_iam_policy_document" "auditor" {
  statement {
    sid     = "ReadLedger"
    actions = ["dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"]
    resources = [
      aws_dynamodb_table.ledger.arn,
      "${aws_dynamodb_table.ledger.arn}/index/*",
    ]
  }

  # Lists the stored cards without their ciphertexts: a read must name its attributes.
  statement {
    sid       = "ListCards"
    actions   = ["dynamodb:Scan"]
    resources = [aws_dynamodb_table.cards.arn]

    dynamic "condition" {
      for_each = local.card_attributes_only["ReadCard"]

      content {
        test     = condition.value.test
        variable = condition.value.variable
        values   = condition.value.values
      }
    }
  }

  statement {
    sid       = "VerifySeals"
    actions   = ["kms:VerifyMac"]
    resources = [aws_kms_key.this["books"].arn]
  }

  statement {
    sid       = "ReadAnchors"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${aws_s3_bucket.anchors.arn}/*"]
  }

  statement {
    sid       = "ListAnchors"
    actions   = ["s3:ListBucketVersions"]
    resources = [aws_s3_bucket.anchors.arn]
  }
}

resource "aws_iam_policy" "auditor" {
  name        = "${local.prefix}-may-audit"
  description = "Allows to read and verify the ledger, and to change nothing"
  policy      = data.aws_iam_policy_document.auditor.json
  tags        = merge(local.tags, { Name = "${local.prefix}-may-audit" })
}
