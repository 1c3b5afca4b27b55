# One machine: an emulator instead of AWS. What differs from run to run (gateway_url, gateway_api_key, lambda_runtime,
# lambda_architecture) is passed with -var.
environment              = "local"
deletion_protection      = false
kms_deletion_window_days = 7
test_cards_accepted      = true
