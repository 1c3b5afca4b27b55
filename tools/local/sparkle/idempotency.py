"""Idempotency keys with Sparkle's errors; even without one, a charge can't be made twice, thanks to its reference."""

from functools import partial

from tools.local.sandbox.idempotency import IdempotencyKeys
from tools.local.sparkle.errors import IdempotencyKeyReused, RequestInProgress

sparkle_keys = partial(IdempotencyKeys, IdempotencyKeyReused, RequestInProgress)
