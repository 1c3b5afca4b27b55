"""The tutorial's calls by a client that openapi-python-client made of docs/openapi.yaml: `tutorial.py <the API's URL>`.

It is on the path as `payments_api`, and signing is done on the way.
"""

import sys
import time
import uuid
from typing import TypeVar
from urllib.parse import urljoin

from payments_api import Client
from payments_api.api.cards import erase_card, get_card, store_card
from payments_api.api.keys import get_keys, issue_key
from payments_api.api.operations import capture_payment, refund_payment, void_payment
from payments_api.api.payments import create_payment, get_payment
from payments_api.models import (
    AmountRequest,
    CardPayment,
    CardRequest,
    CardStored,
    Error,
    Keys,
    KnownErrorCode,
    OperationStarted,
    Payment,
    PaymentStarted,
    SingleUseKey,
    TestCard,
    TestCardCardNumber,
    TokenPayment,
    VoidRequest,
)

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)
card = TestCard(TestCardCardNumber("4242424242424242"), "12/30", "John Doe")

T = TypeVar("T")


def new_id() -> str:
    return str(uuid.uuid4())


def a(kind: type[T], answer: object) -> T:
    assert isinstance(answer, kind), answer
    return answer


def refused(answer: object) -> object:
    return a(Error, answer).error.code


def ended(payment_id: str, operation_id: str = "") -> Payment:
    while True:
        payment = a(Payment, get_payment.sync(payment_id, client=client))
        under_way = [payment.status, *(each.status for each in payment.operations)]
        is_shown = not operation_id or operation_id in [each.operation_id for each in payment.operations]
        if is_shown and "processing" not in under_way:
            return payment
        time.sleep(0.2)


def pay(**changes: object) -> Payment:
    body = CardPayment(card_data=card, amount_minor=1999, currency="USD", merchant_reference="order-1001")
    for name, value in changes.items():
        setattr(body, name, value)
    key = new_id()
    started = create_payment.sync_detailed(client=client, body=body, idempotency_key=key)
    assert a(PaymentStarted, started.parsed).payment_id == key
    url = urljoin(client.get_httpx_client().base_url.join("payments").__str__(), started.headers["Location"])
    assert client.get_httpx_client().get(url).status_code == 200
    return ended(key)


# A payment, again with its key, a decline, and what is refused.
paid = pay()
assert (paid.status, paid.captured_minor, paid.merchant_reference) == ("captured", 1999, "order-1001")
again = CardPayment(card_data=card, amount_minor=1999, currency="USD")
answer = create_payment.sync(client=client, body=again, idempotency_key=paid.payment_id)
assert refused(answer) == KnownErrorCode.PAYMENT_EXISTS
assert a(Error, answer).payment_id == paid.payment_id
no_money = TestCard(TestCardCardNumber("4000000000009995"), "12/30", "John Doe")
declined = pay(card_data=no_money)
assert (declined.status, declined.decline_code) == ("declined", "insufficient_funds")
none = CardPayment(card_data=card, amount_minor=0, currency="USD")
assert refused(create_payment.sync(client=client, body=none, idempotency_key=new_id())) == "invalid_request"
assert refused(get_payment.sync(new_id(), client=client)) == "payment_not_found"

# A refund of a part, and of the rest.
for part, status in ((AmountRequest(500), "partially_refunded"), (AmountRequest(None), "refunded")):
    key = new_id()
    refund = refund_payment.sync(paid.payment_id, client=client, body=part, idempotency_key=key)
    assert a(OperationStarted, refund).operation_id == key
    assert ended(paid.payment_id, key).status == status

# An authorization that is captured in part, and one that is voided.
authorized = pay(capture=False)
assert authorized.status == "authorized"
key = new_id()
capture_payment.sync(authorized.payment_id, client=client, body=AmountRequest(1500), idempotency_key=key)
assert ended(authorized.payment_id, key).captured_minor == 1500
to_void, key = pay(capture=False), new_id()
void_payment.sync(to_void.payment_id, client=client, body=VoidRequest(), idempotency_key=key)
assert ended(to_void.payment_id, key).status == "voided"

# A card that is stored, shown, charged and erased.
key = new_id()
stored = a(CardStored, store_card.sync(client=client, body=CardRequest(card), idempotency_key=key)).card
assert isinstance(stored.token, str)
assert ended(key).card == stored
card_shown = get_card.sync(stored.token, client=client)
assert card_shown == stored
key, by_token = new_id(), TokenPayment(token=stored.token, amount_minor=500, currency="EUR")
a(PaymentStarted, create_payment.sync(client=client, body=by_token, idempotency_key=key))
assert ended(key).status == "captured"
assert erase_card.sync_detailed(stored.token, client=client).status_code == 204
assert refused(get_card.sync(stored.token, client=client)) == "card_not_found"

# The keys to seal cards to.
key = new_id()
issued = a(SingleUseKey, issue_key.sync(client=client, idempotency_key=key))
assert (issued.alg, issued.jwk.crv) == ("ECDH-ES", "P-256")
assert a(SingleUseKey, issue_key.sync(client=client, idempotency_key=key)) == issued
assert refused(issue_key.sync(client=client, idempotency_key=paid.payment_id)) == "payment_exists"
assert a(Keys, get_keys.sync(client=client)).keys[0].alg == "RSA-OAEP-256"
