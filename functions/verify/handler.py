"""State `Verify`: takes the encrypted card that is to be stored, and returns it with the network's transaction id.

Its security code, if there is one, ends here. A decline is the error VerificationDeclined.
"""

from base64 import b64decode
from typing import Any

from functions.shared import runtime
from functions.shared.domain.card import CardSummary
from functions.shared.domain.errors import VerificationDeclined
from functions.shared.domain.payment import StoreRequest
from functions.shared.ports import HeldCard
from functions.verify.verify_card import verify_card


@runtime.function("verify", uses=(runtime.card_cipher, runtime.gateways, runtime.velocity_counter))
def handler(event: runtime.Event) -> dict[str, Any]:
    encrypted = {name: b64decode(text) for name, text in event["encrypted"].items()}
    try:
        network_transaction_id = verify_card(
            event["payment_id"],
            StoreRequest(**event["store_request"]),
            CardSummary.from_dict(event["card"]),
            HeldCard(encrypted["ciphertext"], encrypted.get("security_code")),
            event["started_at"],
            cipher=runtime.card_cipher(),
            gateway=runtime.gateways().named(event["gateway"]),
            velocity_counter=runtime.velocity_counter(),
        )
    except VerificationDeclined:
        runtime.count("CardDeclined")
        raise
    return {"ciphertext": event["encrypted"]["ciphertext"], "network_transaction_id": network_transaction_id}
