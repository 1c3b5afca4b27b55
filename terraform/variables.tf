variable "name" {
  description = "The deployment's name, with which every resource's name begins."
  type        = string
  default     = "payments"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "The name must be 3 to 24 lower-case letters, digits and dashes, and begin with a letter."
  }
}

variable "environment" {
  description = "The environment, such as dev or prod, which is part of every resource's name. An account may hold several."
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

  # This checks the region since the provider needs it, and everything else needs the provider: if the check fails,
  # Terraform plans nothing and reports only this error. A condition must refer to its own variable.
  validation {
    condition     = var.region == "" || alltrue([for name in ["functions", "layer"] : fileexists("${local.packages}/${name}.zip")])
    error_message = "The functions' packages are not built. Run this first, in the project's folder: make build RUNTIME=${var.lambda_runtime} ARCHITECTURE=${var.lambda_architecture}"
  }
}

variable "tags" {
  description = "Tags for every resource, on top of Project, Environment and ManagedBy."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "Tag keys may not begin with aws:, which AWS reserves for itself."
  }

  validation {
    # A resource has at most 50 tags, four of which are ours.
    condition = length(var.tags) <= 46 && alltrue([
      for key, value in var.tags :
      length(key) >= 1 && length(key) <= 128 && length(value) <= 256 && can(regex("^[\\p{L}\\p{N}\\p{Z}_.:/=+@-]*$", "${key}${value}"))
    ])
    error_message = "At most 46 tags are allowed, with keys of 1 to 128 characters and values of up to 256: letters, digits, spaces, and _ . : / = + - @."
  }

  validation {
    # IAM does not distinguish upper and lower case in keys.
    condition = alltrue([
      for keys in [setunion(keys(var.tags), ["Project", "Environment", "ManagedBy", "Name"])] :
      length(keys) == length(toset([for key in keys : lower(key)]))
    ])
    error_message = "No two tag keys, including Project, Environment, ManagedBy and Name, may differ only in case."
  }
}

variable "lambda_runtime" {
  description = "The functions' runtime. It and lambda_architecture select the folder of packages in build/packages."
  type        = string
  default     = "python3.13"

  validation {
    # The runtimes that Lambda offers, the AWS provider knows, and the functions support.
    condition     = contains(["python3.11", "python3.12", "python3.13"], var.lambda_runtime)
    error_message = "The runtime must be python3.11, python3.12 or python3.13."
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
  description = "The lowest level that the functions log."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], var.log_level)
    error_message = "The log level must be DEBUG, INFO, WARNING, ERROR or CRITICAL."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept, in days. PCI DSS 10.5.1 requires twelve months."
  type        = number
  default     = 365

  validation {
    # The values of at least a year that CloudWatch Logs accepts.
    condition     = contains([365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "Logs are kept for 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "snap_start_enabled" {
  description = "Whether Lambda starts the functions from snapshots (SnapStart). AWS charges for stored snapshots and for each restore."
  type        = bool
  default     = false

  validation {
    condition     = !var.snap_start_enabled || var.lambda_runtime != "python3.11"
    error_message = "SnapStart needs python3.12 or later."
  }
}

variable "tracing_enabled" {
  description = "Whether the state machines and the functions send traces to X-Ray. The API sends none, because they would have the whole URL of each request."
  type        = bool
  default     = true
}

variable "deletion_protection" {
  description = "Whether to protect data from deletion: the tables can't be deleted, nobody can delete an anchor during its retention, and a deleted secret can be restored for 30 days."
  type        = bool
  default     = true
}

variable "anchor_retention_days" {
  description = "How long nobody can delete an anchor of the ledger, in days: as long as books must be kept; ten years are 3653. With deletion_protection, nobody can shorten the retention of an existing anchor."
  type        = number
  default     = 3653

  validation {
    # The upper limit is S3's, a hundred years.
    condition     = var.anchor_retention_days >= 1 && var.anchor_retention_days <= 36500 && floor(var.anchor_retention_days) == var.anchor_retention_days
    error_message = "Anchors are kept for a whole number of days, 1 to 36500."
  }
}

variable "kms_deletion_window_days" {
  description = "How long a deleted key can be restored, in days. Without their key, the stored cards are lost."
  type        = number
  default     = 30

  validation {
    condition     = var.kms_deletion_window_days >= 7 && var.kms_deletion_window_days <= 30 && floor(var.kms_deletion_window_days) == var.kms_deletion_window_days
    error_message = "KMS keeps a deleted key for 7 to 30 days, a whole number."
  }
}

# lambda.tf checks that each gateway's timeouts fit into the functions' own timeouts.
variable "gateways" {
  description = "The payment gateways, by name: the folder of its adapter in functions/shared/adapters/gateways. url is its base URL, without a path; the timeouts say how long a function waits for a connection and for an answer; settings are the adapter's own. Keep a gateway here as long as the ledger has its payments."
  type = map(object({
    url                     = string
    connect_timeout_seconds = optional(number, 2)
    read_timeout_seconds    = optional(number, 5)
    settings                = optional(map(string), {})
  }))

  validation {
    condition     = length(var.gateways) > 0 && alltrue([for name in keys(var.gateways) : can(regex("^[a-z][a-z0-9]{0,19}$", name))])
    error_message = "gateways must name at least one gateway, with up to 20 lower-case letters and digits, beginning with a letter."
  }

  validation {
    # Card numbers are sent to this URL, so plain HTTP is allowed only on this machine.
    condition = alltrue([
      for gateway in var.gateways : can(regex("^(https://[^/?#@]+|http://(127\\.0\\.0\\.1|localhost)(:[0-9]+)?)$", gateway.url))
    ])
    error_message = "A gateway's URL must be https://host without a trailing slash; http only on 127.0.0.1 or localhost."
  }

  validation {
    condition     = alltrue([for gateway in var.gateways : min(gateway.connect_timeout_seconds, gateway.read_timeout_seconds) > 0])
    error_message = "A gateway's timeouts must be more than 0 seconds."
  }
}

variable "gateway_keys" {
  description = "The gateways' API keys, by gateway. Terraform's state would contain them; leave a gateway out to set its secret's value out of band."
  type        = map(string)
  default     = {}
  sensitive   = true

  validation {
    condition     = alltrue([for name, key in var.gateway_keys : contains(keys(var.gateways), name) && try(length(key) > 0, false)])
    error_message = "gateway_keys must be keys of gateways, and none may be empty; leave a gateway out to set its secret out of band."
  }
}

variable "gateway_event_secrets" {
  description = "The secrets with which gateways sign their events, by gateway, newest first; an event signed with any of them is taken. To rotate, put the new one first; remove the last once nothing is signed with it. Terraform's state would contain them; leave a gateway out to set its secret's value out of band."
  type        = map(list(string))
  default     = {}
  sensitive   = true

  validation {
    condition = alltrue([
      for name, secrets in var.gateway_event_secrets :
      contains(keys(var.gateways), name) && length(secrets) >= 1 && length(secrets) <= 3 && alltrue([for secret in secrets : try(length(secret) > 0, false)])
    ])
    error_message = "gateway_event_secrets must be lists of one to three secrets of gateways, and none may be empty."
  }
}

variable "webhooks" {
  description = "The endpoints that receive events (docs/webhooks.md), by name: each event's JSON is posted to url, signed. events are the types that it wants, in functions/shared/domain/event_types.json; all if there are none; concurrency is how many are delivered at once. What an endpoint does not accept is sent again for three days."
  type = map(object({
    url         = string
    events      = optional(list(string), [])
    concurrency = optional(number, 10)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.webhooks) : can(regex("^[a-z][a-z0-9-]{0,17}$", name))])
    error_message = "A webhook's name is up to 18 lower-case letters, digits and dashes, beginning with a letter."
  }

  validation {
    # Events tell who paid how much, so plain HTTP is allowed only on this machine.
    condition = alltrue([
      for webhook in var.webhooks : can(regex("^(https://[^/?#@\\s]+|http://(127\\.0\\.0\\.1|localhost)(:[0-9]+)?)(/[^#\\s]*)?$", webhook.url))
    ])
    error_message = "A webhook's URL must be https, without a password or a fragment; http only on 127.0.0.1 or localhost."
  }

  validation {
    condition     = alltrue([for webhook in var.webhooks : alltrue([for type in webhook.events : contains(local.event_types, type)])])
    error_message = "A webhook's events must be among the types in functions/shared/domain/event_types.json."
  }

  validation {
    condition = alltrue([
      for webhook in var.webhooks : webhook.concurrency >= 2 && webhook.concurrency <= 1000 && floor(webhook.concurrency) == webhook.concurrency
    ])
    error_message = "A webhook's concurrency is a whole number of 2 to 1000, as Lambda takes it."
  }
}

variable "webhook_secrets" {
  description = "The secrets with which webhooks' events are signed, by webhook, newest first: whsec_ and 24 to 64 bytes in base64. Every event is signed with each of them. Terraform's state would contain them; leave a webhook out to set its secret's value out of band."
  type        = map(list(string))
  default     = {}
  sensitive   = true

  validation {
    condition = alltrue([
      for name, secrets in var.webhook_secrets :
      contains(keys(var.webhooks), name) && length(secrets) >= 1 && length(secrets) <= 2 &&
      alltrue([for secret in secrets : can(regex("^whsec_[A-Za-z0-9+/]{32,88}={0,2}$", secret))])
    ])
    error_message = "webhook_secrets must be lists of one or two secrets of webhooks, each whsec_ and 24 to 64 bytes in base64."
  }
}

variable "gateway_routes" {
  description = "Which gateway takes a payment: that of the first route that matches. A route matches the payments in one of its currencies, with a card of one of its brands, whose number begins with one of its bins (null: any), and of these the given percentage. The last route must match all. With one gateway, none is needed. A payment stays where it began."
  type = list(object({
    gateway    = string
    currencies = optional(list(string))
    brands     = optional(list(string))
    bins       = optional(list(string))
    percent    = optional(number, 100)
  }))
  default = []

  validation {
    condition     = alltrue([for route in var.gateway_routes : contains(keys(var.gateways), route.gateway)])
    error_message = "A route must lead to one of the gateways."
  }

  validation {
    condition = alltrue([
      for route in var.gateway_routes : alltrue(concat(
        [for list in [route.currencies, route.brands, route.bins] : list == null ? true : length(list) > 0],
        [for currency in coalesce(route.currencies, []) : can(regex("^[A-Z]{3}$", currency))],
        [for brand in coalesce(route.brands, []) : contains(local.card_brands[*].brand, brand)],
        [for bin in coalesce(route.bins, []) : can(regex("^[0-9]{1,6}$", bin))],
        [route.percent >= 1, route.percent <= 100, floor(route.percent) == route.percent],
      ))
    ])
    error_message = "A route's currencies are ISO 4217 codes, its brands are in functions/shared/domain/card_brands.json, its bins are the first 1 to 6 digits; no list may be empty. Its percent is a whole number of 1 to 100."
  }

  validation {
    condition = length(var.gateway_routes) == 0 ? length(var.gateways) == 1 : alltrue([
      for route in [reverse(var.gateway_routes)[0]] :
      route.currencies == null && route.brands == null && route.bins == null && route.percent == 100
    ])
    error_message = "The last of gateway_routes must match every payment, and several gateways need routes."
  }
}

variable "accepted_brands" {
  description = "The accepted card brands, by their codes in functions/shared/domain/card_brands.json. Cards of other brands are rejected with brand_not_accepted. The default is what most gateways support; add a national brand once yours supports it."
  type        = list(string)
  default     = ["visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay", "maestro"]

  validation {
    condition     = length(var.accepted_brands) > 0 && length(setsubtract(var.accepted_brands, local.card_brands[*].brand)) == 0
    error_message = "accepted_brands must name at least one brand, and only brands in functions/shared/domain/card_brands.json."
  }
}

variable "test_cards_accepted" {
  description = "Whether published test cards are accepted, in the clear or sealed. Never in production (PCI DSS 6.5.6)."
  type        = bool
  default     = false
}

variable "save_cards" {
  description = "Whether a payment's card is stored under a token if the request doesn't say so (save_card)."
  type        = bool
  default     = false
}

variable "card_retention_days" {
  description = "How long a stored card is kept after its last use, in days. Its ciphertext is then deleted (PCI DSS 3.2.1)."
  type        = number
  default     = 400

  validation {
    condition     = var.card_retention_days >= 1 && var.card_retention_days <= 3650 && floor(var.card_retention_days) == var.card_retention_days
    error_message = "Stored cards are kept for a whole number of days, 1 to 3650."
  }
}

variable "return_urls" {
  description = "The origins to which a customer's browser may return after a challenge (3-D Secure), such as https://shop.example: a payment's return_url must be of one of them. None, [], rejects every return_url, and no customer is challenged. http is for tests on one machine, where an origin without a port stands for every port."
  type        = list(string)
  default     = []

  validation {
    condition = alltrue([
      for origin in var.return_urls : can(regex("^(https://[a-z0-9.-]+(:[0-9]+)?|http://(127\\.0\\.0\\.1|localhost)(:[0-9]+)?)$", origin))
    ])
    error_message = "return_urls must be origins like https://shop.example, in lower case and without a path; http only on 127.0.0.1 or localhost."
  }
}

variable "customer_timeout_minutes" {
  description = "How long a payment waits for its customer to pass the issuer's challenge (3-D Secure), in minutes. It is declined afterwards, with authentication_expired."
  type        = number
  default     = 15

  validation {
    condition     = var.customer_timeout_minutes >= 1 && var.customer_timeout_minutes <= 30 && floor(var.customer_timeout_minutes) == var.customer_timeout_minutes
    error_message = "A payment waits for its customer for a whole number of minutes, 1 to 30."
  }
}

variable "sealing_keys" {
  description = "Generations of the static key that seals cards, oldest first, for clients that can't ask POST /keys for a single-use key. GET /keys returns the last; all of them open cards. None, [], accepts only single-use keys. To rotate, append a name; remove the first once no card sealed with it can still arrive."
  type        = list(string)
  default     = ["1"]

  validation {
    condition     = length(distinct(var.sealing_keys)) == length(var.sealing_keys)
    error_message = "sealing_keys must name each generation once."
  }

  validation {
    condition     = alltrue([for generation in var.sealing_keys : can(regex("^[A-Za-z0-9_-]{1,32}$", generation))])
    error_message = "sealing_keys must be names of up to 32 letters, digits, dashes and underscores, since they are part of the keys' names."
  }
}

variable "token_keys" {
  description = "Generations of the key that turns card numbers into fingerprints, and stored cards into tokens, oldest first; the last is used. A new generation gives every card number a new fingerprint; old tokens stay valid. To rotate, append a name."
  type        = list(string)
  default     = ["1"]

  validation {
    condition     = length(var.token_keys) > 0 && length(distinct(var.token_keys)) == length(var.token_keys)
    error_message = "token_keys must name at least one generation, each once."
  }

  validation {
    condition     = alltrue([for generation in var.token_keys : can(regex("^[A-Za-z0-9_-]{1,32}$", generation))])
    error_message = "token_keys must be names of up to 32 letters, digits, dashes and underscores, since they are part of the keys' names."
  }
}

variable "api_throttling_rate" {
  description = "How many requests per second the API accepts on average; the rest get 429."
  type        = number
  default     = 100

  validation {
    condition     = var.api_throttling_rate > 0
    error_message = "The rate must be more than 0 requests a second."
  }
}

variable "status_concurrency" {
  description = "How many clients may read a payment, or wait for its outcome, at once; more get 500. This reserves concurrency from the account's; null reserves none."
  type        = number
  default     = null

  validation {
    condition     = var.status_concurrency == null ? true : var.status_concurrency >= 1 && floor(var.status_concurrency) == var.status_concurrency
    error_message = "The status function's concurrency must be a whole number of at least 1, or null."
  }
}

variable "api_throttling_burst" {
  description = "How many requests the API accepts at once; the rest get 429."
  type        = number
  default     = 200

  validation {
    condition     = var.api_throttling_burst >= 1 && floor(var.api_throttling_burst) == var.api_throttling_burst
    error_message = "The burst must be a whole number of requests, at least 1."
  }
}

variable "api_callers" {
  description = <<-EOT
    Limits on who may call the API, in addition to IAM, which authorizes every call. Each list that is given admits only its members:
    principals: AWS accounts (ids; other accounts too) and IAM roles and users (ARNs); default: this account.
    ip_ranges: the callers' public addresses, in CIDR notation.
    vpc_endpoints: interface endpoints for execute-api (ids). They make the API private, unreachable from the internet.
    Those who lock themselves out can still deploy: the limits apply to calls to the API, not to its administration.
  EOT
  type = object({
    principals    = optional(list(string), [])
    ip_ranges     = optional(list(string), [])
    vpc_endpoints = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for principal in var.api_callers.principals :
      can(regex("^([0-9]{12}|arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=,.@/-]+)$", principal))
    ])
    error_message = "api_callers.principals must be AWS account ids (12 digits), or ARNs of IAM roles or users."
  }

  validation {
    condition     = alltrue([for range in var.api_callers.ip_ranges : can(cidrhost(range, 0))])
    error_message = "api_callers.ip_ranges must be in CIDR notation, like 203.0.113.0/24."
  }

  validation {
    condition     = alltrue([for endpoint in var.api_callers.vpc_endpoints : can(regex("^vpce-[0-9a-f]{8,17}$", endpoint))])
    error_message = "api_callers.vpc_endpoints must be ids of VPC endpoints, like vpce-0123456789abcdef0."
  }

  validation {
    condition     = length(var.api_callers.ip_ranges) == 0 || length(var.api_callers.vpc_endpoints) == 0
    error_message = "A private API has no callers with public addresses: give api_callers either ip_ranges or vpc_endpoints."
  }
}

variable "api_firewall" {
  description = <<-EOT
    A firewall (AWS WAF web ACL) in front of the API, at an extra cost; null for none. AWS's managed rules block common attacks, known bad inputs and addresses with a bad reputation; calls without a User-Agent are blocked too.
    rate_limit: how many requests one address may make in five minutes, at least 10; null for no limit. A back end may make all its calls from one address.
    The firewall logs and samples no requests. CloudWatch counts the blocked ones, and the API's access log has them with the error WAF_FILTERED.
  EOT
  type        = object({ rate_limit = optional(number) })
  default     = null

  validation {
    # The limits are AWS WAF's.
    condition = try(var.api_firewall.rate_limit, null) == null || try(
      var.api_firewall.rate_limit >= 10 && var.api_firewall.rate_limit <= 2000000000 && floor(var.api_firewall.rate_limit) == var.api_firewall.rate_limit, false
    )
    error_message = "api_firewall.rate_limit must be a whole number of requests, from 10 to 2,000,000,000; or null for no limit."
  }
}

variable "api_domain" {
  description = <<-EOT
    The merchant's own domain name for the API, with mutual TLS: only clients with a certificate can connect. Null for AWS's own name without mutual TLS.
    domain_name: the name; point it (DNS alias or CNAME) at the output api_domain_target.
    certificate_arn: its public certificate, issued by ACM in the API's region.
    truststore_uri: the CAs that sign the clients' certificates, a PEM file in S3 (s3://bucket/key).
    truststore_version: the S3 version of that file. Set it, and change it with the file: API Gateway reads the file only when the domain changes.
    The API then no longer answers under AWS's own name, which doesn't support mutual TLS.
    Gateways can't send their events then, since they have no such certificate: customers' answers are looked up each minute, and what was done at the gateway each night (docs/deploying.md).
  EOT
  type = object({
    domain_name        = string
    certificate_arn    = string
    truststore_uri     = string
    truststore_version = optional(string)
  })
  default = null

  validation {
    condition     = var.api_domain == null || can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.api_domain.domain_name))
    error_message = "api_domain.domain_name must be a full domain name in lower case, like payments.example.com."
  }

  validation {
    condition     = var.api_domain == null || can(regex("^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/.+$", var.api_domain.certificate_arn))
    error_message = "api_domain.certificate_arn must be the ARN of a certificate in ACM."
  }

  validation {
    condition     = var.api_domain == null || can(regex("^s3://[^/]+/.+$", var.api_domain.truststore_uri))
    error_message = "api_domain.truststore_uri must be a file in S3, like s3://bucket/truststore.pem."
  }

  validation {
    condition     = var.api_domain == null || length(var.api_callers.vpc_endpoints) == 0
    error_message = "Mutual TLS is for an API on the internet: give either api_domain or api_callers.vpc_endpoints."
  }
}

variable "alarm_emails" {
  description = "The e-mail addresses that are notified when an alarm begins and ends. Each must confirm the subscription that AWS sends."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.alarm_emails : can(regex("^[^@[:space:]]+@[^@[:space:]]+$", email))])
    error_message = "alarm_emails must be e-mail addresses."
  }
}

variable "manage_api_gateway_account" {
  description = "Whether to set the role with which API Gateway writes logs. An account has one per region, so only one deployment may own it."
  type        = bool
  default     = true
}

variable "rollout" {
  description = <<-EOT
    A deployment in steps: the newest versions get this percentage of new executions, and those in from (the previous output
    stable_versions) get the rest. 0 withdraws the newest; null gives them everything at once. `make deploy` sets this.
  EOT
  type = object({
    percent = number
    from    = map(string)
  })
  default = null

  validation {
    condition     = var.rollout == null || try(var.rollout.percent >= 0 && var.rollout.percent <= 100 && floor(var.rollout.percent) == var.rollout.percent, false)
    error_message = "rollout.percent must be a whole number from 0 to 100."
  }

  validation {
    condition     = var.rollout == null || try(alltrue([for version in values(var.rollout.from) : can(regex("^[1-9][0-9]*$", version))]), false)
    error_message = "rollout.from must name each version by its number."
  }
}
