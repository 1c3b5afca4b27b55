"""A security code, apart from its card: encrypted by a one-time pad, whose key is encrypted with the card.

So the code needs no call of KMS of its own, and only both parts together reveal it. The ciphertext is erased when the
payment ends; the key that stays in a stored card's ciphertext is then a few random bytes.
"""

import secrets

CODE_KEY = "code_key"
"""The name of the key, in hex, beside the data of its card."""


def encrypt_code(security_code: str) -> tuple[bytes, bytes]:
    """Return the key, and the ciphertext of the same length. The key is random and for this code only: no pad may be
    used twice."""
    key = secrets.token_bytes(len(security_code))
    return key, _xor(security_code.encode(), key)


def decrypt_code(key: bytes, ciphertext: bytes) -> str:
    """Raises ValueError for a key of another code, unless the result happens to be digits."""
    security_code = _xor(ciphertext, key).decode("ascii")
    if not security_code.isdecimal():
        raise ValueError("These are no digits.")
    return security_code


def _xor(text: bytes, key: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(text, key, strict=True))
