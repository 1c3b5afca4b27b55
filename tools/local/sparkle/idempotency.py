"""Idempotency keys: the same request gets its first answer again, whatever has happened since."""

import hmac
import json
import secrets
import threading
from dataclasses import dataclass, field, replace
from typing import Any

from tools.local.sparkle.errors import IdempotencyKeyReused, RequestInProgress


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and its body, which is said to be JSON: an object, or bytes as they are."""

    status: int
    body: dict[str, Any] | bytes
    replayed: bool = False


@dataclass(slots=True)
class IdempotencyKeys:
    """Each key with its request's fingerprint and, in time, its answer. Safe to share between threads.

    The newest `kept` are remembered; an older one's charge is still safe from being made twice, by its reference.
    """

    kept: int = 10_000
    _answers: dict[str, tuple[bytes, Answer | None]] = field(default_factory=dict)
    _used_for: dict[str, str] = field(default_factory=dict)
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, key: str, path: str, body: dict[str, Any], reference: str) -> Answer | None:
        """Take the key for this request, about the charge with this reference, to `record` or `release` later; or the
        answer that it has already.

        Raises IdempotencyKeyReused (another path or body), RequestInProgress.
        """
        fingerprint = self._fingerprint(path, body)
        with self._lock:
            if key not in self._answers:
                self._forget_oldest()
                self._answers[key] = (fingerprint, None)
                self._used_for[key] = reference
                return None
            first, answer = self._answers[key]
        if not hmac.compare_digest(first, fingerprint):
            raise IdempotencyKeyReused
        if answer is None:
            raise RequestInProgress
        return replace(answer, replayed=True)

    def record(self, key: str, answer: Answer) -> None:
        """Answer the claimed key like this from now on."""
        with self._lock:
            fingerprint, _ = self._answers[key]
            self._answers[key] = (fingerprint, answer)

    def release(self, key: str) -> None:
        """Forget a claim that came to nothing."""
        with self._lock:
            self._delete(key)

    def forget(self, reference: str) -> None:
        """Forget the answered keys that were used for a charge."""
        with self._lock:
            for key in [key for key, used_for in self._used_for.items() if used_for == reference]:
                if self._answers[key][1]:
                    self._delete(key)

    def _delete(self, key: str) -> None:
        del self._answers[key], self._used_for[key]

    def _forget_oldest(self) -> None:
        """Make room for one more, as far as the oldest are answered."""
        while len(self._answers) >= self.kept and self._answers[oldest := next(iter(self._answers))][1]:
            self._delete(oldest)

    def _fingerprint(self, path: str, body: dict[str, Any]) -> bytes:
        # Keyed, because a bare SHA-256 of a body with a card number in it can be searched for the number.
        canonical = json.dumps([path, body], sort_keys=True, separators=(",", ":")).encode()
        return hmac.digest(self._secret, canonical, "sha256")
