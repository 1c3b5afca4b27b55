# The functions' packages, on their way to Lambda, which keeps a copy: by their bucket it takes all functions at once, where
# Terraform would upload a file for one after the other. An object's name holds its content's hash, so it never changes.
resource "aws_s3_bucket" "packages" {
  #checkov:skip=CKV_AWS_18:Who puts packages there is in CloudTrail with the rest of a deployment
  #checkov:skip=CKV_AWS_144:A deployment elsewhere uploads its own
  #checkov:skip=CKV_AWS_145:They hold code and no data; S3 encrypts them with its own key, without a right to ours for who deploys
  #checkov:skip=CKV2_AWS_61:Nothing piles up: Terraform takes away what it replaces, with all its versions
  #checkov:skip=CKV2_AWS_62:Nobody waits for a package but the deployment that uploads it

  bucket        = "${local.prefix}-packages-${local.account_id}"
  force_destroy = true
  tags          = merge(local.tags, { Name = "${local.prefix}-packages" })
}

resource "aws_s3_bucket_public_access_block" "packages" {
  bucket                  = aws_s3_bucket.packages.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "packages" {
  bucket = aws_s3_bucket.packages.bucket

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "packages" {
  bucket = aws_s3_bucket.packages.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

data "aws_iam_policy_document" "packages" {
  statement {
    sid       = "RefuseWithoutTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.packages.arn, "${aws_s3_bucket.packages.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "packages" {
  bucket = aws_s3_bucket.packages.bucket
  policy = data.aws_iam_policy_document.packages.json
}

resource "aws_s3_object" "package" {
  for_each = toset(["functions", "layer"])

  bucket = aws_s3_bucket_versioning.packages.bucket
  key    = "${each.key}-${filesha256("${local.packages}/${each.key}.zip")}.zip"
  source = "${local.packages}/${each.key}.zip"
}
