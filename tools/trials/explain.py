"""Lists everything that is wrong with a request's body, by field and rule, before the request is sent.

The API names only the first broken rule, and some only as one of many (docs/architecture.md, "A payment"). This module
checks the body against the API's own OpenAPI description, and then against the rules that no schema can express. It
never repeats a field's value, which may be a card number.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

import yaml

from functions.shared import strict_json
from functions.shared.domain.card_number import refused_fields
from functions.shared.domain.card_rules import broken_rules
from tools.deployment.paths import OPENAPI

SEAL = "card_data: seal this card. In the clear none is taken but published test cards, and these not everywhere"


class Call(StrEnum):
    PAYMENTS = "payments"
    CARDS = "cards"
    REFUNDS = "refunds"
    CAPTURES = "captures"
    VOIDS = "voids"


_SCHEMAS = {
    Call.CARDS: "CardRequest",
    Call.REFUNDS: "AmountRequest",
    Call.CAPTURES: "AmountRequest",
    Call.VOIDS: "VoidRequest",
}


def explain(body: bytes, call: Call, now: datetime) -> list[str]:
    """List the rules that the body breaks, each after the field's name; an empty list if the body is valid."""
    try:
        request = strict_json.loads(body)
    except ValueError:
        return ["the body: must be JSON, and no field may be there twice"]
    schema = _SCHEMAS.get(call, "CardPayment")
    if call is Call.PAYMENTS and isinstance(request, dict):
        by_card, by_token = (request.get(name) is not None for name in ("card_data", "token"))
        if by_card == by_token:
            return ["card_data, token: one of them is needed, and not both"]
        initiator = request.get("initiator")
        if initiator not in (None, "customer", "merchant"):
            return ["initiator: must be customer or merchant"]
        by_merchant = initiator == "merchant" and not by_card
        schema = "CardPayment" if by_card else "MerchantInitiatedPayment" if by_merchant else "TokenPayment"
    messages = [message for error in _validator(schema).iter_errors(request) for message in _messages(error)]
    return list(dict.fromkeys(messages)) or list(_rules_beyond_schema(request, now))


@cache
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator  # takes a second to import, and most commands don't need it

    components = yaml.load(OPENAPI.read_text(), yaml.CSafeLoader)["components"]
    return Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": components})


def _rules_beyond_schema(request: dict[str, Any], now: datetime) -> Iterator[str]:
    """Check the rules that a JSON schema cannot express."""
    texts = {name: request.get(name) for name in ("merchant_reference", "description", "metadata")}
    for name in refused_fields(texts):
        yield f"{name}: looks like a card number"
    card_data = request.get("card_data")
    if isinstance(card_data, dict):
        for name, rule in broken_rules(card_data, now).items():
            yield f"{name}: {rule}"


def _messages(error: Any) -> Iterator[str]:
    field = "/".join(map(str, error.absolute_path)) or "the body"
    rule: Any = error.validator_value
    instance: Any = error.instance
    schema: Any = error.schema
    match error.validator:
        case "required":
            yield from (f"{name}: is missing" for name in rule if name not in instance)
        case "additionalProperties":
            yield f"{field}: may have no field but {', '.join(schema.get('properties', ())) or 'none'}"
        case "oneOf" if isinstance(instance, dict) or {"type": "null"} in rule:
            for nested in error.context or ():
                if nested.schema_path[0] == 0:  # the card in the clear, or the variant that is not null
                    yield from _messages(nested)
        case "oneOf":
            yield f"{field}: must be a sealed card, five parts in base64url with dots between, or a test card's data"
        case "enum" if field == "reason":
            yield f"reason: must be {' or '.join(rule)}"
        case "enum":
            yield SEAL
        case "type":
            yield f"{field}: must be of the type {rule}"
        case "minimum":
            yield f"{field}: must be at least {rule}"
        case "maximum":
            yield f"{field}: must be at most {rule}"
        case "minLength":
            yield f"{field}: must have at least {rule} characters"
        case "maxLength":
            yield f"{field}: must have at most {rule} characters"
        case "maxProperties":
            yield f"{field}: must have at most {rule} names"
        case "pattern":
            yield f"{field}: must be like {rule}"
        case "not":
            yield f"{field}: has a character that is refused, as a line break is"
