"""Movements at the gateway that the books don't have are booked exactly once, in any order of observation."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.shared.domain.adoption import MAX_STEPS, adopt, adopt_undone, adopted_id
from functions.shared.domain.charge import REDACTED, Charge, Refund, RefundStatus
from functions.shared.domain.dispute import Dispute, DisputeStatus, held_minor
from functions.shared.domain.errors import GatewayMismatch
from functions.shared.domain.ledger import (
    PostedEntry,
    capture_entry,
    dispute_entry,
    dispute_lost_entry,
    in_doubt_entry,
    refund_entry,
    refund_in_doubt_entry,
)
from functions.shared.domain.operation import Operation, OperationType
from functions.shared.domain.payment import Payment
from functions.shared.domain.shapes import is_id
from tests.balances import balances
from tests.samples import EXPIRES_AT, LATER, NOW, operation_request, payment

AUTHORIZED = Charge("sparkle", "ch_1", "pay-1", "authorized", 1999, "USD", 0, expires_at=EXPIRES_AT)
CAPTURED = replace(AUTHORIZED, status="captured", captured_minor=1999, captured_at=NOW, expires_at=None)
VOIDED = replace(AUTHORIZED, status="voided")
EXPIRED = replace(VOIDED, void_reason="expired")
CAPTURE = capture_entry("sparkle", 1999, "USD")


def with_refunds(refunds: Sequence[Refund], charge: Charge = CAPTURED) -> Charge:
    refunded = sum(refund.amount_minor for refund in refunds if refund.status == "succeeded")
    status = {0: "captured", charge.captured_minor: "refunded"}.get(refunded, "partially_refunded")
    return replace(charge, refunds=tuple(refunds), status=status)  # type: ignore[arg-type]


def refund(
    amount_minor: int, status: RefundStatus = "succeeded", reference: str | None = None, refund_id: str = "re_1"
) -> Refund:
    return Refund(refund_id, reference, status, amount_minor, NOW)


def disputed(*disputes: Dispute, charge: Charge = CAPTURED) -> Charge:
    return replace(charge, disputes=disputes)


def dispute(
    amount_minor: int = 1999, status: DisputeStatus = "open", dispute_id: str = "dp_1", ended_at: str | None = None
) -> Dispute:
    return Dispute(dispute_id, status, amount_minor, "fraudulent", NOW, ended_at)


@dataclass
class Recorded:
    """A payment and its journal, as in the ledger."""

    payment: Payment
    journal: tuple[PostedEntry, ...] = ()

    @classmethod
    def captured(cls) -> "Recorded":
        return cls(*payment().post(CAPTURE))

    @classmethod
    def authorized(cls) -> "Recorded":
        return cls(payment(status="authorized"))

    def request(self, type: OperationType, amount_minor: int | None = None, operation_id: str = "op-1") -> "Recorded":
        self.payment = self.payment.reserve(operation_request(self.payment, type, amount_minor, operation_id), NOW)
        return self

    def doubted(self) -> "Recorded":
        """The operation's outcome is unknown."""
        (operation,) = self.payment.operations
        assert operation.amount_minor
        entry = refund_in_doubt_entry if operation.type == "refund" else in_doubt_entry
        doubtful = self.payment.end(operation, "in_doubt", "gateway_outcome_unknown", NOW)
        self.payment, posted = doubtful.post(entry(operation.amount_minor, "USD", "op-1"))
        self.journal += posted
        return self

    def adopt(self, charge: Charge) -> "Recorded":
        """Adopt twice. The second time finds nothing new and keeps the version."""
        version = self.payment.version
        self.payment, posted = adopt(self.payment, self.journal, charge, LATER)
        self.journal += posted
        assert adopt(self.payment, self.journal, charge, "2027-01-01T00:00:00.000Z") == (self.payment, ())
        assert self.payment.version == version
        return self

    @property
    def status(self) -> tuple[str, int, int]:
        return self.payment.status, self.payment.captured_minor, self.payment.refunded_minor

    @property
    def at_the_gateway(self) -> int:
        """The payment's balance at the gateway by the books. The suspense account must be empty."""
        totals = balances(posted.entry for posted in self.journal)
        assert ("suspense:in_doubt", "USD") not in totals
        return totals.get(("asset:gateway:sparkle", "USD"), 0)

    @property
    def operations(self) -> list[tuple[str, int | None, str, str | None, str | None]]:
        return [
            (each.type, each.amount_minor, each.status, each.error, each.source) for each in self.payment.operations
        ]


class TestRefundsThere:
    @pytest.mark.parametrize(("amount", "status"), [(500, "partially_refunded"), (1999, "refunded")])
    def test_one_is_booked_as_an_operation_that_says_where_it_comes_from(self, amount: int, status: str) -> None:
        adopted = Recorded.captured().adopt(with_refunds([refund(amount)]))
        assert adopted.status == (status, 1999, amount)
        assert adopted.operations == [("refund", amount, "succeeded", None, "gateway")]
        (operation,) = adopted.payment.operations
        assert (operation.created_at, operation.updated_at) == (NOW, LATER)
        assert adopted.journal[1].entry == refund_entry("sparkle", amount, "USD", operation.operation_id)

    def test_several_are_several(self) -> None:
        refunds = [refund(500), refund(500, refund_id="re_2")]
        adopted = Recorded.captured().adopt(with_refunds(refunds[:1])).adopt(with_refunds(refunds))
        assert (adopted.status, adopted.at_the_gateway) == (("partially_refunded", 1999, 1000), 999)
        assert len({operation.operation_id for operation in adopted.payment.operations}) == 2

    def test_one_under_a_reference_that_is_not_an_operations_of_ours_is_one_of_theirs(self) -> None:
        adopted = Recorded.captured().adopt(with_refunds([refund(500, reference="return-of-somebody")]))
        assert adopted.operations == [("refund", 500, "succeeded", None, "gateway")]

    def test_one_that_is_pending_is_processing_until_it_has_ended_and_its_money_is_reserved(self) -> None:
        adopted = Recorded.captured().adopt(with_refunds([refund(500, "pending")]))
        assert adopted.status == ("captured", 1999, 0)
        assert adopted.operations == [("refund", 500, "processing", None, "gateway")]
        assert (adopted.payment.refundable_minor, adopted.payment.awaits_gateway) == (1499, True)
        assert len(adopted.journal) == 1
        adopted.adopt(with_refunds([refund(500)]))
        assert (adopted.status, adopted.at_the_gateway) == (("partially_refunded", 1999, 500), 1499)
        assert not adopted.payment.awaits_gateway

    @pytest.mark.parametrize("earlier", ["pending", "succeeded"])
    def test_one_that_fails_later_is_back(self, earlier: RefundStatus) -> None:
        adopted = (
            Recorded.captured()
            .adopt(with_refunds([refund(1999, earlier)]))
            .adopt(with_refunds([refund(1999, "failed")]))
        )
        assert (adopted.status, adopted.at_the_gateway) == (("captured", 1999, 0), 1999)
        assert adopted.operations == [("refund", 1999, "rejected", "refund_failed", "gateway")]
        assert adopted.payment.refundable_minor == 1999

    def test_one_that_failed_before_anybody_saw_it_is_recorded_and_has_moved_nothing(self) -> None:
        adopted = Recorded.captured().adopt(with_refunds([refund(500, "failed")]))
        assert adopted.operations == [("refund", 500, "rejected", "refund_failed", "gateway")]
        assert len(adopted.journal) == 1


def test_of_very_many_at_once_some_are_left_to_the_next_look_but_not_the_one_that_is_to_be_settled() -> None:
    theirs = [refund(1, refund_id=f"re_{n}") for n in range(2 * MAX_STEPS)]
    recorded = Recorded.captured().request("refund", 500)
    charge = with_refunds([*theirs, refund(500, reference="op-1", refund_id="re_ours")])
    refunded_minor = []
    for _ in range(4):
        recorded.payment, posted = adopt(recorded.payment, recorded.journal, charge, LATER, settling="op-1")
        recorded.journal += posted
        refunded_minor.append(recorded.payment.refunded_minor)
    assert refunded_minor == [500 + MAX_STEPS - 1, 500 + 2 * MAX_STEPS - 1, 500 + 2 * MAX_STEPS, 500 + 2 * MAX_STEPS]
    assert recorded.at_the_gateway == 1999 - 500 - 2 * MAX_STEPS


class TestOurOwnRefunds:
    @pytest.mark.parametrize("doubted", [False, True])
    @pytest.mark.parametrize(
        ("status", "ended", "moved"),
        [
            ("succeeded", ("succeeded", None), 500),
            ("failed", ("rejected", "refund_failed"), 0),
            ("pending", ("processing", None), 0),
        ],
    )
    def test_what_is_shown_under_our_reference_is_what_became_of_it(
        self, doubted: bool, status: RefundStatus, ended: tuple[str, str | None], moved: int
    ) -> None:
        recorded = Recorded.captured().request("refund", 500)
        if doubted:
            recorded.doubted()
        recorded.adopt(with_refunds([refund(500, status, "op-1")]))
        assert recorded.operations == [("refund", 500, *ended, None)]
        assert recorded.at_the_gateway == 1999 - moved
        assert recorded.payment.refundable_minor == 1999 - (0 if status == "failed" else 500)

    def test_one_that_is_not_shown_stays_as_it_is(self) -> None:
        recorded = Recorded.captured().request("refund", 500)
        assert recorded.adopt(CAPTURED).operations == [("refund", 500, "processing", None, None)]

    def test_one_of_theirs_of_the_same_amount_is_not_taken_for_ours(self) -> None:
        recorded = Recorded.captured().request("refund", 500).adopt(with_refunds([refund(500)]))
        assert recorded.operations == [
            ("refund", 500, "processing", None, None),
            ("refund", 500, "succeeded", None, "gateway"),
        ]

    def test_one_that_fails_days_later_is_back(self) -> None:
        recorded = Recorded.captured().request("refund", 300).adopt(with_refunds([refund(300, reference="op-1")]))
        recorded.adopt(with_refunds([refund(300, "failed", "op-1")]))
        assert recorded.operations == [("refund", 300, "rejected", "refund_failed", None)]
        assert (recorded.at_the_gateway, recorded.payment.refundable_minor) == (1999, 1999)
        assert recorded.request("refund", None, "op-2").payment.operations[-1].amount_minor == 1999

    def test_one_that_was_refused_and_made_all_the_same_is_done(self) -> None:
        recorded = Recorded.captured().request("refund", 500)
        recorded.payment = recorded.payment.end(recorded.payment.operations[0], "rejected", "invalid_state", NOW)
        assert recorded.adopt(with_refunds([refund(500, reference="op-1")])).operations == [
            ("refund", 500, "succeeded", None, None)
        ]

    def test_another_amount_under_our_reference_is_nothing_that_we_asked_for(self) -> None:
        recorded = (
            Recorded.captured().request("refund", 500).doubted().adopt(with_refunds([refund(300, reference="op-1")]))
        )
        assert recorded.operations == [
            ("refund", 500, "rejected", "gateway_mismatch", None),
            ("refund", 300, "succeeded", None, "gateway"),
        ]
        assert (recorded.status, recorded.at_the_gateway) == (("partially_refunded", 1999, 300), 1699)


class TestCapturesThere:
    @pytest.mark.parametrize("amount", [600, 1999])
    def test_one_is_booked_in_whole_or_in_part(self, amount: int) -> None:
        adopted = Recorded.authorized().adopt(replace(CAPTURED, captured_minor=amount))
        assert adopted.status == ("captured", amount, 0)
        assert adopted.operations == [("capture", amount, "succeeded", None, "gateway")]
        assert adopted.at_the_gateway == amount

    @pytest.mark.parametrize("doubted", [False, True])
    def test_of_the_amount_that_we_have_asked_for_it_is_ours(self, doubted: bool) -> None:
        recorded = Recorded.authorized().request("capture", 600)
        if doubted:
            recorded.doubted()
        recorded.adopt(replace(CAPTURED, captured_minor=600))
        assert recorded.operations == [("capture", 600, "succeeded", None, None)]
        assert (recorded.status, recorded.at_the_gateway) == (("captured", 600, 0), 600)

    @pytest.mark.parametrize("type", ["capture", "void"])
    def test_what_we_have_asked_for_can_not_be_any_more(self, type: OperationType) -> None:
        recorded = Recorded.authorized().request(type)
        if type == "capture":
            recorded.doubted()
        recorded.adopt(replace(CAPTURED, captured_minor=600))
        assert recorded.operations[0] == (type, 1999, "rejected", "invalid_state", None)
        assert recorded.operations[1] == ("capture", 600, "succeeded", None, "gateway")
        assert (recorded.status, recorded.at_the_gateway) == (("captured", 600, 0), 600)

    def test_one_that_was_refunded_in_part_since_is_two_movements(self) -> None:
        adopted = Recorded.authorized().adopt(with_refunds([refund(200)], replace(CAPTURED, captured_minor=600)))
        assert (adopted.status, adopted.at_the_gateway) == (("partially_refunded", 600, 200), 400)
        assert [type for type, *_ in adopted.operations] == ["capture", "refund"]


class TestVoidsThere:
    def test_a_void_ends_the_authorization(self) -> None:
        adopted = Recorded.authorized().adopt(VOIDED)
        assert adopted.status == ("voided", 0, 0)
        assert adopted.operations == [("void", 1999, "succeeded", None, "gateway")]
        assert (adopted.payment.error, adopted.journal) == (None, ())

    def test_an_authorization_that_has_expired_says_so_and_when(self) -> None:
        adopted = Recorded.authorized().adopt(AUTHORIZED)
        assert adopted.payment.expires_at == EXPIRES_AT
        adopted.adopt(EXPIRED)
        assert (adopted.status, adopted.payment.error) == (("voided", 0, 0), "expired")
        assert adopted.payment == replace(adopted.payment, expires_at=None)
        assert adopted.payment.awaits_gateway is False

    def test_ours_is_ours(self) -> None:
        assert Recorded.authorized().request("void").adopt(VOIDED).operations == [
            ("void", 1999, "succeeded", None, None)
        ]

    def test_a_capture_that_we_have_asked_for_can_not_be_any_more(self) -> None:
        recorded = Recorded.authorized().request("capture", 600).doubted().adopt(EXPIRED)
        assert recorded.operations[0] == ("capture", 600, "rejected", "invalid_state", None)
        assert (recorded.status, recorded.at_the_gateway) == (("voided", 0, 0), 0)

    def test_a_reversal_of_what_was_captured_takes_it_off_the_books(self) -> None:
        adopted = Recorded.captured().request("refund", 500).doubted().adopt(VOIDED)
        assert (adopted.status, adopted.at_the_gateway) == (("voided", 0, 0), 0)
        assert adopted.operations == [
            ("refund", 500, "rejected", "invalid_state", None),
            ("void", 1999, "succeeded", None, "gateway"),
        ]
        assert adopted.journal[-1].entry == CAPTURE.reverse(1, source=adopted.payment.operations[-1].operation_id)

    def test_a_second_charge_that_is_undone_by_itself_stays_as_it_is(self) -> None:
        recorded = Recorded.captured()
        undoing, posted = recorded.payment.undo_other_charge("ch_2", "refund", NOW).post(
            capture_entry("sparkle", 1999, "USD", "ch_2")
        )
        recorded.journal += posted
        other = replace(with_refunds([refund(1999, reference="ch_2")]), charge_id="ch_2")
        recorded.payment, posted = adopt_undone(undoing, recorded.journal, undoing.operations[0], other, NOW)
        recorded.journal += posted
        assert recorded.adopt(VOIDED).at_the_gateway == 0

    def test_a_refund_that_failed_before_is_back_first(self) -> None:
        adopted = Recorded.captured().adopt(with_refunds([refund(500)]))
        adopted.adopt(replace(VOIDED, refunds=(refund(500, "failed"),)))
        assert (adopted.status, adopted.at_the_gateway) == (("voided", 0, 0), 0)


DISPUTED, DEBT = ("asset:disputed:sparkle", "USD"), ("liability:merchant", "USD")


class TestDisputes:
    def test_one_that_is_opened_takes_the_money_and_nothing_of_it_can_be_refunded(self) -> None:
        recorded = Recorded.captured().adopt(disputed(dispute()))
        assert recorded.payment.disputes == (dispute(),)
        assert recorded.journal[1].entry == dispute_entry("sparkle", 1999, "USD", "dp_1")
        assert balances(posted.entry for posted in recorded.journal) == {DISPUTED: 1999, DEBT: -1999}
        assert (recorded.status, recorded.payment.refundable_minor) == (("captured", 1999, 0), 0)
        assert (recorded.payment.disputed_minor, recorded.payment.awaits_gateway) == (1999, True)
        recorded.request("refund")
        assert recorded.operations == [("refund", None, "rejected", "payment_disputed", None)]

    @pytest.mark.parametrize("seen_open", [True, False])
    def test_one_that_is_won_has_returned_the_money(self, seen_open: bool) -> None:
        recorded = Recorded.captured()
        if seen_open:
            recorded.adopt(disputed(dispute()))
        recorded.adopt(disputed(dispute(status="won", ended_at=NOW)))
        opened, won = recorded.journal[1:]
        assert won.entry == opened.entry.reverse(2, "dispute_won")
        assert (recorded.at_the_gateway, recorded.payment.refundable_minor) == (1999, 1999)
        assert recorded.payment.disputes == (dispute(status="won", ended_at=NOW),)
        assert (recorded.payment.disputed_minor, recorded.payment.awaits_gateway) == (0, False)

    @pytest.mark.parametrize("seen_open", [True, False])
    def test_one_that_is_lost_is_the_merchants_loss_since_we_know_of_it(self, seen_open: bool) -> None:
        recorded = Recorded.captured()
        if seen_open:
            recorded.adopt(disputed(dispute()))
        recorded.adopt(disputed(dispute(status="lost")))
        assert recorded.journal[2].entry == dispute_lost_entry("sparkle", 1999, "USD", "dp_1")
        assert balances(posted.entry for posted in recorded.journal) == {}
        assert recorded.payment.disputes == (dispute(status="lost", ended_at=LATER),)
        assert (recorded.payment.disputed_minor, recorded.payment.awaits_gateway) == (1999, False)
        recorded.request("refund", 1)
        assert recorded.operations == [("refund", 1, "rejected", "payment_disputed", None)]

    def test_one_that_is_won_after_all_is_nobodys_loss(self) -> None:
        recorded = Recorded.captured().adopt(disputed(dispute(status="lost")))
        recorded.adopt(disputed(dispute(status="won")))
        assert [posted.entry.kind for posted in recorded.journal[3:]] == ["dispute_won", "reversal"]
        assert balances(posted.entry for posted in recorded.journal) == balances([CAPTURE])

    def test_of_a_part_the_rest_can_be_refunded(self) -> None:
        recorded = (
            Recorded.captured().adopt(disputed(dispute(1500))).request("refund", 500).request("refund", None, "op-2")
        )
        recorded.request("refund", 2000, "op-3")
        assert recorded.operations == [
            ("refund", 500, "rejected", "payment_disputed", None),
            ("refund", 499, "processing", None, None),
            ("refund", 2000, "rejected", "amount_exceeds_captured", None),
        ]

    def test_several_are_several(self) -> None:
        recorded = Recorded.captured().adopt(disputed(dispute(500), dispute(1000, "won", "dp_2")))
        recorded.adopt(disputed(dispute(500, "lost"), dispute(1000, "won", "dp_2")))
        assert [(each.dispute_id, each.status) for each in recorded.payment.disputes] == [
            ("dp_1", "lost"),
            ("dp_2", "won"),
        ]
        assert (recorded.at_the_gateway, recorded.payment.disputed_minor) == (1499, 500)

    def test_what_was_refunded_may_be_disputed_too(self) -> None:
        recorded = Recorded.captured().adopt(disputed(dispute(), charge=with_refunds([refund(1000)])))
        assert (recorded.at_the_gateway, recorded.payment.refundable_minor) == (-1000, 0)

    def test_a_refund_that_was_reserved_before_stays_until_the_gateway_says_what_became_of_it(self) -> None:
        recorded = Recorded.captured().request("refund", 500).adopt(disputed(dispute()))
        assert recorded.operations == [("refund", 500, "processing", None, None)]

    def test_a_refund_that_fails_meanwhile_is_back(self) -> None:
        recorded = Recorded.captured().adopt(with_refunds([refund(500)]))
        recorded.adopt(disputed(dispute(1499), charge=with_refunds([refund(500, "failed")])))
        assert (recorded.at_the_gateway, recorded.payment.refundable_minor) == (500, 500)

    @pytest.mark.parametrize("status", ["open", "lost"])
    def test_an_older_look_changes_nothing(self, status: DisputeStatus) -> None:
        recorded = Recorded.captured().adopt(disputed(dispute(status="won")))
        for old in (CAPTURED, disputed(dispute(status=status))):
            assert adopt(recorded.payment, recorded.journal, old, LATER) == (recorded.payment, ())

    @pytest.mark.parametrize(
        "charge",
        [
            disputed(dispute(2000)),
            disputed(dispute(1000), dispute(1000, dispute_id="dp_2")),
            disputed(dispute(dispute_id=REDACTED)),
            disputed(dispute(500, dispute_id="dp_0")),
            disputed(dispute(500, "won", "dp_0")),
            disputed(charge=VOIDED),
        ],
    )
    def test_what_can_not_be_is_not_adopted(self, charge: Charge) -> None:
        recorded = Recorded.captured().adopt(disputed(dispute(600, dispute_id="dp_0")))
        with pytest.raises(GatewayMismatch):
            adopt(recorded.payment, recorded.journal, charge, LATER)


@pytest.mark.parametrize(
    ("charge", "undone"),
    [
        (AUTHORIZED, False),
        (VOIDED, True),
        (CAPTURED, False),
        (with_refunds([refund(1999)]), True),
        (disputed(dispute()), False),
        (disputed(dispute(status="won")), False),
        (disputed(dispute(status="lost")), True),
        (disputed(dispute(1000, "lost"), charge=with_refunds([refund(999)])), True),
        (disputed(dispute(1000, "lost"), charge=with_refunds([refund(999, "pending")])), False),
    ],
)
def test_a_charge_is_undone_once_the_cardholder_has_everything_back(charge: Charge, undone: bool) -> None:
    assert charge.is_undone == undone


@pytest.mark.parametrize("charge", [CAPTURED, disputed(dispute())])
def test_the_next_state_gets_the_disputes(charge: Charge) -> None:
    passed_on = charge.to_dict()
    assert ("disputes" in passed_on) == bool(charge.disputes)
    nothing: dict[str, None] = {"network_transaction_id": None, "redirect_url": None}
    assert Charge.from_dict(passed_on | nothing) == charge


class TestLooksThatAreOld:
    """A movement that the gateway doesn't show is not undone, since the gateway may show it late."""

    @pytest.mark.parametrize("charge", [AUTHORIZED, CAPTURED, with_refunds([refund(500, "pending", "op-1")])])
    def test_an_older_look_changes_nothing(self, charge: Charge) -> None:
        recorded = Recorded.captured().request("refund", 500).adopt(with_refunds([refund(500, reference="op-1")]))
        assert adopt(recorded.payment, recorded.journal, charge, LATER) == (recorded.payment, ())

    def test_a_failure_is_not_undone_by_an_older_look(self) -> None:
        recorded = Recorded.captured().adopt(with_refunds([refund(500, "failed")]))
        assert recorded.adopt(with_refunds([refund(500)])).at_the_gateway == 1999

    @pytest.mark.parametrize("status", ["declined", "stored", "reversed", "in_doubt", "voided"])
    def test_a_payment_that_is_at_its_end_or_in_doubt_adopts_nothing(self, status: Any) -> None:
        assert adopt(ended := payment(status=status), (), with_refunds([refund(500)]), LATER) == (ended, ())


class TestMismatches:
    @pytest.mark.parametrize(
        "charge",
        [
            replace(CAPTURED, charge_id="ch_2"),
            replace(CAPTURED, reference="pay-2"),
            replace(CAPTURED, currency="EUR"),
            replace(CAPTURED, amount_minor=2000),
            replace(CAPTURED, captured_minor=600),
            replace(CAPTURED, captured_at=REDACTED),
            with_refunds([refund(2000)]),
            with_refunds([refund(1000), refund(1000, refund_id="re_2")]),
            with_refunds([refund(500, refund_id=REDACTED)]),
            replace(VOIDED, refunds=(refund(500),)),
        ],
    )
    def test_a_charge_that_can_not_be_the_payments_is_not_adopted(self, charge: Charge) -> None:
        recorded = Recorded.captured()
        with pytest.raises(GatewayMismatch):
            adopt(recorded.payment, recorded.journal, charge, LATER)


@pytest.mark.parametrize("gateway_id", ["re_1", "re_" + "1234567890123456", "x" * 64])
def test_an_adopted_operations_id_is_an_id_and_always_the_same(gateway_id: str) -> None:
    adopted = adopted_id("refund", gateway_id)
    assert adopted == adopted_id("refund", gateway_id) != adopted_id("capture", gateway_id)
    assert is_id(adopted)
    assert adopted.startswith("gateway-")


@dataclass
class Gateway:
    """A charge with arbitrary permitted movements; its observed states, oldest first."""

    looks: list[Charge] = field(default_factory=lambda: [AUTHORIZED])

    @property
    def charge(self) -> Charge:
        return self.looks[-1]

    def move(self, type: str, amount_minor: int) -> None:
        charge = self.charge
        refundable_minor = charge.captured_minor - sum(
            each.amount_minor for each in charge.refunds if each.status != "failed"
        )
        if type in ("capture", "void", "expire") and charge.status == "authorized":
            moved = {"capture": replace(CAPTURED, captured_minor=amount_minor), "void": VOIDED, "expire": EXPIRED}[type]
            self.looks.append(moved)
        elif type in ("refund", "pend") and amount_minor <= refundable_minor:
            status: RefundStatus = "succeeded" if type == "refund" else "pending"
            new_refund = refund(amount_minor, status, refund_id=f"re_{len(charge.refunds)}")
            self.looks.append(with_refunds([*charge.refunds, new_refund], charge))
        elif type in ("succeed", "fail") and charge.captured_minor:
            before: tuple[str, ...] = ("pending",) if type == "succeed" else ("pending", "succeeded")
            ended: RefundStatus = "succeeded" if type == "succeed" else "failed"
            refunds = [replace(each, status=ended) if each.status in before else each for each in charge.refunds]
            self.looks.append(with_refunds(refunds, charge))
        elif type == "dispute" and amount_minor <= refundable_minor - held_minor(charge.disputes):
            made_up = dispute(amount_minor, dispute_id=f"dp_{len(charge.disputes)}")
            self.looks.append(replace(charge, disputes=(*charge.disputes, made_up)))
        elif type in ("win", "lose") and charge.disputes:
            before = ("open", "lost") if type == "win" else ("open",)
            decided: DisputeStatus = "won" if type == "win" else "lost"
            disputes = [replace(each, status=decided) if each.status in before else each for each in charge.disputes]
            self.looks.append(replace(charge, disputes=tuple(disputes)))
        elif type == "reverse" and not charge.disputes and refundable_minor == charge.captured_minor > 0:
            self.looks.append(replace(charge, status="voided", captured_minor=0))


MOVES = (
    *("capture", "void", "expire", "refund", "refund", "pend", "succeed", "fail", "reverse"),
    *("dispute", "win", "lose"),
)


@settings(max_examples=500)
@given(
    st.lists(st.tuples(st.sampled_from(MOVES), st.integers(1, 1999)), max_size=8),
    st.lists(st.integers(0, 8), max_size=8),
)
def test_whatever_looks_come_in_whatever_order_the_books_end_where_the_gateway_is(
    moves: list[tuple[str, int]], order: list[int]
) -> None:
    gateway, recorded = Gateway(), Recorded.authorized()
    for move in moves:
        gateway.move(*move)
    for look in (*order, len(gateway.looks) - 1):
        recorded.adopt(gateway.looks[min(look, len(gateway.looks) - 1)])
    charge = gateway.charge
    refunded = sum(each.amount_minor for each in charge.refunds if each.status == "succeeded")
    assert recorded.status == (charge.status, charge.captured_minor, refunded)
    assert recorded.at_the_gateway == charge.captured_minor - refunded - recorded.payment.disputed_minor
    assert [(each.dispute_id, each.status) for each in recorded.payment.disputes] == [
        (each.dispute_id, each.status) for each in charge.disputes
    ]
    disputed_minor = sum(each.amount_minor for each in charge.disputes if each.status == "open")
    assert balances(posted.entry for posted in recorded.journal).get(DISPUTED, 0) == disputed_minor
    assert recorded.payment.error == charge.void_reason
    assert all(_is_ended(operation, charge) for operation in recorded.payment.operations)


def _is_ended(operation: Operation, charge: Charge) -> bool:
    return not operation.is_open or (operation.pending and any(each.status == "pending" for each in charge.refunds))
