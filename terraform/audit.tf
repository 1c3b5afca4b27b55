# Who verifies the ledger (make verify-ledger, make audit) reads all of it, and its anchors in every version, and asks KMS
# whether a seal is right. To be attached to the auditors' own users and roles; nothing here is attached to anybody.

data "aws_iam_policy_document" "auditor" {
  statement {
    sid     = "ReadLedger"
    actions = ["dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"]
    resources = [
      aws_dynamodb_table.ledger.arn,
      "${aws_dynamodb_table.ledger.arn}/index/*",
    ]
  }

  # Which cards are stored, and no ciphertext: a read names what it wants.
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
