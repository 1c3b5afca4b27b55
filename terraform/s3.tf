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

# The ledger's anchors: each is written once, and nobody takes it away before its time is over. In compliance mode that is
# nobody at all, the account's root user included ("Locking objects with Object Lock", S3 user guide); in governance mode,
# where a deployment may be destroyed, it takes a permission that no role of ours has.
resource "aws_s3_bucket" "anchors" {
  #checkov:skip=CKV_AWS_18:Who reads and writes anchors is in CloudTrail; what is in them is in the ledger as well
  #checkov:skip=CKV_AWS_144:An anchor is there to be compared with the table, which is in this region
  #checkov:skip=CKV_AWS_145:They hold ids and hashes; S3 encrypts them with its own key, without a right to ours for who audits
  #checkov:skip=CKV2_AWS_61:They stay: a few hundred kilobytes for each thousand payments
  #checkov:skip=CKV2_AWS_62:Nobody waits for an anchor; that one is missing is an alarm

  bucket              = "${local.prefix}-anchors-${local.account_id}"
  object_lock_enabled = true
  force_destroy       = !var.deletion_protection
  tags                = merge(local.tags, { Name = "${local.prefix}-anchors" })
}

resource "aws_s3_bucket_object_lock_configuration" "anchors" {
  bucket = aws_s3_bucket.anchors.bucket

  rule {
    default_retention {
      mode = var.deletion_protection ? "COMPLIANCE" : "GOVERNANCE"
      days = var.anchor_retention_days
    }
  }
}

# What both buckets have.
locals {
  buckets = { packages = aws_s3_bucket.packages, anchors = aws_s3_bucket.anchors }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.buckets

  bucket                  = each.value.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets

  bucket = each.value.bucket

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.buckets

  bucket = each.value.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

data "aws_iam_policy_document" "bucket" {
  for_each = local.buckets

  statement {
    sid       = "RefuseWithoutTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

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

resource "aws_s3_bucket_policy" "this" {
  for_each = local.buckets

  bucket = each.value.bucket
  policy = data.aws_iam_policy_document.bucket[each.key].json
}

resource "aws_s3_object" "package" {
  for_each = toset(["functions", "layer"])

  bucket = aws_s3_bucket_versioning.this["packages"].bucket
  key    = "${each.key}-${filesha256("${local.packages}/${each.key}.zip")}.zip"
  source = "${local.packages}/${each.key}.zip"
}
