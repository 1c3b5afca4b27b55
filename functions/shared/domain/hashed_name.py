"""Names that are derived from what they name, and so always the same."""

import hashlib

# A name without a digit can't be taken for a card number.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def hashed_name(text: str) -> str:
    """32 letters from a to p, by the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:32].translate(_LETTERS)
