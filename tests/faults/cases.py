"""The fault matrix as data: each fault, each place it can strike, and the expected outcome."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from functions.shared.domain.operation import OperationType
from tests.faults.bench import CUSTOMER, DASHBOARD, RULES, STORED_BEFORE, Operation, Order

# fault: what it does. `always` lasts until the execution has ended, `once` for one attempt of the state.
FUNCTION_FAULTS = {
    "crash_before": "the function's process dies before it does anything",
    "crash_after": "the function's process dies after its work, before it answers",
    "timeout_before": "the function hangs before it does anything, until it times out",
    "timeout_after": "the function hangs after its work, until it times out",
    "twice": "the function runs twice at the same time on the same input",
    "throttled": "Lambda refuses the invocation (`TooManyRequestsException`)",
    "poison": "the function gets an input that violates its contract",
    "stopped_before": "somebody stops the execution as it enters the state",
    "stopped_during": "somebody stops the execution while the function runs; the function continues",
    "stopped_after": "somebody stops the execution after the function's work, before the state ends",
}
AWS_FAULTS = {
    "kms_denied": "KMS answers `AccessDeniedException`",
    "kms_disabled": "KMS answers `DisabledException`",
    "kms_throttled": "KMS answers `ThrottlingException`",
    "kms_reset": "the connection to KMS is reset before the request is read",
    "kms_lost_reply": "KMS carries out the request, and the connection breaks before the answer",
    "secret_denied": "Secrets Manager answers `AccessDeniedException`",
    "secret_failing": "Secrets Manager answers `InternalServiceError`",
    "ledger_throttled": "DynamoDB answers `ProvisionedThroughputExceededException`",
    "ledger_failing": "DynamoDB answers `InternalServerError`",
    "ledger_reset": "the connection to DynamoDB is reset before the request is read",
    "ledger_transaction_conflict": "the transaction is cancelled: it conflicts with another one",
    "ledger_condition_failed": "the transaction is cancelled: a condition failed, although no item exists",
    "ledger_lost_reply": "the transaction is committed, and the connection breaks before the answer",
}
GATEWAY_FAULTS = {
    "timeout_before": "the gateway does nothing and never answers",
    "timeout_after": "the gateway carries out the request and never answers",
    "reset": "the gateway does nothing and resets the connection",
    "slow": "the gateway carries out the request and answers too late",
    "late": "the gateway carries out the request much later, if it still can, and never answers",
    "garbage": "the gateway carries out the request and answers 200 with a page that is not JSON",
    "http_429": "the gateway does nothing and answers 429",
    "http_500": "the gateway does nothing and answers 500",
    "http_502_html": "the gateway does nothing and answers 502 with a page that is not JSON",
    "partial_approval": "the gateway approves and captures half of the amount",
    "refund_pending": "the refund is pending and ends later",
    "refund_failed": "the card's bank refuses the refund",
}
# What somebody does in the gateway's dashboard before our operation.
MOVES = {
    "refunded": "somebody refunds the charge in full",
    "captured": "somebody captures a part of the authorization",
    "voided": "somebody voids the authorization",
    "expired": "the authorization expires unused",
}

# The fault that brings a payment to the place under test; other places are on the ordinary path.
LEAD_INS = {
    "Deny": Order(RULES, "denied"),
    "Erase": Order("Tokenize", "poison"),
    "AwaitCustomer": Order(CUSTOMER, "approves"),
    "Resume": Order(CUSTOMER, "approves"),
    "Confirm": Order(CUSTOMER, "approves"),
    "cancel in Charge": Order(CUSTOMER, "can't be asked"),
    "find in AwaitCustomer": Order(CUSTOMER, "approves"),
    "find after the answer": Order(CUSTOMER, "has approved"),
    "cancel in Confirm": Order(CUSTOMER, "leaves"),
    "Compensate": Order("Persist", "poison", "once"),
    "find in Charge": Order("gateway charge", "timeout_after"),
    "find in Compensate": Order("Persist", "poison", "once"),
    "reverse in Compensate": Order("Persist", "poison", "once"),
    "Look": Order("Persist", "stopped_before", "once"),
    "Resolve": Order("Persist", "stopped_before", "once"),
    "find in Resolve": Order("Persist", "stopped_before", "once"),
    "reverse in Resolve": Order("Charge", "stopped_before", "once"),
}
OPERATION_LEAD_INS = {
    "Look": Order("Perform", "stopped_before", "once"),
    "Resolve": Order("Perform", "stopped_before", "once"),
    "refund in Resolve": Order("Perform", "stopped_before", "once"),
}
STORE_LEAD_INS = {"RecallCard": Order(STORED_BEFORE, "")}
# The function of a state that is called otherwise.
FUNCTION_OF = {
    "Deny": "Persist",
    "Erase": "Persist",
    "TokenizeCard": "Tokenize",
    "ScreenCard": "Screen",
    "EncryptCard": "Encrypt",
    "RecallCard": "Keep",
}
GATEWAY_CALLS = {
    "charge": "gateway charge",
    "find in Charge": "gateway find",
    "cancel in Charge": "gateway cancel_authentication",
    "find in AwaitCustomer": "gateway find",
    "find after the answer": "gateway find",
    "cancel in Confirm": "gateway cancel_authentication",
    "find in Compensate": "gateway find",
    "reverse in Compensate": "gateway reverse",
    "find in Resolve": "gateway find",
    "reverse in Resolve": "gateway reverse",
}
OPERATION_CALLS = {
    "refund": "gateway refund",
    "capture": "gateway capture",
    "void": "gateway void",
    "find in Reserve": "gateway find",
    "refund in Resolve": "gateway refund",
}
STORE_CALLS = {"verify": "gateway verify"}
MOVED_BEFORE: dict[str, OperationType] = {
    "before a refund": "refund",
    "before a capture": "capture",
    "before a void": "void",
}
# Faults at these places strike after the execution has ended, while its doubt is resolved.
RESOLVING = {"Look", "Persist to Look", "Resolve", "find in Resolve", "reverse in Resolve", "refund in Resolve"}

# It runs for all payments at once, so that no fault strikes for one of them alone.
ONLY_SIMULATED = {"Resume"}

# Outages that last through several states. The fault must strike in the last one.
OUTAGES = {
    "Charge and Compensate": ("Charge", "Compensate"),
    "Persist to Look": ("Persist", "Compensate", "Look"),
}

# The gateway's charges at the end.
CHARGES = {
    "captured": ("captured",),
    "reversed": ("voided",),
    "reversed, never charged": (),
    "rejected": (),
    "declined": (),
    "declined, not authenticated": ("declined",),
}
# The gateway's charge after an operation succeeded, and after it was rejected.
CHARGES_AFTER: dict[OperationType, dict[str, tuple[str, ...]]] = {
    "refund": {"succeeded": ("partially_refunded",), "rejected": ("captured",)},
    "capture": {"succeeded": ("captured",), "rejected": ("authorized",)},
    "void": {"succeeded": ("voided",), "rejected": ("authorized",)},
}

# The gateway's charge after a move in the dashboard, which our operation leaves unchanged.
CHARGES_MOVED = {
    "refunded": ("refunded",),
    "captured": ("captured",),
    "voided": ("voided",),
    "expired": ("voided",),
}

CAPTURED, REJECTED, REVERSED, NEVER_CHARGED = "captured", "rejected", "reversed", "reversed, never charged"
DECLINED, NOT_AUTHENTICATED = "declined", "declined, not authenticated"
STORED, NOT_YET = "stored", "not stored → stored"
SUCCEEDED = "succeeded"
DOUBT, PENDING = "in_doubt → ", "pending → "

Expected = dict[str, tuple[str | None, ...]]
"""fault: (once, always)"""

# Tokenize, Screen and Encrypt have the same outcomes, since no money has moved yet.
BEFORE_THE_CHARGE: Expected = {
    "crash_before": (CAPTURED, REJECTED),
    "crash_after": (CAPTURED, REJECTED),
    "timeout_before": (CAPTURED, REJECTED),
    "timeout_after": (CAPTURED, REJECTED),
    "twice": (CAPTURED, CAPTURED),
    "throttled": (CAPTURED, REJECTED),
    "poison": (REJECTED, REJECTED),
    "stopped_before": (DOUBT + NEVER_CHARGED,),
    "stopped_during": (NEVER_CHARGED,),
    "stopped_after": (DOUBT + NEVER_CHARGED,),
}
OF_THE_TABLES: Expected = {
    "ledger_throttled": (CAPTURED, REJECTED),
    "ledger_failing": (CAPTURED, REJECTED),
    "ledger_reset": (CAPTURED, REJECTED),
}
OF_THE_KEYS: Expected = {
    "kms_denied": (REJECTED, REJECTED),
    "kms_disabled": (REJECTED, REJECTED),
    "kms_throttled": (CAPTURED, REJECTED),
    "kms_reset": (CAPTURED, REJECTED),
    "kms_lost_reply": (CAPTURED, REJECTED),
}

# What happens to a call of the gateway's that may be repeated: nothing, or it is carried out and not answered.
NOT_DONE = ("timeout_before", "reset", "http_429", "http_500", "http_502_html")
DONE = ("slow", "garbage")
A_CHALLENGE_IS_CANCELED: Expected = {
    **dict.fromkeys(NOT_DONE, (NOT_AUTHENTICATED, DOUBT + NOT_AUTHENTICATED)),
    **dict.fromkeys(DONE, (NOT_AUTHENTICATED, NOT_AUTHENTICATED)),
}

EXPECTED: dict[str, Expected] = {
    "Tokenize": BEFORE_THE_CHARGE | OF_THE_TABLES | OF_THE_KEYS,
    "Screen": BEFORE_THE_CHARGE | OF_THE_TABLES,
    "Deny": {
        "crash_before": (DECLINED, REJECTED),
        "crash_after": (DECLINED, DECLINED),
        "timeout_before": (DECLINED, REJECTED),
        "timeout_after": (DECLINED, DECLINED),
        "twice": (DECLINED, DECLINED),
        "throttled": (DECLINED, REJECTED),
        "poison": (REJECTED, REJECTED),
        "stopped_before": (DOUBT + NEVER_CHARGED,),
        "stopped_during": (DECLINED,),
        "stopped_after": (DECLINED,),
        "ledger_throttled": (DECLINED, REJECTED),
        "ledger_failing": (DECLINED, REJECTED),
        "ledger_reset": (DECLINED, REJECTED),
        "ledger_transaction_conflict": (DECLINED, REJECTED),
        "ledger_condition_failed": (REJECTED, REJECTED),
        "ledger_lost_reply": (DECLINED, DECLINED),
    },
    # The payment is rejected already, and stays so.
    "Erase": {
        **dict.fromkeys(("crash_before", "crash_after", "timeout_before", "timeout_after"), (REJECTED, REJECTED)),
        **dict.fromkeys(("twice", "throttled", "poison"), (REJECTED, REJECTED)),
        "stopped_before": (DOUBT + NEVER_CHARGED,),
        "stopped_during": (NEVER_CHARGED,),
        "stopped_after": (DOUBT + NEVER_CHARGED,),
        **dict.fromkeys(OF_THE_TABLES, (REJECTED, REJECTED)),
    },
    "Encrypt": BEFORE_THE_CHARGE | OF_THE_TABLES | OF_THE_KEYS,
    "Charge": {
        "crash_before": (CAPTURED, NEVER_CHARGED),
        "crash_after": (CAPTURED, REVERSED),
        "timeout_before": (CAPTURED, NEVER_CHARGED),
        "timeout_after": (CAPTURED, REVERSED),
        "twice": (CAPTURED, CAPTURED),
        "throttled": (CAPTURED, NEVER_CHARGED),
        "poison": (NEVER_CHARGED, NEVER_CHARGED),
        "stopped_before": (DOUBT + NEVER_CHARGED,),
        "stopped_during": (CAPTURED,),
        "stopped_after": (DOUBT + CAPTURED,),
        "kms_denied": (NEVER_CHARGED, NEVER_CHARGED),
        "kms_disabled": (NEVER_CHARGED, NEVER_CHARGED),
        "kms_throttled": (CAPTURED, NEVER_CHARGED),
        "kms_reset": (CAPTURED, NEVER_CHARGED),
        "kms_lost_reply": (CAPTURED, NEVER_CHARGED),
        "secret_denied": (CAPTURED, NEVER_CHARGED),
        "secret_failing": (CAPTURED, NEVER_CHARGED),
        "ledger_throttled": (CAPTURED, NEVER_CHARGED),
        "ledger_failing": (CAPTURED, NEVER_CHARGED),
        "ledger_reset": (CAPTURED, NEVER_CHARGED),
    },
    "AwaitCustomer": {
        **dict.fromkeys(("crash_before", "timeout_before", "throttled"), (CAPTURED, NOT_AUTHENTICATED)),
        # It begins again within seconds, and ends before the customer has answered.
        "crash_after": (CAPTURED, NOT_AUTHENTICATED),
        **dict.fromkeys(("timeout_after", "twice"), (CAPTURED, CAPTURED)),
        "poison": (NOT_AUTHENTICATED, NOT_AUTHENTICATED),
        "stopped_before": (DOUBT + NOT_AUTHENTICATED,),
        "stopped_during": (CAPTURED,),
        "stopped_after": (DOUBT + CAPTURED,),
        **dict.fromkeys(("kms_denied", "kms_disabled"), (NOT_AUTHENTICATED, NOT_AUTHENTICATED)),
        **dict.fromkeys(("kms_throttled", "kms_reset", "kms_lost_reply"), (CAPTURED, NOT_AUTHENTICATED)),
        **dict.fromkeys(("secret_denied", "secret_failing"), (CAPTURED, NOT_AUTHENTICATED)),
        **dict.fromkeys(OF_THE_TABLES, (CAPTURED, NOT_AUTHENTICATED)),
    },
    # The customer's time is over, and then Confirm sees the answer.
    "Resume": dict.fromkeys(
        (
            *("crash_before", "crash_after", "timeout_before", "timeout_after", "twice", "throttled"),
            *(*OF_THE_KEYS, "secret_denied", "secret_failing", *OF_THE_TABLES),
        ),
        (CAPTURED, CAPTURED),
    ),
    "Confirm": {
        **dict.fromkeys(("crash_before", "crash_after", "timeout_before", "timeout_after"), (CAPTURED, REVERSED)),
        "twice": (CAPTURED, CAPTURED),
        "throttled": (CAPTURED, REVERSED),
        "poison": (REVERSED, REVERSED),
        "stopped_before": (DOUBT + CAPTURED,),
        "stopped_during": (CAPTURED,),
        "stopped_after": (DOUBT + CAPTURED,),
        **dict.fromkeys(("secret_denied", "secret_failing"), (CAPTURED, REVERSED)),
        **dict.fromkeys(OF_THE_TABLES, (CAPTURED, REVERSED)),
    },
    "Persist": {
        "crash_before": (CAPTURED, REVERSED),
        "crash_after": (CAPTURED, CAPTURED),
        "timeout_before": (CAPTURED, REVERSED),
        "timeout_after": (CAPTURED, CAPTURED),
        "twice": (CAPTURED, CAPTURED),
        "throttled": (CAPTURED, REVERSED),
        "poison": (REVERSED, REVERSED),
        "stopped_before": (DOUBT + CAPTURED,),
        "stopped_during": (CAPTURED,),
        "stopped_after": (CAPTURED,),
        "ledger_throttled": (CAPTURED, REVERSED),
        "ledger_failing": (CAPTURED, REVERSED),
        "ledger_reset": (CAPTURED, REVERSED),
        "ledger_transaction_conflict": (CAPTURED, REVERSED),
        "ledger_condition_failed": (REVERSED, REVERSED),
        "ledger_lost_reply": (CAPTURED, CAPTURED),
    },
    "Compensate": {
        "crash_before": (REVERSED, DOUBT + CAPTURED),
        "crash_after": (REVERSED, REVERSED),
        "timeout_before": (REVERSED, DOUBT + CAPTURED),
        "timeout_after": (REVERSED, REVERSED),
        "twice": (REVERSED, REVERSED),
        "throttled": (REVERSED, DOUBT + CAPTURED),
        "poison": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "stopped_before": (DOUBT + CAPTURED,),
        "stopped_after": (REVERSED,),
        "secret_denied": (REVERSED, DOUBT + REVERSED),
        "secret_failing": (REVERSED, DOUBT + REVERSED),
        "ledger_throttled": (REVERSED, DOUBT + CAPTURED),
        "ledger_failing": (REVERSED, DOUBT + CAPTURED),
        "ledger_reset": (REVERSED, DOUBT + CAPTURED),
        "ledger_transaction_conflict": (REVERSED, DOUBT + CAPTURED),
        "ledger_condition_failed": (REVERSED, DOUBT + CAPTURED),
        "ledger_lost_reply": (REVERSED, REVERSED),
    },
    "Look": {
        "crash_before": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "crash_after": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "timeout_before": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "timeout_after": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "twice": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "throttled": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "poison": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_throttled": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_failing": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_reset": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_transaction_conflict": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_condition_failed": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_lost_reply": (DOUBT + CAPTURED, DOUBT + CAPTURED),
    },
    "Resolve": {
        "crash_before": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "crash_after": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "timeout_before": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "timeout_after": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "twice": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "throttled": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "poison": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "secret_denied": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "secret_failing": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_throttled": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_failing": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_reset": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_transaction_conflict": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_condition_failed": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "ledger_lost_reply": (DOUBT + CAPTURED, DOUBT + CAPTURED),
    },
    "Charge and Compensate": {
        "secret_denied": (None, DOUBT + NEVER_CHARGED),
        "secret_failing": (None, DOUBT + NEVER_CHARGED),
    },
    "Persist to Look": {
        "ledger_throttled": (None, DOUBT + CAPTURED),
        "ledger_failing": (None, DOUBT + CAPTURED),
        "ledger_reset": (None, DOUBT + CAPTURED),
        "ledger_transaction_conflict": (None, DOUBT + CAPTURED),
    },
    "charge": {
        "timeout_before": (CAPTURED, NEVER_CHARGED),
        "timeout_after": (CAPTURED, CAPTURED),
        "reset": (CAPTURED, NEVER_CHARGED),
        "slow": (CAPTURED, CAPTURED),
        "late": (NEVER_CHARGED, NEVER_CHARGED),
        "garbage": (CAPTURED, CAPTURED),
        "http_429": (CAPTURED, NEVER_CHARGED),
        "http_500": (CAPTURED, NEVER_CHARGED),
        "http_502_html": (CAPTURED, NEVER_CHARGED),
        "partial_approval": (REVERSED,),
    },
    "find in Charge": {
        "timeout_before": (CAPTURED, DOUBT + REVERSED),
        "reset": (CAPTURED, DOUBT + REVERSED),
        "slow": (CAPTURED, DOUBT + REVERSED),
        "garbage": (CAPTURED, DOUBT + REVERSED),
        "http_429": (CAPTURED, DOUBT + REVERSED),
        "http_500": (CAPTURED, DOUBT + REVERSED),
        "http_502_html": (CAPTURED, DOUBT + REVERSED),
    },
    "cancel in Charge": A_CHALLENGE_IS_CANCELED,
    "find in AwaitCustomer": dict.fromkeys((*NOT_DONE, *DONE), (CAPTURED, DOUBT + NOT_AUTHENTICATED)),
    "find after the answer": dict.fromkeys((*NOT_DONE, *DONE), (CAPTURED, DOUBT + REVERSED)),
    "cancel in Confirm": A_CHALLENGE_IS_CANCELED,
    "find in Compensate": {
        "timeout_before": (REVERSED, DOUBT + REVERSED),
        "reset": (REVERSED, DOUBT + REVERSED),
        "slow": (REVERSED, DOUBT + REVERSED),
        "garbage": (REVERSED, DOUBT + REVERSED),
        "http_429": (REVERSED, DOUBT + REVERSED),
        "http_500": (REVERSED, DOUBT + REVERSED),
        "http_502_html": (REVERSED, DOUBT + REVERSED),
    },
    "reverse in Compensate": {
        "timeout_before": (REVERSED, DOUBT + REVERSED),
        "timeout_after": (REVERSED, DOUBT + REVERSED),
        "reset": (REVERSED, DOUBT + REVERSED),
        "slow": (REVERSED, DOUBT + REVERSED),
        "garbage": (REVERSED, DOUBT + REVERSED),
        "http_429": (REVERSED, DOUBT + REVERSED),
        "http_500": (REVERSED, DOUBT + REVERSED),
        "http_502_html": (REVERSED, DOUBT + REVERSED),
    },
    "find in Resolve": {
        "timeout_before": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "reset": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "slow": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "garbage": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "http_429": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "http_500": (DOUBT + CAPTURED, DOUBT + CAPTURED),
        "http_502_html": (DOUBT + CAPTURED, DOUBT + CAPTURED),
    },
    "reverse in Resolve": {
        "timeout_before": (DOUBT + NEVER_CHARGED, DOUBT + NEVER_CHARGED),
        "timeout_after": (DOUBT + NEVER_CHARGED, DOUBT + NEVER_CHARGED),
        "reset": (DOUBT + NEVER_CHARGED, DOUBT + NEVER_CHARGED),
        "slow": (DOUBT + NEVER_CHARGED, DOUBT + NEVER_CHARGED),
        "garbage": (DOUBT + NEVER_CHARGED, DOUBT + NEVER_CHARGED),
        "http_429": (DOUBT + NEVER_CHARGED, DOUBT + NEVER_CHARGED),
        "http_500": (DOUBT + NEVER_CHARGED, DOUBT + NEVER_CHARGED),
        "http_502_html": (DOUBT + NEVER_CHARGED, DOUBT + NEVER_CHARGED),
    },
}


# The operation is a refund, unless the place is a call of the gateway for another operation.
OPERATIONS_EXPECTED: dict[str, Expected] = {
    "Reserve": {
        "crash_before": (SUCCEEDED, DOUBT + REJECTED),
        "crash_after": (SUCCEEDED, DOUBT + SUCCEEDED),
        "timeout_before": (SUCCEEDED, DOUBT + REJECTED),
        "timeout_after": (SUCCEEDED, DOUBT + SUCCEEDED),
        "twice": (SUCCEEDED, SUCCEEDED),
        "throttled": (SUCCEEDED, DOUBT + REJECTED),
        "poison": (REJECTED, REJECTED),
        "stopped_before": (DOUBT + REJECTED,),
        "stopped_after": (DOUBT + SUCCEEDED,),
        "ledger_throttled": (SUCCEEDED, DOUBT + REJECTED),
        "ledger_failing": (SUCCEEDED, DOUBT + REJECTED),
        "ledger_reset": (SUCCEEDED, DOUBT + REJECTED),
        "ledger_transaction_conflict": (SUCCEEDED, DOUBT + REJECTED),
        "ledger_condition_failed": (SUCCEEDED, DOUBT + REJECTED),
        "ledger_lost_reply": (SUCCEEDED, SUCCEEDED),
    },
    "Perform": {
        "crash_before": (SUCCEEDED, DOUBT + SUCCEEDED),
        "crash_after": (SUCCEEDED, DOUBT + SUCCEEDED),
        "timeout_before": (SUCCEEDED, DOUBT + SUCCEEDED),
        "timeout_after": (SUCCEEDED, DOUBT + SUCCEEDED),
        "twice": (SUCCEEDED, SUCCEEDED),
        "throttled": (SUCCEEDED, DOUBT + SUCCEEDED),
        "poison": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "stopped_before": (DOUBT + SUCCEEDED,),
        "stopped_during": (SUCCEEDED,),
        "stopped_after": (DOUBT + SUCCEEDED,),
        "secret_denied": (SUCCEEDED, DOUBT + SUCCEEDED),
        "secret_failing": (SUCCEEDED, DOUBT + SUCCEEDED),
    },
    "Settle": {
        "crash_before": (SUCCEEDED, DOUBT + SUCCEEDED),
        "crash_after": (SUCCEEDED, DOUBT + SUCCEEDED),
        "timeout_before": (SUCCEEDED, DOUBT + SUCCEEDED),
        "timeout_after": (SUCCEEDED, DOUBT + SUCCEEDED),
        "twice": (SUCCEEDED, SUCCEEDED),
        "throttled": (SUCCEEDED, DOUBT + SUCCEEDED),
        "poison": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "stopped_before": (DOUBT + SUCCEEDED,),
        "stopped_during": (SUCCEEDED,),
        "stopped_after": (DOUBT + SUCCEEDED,),
        "ledger_throttled": (SUCCEEDED, DOUBT + SUCCEEDED),
        "ledger_failing": (SUCCEEDED, DOUBT + SUCCEEDED),
        "ledger_reset": (SUCCEEDED, DOUBT + SUCCEEDED),
        "ledger_transaction_conflict": (SUCCEEDED, DOUBT + SUCCEEDED),
        "ledger_condition_failed": (SUCCEEDED, DOUBT + SUCCEEDED),
        "ledger_lost_reply": (SUCCEEDED, SUCCEEDED),
    },
    "Look": {
        "poison": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "ledger_failing": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "ledger_lost_reply": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
    },
    "Resolve": {
        "crash_after": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "twice": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "secret_failing": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "ledger_condition_failed": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "ledger_lost_reply": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
    },
    "refund": {
        "timeout_before": (SUCCEEDED, DOUBT + SUCCEEDED),
        "timeout_after": (SUCCEEDED, SUCCEEDED),
        "reset": (SUCCEEDED, DOUBT + SUCCEEDED),
        "slow": (SUCCEEDED, SUCCEEDED),
        "late": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "garbage": (SUCCEEDED, SUCCEEDED),
        "http_429": (SUCCEEDED, DOUBT + SUCCEEDED),
        "http_500": (SUCCEEDED, DOUBT + SUCCEEDED),
        "http_502_html": (SUCCEEDED, DOUBT + SUCCEEDED),
        "refund_pending": (PENDING + SUCCEEDED,),
        "refund_failed": (REJECTED,),
    },
    "before a refund": {"refunded": (REJECTED,)},
    "before a capture": {"captured": (REJECTED,), "voided": (REJECTED,), "expired": (REJECTED,)},
    "before a void": {"captured": (REJECTED,)},
    "capture": {
        "timeout_before": (SUCCEEDED, DOUBT + SUCCEEDED),
        "timeout_after": (SUCCEEDED, SUCCEEDED),
        "late": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "http_429": (SUCCEEDED, DOUBT + SUCCEEDED),
    },
    "void": {
        "timeout_before": (SUCCEEDED, DOUBT + SUCCEEDED),
        "timeout_after": (SUCCEEDED, SUCCEEDED),
        "late": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "http_429": (SUCCEEDED, DOUBT + SUCCEEDED),
    },
    "find in Reserve": {
        "timeout_before": (SUCCEEDED, DOUBT + REJECTED),
        "reset": (SUCCEEDED, DOUBT + REJECTED),
        "garbage": (SUCCEEDED, DOUBT + REJECTED),
        "http_429": (SUCCEEDED, DOUBT + REJECTED),
        "http_500": (SUCCEEDED, DOUBT + REJECTED),
    },
    "refund in Resolve": {
        "timeout_before": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "timeout_after": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "late": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
        "http_429": (DOUBT + SUCCEEDED, DOUBT + SUCCEEDED),
    },
}


# A card is stored without a payment, and whoever is told that it is not asks again, after the fault.
A_STATE_FAILS: Expected = {
    "crash_before": (STORED, NOT_YET),
    "crash_after": (STORED, NOT_YET),
    "timeout_before": (STORED, NOT_YET),
    "timeout_after": (STORED, NOT_YET),
    "twice": (STORED, STORED),
    "throttled": (STORED, NOT_YET),
    "poison": (NOT_YET, NOT_YET),
}
A_TABLE_FAILS: Expected = dict.fromkeys(OF_THE_TABLES, (STORED, NOT_YET))
A_KEY_FAILS: Expected = {
    fault: (NOT_YET, NOT_YET) if outcomes[0] == REJECTED else (STORED, NOT_YET)
    for fault, outcomes in OF_THE_KEYS.items()
}
STORE_EXPECTED: dict[str, Expected] = {
    "TokenizeCard": A_STATE_FAILS | A_TABLE_FAILS | A_KEY_FAILS,
    "ScreenCard": A_STATE_FAILS | A_TABLE_FAILS,
    "EncryptCard": A_STATE_FAILS | A_TABLE_FAILS | A_KEY_FAILS,
    "Verify": A_STATE_FAILS | A_KEY_FAILS | {"secret_denied": (STORED, NOT_YET), "secret_failing": (STORED, NOT_YET)},
    "Keep": A_STATE_FAILS
    | A_TABLE_FAILS
    | {
        "ledger_transaction_conflict": (STORED, NOT_YET),
        "ledger_condition_failed": (NOT_YET, NOT_YET),
        "ledger_lost_reply": (STORED, NOT_YET),
    },
    "RecallCard": A_STATE_FAILS | A_TABLE_FAILS,
    "verify": {
        "timeout_before": (STORED, NOT_YET),
        "timeout_after": (STORED, NOT_YET),
        "reset": (STORED, NOT_YET),
        "slow": (STORED, NOT_YET),
        "garbage": (STORED, NOT_YET),
        "http_429": (STORED, NOT_YET),
        "http_500": (STORED, NOT_YET),
        "http_502_html": (STORED, NOT_YET),
    },
}


@dataclass(frozen=True, slots=True)
class Case:
    """One fault at one place, which is a state or a call of the gateway, during a payment or an operation on one, or
    while a card is stored. `expected` is a `str(Outcome)`."""

    place: str
    fault: str
    times: str
    expected: str
    operation: Operation | None = None

    @property
    def orders(self) -> list[Order]:
        lead_ins, calls = LEAD_INS, GATEWAY_CALLS
        if self.operation == "store":
            lead_ins, calls = STORE_LEAD_INS, STORE_CALLS
        elif self.operation:
            lead_ins, calls = OPERATION_LEAD_INS, OPERATION_CALLS
        if self.place in OUTAGES:
            return [Order(state, self.fault, self.times) for state in OUTAGES[self.place]]
        lead_in = [lead_ins[self.place]] if self.place in lead_ins else []
        where = (
            DASHBOARD if self.place in MOVED_BEFORE else calls.get(self.place, FUNCTION_OF.get(self.place, self.place))
        )
        return [*lead_in, Order(where, self.fault, self.times)]

    @property
    def expected_charges(self) -> tuple[str, ...]:
        if self.fault in CHARGES_MOVED:
            return CHARGES_MOVED[self.fault]
        if self.operation == "store":
            return ()
        charges = CHARGES_AFTER[self.operation] if self.operation else CHARGES
        return charges[self.expected.rpartition(" → ")[2]]

    @property
    def is_resolving(self) -> bool:
        return self.place in RESOLVING

    def __str__(self) -> str:
        what = f"{self.operation}-" if self.operation else ""
        return f"{what}{self.place}-{self.fault}-{self.times}".replace(" ", "_")


def _cases() -> Iterator[Case]:
    for place, faults in EXPECTED.items():
        yield from _at(place, faults, None)
    others: dict[str, OperationType] = {"capture": "capture", "void": "void", **MOVED_BEFORE}
    for place, faults in OPERATIONS_EXPECTED.items():
        yield from _at(place, faults, others.get(place, "refund"))
    for place, faults in STORE_EXPECTED.items():
        yield from _at(place, faults, "store")


def _at(place: str, faults: Expected, operation: Operation | None) -> Iterator[Case]:
    for fault, outcomes in faults.items():
        for times, expected in zip(("once", "always"), outcomes, strict=False):
            if expected:
                yield Case(place, fault, times, expected, operation)


CASES = list(_cases())


def _on_the_stack() -> Iterator[Case]:
    """Yield, for each fault, one case that strikes a running payment or operation and one that strikes while a doubt is
    resolved; then one case for each place without any. Among several, prefer the least used place and length."""
    chosen: Counter[object] = Counter()

    def least_chosen(cases: list[Case]) -> Case:
        case = min(cases, key=lambda case: (chosen[case.place, case.operation], chosen[case.times]))
        chosen.update([(case.place, case.operation), case.times])
        return case

    def is_asked_of_the_gateway(case: Case) -> bool:
        return case.orders[-1].where.startswith("gateway ")

    candidates = [case for case in CASES if case.place not in ONLY_SIMULATED]
    kinds: dict[object, list[Case]] = {}
    for case in candidates:
        kinds.setdefault((case.fault, is_asked_of_the_gateway(case), case.is_resolving), []).append(case)
    yield from map(least_chosen, kinds.values())
    places: dict[object, list[Case]] = {}
    for case in candidates:
        places.setdefault((case.place, case.operation), []).append(case)
    yield from (least_chosen(cases) for place, cases in places.items() if not chosen[place])


ON_THE_STACK = list(_on_the_stack())
"""The cases that run on the stack as well as in the simulation."""
