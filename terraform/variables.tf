variable "name" {
  description = "What this deployment is called; every resource's name begins with it."
  type        = string
  default     = "payments"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "The name must be 3 to 24 lower-case letters, digits and dashes, and begin with a letter."
  }
}

variable "environment" {
  description = "Which of several deployments in one account this is, such as dev or prod; part of every resource's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "The environment must be 2 to 12 lower-case letters and digits, and begin with a letter."
  }
}

variable "region" {
  description = "The AWS region; null takes it from the environment (AWS_REGION or the profile)."
  type        = string
  default     = null

  validation {
    condition     = var.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region must look like eu-west-1."
  }
}

variable "tags" {
  description = "Tags for every resource, on top of Project, Environment and ManagedBy."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "Tag keys may not begin with aws:, which AWS keeps for itself."
  }
}

variable "lambda_runtime" {
  description = "The functions' runtime; with lambda_architecture it picks the folder of packages below build/packages."
  type        = string
  default     = "python3.13"

  validation {
    condition     = can(regex("^python3\\.1[1-9]$", var.lambda_runtime))
    error_message = "The runtime must be python3.11 or later."
  }
}

variable "lambda_architecture" {
  description = "The functions' instruction set: arm64 or x86_64."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.lambda_architecture)
    error_message = "The architecture must be arm64 or x86_64."
  }
}

variable "log_level" {
  description = "The least severe level that the functions log."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], var.log_level)
    error_message = "The log level must be DEBUG, INFO, WARNING, ERROR or CRITICAL."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept, in days; PCI DSS 10.5.1 asks for twelve months."
  type        = number
  default     = 365

  validation {
    # The values from a year on that CloudWatch Logs accepts.
    condition     = contains([365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "Logs are kept for 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "tracing_enabled" {
  description = "Whether the API, the state machine and the functions send traces to X-Ray."
  type        = bool
  default     = true
}

variable "deletion_protection" {
  description = "Whether the ledger refuses to be deleted, and the secret can be restored for 30 days after it was."
  type        = bool
  default     = true
}

variable "kms_deletion_window_days" {
  description = "How long a deleted key can be brought back, in days; without its key the stored cards are lost."
  type        = number
  default     = 30

  validation {
    condition     = var.kms_deletion_window_days >= 7 && var.kms_deletion_window_days <= 30
    error_message = "KMS keeps a deleted key for 7 to 30 days."
  }
}

variable "gateway_url" {
  description = "The payment gateway's base URL, without a path."
  type        = string

  validation {
    # Card numbers travel to it, so in the clear only to this machine.
    condition     = can(regex("^(https://[^/?#@]+|http://(127\\.0\\.0\\.1|localhost)(:[0-9]+)?)$", var.gateway_url))
    error_message = "The gateway's URL must be https://host without a trailing slash; http only on 127.0.0.1 or localhost."
  }
}

variable "gateway_api_key" {
  description = "The payment gateway's bearer key. It would be kept in the state; null leaves the secret's value to be set out of band."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.gateway_api_key == null || try(length(var.gateway_api_key) > 0, false)
    error_message = "The gateway's key may not be empty; leave it null to set the secret out of band."
  }
}

variable "gateway_connect_timeout_seconds" {
  description = "How long a function waits for a connection to the payment gateway, in seconds."
  type        = number
  default     = 2

  validation {
    condition     = var.gateway_connect_timeout_seconds > 0
    error_message = "The connect timeout must be more than 0 seconds."
  }
}

# That both nest inside the functions' own timeouts is checked in lambda.tf.
variable "gateway_read_timeout_seconds" {
  description = "How long a function waits for the payment gateway's answer, in seconds."
  type        = number
  default     = 5

  validation {
    condition     = var.gateway_read_timeout_seconds > 0
    error_message = "The read timeout must be more than 0 seconds."
  }
}

variable "card_retention_days" {
  description = "How long a stored card is kept after it was last used, in days; then its ciphertext is deleted (PCI DSS 3.2.1)."
  type        = number
  default     = 400

  validation {
    condition     = var.card_retention_days >= 1 && floor(var.card_retention_days) == var.card_retention_days
    error_message = "Stored cards are kept for a whole number of days, at least 1."
  }
}

variable "sealing_keys" {
  description = "Generations of the key that cards are sealed with, oldest first. GET /keys serves the last; all of them open cards. To rotate, append a name; take the first away once nothing sealed with it can still arrive."
  type        = list(string)
  default     = ["1"]

  validation {
    condition     = length(var.sealing_keys) > 0 && length(distinct(var.sealing_keys)) == length(var.sealing_keys)
    error_message = "sealing_keys must name at least one generation, and none twice."
  }
}

variable "token_keys" {
  description = "Generations of the key that turns card numbers into tokens, oldest first; the last is used. A new generation gives every card a new token; what was stored under the old one stays good. To rotate, append a name."
  type        = list(string)
  default     = ["1"]

  validation {
    condition     = length(var.token_keys) > 0 && length(distinct(var.token_keys)) == length(var.token_keys)
    error_message = "token_keys must name at least one generation, and none twice."
  }
}

variable "api_throttling_rate" {
  description = "How many requests a second the API takes over time; the rest get 429."
  type        = number
  default     = 100

  validation {
    condition     = var.api_throttling_rate > 0
    error_message = "The rate must be more than 0 requests a second."
  }
}

variable "api_throttling_burst" {
  description = "How many requests the API takes at once; the rest get 429."
  type        = number
  default     = 200

  validation {
    condition     = var.api_throttling_burst >= 1 && floor(var.api_throttling_burst) == var.api_throttling_burst
    error_message = "The burst must be a whole number of requests, at least 1."
  }
}

variable "manage_api_gateway_account" {
  description = "Whether to set the role with which API Gateway writes logs: one per account and region, so only one deployment may own it."
  type        = bool
  default     = true
}
