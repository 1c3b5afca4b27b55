import re

import pytest

from functions.shared.domain import errors
from functions.shared.domain.errors import PaymentError, error_code

CODES = {
    "PaymentError": "payment_error",
    "Rejection": "rejection",
    "InvalidInput": "invalid_input",
    "InvalidCardNumber": "invalid_card_number",
    "BrandNotAccepted": "brand_not_accepted",
    "TestCardNotAccepted": "test_card_not_accepted",
    "CardNumberInText": "card_number_in_text",
    "CardDataMustBeSealed": "card_data_must_be_sealed",
    "ExpiredCard": "expired_card",
    "UnknownCurrency": "unknown_currency",
    "UnknownToken": "unknown_token",
    "ReturnUrlNotAllowed": "return_url_not_allowed",
    "AuthenticationNotSupported": "authentication_not_supported",
    "InvalidSealedCard": "invalid_sealed_card",
    "SealedCardTampered": "sealed_card_tampered",
    "SealedForAnotherPayment": "sealed_for_another_payment",
    "SealedWithTheWrongKind": "sealed_with_the_wrong_kind",
    "SealingKeyExpired": "sealing_key_expired",
    "SealingKeyUsed": "sealing_key_used",
    "SealingNotSupported": "sealing_not_supported",
    "UnknownSealingKey": "unknown_sealing_key",
    "SensitiveAuthenticationData": "sensitive_authentication_data",
    "Unavailable": "unavailable",
    "KeyServiceUnavailable": "key_service_unavailable",
    "SecretUnavailable": "secret_unavailable",  # pragma: allowlist secret
    "LedgerUnavailable": "ledger_unavailable",
    "ExecutionsUnavailable": "executions_unavailable",
    "QueueUnavailable": "queue_unavailable",
    "EventBusUnavailable": "event_bus_unavailable",
    "GatewayBusy": "gateway_busy",
    "GatewayOutcomeUnknown": "gateway_outcome_unknown",
    "ReversalUnconfirmed": "reversal_unconfirmed",
    "PaymentUnderWay": "payment_under_way",
    "CustomerActionRequired": "customer_action_required",
    "PaymentDenied": "payment_denied",
    "VerificationDeclined": "verification_declined",
    "KeyUnusable": "key_unusable",
    "GatewayRefused": "gateway_refused",
    "GatewayMismatch": "gateway_mismatch",
    "GatewayNotConfigured": "gateway_not_configured",
    "SettlementUnreadable": "settlement_unreadable",
    "LedgerConflict": "ledger_conflict",
    "PaymentNotFound": "payment_not_found",
    "InternalError": "internal_error",
}


def all_errors(base: type[PaymentError] = PaymentError) -> dict[str, type[PaymentError]]:
    errors = {base.__name__: base}
    for error in base.__subclasses__():
        errors |= all_errors(error)
    return errors


def test_every_error_has_the_code_that_the_api_promises() -> None:
    assert {name: error.code() for name, error in all_errors().items()} == CODES


@pytest.mark.parametrize(("name", "code"), [("States.Timeout", "states_timeout"), ("Lambda.Unknown", "lambda_unknown")])
def test_an_error_of_aws_has_a_code_in_snake_case_too(name: str, code: str) -> None:
    assert error_code(name) == code


def test_the_modules_docstring_draws_the_tree_as_it_is() -> None:
    drawn = set(re.findall(r"^[│├└─ ]*([A-Z]\w+)(?:  |$)", errors.__doc__ or "", re.MULTILINE))
    assert drawn == set(CODES)
