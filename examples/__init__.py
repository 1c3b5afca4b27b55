"""What a merchant would copy."""
