"""Idempotency keys: a repeated request gets its first answer again, regardless of what has happened since."""

import hmac
import json
import secrets
import threading
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and a body with JSON's content type: an object to encode, or bytes to send unchanged."""

    status: int
    body: dict[str, Any] | bytes
    replayed: bool = False


@dataclass(slots=True)
class IdempotencyKeys:
    """Each key with its request's fingerprint and, once there is one, its answer. Safe to share between threads.

    It keeps the newest `max_keys` keys.
    """

    reused: type[Exception]
    """What to raise for a key of another request."""
    in_progress: type[Exception]
    """What to raise while the key's first request has no answer."""
    max_keys: int = 10_000
    _answers: dict[str, tuple[bytes, Answer | None]] = field(default_factory=dict)
    _references: dict[str, str] = field(default_factory=dict)
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, key: str, path: str, body: dict[str, Any], reference: str) -> Answer | None:
        """Claim the key for this request about the charge with this reference, and return None; or return the key's
        answer if it has one. The caller must `record` an answer for the claim or `release` it.

        Raises `reused` (another path or body) or `in_progress`.
        """
        fingerprint = self._fingerprint(path, body)
        with self._lock:
            if key not in self._answers:
                self._forget_oldest()
                self._answers[key] = (fingerprint, None)
                self._references[key] = reference
                return None
            claimed_fingerprint, answer = self._answers[key]
        if not hmac.compare_digest(claimed_fingerprint, fingerprint):
            raise self.reused
        if answer is None:
            raise self.in_progress
        return replace(answer, replayed=True)

    def record(self, key: str, answer: Answer) -> None:
        """Store the answer of a claimed key, for later requests with the key."""
        with self._lock:
            fingerprint, _ = self._answers[key]
            self._answers[key] = (fingerprint, answer)

    def release(self, key: str) -> None:
        """Forget a claim whose request got no answer."""
        with self._lock:
            self._delete(key)

    def forget(self, reference: str) -> None:
        """Forget the answered keys of requests about this charge."""
        with self._lock:
            for key in [key for key, charge_reference in self._references.items() if charge_reference == reference]:
                if self._answers[key][1]:
                    self._delete(key)

    def _delete(self, key: str) -> None:
        del self._answers[key], self._references[key]

    def _forget_oldest(self) -> None:
        """Make room for one more key by forgetting the oldest ones, up to the first without an answer."""
        while len(self._answers) >= self.max_keys and self._answers[oldest := next(iter(self._answers))][1]:
            self._delete(oldest)

    def _fingerprint(self, path: str, body: dict[str, Any]) -> bytes:
        # Keyed, since a plain SHA-256 of a body with a card number could be reversed by trying all numbers.
        canonical = json.dumps([path, body], sort_keys=True, separators=(",", ":")).encode()
        return hmac.digest(self._secret, canonical, "sha256")
