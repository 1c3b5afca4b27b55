# Lambda takes the functions' packages from this bucket, and keeps a copy. So all functions deploy at once, whereas
# Terraform would upload files for one function after the other. An object's name contains the hash of its content, so
# an object never changes.
resource "aws_s3_bucket" "packages" {
  #checkov:skip=CKV_AWS_18:CloudTrail can record who uploads packages, with the rest of a deployment
  #checkov:skip=CKV_AWS_144:A deployment in another region uploads its own packages
  #checkov:skip=CKV_AWS_145:Packages are code without data; with S3's own key, a deployment needs no permission for ours
  #checkov:skip=CKV2_AWS_61:Nothing accumulates: Terraform removes a package that it replaces, with all versions
  #checkov:skip=CKV2_AWS_62:Only the deployment that uploads a package waits for it

  bucket        = "${local.prefix}-packages-${local.account_id}"
  force_destroy = true
  tags          = merge(local.tags, { Name = "${local.prefix}-packages" })
}

# The ledger's anchors. Each is written once, and can't be deleted before its retention ends. In compliance mode nobody
# can delete it, not even the account's root user ("Locking objects with Object Lock", S3 user guide). In governance
# mode, for deployments that may be destroyed, deletion requires a permission that none of our roles has.
resource "aws_s3_bucket" "anchors" {
  #checkov:skip=CKV_AWS_18:CloudTrail can record who reads and writes anchors; their content is in the ledger as well
  #checkov:skip=CKV_AWS_144:An anchor serves to be compared with the table, which is in this region
  #checkov:skip=CKV_AWS_145:Anchors hold ids and hashes; with S3's own key, an auditor needs no permission for ours
  #checkov:skip=CKV2_AWS_61:Anchors are kept: a few hundred kilobytes per thousand payments
  #checkov:skip=CKV2_AWS_62:Nobody waits for an anchor; a missing one raises an alarm

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

# The settings of both buckets.
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
