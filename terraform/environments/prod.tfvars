environment         = "prod"
gateways            = { sparkle = { url = "https://api.sparkle.example" } }
deletion_protection = true
test_cards_accepted = false
api_firewall        = {}

# Only cards sealed to single-use keys are accepted, so that nobody can open what an execution's history holds.
sealing_keys = []
