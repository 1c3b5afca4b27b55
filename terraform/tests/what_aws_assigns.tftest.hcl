# What can be checked only once AWS has assigned ARNs and versions. It is all in one file, since Terraform plans everything
# once more to destroy what a file has applied, and in the last one, which nobody has to wait for (tests/mocked_terraform.py).
# Mocked, each state machine and function is at version 7.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  environment = "test"
  gateways    = { sparkle = { url = "https://sparkle.example" } }
}

# -- The role that API Gateway writes logs with, of which an account has one: var.manage_api_gateway_account

run "the_account_does_not_go_on_naming_a_role_that_is_gone" {
  plan_options {
    target = [aws_api_gateway_account.this, aws_iam_role.api_logs]
  }

  assert {
    condition     = one(aws_api_gateway_account.this).cloudwatch_role_arn == one(aws_iam_role.api_logs).arn && one(aws_api_gateway_account.this).reset_on_delete
    error_message = "What is destroyed with the role must unset it."
  }
}

# -- Who is told of alarms: var.alarm_emails

run "everybody_named_is_told_of_each_alarm_and_that_it_is_over" {
  plan_options {
    target = [aws_cloudwatch_metric_alarm.this, aws_sns_topic.alarms, aws_sns_topic_subscription.alarms]
  }

  variables {
    alarm_emails = ["on-call@merchant.example", "ops@merchant.example"]
  }

  assert {
    condition     = { for email, subscription in aws_sns_topic_subscription.alarms : email => subscription.protocol } == { "on-call@merchant.example" = "email", "ops@merchant.example" = "email" }
    error_message = "Both must be subscribed by e-mail."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.alarm_actions == toset([aws_sns_topic.alarms.arn]) && alarm.ok_actions == alarm.alarm_actions
    ])
    error_message = "Every alarm and every recovery must go to the topic."
  }
}

# -- The merchant's own domain name with mutual TLS: var.api_domain

run "without_a_domain_the_api_answers_under_aws_s_own_name" {
  plan_options {
    target = [
      aws_api_gateway_base_path_mapping.this,
      aws_api_gateway_deployment.this,
      aws_api_gateway_domain_name.this,
      aws_api_gateway_stage.this,
    ]
  }

  assert {
    condition     = length(aws_api_gateway_domain_name.this) == 0 && length(aws_api_gateway_base_path_mapping.this) == 0
    error_message = "There must be no domain."
  }

  assert {
    condition     = !aws_api_gateway_rest_api.this.disable_execute_api_endpoint
    error_message = "AWS's own name must answer."
  }

  assert {
    condition     = output.api_url == "https://mock.execute-api.eu-west-1.amazonaws.com/v1" && output.api_domain_target == null
    error_message = "The outputs must name the stage."
  }
}

run "a_domain_has_mutual_tls_and_is_the_only_way_in" {
  plan_options {
    target = [
      aws_api_gateway_base_path_mapping.this,
      aws_api_gateway_deployment.this,
      aws_api_gateway_domain_name.this,
      aws_api_gateway_stage.this,
    ]
  }

  variables {
    api_domain = {
      domain_name        = "payments.example.com"
      certificate_arn    = "arn:aws:acm:eu-west-1:123456789012:certificate/7f3c0e6a-5f0b-4c5e-9a5e-0d7b1f1c2a3b"
      truststore_uri     = "s3://example-truststore/clients.pem"
      truststore_version = "3"
    }
  }

  assert {
    condition     = one(aws_api_gateway_domain_name.this).mutual_tls_authentication == tolist([{ truststore_uri = "s3://example-truststore/clients.pem", truststore_version = "3" }])
    error_message = "Clients must show a certificate that the truststore knows."
  }

  assert {
    condition     = one(aws_api_gateway_domain_name.this).security_policy == "TLS_1_2"
    error_message = "TLS must be 1.2 at least."
  }

  assert {
    condition     = one(aws_api_gateway_domain_name.this).regional_certificate_arn == var.api_domain.certificate_arn
    error_message = "The certificate must be the one that was given."
  }

  assert {
    condition = (
      one(aws_api_gateway_base_path_mapping.this).api_id == aws_api_gateway_rest_api.this.id &&
      one(aws_api_gateway_base_path_mapping.this).stage_name == aws_api_gateway_stage.this.stage_name &&
      one(aws_api_gateway_base_path_mapping.this).domain_name == "payments.example.com"
    )
    error_message = "The domain must lead to the API's stage."
  }

  assert {
    condition     = aws_api_gateway_rest_api.this.disable_execute_api_endpoint
    error_message = "AWS's own name must not answer: it knows no mutual TLS."
  }

  assert {
    condition     = anytrue([for resources in local.deployed : try(resources.api.disable_execute_api_endpoint, false)])
    error_message = "It must be deployed: until then AWS's own name answers."
  }

  assert {
    condition     = output.api_url == "https://payments.example.com"
    error_message = "The API's URL must be the domain's."
  }

  assert {
    condition     = output.api_domain_target == { name = "d-mock.execute-api.eu-west-1.amazonaws.com", zone_id = "ZMOCK" }
    error_message = "The output must say what DNS has to point at."
  }
}

# -- The functions' packages, on their way to Lambda, with the longest names there are

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

  variables {
    name        = "payments-of-a-long-named"
    environment = "environment1"
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

# -- The policies' shape: nobody may do everything, and nothing may be done to everything, but where AWS knows no narrower.
# Who may do what in full is docs/permissions.yaml, which a test compares with a deployed stack.

# One run, since all of these look at the same deployment, and each run plans anew.
run "nobody_may_do_more_than_is_named" {
  plan_options {
    target = [
      aws_iam_role.state_machine,
      data.aws_iam_policy_document.api,
      data.aws_iam_policy_document.events,
      data.aws_iam_policy_document.function,
      data.aws_iam_policy_document.key,
      data.aws_iam_policy_document.state_machine,
      data.aws_iam_policy_document.trust,
    ]
  }

  variables {
    webhooks = { shop = { url = "https://shop.example" } }
  }

  assert {
    condition = alltrue(flatten([
      for document in concat(
        values(data.aws_iam_policy_document.function),
        values(data.aws_iam_policy_document.state_machine),
        [data.aws_iam_policy_document.api, data.aws_iam_policy_document.events],
        ) : [
        for statement in document.statement : [for action in statement.actions : !strcontains(action, "*")]
      ]
    ]))
    error_message = "Every action must be named in full."
  }

  assert {
    condition = toset(flatten([
      for document in concat(
        values(data.aws_iam_policy_document.function),
        values(data.aws_iam_policy_document.state_machine),
        [data.aws_iam_policy_document.api, data.aws_iam_policy_document.events],
        ) : [
        for statement in document.statement : statement.sid if contains(statement.resources, "*")
      ]
    ])) == toset(["DeliverLogs", "ResumePayment", "WriteTraces"])
    error_message = "Only log deliveries, task tokens and traces, which have no resources of their own, may be of all resources."
  }

  assert {
    condition = alltrue(flatten([
      for document in concat(
        values(data.aws_iam_policy_document.function),
        values(data.aws_iam_policy_document.state_machine),
        [data.aws_iam_policy_document.api, data.aws_iam_policy_document.events],
        ) : [
        for statement in document.statement : coalesce(statement.effect, "Allow") == "Allow" && statement.not_actions == null && statement.not_resources == null
      ]
    ]))
    error_message = "A role may what is named, and not everything but what is named."
  }

  assert {
    condition = alltrue(flatten([
      for document in data.aws_iam_policy_document.function : [
        for statement in document.statement :
        anytrue([for resource in statement.resources : strcontains(resource, "/index/")]) ||
        length(setintersection(["dynamodb:LeadingKeys", "dynamodb:Attributes"], [for condition in statement.condition : condition.variable])) > 0
        if anytrue([for action in statement.actions : startswith(action, "dynamodb:")]) && statement.sid != "FollowLedger"
      ]
    ]))
    error_message = "No function may read or write all of the table."
  }

  assert {
    condition = aws_dynamodb_table.ledger.stream_view_type == "KEYS_ONLY" && {
      for name, document in data.aws_iam_policy_document.function : name => [
        for statement in document.statement : [statement.actions, statement.resources] if statement.sid == "FollowLedger"
      ] if anytrue([for statement in document.statement : statement.sid == "FollowLedger"])
      } == {
      publish = [[
        toset(["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"]),
        toset([aws_dynamodb_table.ledger.stream_arn]),
      ]]
    }
    error_message = "Only publish may follow the stream, in which there are no items but their keys."
  }

  assert {
    condition = toset(flatten([
      for name, document in data.aws_iam_policy_document.function : [
        for statement in document.statement : name if contains(statement.actions, "dynamodb:DeleteItem")
      ]
    ])) == toset(["cards"])
    error_message = "Nothing but stored cards may be deleted."
  }

  assert {
    condition = !anytrue(flatten([
      for document in data.aws_iam_policy_document.function : [
        for statement in document.statement : contains(statement.actions, "dynamodb:Scan")
      ]
    ]))
    error_message = "No function may read through the table."
  }

  assert {
    condition = {
      for key, document in data.aws_iam_policy_document.key : key => {
        for statement in document.statement : statement.sid => join(" ", flatten([
          for condition in statement.condition : [for arn in condition.values : element(split("payments-test-", arn), 1)] if condition.variable == "aws:PrincipalArn"
        ])) if contains([for condition in statement.condition : condition.variable], "aws:PrincipalArn")
      }
      } == {
      card  = { EncryptCard = "encrypt", DecryptCard = "charge verify" }
      books = { SealBooks = "anchor compensate follow_event persist reconcile reserve resolve settle" }
      data  = { EncryptExecutions = "operation-state-machine payment-state-machine reconcile-state-machine resolve-state-machine store_card-state-machine" }
      ephemeral = {
        IssueKey       = "issue_key"
        OpenSealedCard = "tokenize encrypt"
        KeepTaskToken  = "await_customer"
        OpenTaskToken  = "follow_event resume"
      }
      sealing-1 = { OpenSealedCard = "tokenize encrypt" }
      token-1   = { DeriveToken = "tokenize" }
      vault     = {}
    }
    error_message = "A key is used by exactly the functions that need it."
  }

  assert {
    condition = alltrue([
      for document in data.aws_iam_policy_document.key : alltrue([
        for action in one([for statement in document.statement : statement.actions if statement.sid == "AdministerKey"]) :
        !contains(["kms:*", "kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateMac", "kms:ReEncrypt*", "kms:Sign"], action)
      ])
    ])
    error_message = "Who administers a key must not be able to use it."
  }

  assert {
    condition = alltrue(flatten([
      for document in data.aws_iam_policy_document.key : [
        for statement in document.statement : length(statement.condition) > 0 if statement.sid != "AdministerKey"
      ]
    ]))
    error_message = "No key may be used without a condition on who uses it or for what."
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.key["data"].statement : statement.sid => join(" ", flatten([
        for condition in statement.condition : [for service in condition.values : split(".", service)[0]] if condition.variable == "kms:ViaService"
      ])) if one(statement.principals).type == "AWS" && statement.sid != "AdministerKey"
      } == {
      EncryptExecutions                   = ""
      EncryptLedger                       = "dynamodb"
      EncryptLogDelivery                  = ""
      EncryptSecretsExecutionsAndMessages = "secretsmanager sns sqs states" # pragma: allowlist secret
    }
    error_message = "Whoever calls a service uses the key through it; a state machine's role calls KMS itself, for executions and the log."
  }

  assert {
    condition = {
      for name, document in data.aws_iam_policy_document.state_machine : name => one([
        for statement in document.statement : {
          for condition in statement.condition : condition.variable => join(" ", condition.values)
        } if statement.sid == "EncryptExecutions"
      ])
      } == {
      for name, arn in local.state_machine_arns : name => { "kms:EncryptionContext:aws:states:stateMachineArn" = arn }
    }
    error_message = "Each role must be bound to its own state machine, and to no service that it would call KMS through."
  }

  assert {
    condition = {
      for name, role in aws_iam_role.state_machine : name => "arn:aws:iam::123456789012:role/${role.name}"
      } == {
      for name in keys(local.state_machines) : name => one([
        for arn in one([
          for condition in one([for statement in data.aws_iam_policy_document.key["data"].statement : statement if statement.sid == "EncryptExecutions"]).condition :
          condition.values if condition.variable == "aws:PrincipalArn"
        ]) : arn if strcontains(arn, "-${name}-")
      ])
    }
    error_message = "The key's policy must name the roles as they are called."
  }

  assert {
    condition = alltrue(flatten([
      for document in data.aws_iam_policy_document.function : [
        for statement in document.statement : alltrue([
          for wanted in ["StringEquals dynamodb:Select SPECIFIC_ATTRIBUTES", "Null dynamodb:Attributes false"] :
          contains([for condition in statement.condition : "${condition.test} ${condition.variable} ${join(" ", condition.values)}"], wanted)
        ]) if contains([for condition in statement.condition : condition.variable], "dynamodb:Attributes") && !contains(statement.actions, "dynamodb:UpdateItem")
      ]
    ]))
    error_message = "A read without a projection names the key alone, and must not get everything."
  }

  assert {
    condition = alltrue([
      for service, document in data.aws_iam_policy_document.trust :
      one(one(document.statement).principals).identifiers == toset(["${service}.amazonaws.com"])
    ])
    error_message = "Nobody but the service may assume a service's role."
  }

  assert {
    condition = alltrue([
      for service in ["events", "states"] :
      [for condition in one(data.aws_iam_policy_document.trust[service].statement).condition : condition.variable] == ["aws:SourceAccount"]
    ])
    error_message = "EventBridge and Step Functions must come on this account's behalf."
  }

  assert {
    condition = alltrue([
      for document in [data.aws_iam_policy_document.api, data.aws_iam_policy_document.events] : (
        document.statement[0].actions == toset(["states:StartExecution"]) &&
        one(document.statement[0].condition).test == "ForAnyValue:StringEquals" &&
        one(document.statement[0].condition).variable == "states:StateMachineQualifier" &&
        one(document.statement[0].condition).values == tolist(["live"])
      )
    ])
    error_message = "The API and EventBridge must start what is in service, and nothing else."
  }
}

# -- What is in service, and a deployment in steps: var.rollout

run "the_newest_versions_are_in_service_and_nothing_else_is_started" {
  plan_options {
    target = [
      aws_api_gateway_integration.function,
      aws_api_gateway_integration.start,
      aws_cloudwatch_event_target.reconcile,
      aws_cloudwatch_event_target.resolve,
      aws_cloudwatch_event_target.scheduled,
      aws_lambda_alias.live,
      aws_lambda_permission.api,
      aws_lambda_permission.scheduled,
      aws_sfn_alias.live,
      aws_sfn_state_machine.this,
    ]
  }

  assert {
    condition = alltrue([
      for name in ["payment", "operation", "resolve", "reconcile", "status", "cards", "doubts", "anchor"] :
      output.live_versions[name] == [{ version = "7", percent = 100 }]
    ])
    error_message = "Everything must be at its newest version."
  }

  assert {
    condition = { for name, alias in aws_sfn_alias.live : name => [for share in alias.routing_configuration : "${share.state_machine_version_arn} ${share.weight}"] } == {
      for name in ["operation", "payment", "reconcile", "resolve", "store_card"] : name => ["arn:aws:states:eu-west-1:123456789012:stateMachine:mock:7 100"]
    }
    error_message = "Each state machine's alias must point at its newest version."
  }

  assert {
    condition     = alltrue([for alias in aws_lambda_alias.live : alias.function_version == "7" && length(alias.routing_config) == 0])
    error_message = "Each function's alias must point at its newest version."
  }

  assert {
    condition = alltrue(flatten([
      for machine in aws_sfn_state_machine.this : [
        for state in jsondecode(machine.definition).States :
        endswith(try(state.Parameters.FunctionName, state.Resource), ":function:mock:7") if state.Type == "Task"
      ]
    ]))
    error_message = "An execution must end with the functions that it began with."
  }

  assert {
    condition = alltrue([
      for integration in aws_api_gateway_integration.start :
      strcontains(integration.request_templates["application/json"], "\"stateMachineArn\": \"arn:aws:states:eu-west-1:123456789012:stateMachine:mock:live\"")
    ])
    error_message = "The API must start the alias."
  }

  assert {
    condition = alltrue([
      for target in concat(values(aws_cloudwatch_event_target.resolve), [aws_cloudwatch_event_target.reconcile], values(aws_cloudwatch_event_target.scheduled)) :
      endswith(target.arn, ":live")
    ])
    error_message = "EventBridge must start aliases."
  }

  assert {
    condition     = alltrue([for integration in aws_api_gateway_integration.function : endswith(integration.uri, ":live/invocations")])
    error_message = "The API must call aliases."
  }

  assert {
    condition     = alltrue([for permission in concat(values(aws_lambda_permission.api), values(aws_lambda_permission.scheduled)) : permission.qualifier == "live"])
    error_message = "Only the alias may be called from outside."
  }
}

run "a_share_goes_to_the_newest_versions_and_the_rest_to_those_from_before" {
  plan_options {
    target = [aws_lambda_alias.live, aws_sfn_alias.live]
  }

  variables {
    rollout = { percent = 10, from = { payment = "6", status = "5", resolve = "7" } }
  }

  assert {
    condition = toset([for share in aws_sfn_alias.live["payment"].routing_configuration : "${share.state_machine_version_arn} ${share.weight}"]) == toset([
      "arn:aws:states:eu-west-1:123456789012:stateMachine:mock:6 90",
      "arn:aws:states:eu-west-1:123456789012:stateMachine:mock:7 10",
    ])
    error_message = "One payment in ten must be started with the newest version."
  }

  assert {
    condition     = aws_lambda_alias.live["status"].function_version == "5" && one(aws_lambda_alias.live["status"].routing_config).additional_version_weights == tomap({ "7" = 0.1 })
    error_message = "One call in ten must go to the newest version."
  }

  assert {
    condition     = output.live_versions["resolve"] == [{ version = "7", percent = 100 }] && output.live_versions["operation"] == [{ version = "7", percent = 100 }]
    error_message = "What did not change, or is new, must be in service entirely."
  }

  assert {
    condition     = output.stable_versions["payment"] == "6" && output.stable_versions["operation"] == "7"
    error_message = "The next deployment must keep what this one keeps."
  }
}

run "nothing_goes_to_versions_that_are_taken_back" {
  plan_options {
    target = [aws_lambda_alias.live, aws_sfn_alias.live]
  }

  variables {
    rollout = { percent = 0, from = { payment = "6", status = "5" } }
  }

  assert {
    condition     = output.live_versions["payment"] == [{ version = "6", percent = 100 }] && output.live_versions["status"] == [{ version = "5", percent = 100 }]
    error_message = "The versions from before must get everything."
  }
}

run "a_whole_roll_out_is_as_none" {
  plan_options {
    target = [aws_lambda_alias.live, aws_sfn_alias.live]
  }

  variables {
    rollout = { percent = 100, from = { payment = "6", status = "5" } }
  }

  assert {
    condition     = output.live_versions["payment"] == [{ version = "7", percent = 100 }] && output.live_versions["status"] == [{ version = "7", percent = 100 }]
    error_message = "The newest versions must get everything."
  }
}

# -- Gateways: var.gateways and var.gateway_routes

run "functions_get_each_gateway_and_the_routes" {
  plan_options {
    target = [
      aws_lambda_function.this,
      aws_secretsmanager_secret_version.gateway,
      aws_secretsmanager_secret_version.gateway_events,
      data.aws_iam_policy_document.function,
    ]
  }

  variables {
    gateways = {
      first  = { url = "https://first.example", settings = { account = "a-1" } }
      second = { url = "https://second.example", connect_timeout_seconds = 1, read_timeout_seconds = 6 }
    }
    gateway_keys          = { second = "key-2" }             # pragma: allowlist secret
    gateway_event_secrets = { first = ["newest", "oldest"] } # pragma: allowlist secret
    gateway_routes = [
      { gateway = "second", currencies = ["JPY"], brands = ["visa", "jcb"], bins = ["4", "352800"], percent = 10 },
      { gateway = "first" },
    ]
  }

  assert {
    condition = jsondecode(aws_lambda_function.this["charge"].environment[0].variables["GATEWAYS"]) == {
      first = {
        url                     = "https://first.example"
        secret_id               = aws_secretsmanager_secret.gateway["first"].arn
        connect_timeout_seconds = 2
        read_timeout_seconds    = 5
        settings                = { account = "a-1" }
      }
      second = {
        url                     = "https://second.example"
        secret_id               = aws_secretsmanager_secret.gateway["second"].arn
        connect_timeout_seconds = 1
        read_timeout_seconds    = 6
        settings                = {}
      }
    }
    error_message = "Each gateway must have its own secret, timeouts and settings."
  }

  assert {
    condition = jsondecode(aws_lambda_function.this["screen"].environment[0].variables["GATEWAY_ROUTES"]) == [
      { gateway = "second", currencies = ["JPY"], brands = ["visa", "jcb"], bins = ["4", "352800"], percent = 10 },
      { gateway = "first", currencies = null, brands = null, bins = null, percent = 100 },
    ]
    error_message = "The routes must be in their order."
  }

  assert {
    condition = alltrue([
      for document in data.aws_iam_policy_document.function :
      toset(flatten([for statement in document.statement : statement.resources if statement.sid == "ReadGatewayKey"])) ==
      toset([for secret in aws_secretsmanager_secret.gateway : secret.arn])
      if contains(document.statement[*].sid, "ReadGatewayKey")
    ])
    error_message = "Who calls gateways must read their keys, and no other secret."
  }

  assert {
    condition     = { for name, version in aws_secretsmanager_secret_version.gateway : name => version.secret_string } == { second = "key-2" }
    error_message = "Only a key that is given may be stored."
  }

  assert {
    condition     = { for name, version in aws_secretsmanager_secret_version.gateway_events : name => jsondecode(version.secret_string) } == { first = ["newest", "oldest"] }
    error_message = "The secrets of events must be a list, newest first."
  }
}

# -- The firewall before the API: var.api_firewall

run "a_firewall_blocks_by_aws_s_rules_and_keeps_nothing_of_a_request" {
  plan_options {
    target = [aws_api_gateway_stage.this, aws_wafv2_web_acl.this, aws_wafv2_web_acl_association.this]
  }

  variables {
    api_firewall = {}
  }

  assert {
    condition = toset([for rule in one(aws_wafv2_web_acl.this).rule : rule.name]) == toset([
      "AWSManagedRulesAmazonIpReputationList", "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet", "RefuseTooLarge",
    ])
    error_message = "The rules must be AWS's three groups and our bound on bodies, without a rate limit."
  }

  assert {
    condition     = length(toset([for rule in one(aws_wafv2_web_acl.this).rule : rule.priority])) == 4
    error_message = "Each rule must have a priority of its own."
  }

  assert {
    condition = one([
      for rule in one(aws_wafv2_web_acl.this).rule : [
        for override in rule.statement[0].managed_rule_group_statement[0].rule_action_override : "${override.name} ${length(override.action_to_use[0].count)}"
      ] if rule.name == "AWSManagedRulesCommonRuleSet"
    ]) == ["SizeRestrictions_BODY 1"]
    error_message = "AWS's bound on bodies must only count: a sealed card may be longer."
  }

  assert {
    # A sealed card, a return_url, and of the free texts and the metadata the longest characters of UTF-8.
    condition     = local.body_limit_bytes > 5845 + 1024 + 4 * (64 + 140) + 20 * (40 + 4 * 80 + 6) + 400
    error_message = "The bound must let every request through that the models allow."
  }

  assert {
    # How much of a body WAF inspects before an API Gateway, by default ("Body inspection size limits", WAF developer
    # guide).
    condition     = local.body_limit_bytes == 16 * 1024
    error_message = "WAF would have to inspect more than it does by default."
  }

  assert {
    condition = one([
      for rule in one(aws_wafv2_web_acl.this).rule : [
        for path in ["/v1/gateway-events/sparkle", "/gateway-events/stripe", "/v1/payments", "/v1/gateway-events/sparkle/more", "/payments/gateway-events/x/y"] :
        can(regex(one([
          for statement in rule.statement[0].and_statement[0].statement : statement.not_statement[0].statement[0].regex_match_statement[0].regex_string
          if length(statement.not_statement) > 0
        ]), path))
      ] if rule.name == "RefuseTooLarge"
    ]) == [true, true, false, false, false]
    error_message = "Only gateways' events may be longer."
  }

  assert {
    condition = !anytrue([
      for config in concat(
        one(aws_wafv2_web_acl.this).visibility_config, flatten([for rule in one(aws_wafv2_web_acl.this).rule : rule.visibility_config])
      ) : config.sampled_requests_enabled
    ])
    error_message = "No request may be sampled."
  }

  assert {
    condition     = one(aws_wafv2_web_acl_association.this).resource_arn == aws_api_gateway_stage.this.arn
    error_message = "The firewall must be before the API's stage."
  }
}
