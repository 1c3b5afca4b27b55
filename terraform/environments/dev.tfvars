environment              = "dev"
gateways                 = { sparkle = { url = "https://sandbox.sparkle.example" } }
deletion_protection      = false
kms_deletion_window_days = 7
api_throttling_rate      = 20
api_throttling_burst     = 40
test_cards_accepted      = true
return_urls              = ["http://localhost:8080"]
