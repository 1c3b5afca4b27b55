from typing import Any

import pytest
from joserfc.jwk import ECKey

from functions.issue_key.issue_key import issue_key
from functions.shared.adapters.table.sealing_keys import thumbprint
from functions.shared.domain.errors import LedgerUnavailable, SealingKeyUsed
from functions.shared.ports import SealingKey
from tests.fakes import LEDGER_DOWN, FakeLedger
from tests.samples import NOW

PUBLIC: Any = ECKey.generate_key("P-256").as_dict(private=False)
KEY = SealingKey(thumbprint(PUBLIC["x"], PUBLIC["y"]), PUBLIC["x"], PUBLIC["y"], NOW)


class Keys:
    """`SealingKeys` that issue one key."""

    def __init__(self) -> None:
        self.issued_for: list[str] = []

    def issue(self, payment_id: str, at: str) -> SealingKey:
        self.issued_for.append(payment_id)
        return KEY

    def private_key(self, payment_id: str, kid: str, at: str | None) -> bytes:
        raise AssertionError("Who issues a key never opens with it.")


def test_the_answer_is_a_jwk_that_any_library_reads() -> None:
    issued = issue_key("payment-of-ours-1", sealing_keys=Keys(), ledger=FakeLedger(), now=NOW)
    assert issued.keys() == {"kid", "alg", "enc", "jwk", "expires_at"}
    key = ECKey.import_key(issued["jwk"])
    assert not key.is_private
    assert issued["kid"] == issued["jwk"]["kid"] == key.thumbprint()
    assert (issued["alg"], issued["enc"], issued["expires_at"]) == ("ECDH-ES", "A256GCM", NOW)


def test_a_recorded_payment_gets_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, keys = FakeLedger(), Keys()
    monkeypatch.setattr(ledger, "statuses", lambda payment_ids: dict.fromkeys(payment_ids, "captured"))
    with pytest.raises(SealingKeyUsed):
        issue_key("payment-of-ours-1", sealing_keys=keys, ledger=ledger, now=NOW)
    assert keys.issued_for == []


def test_no_key_is_issued_while_nobody_knows_whether_the_payment_is_recorded() -> None:
    ledger, keys = FakeLedger(), Keys()
    ledger.faults.arm("statuses", LEDGER_DOWN)
    with pytest.raises(LedgerUnavailable):
        issue_key("payment-of-ours-1", sealing_keys=keys, ledger=ledger, now=NOW)
    assert keys.issued_for == []
