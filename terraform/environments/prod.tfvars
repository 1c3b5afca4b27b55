environment         = "prod"
gateway_url         = "https://api.sparkle.example"
deletion_protection = true
api_firewall        = {}
