"""`python -m tests.simulation.mutants`: break the product on purpose, and check that the simulation detects it.

Each mutant is a copy of the product that breaks one promise. Exits with 1 if a mutant survives.
"""

import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tools.deployment.paths import BUILD, ROOT

COPIED = ("client", "functions", "tools", "statemachine", "docs", "tests")
RUNS = 5_000
FIRST_SEED = 1

Detection = dict[str, Any] | None
"""`{"runs", "seed", "broken"}`: how many runs it took to detect a mutant, and by which rule; None if it survives."""

# Each mutant runs in a process of its own, forked from one that has imported all packages: importing them would take
# longer than most hunts.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["rule_engine", "tests.conftest", "tests.simulation.world"])


@dataclass(frozen=True)
class Mutant:
    """A broken promise: in each file, a text that occurs once, and its replacement.

    `test` is the file and the name of the unit test that detects it, where nobody in the simulation does what it takes.
    """

    name: str
    edits: tuple[tuple[str, str, str], ...]
    test: tuple[str, str] | None = None

    def breed(self, folder: Path) -> None:
        """Write the mutant to the folder, which is beside the product. Raises ValueError if the product no longer
        contains a text.

        All that stays as it is is linked: copies would take longer than most hunts, and be compiled anew.
        """
        half_written = shutil.ignore_patterns("*.pyc.*")
        for part in COPIED:
            shutil.copytree(ROOT / part, folder / part, copy_function=os.link, ignore=half_written)
        for file, old, new in self.edits:
            text = (folder / file).read_text()
            if text.count(old) != 1:
                raise ValueError(f"{self.name}: {file} has {text.count(old)} times {old!r}")
            (folder / file).unlink()
            (folder / file).write_text(text.replace(old, new))


LEDGER = "functions/shared/adapters/table/ledger.py"
ITEMS = "functions/shared/adapters/table/items.py"
CHARGE = "functions/charge/charge_card.py"
UNDO_CHARGE = "functions/shared/use_cases/undo_charge.py"
PERSIST = "functions/persist/persist_payment.py"
COMPENSATE = "functions/compensate/compensate_payment.py"
RESOLVE = "functions/shared/use_cases/resolve_payment.py"
RESOLVE_OPERATION = "functions/resolve/resolve_operation.py"
PERFORM = "functions/shared/use_cases/perform_operation.py"
SETTLE = "functions/shared/use_cases/settle_operation.py"
PAYMENT = "functions/shared/domain/payment.py"
VELOCITY = "functions/shared/adapters/table/velocity.py"
LOOK_AFTER = "functions/doubts/look_after.py"
PERSIST_HANDLER = "functions/persist/handler.py"
HELD_CARDS = "functions/shared/adapters/table/held_cards.py"
SEALING_KEYS = "functions/shared/adapters/table/sealing_keys.py"
CARDS = "functions/shared/adapters/table/cards.py"
DECRYPT_CARD = "functions/shared/use_cases/decrypt_card.py"
REGISTRY = "functions/shared/adapters/gateways/registry.py"
CHARGE_TEST = "tests/unit/functions/charge/test_charge_card.py"
LEDGER_TEST = "tests/unit/functions/shared/adapters/table/test_ledger.py"
CHARGE_OUTCOME = "functions/shared/use_cases/charge_outcome.py"
CONFIRM = "functions/confirm/confirm_charge.py"
CUSTOMER_WAITS = "functions/shared/adapters/table/customer_waits.py"
DELIVER, DELIVER_EVENT = "functions/deliver/handler.py", "functions/deliver/deliver_event.py"
EVENT_BUS, EVENTS = "functions/shared/adapters/event_bus.py", "functions/shared/adapters/table/events.py"
FOLLOW_EVENT = "functions/follow_event/follow_event.py"
BOOK = "tools/local/sparkle/charges.py"
PAYMENT_STATES = "statemachine/payment.asl.json"
JOURNAL = "functions/shared/domain/ledger.py"
ADOPTION = "functions/shared/domain/adoption.py"
CHARGE_MODEL = "functions/shared/domain/charge.py"
RESOLVE_STATES = "statemachine/resolve.asl.json"
RANDOM = '__import__("secrets").token_hex(8)'
NO_ANSWER = (
    '__import__("functions.shared.domain.charge", fromlist=["_"]).Charge(gateway.name, "none", payment_id, "declined", '
    'payment.amount_minor, payment.currency, 0, decline_code="no_answer")'
)
NO_CHARGE = '__import__("functions.shared.domain.charge", fromlist=["_"]).Reversal("tombstoned", None)'


def _rejected_after(errors: str) -> tuple[str, str, str]:
    """The state whose foreseen errors end like this calls whatever else fails rejected."""
    others = (
        f'{errors}],\n          "ResultPath": "$.error",\n          "Next": "ChargeUnknown"\n        }},\n'
        '        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": '
    )
    return PAYMENT_STATES, f'{others}"ChargeUnknown"}}', f'{others}"PaymentRejected"}}'


MUTANTS = (
    Mutant(
        "attribute_not_exists is dropped",
        ((ITEMS, 'IS_NEW = "attribute_not_exists(pk)"', 'IS_NEW = "attribute_not_exists(nothing)"'),),
    ),
    Mutant(
        "a payment that is read in the middle of a write is believed",
        ((LEDGER, "if (len(entries), last_hash) != (payment.entry_count, payment.journal_hash):", "if False:"),),
        (LEDGER_TEST, "test_a_payment_that_was_read_while_it_was_written_is_not_believed"),
    ),
    Mutant(
        "a payment is read before its record can be seen",
        ((LEDGER, 'if items[-1]["sk"] != keys.RECORD:', "if False:"),),
    ),
    Mutant(
        "an event that can't be seen yet is left out",
        ((DELIVER_EVENT, "if len(earlier) < event.number_since(last)", "if False"),),
        (
            "tests/unit/functions/deliver/test_handler.py",
            "test_an_earlier_event_that_can_not_be_seen_yet_is_waited_for",
        ),
    ),
    Mutant(
        "the condition on the version is dropped",
        ((LEDGER, '"version = :version_before"', '"attribute_exists(pk) OR version = :version_before"'),),
    ),
    Mutant(
        "every attempt has an idempotency key of its own",
        ((CHARGE, 'f"{payment_id}-charge"', RANDOM),),
    ),
    Mutant(
        "a timeout is called a decline",
        (
            (
                CHARGE,
                "raise  # not there yet is not the same as never there",
                f"found = {NO_ANSWER}",
            ),
        ),
    ),
    Mutant(
        "a charge of another amount is recorded",
        (
            (
                CHARGE_OUTCOME,
                "if not charge.is_as_requested(order.reference, order.amount_minor, order.currency, ",
                "if not bool(",
            ),
        ),
    ),
    Mutant(
        "the gateway leaves no tombstone",
        (
            (
                BOOK,
                "            if reference not in self._reversals:",
                "            if self.find(reference) is None:\n"
                '                return Reversal(reference, "tombstoned", None)\n'
                "            if reference not in self._reversals:",
            ),
        ),
    ),
    Mutant(
        "what is not found is not reversed",
        (
            (
                UNDO_CHARGE,
                "gateway.reverse(payment.order)",
                f"gateway.reverse(payment.order) if charge else {NO_CHARGE}",
            ),
        ),
    ),
    Mutant(
        "a reversal is not registered before the deed",
        (
            (COMPENSATE, "replace(payment, reversing=True)", "payment"),
            (UNDO_CHARGE, "if not payment.reversing:", "if False:"),
        ),
    ),
    Mutant(
        "a charge that is found stands, whatever was asked",
        ((RESOLVE, "charge is None or not charge.is_as_requested(*requested, capture=capture)", "charge is None"),),
    ),
    Mutant(
        "a charge that is found stands, even if its reversal was asked for",
        ((RESOLVE, "if not record.payment.reversing:", "if True:"),),
    ),
    Mutant(
        "the gateway is asked for a payment that the books know",
        ((CHARGE, "if ledger.statuses([payment_id]):", "if False:"),),
        (CHARGE_TEST, "test_a_payment_that_the_books_know_is_not_charged_again_whatever_the_gateway_has_forgotten"),
    ),
    Mutant(
        "the gateway is asked for an operation that has ended",
        ((PERFORM, "operation is None or not operation.is_open:", "operation is None:"),),
    ),
    Mutant(
        "a capture at the gateway is not adopted",
        ((ADOPTION, 'if payment.status == "authorized" and charge.captured_minor:', "if False:"),),
    ),
    Mutant(
        "a void at the gateway is not adopted",
        ((ADOPTION, 'if charge.status == "voided" and adoption.has_room:', "if False:"),),
    ),
    Mutant(
        "a refund at the gateway is not adopted",
        (
            (
                ADOPTION,
                "for refund in sorted(charge.refunds,",
                "for refund in sorted((each for each in charge.refunds if each.reference),",
            ),
        ),
    ),
    Mutant(
        "what the gateway reversed stays on the books",
        ((ADOPTION, '.entry.kind == "capture" and', '.entry.kind == "nothing" and'),),
    ),
    Mutant(
        "a refund that is pending is booked as done",
        (
            (ADOPTION, 'case "pending":', 'case "pending" if False:'),
            (ADOPTION, 'case "succeeded":', 'case "pending" | "succeeded":'),
        ),
    ),
    Mutant(
        "a refund that came back stays on the books",
        ((ADOPTION, 'case "failed" if operation.status == "succeeded":', 'case "failed" if False:'),),
    ),
    Mutant(
        "an older look undoes a newer one",
        (
            (
                ADOPTION,
                "_STEPS.index(refund.status) <= _STEPS.index(_step(operation))",
                "refund.status == _step(operation)",
            ),
        ),
    ),
    Mutant(
        "a part that was approved is as good as the whole",
        (
            (CHARGE_MODEL, "is_complete = self.captured_minor == amount_minor or", "is_complete = True or"),
            (ADOPTION, "charge.captured_minor not in (0, payment.captured_minor)", "False"),
        ),
    ),
    Mutant(
        "resolve does not leave a running execution alone",
        ((RESOLVE, "        if execution.running:\n", "        if False:\n"),),
    ),
    Mutant(
        "the suspense is not cleared",
        ((JOURNAL, "        for posted in entries_in_effect(journal)\n", "        for posted in ()\n"),),
    ),
    Mutant(
        "who records the doubt second goes on from an entry of their own",
        (
            (
                UNDO_CHARGE,
                "record = ledger.find(payment.payment_id)",
                "record = RecordedPayment(*payment.post(*suspense))",
            ),
        ),
    ),
    Mutant(
        "a charge that fails for an unforeseen reason is not compensated",
        (_rejected_after('"KeyUnusable", "InternalError"'),),
    ),
    Mutant(
        "nobody looks for executions that no event told of",
        ((LOOK_AFTER, "for status in FAILED_STATUSES:", "for status in ():"),),
    ),
    Mutant(
        "what a list shows late is not looked for again",
        ((LOOK_AFTER, "(checked_until) - LISTED_WITHIN", "(checked_until) + GRACE_PERIOD"),),
    ),
    Mutant(
        "a look at what still runs is enough",
        (
            (
                "functions/resolve/handler.py",
                'raise PaymentUnderWay("The execution is not seen to have ended yet.")',
                "pass",
            ),
        ),
    ),
    Mutant(
        "a look that comes late looks after something",
        (("functions/resolve/handler.py", "< MIN_RUN_TIME", "< timedelta(days=9)"),),
    ),
    Mutant(
        "a payment that cannot be seen yet is none",
        (
            (
                "functions/reserve/reserve_operation.py",
                "execution is None and not request.payment_would_be_visible(now)",
                "False",
            ),
        ),
    ),
    Mutant("resolve gives up after an hour", ((RESOLVE_STATES, '"Default": "WaitADay"', '"Default": "NoDoubt"'),)),
    Mutant(
        "what one refund has reserved another may have too",
        ((PAYMENT, "return self.captured_minor - self.refunded_minor - reserved", "return self.captured_minor"),),
    ),
    Mutant(
        "what is disputed may be refunded",
        ((PAYMENT, "return max(0, self.unrefunded_minor - self.disputed_minor)", "return self.unrefunded_minor"),),
    ),
    Mutant(
        "a lost dispute is nobody's loss",
        (
            (
                "functions/shared/domain/adoption.py",
                "self._post(ended, [dispute_lost_entry(*moved)])",
                "self._post(ended, [])",
            ),
        ),
    ),
    Mutant(
        "an authorization may be captured and voided at once",
        ((PAYMENT, " or any(operation.is_open for operation in self.operations):\n", ":\n"),),
    ),
    Mutant(
        "a doubt about an operation is not in the index",
        ((PAYMENT, "else doubts, default=None)", "else [], default=None)"),),
    ),
    Mutant(
        "every attempt at an operation has an idempotency key of its own",
        ((PERFORM, 'f"{reserved.payment_id}-{reserved.type}-{reserved.operation_id}"', RANDOM),),
    ),
    Mutant(
        "every attempt at a refund has a reference of its own",
        ((PERFORM, "reserved.currency, reserved.operation_id, key", f"reserved.currency, {RANDOM}, key"),),
    ),
    Mutant(
        "a refusal is believed though the look is an old one",
        ((PERFORM, 'answer.reason == "invalid_state" and charge.status', "None and charge.status"),),
    ),
    Mutant(
        "an operation without an answer is called refused",
        (
            (
                SETTLE,
                'payment.end(operation, "in_doubt", reason, now)',
                'payment.end(operation, "rejected", reason, now)',
            ),
        ),
    ),
    Mutant(
        "resolve does not record that what was never reserved is rejected",
        (
            (
                RESOLVE_OPERATION,
                "ledger.record(payment.reject(request, _failure_code(execution), now), previous=payment)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "a decline is not counted",
        ((PERSIST, "velocity_counter.count_decline(recorded)", "pass"),),
    ),
    Mutant(
        "what a rule declined is counted as the gateway's decline",
        (
            (
                PAYMENT,
                'return self.status == "declined" and not self.was_declined_by_rule',
                'return self.status == "declined"',
            ),
        ),
        (
            "tests/unit/functions/compensate/test_compensate_payment.py",
            "test_what_the_gateway_did_not_decline_is_counted_as_no_decline",
        ),
    ),
    Mutant(
        "a payment is counted as often as it is screened",
        ((VELOCITY, '"NOT contains(counted, :this)"', '"attribute_not_exists(nothing)"'),),
    ),
    Mutant(
        "a card is held over another one",
        ((HELD_CARDS, 'ended_at) AND attribute_not_exists(ciphertext)"', 'ended_at)"'),),
    ),
    Mutant(
        "a card is held after the payment's end",
        ((HELD_CARDS, '_IS_FIRST = "attribute_not_exists(ended_at) AND ', '_IS_FIRST = "'),),
    ),
    Mutant(
        "nothing keeps what was erased from coming back",
        ((HELD_CARDS, "SET ended_at = if_not_exists(ended_at, :at), expires_at", "SET expires_at"),),
    ),
    Mutant("the key is not erased with the card", ((HELD_CARDS, 'f"REMOVE private_key, ', 'f"REMOVE '),)),
    Mutant(
        "what has ended is remembered for a year",
        ((HELD_CARDS, "RETENTION = timedelta(days=1)", "RETENTION = timedelta(days=365)"),),
    ),
    Mutant(
        "the card is erased before the payment is recorded",
        (
            (
                PERSIST,
                "    ledger.record(recorded, posted + adopted, card)\n",
                "    held_cards.erase(payment.payment_id, payment.updated_at)\n"
                "    ledger.record(recorded, posted + adopted, card)\n",
            ),
        ),
        ("tests/unit/functions/persist/test_persist_payment.py", "test_what_could_not_be_recorded_stays_held"),
    ),
    Mutant(
        "Persist erases nothing",
        (
            (
                PERSIST,
                "held_cards.erase(payment.payment_id, payment.updated_at)\n    return recorded",
                "return recorded",
            ),
        ),
    ),
    Mutant(
        "Deny erases nothing",
        ((PERSIST, "held_cards.erase(payment.payment_id, payment.updated_at)\n    return payment", "return payment"),),
    ),
    Mutant("Erase erases nothing", ((PERSIST_HANDLER, 'held_cards.erase(event["payment_id"], now)', "pass"),)),
    Mutant(
        "a payment is rejected past Erase",
        (
            (
                PAYMENT_STATES,
                '["UnknownToken", "KeyUnusable", "InternalError"], "ResultPath": "$.error", "Next": "Erase"',
                '["UnknownToken", "KeyUnusable", "InternalError"], "ResultPath": "$.error", "Next": "PaymentRejected"',
            ),
        ),
    ),
    Mutant(
        "Compensate erases nothing",
        (
            (
                "functions/compensate/handler.py",
                "runtime.held_cards().erase(ended.payment_id, payment.updated_at)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "Resolve erases nothing",
        (("functions/resolve/handler.py", 'runtime.held_cards().erase(payment_id, ports["now"])', "pass"),),
    ),
    Mutant("Keep erases nothing", (("functions/keep/keep_card.py", "held_cards.erase_key(key)", "pass"),)),
    Mutant(
        "a key is issued after the payment's end",
        (
            (
                SEALING_KEYS,
                '"attribute_not_exists(ended_at) AND attribute_not_exists(ciphertext)"',
                '"attribute_not_exists(ciphertext)"',
            ),
            (
                SEALING_KEYS,
                'raise SealingKeyUsed("The payment has ended. Pay with',
                'return None\n            raise SealingKeyUsed("The payment has ended. Pay with',
            ),
        ),
    ),
    Mutant(
        "a key may be used for ever",
        (
            (
                SEALING_KEYS,
                'if item["issued_until"] <= at:\n            raise SealingKeyExpired',
                "if False:\n            raise SealingKeyExpired",
            ),
        ),
    ),
    Mutant(
        "a security code is encrypted with its card",
        (
            (
                "functions/encrypt/encrypt_data.py",
                "card_data = card.to_card_data()",
                'card_data = card.to_card_data() | {"security_code": "123"}',
            ),
        ),
    ),
    Mutant(
        "the gateway is not told the security code",
        ((DECRYPT_CARD, "if encrypted.security_code is not None:", "if False:"),),
    ),
    Mutant(
        "a private half is kept in the clear",
        (
            (
                SEALING_KEYS,
                '":private_key": self._cipher.encrypt(',
                '":private_key": (lambda private, context: private)(',
            ),
        ),
        ("tests/unit/functions/shared/adapters/table/test_sealing_keys.py", "test_no_private_half_is_in_the_table"),
    ),
    Mutant(
        "a security code of another card is sent",
        (("functions/shared/domain/security_code.py", "if not security_code.isdecimal():", "if False:"),),
        (CHARGE_TEST, "test_another_card_s_security_code_is_not_sent"),
    ),
    Mutant(
        "Charge charges whatever card is held",
        ((CHARGE, "if held_card is None or held_card.transaction_id != transaction_id:", "if held_card is None:"),),
        (CHARGE_TEST, "test_only_the_card_that_encrypt_told_of_is_charged"),
    ),
    Mutant(
        "a charge by its token brings an erased card back",
        (
            (
                CARDS,
                'f"{EXISTS} AND expires_at <= :expires_at"',
                '"attribute_not_exists(expires_at) OR expires_at <= :expires_at"',
            ),
        ),
        ("tests/unit/functions/shared/test_ports.py", "test_a_card_that_was_erased_or_never_kept_is_not_renewed"),
    ),
    Mutant(
        "a later call goes to the first gateway",
        ((REGISTRY, "return self.named(payment.gateway)\n", "return next(iter(self._by_name.values()))\n"),),
    ),
    Mutant(
        "a doubt is looked for at the first gateway only",
        ((REGISTRY, "_Every(tuple(self._by_name.values()))", "_Every(tuple(self._by_name.values())[:1])"),),
    ),
    Mutant(
        "a reversal at every gateway stops after the first",
        ((REGISTRY, "for gateway in self._gateways]", "for gateway in self._gateways[:1]]"),),
    ),
    Mutant(
        "a payment can't be resumed twice",
        (
            (
                "functions/shared/adapters/executions.py",
                "suppress(errors.TaskTimedOut, errors.TaskDoesNotExist, errors.InvalidToken)",
                "suppress()",
            ),
        ),
        (
            "tests/unit/functions/shared/adapters/test_executions.py",
            "test_resuming_what_does_not_wait_any_more_is_harmless",
        ),
    ),
    Mutant(
        "an event that comes before the token is stored is followed",
        ((FOLLOW_EVENT, 'raise PaymentUnderWay("The payment has not been seen to end yet.")', 'return "processing"'),),
        (
            "tests/unit/functions/follow_event/test_follow_event.py",
            "test_has_not_answered_before_the_payment_waits",
        ),
    ),
    Mutant(
        "nobody looks for customers of whose answers no event told",
        (("functions/resume/resume_waiting.py", "in customer_waits.waiting():", "in ():"),),
    ),
    Mutant(
        "a challenge stays open after the time for it",
        (
            (
                CONFIRM,
                "charge = end_wait(read_charge(charge_id, gateway=gateway), gateway=gateway)",
                'charge = read_charge(charge_id, gateway=gateway)\n    if charge.status == "action_required":\n'
                '        charge = __import__("dataclasses").replace(\n            charge, status="declined", '
                'decline_code="authentication_expired"\n        )',
            ),
        ),
    ),
    Mutant(
        "a challenge stays open when its payment is stopped",
        tuple(
            (file, "charge = charge and end_wait(charge, gateway=gateways.named(charge.gateway))", "pass")
            for file in (RESOLVE, UNDO_CHARGE)
        ),
    ),
    Mutant(
        "a payment is rejected when the gateway is down at Confirm",
        (_rejected_after('"GatewayNotConfigured", "InternalError"'),),
    ),
    Mutant(
        "a task token is kept in the clear",
        ((CUSTOMER_WAITS, "self._cipher().encrypt(task_token.encode(), _context(payment_id))", "task_token"),),
    ),
    Mutant(
        "a task token is kept after the payment's end",
        ((HELD_CARDS, "(*_FIELDS, *customer_waits.ATTRIBUTES)", "_FIELDS"),),
    ),
    Mutant(
        "a payment waits and does not say so",
        (("functions/status/payment_status.py", "raise _Waits(wait)", "pass"),),
    ),
    Mutant(
        "what the customer's authentication came to is not kept",
        ((PERSIST, "replace(payment, authentication=charge.authentication).post", "payment.post"),),
    ),
    Mutant(
        "a version is recorded without its event",
        ((LEDGER, "writes.append(put(self._table, event_item(payment_event(payment, previous)), IS_NEW))", "pass"),),
    ),
    Mutant(
        "an adopted movement is told as if it were the first version",
        (("functions/shared/use_cases/adopt_charge.py", "posted, previous=record.payment)", "posted)"),),
    ),
    Mutant("a card is erased without its event", ((CARDS, '[{"Delete": delete}, event]', '[{"Delete": delete}]'),)),
    Mutant(
        "what the bus refused is taken for published",
        ((EVENT_BUS, "            if not entries:\n", "            if True:\n"),),
    ),
    Mutant(
        "an event that was not accepted is not sent again",
        ((DELIVER, "        return False\n", "        return True\n"),),
    ),
    Mutant(
        "an endpoint that is gone is forgotten",
        ((DELIVER, 'endpoint.queue.set_aside(record["body"])', "pass"),),
    ),
    Mutant(
        "the longest pause leaves no room for the time since the receive",
        ((DELIVER_EVENT, "*6 * (39600,)", "*6 * (43200,)"),),
    ),
    Mutant(
        "events are delivered in the queue's order",
        ((DELIVER_EVENT, "for each in [*undelivered, event]:", "for each in [event]:"),),
    ),
    Mutant(
        "an event counts as delivered before it is",
        (
            (
                DELIVER_EVENT,
                "        webhook.post(each, now)\n        deliveries.delivered(endpoint, each, now)\n",
                "        deliveries.delivered(endpoint, each, now)\n        webhook.post(each, now)\n",
            ),
        ),
    ),
    Mutant(
        "a later delivery is forgotten for an earlier one",
        (
            (
                EVENTS,
                'IS_LATER = "attribute_not_exists(delivered) OR delivered < :delivered"',
                'IS_LATER = "attribute_not_exists(nothing)"',
            ),
        ),
        (
            "tests/unit/functions/shared/adapters/table/test_events.py",
            "test_an_earlier_delivery_does_not_undo_a_later_one",
        ),
    ),
)


def find(mutant: Mutant, runs: int = RUNS, first_seed: int = FIRST_SEED) -> Detection:
    BUILD.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=BUILD) as folder, ProcessPoolExecutor(1, _PROCESSES) as process:
        mutant.breed(Path(folder))
        if mutant.test:
            return process.submit(_inside, folder, _failing, *mutant.test).result()
        return process.submit(_inside, folder, _hunt, first_seed, runs).result()


def _inside(folder: str, look: Callable[..., Detection], *arguments: Any) -> Detection:
    """Look while the process has the mutant's code instead of the product's."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    for module in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
        del sys.modules[module]
    return look(*arguments)


def _hunt(first_seed: int, runs: int) -> Detection:
    """Run seeds until a rule is broken."""
    import tests.conftest  # noqa: F401  # what must be in the environment before the runtime is imported
    from tests.simulation.world import simulate

    for number, seed in zip(range(1, runs + 1), count(first_seed), strict=False):
        if broken := simulate(seed).broken:
            return {"runs": number, "seed": seed, "broken": broken[0].what}
    return None


def _failing(file: str, test: str) -> Detection:
    with redirect_stdout(StringIO()) as output:
        code = pytest.main(["-q", "-p", "no:cacheprovider", "--assert=plain", file, "-k", test])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"{test}: {output.getvalue()[-2000:]}")
    return {"runs": 1, "seed": None, "broken": test} if code else None


def main() -> int:
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(track(pool.map(find, MUTANTS), "mutants", total=len(MUTANTS), console=console))
    table = Table("what is broken on purpose", "runs until red", "seed", "what the simulation says")
    for mutant, result in zip(MUTANTS, results, strict=True):
        if result:
            table.add_row(mutant.name, str(result["runs"]), str(result["seed"]), result["broken"])
        else:
            table.add_row(mutant.name, f"[red]survives {RUNS}[/red]")
    console.print(table)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
