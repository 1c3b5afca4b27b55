environment         = "prod"
gateway_url         = "https://api.sparkle.example"
deletion_protection = true
test_cards_accepted = false
api_firewall        = {}
