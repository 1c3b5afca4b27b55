# One machine: an emulator instead of AWS. What differs from run to run (gateways, gateway_keys, gateway_routes, lambda_runtime,
# lambda_architecture) is passed with -var.
environment              = "local"
deletion_protection      = false
kms_deletion_window_days = 7
test_cards_accepted      = true
return_urls              = ["http://127.0.0.1", "http://localhost"]
