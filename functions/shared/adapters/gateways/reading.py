"""What all gateways' adapters read and write alike: texts that may be malformed, fields that may be absent, amounts."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from functions.shared.domain.charge import REDACTED
from functions.shared.domain.errors import GatewayMismatch, GatewayRefused

AMOUNT_LIMIT_MINOR = 10**12
"""Amounts in minor units must be below this."""
_REDIRECT_URL = re.compile(r"(https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/])[!-~]{1,2000}")
_VERSION = re.compile(r"[0-9](\.[0-9]{1,2}){1,2}")
_NETWORK_TRANSACTION_ID = re.compile("[A-Za-z0-9]{9,29}")


def text(value: Any, is_valid: Callable[[Any], bool], *, optional: bool = False) -> Any:
    """The text, or REDACTED if the text violates its contract. An optional text may be None."""
    return value if is_valid(value) or (optional and value is None) else REDACTED


def network_transaction_id(value: Any) -> str | None:
    """The id, or None if it is malformed: a charge is as good without it."""
    return value if isinstance(value, str) and _NETWORK_TRANSACTION_ID.fullmatch(value) else None


def redirect_url(value: Any) -> str:
    """The address to which a customer's browser may be sent: https, or http on this machine. Raises ValueError."""
    if not (isinstance(value, str) and _REDIRECT_URL.fullmatch(value)):
        raise ValueError
    return value


def protocol_version(value: Any) -> str | None:
    """The version of 3-D Secure, or None if it is malformed: the authentication is as good without it."""
    return value if isinstance(value, str) and _VERSION.fullmatch(value) else None


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}


class Amounts:
    """The conversion of amounts between our minor units and the gateway's.

    `iso_minor_unit` returns the decimals of ISO 4217, and `minor_units` holds the gateway's decimals where they differ.
    """

    def __init__(
        self, gateway: str, iso_minor_unit: Callable[[str], int | None], minor_units: Mapping[str, int]
    ) -> None:
        self._gateway = gateway
        self._iso_minor_unit = iso_minor_unit
        self._minor_units = minor_units

    def to_gateway(self, amount_minor: int, currency: str) -> int:
        """The gateway's amount. Raises GatewayRefused for an amount with more decimals than the gateway takes."""
        amount, remainder = divmod(amount_minor * self._gateway_units(currency), self._iso_units(currency))
        if remainder:
            raise GatewayRefused(f"{self._gateway} takes {currency} with fewer decimals than the amount has.")
        return amount

    def to_minor(self, amount: Any, currency: Any, limit_minor: int = AMOUNT_LIMIT_MINOR) -> int:
        """Our amount. Raises TypeError, and GatewayMismatch for an invalid currency or amount."""
        if type(amount) is not int:
            raise TypeError
        if not re.fullmatch("[A-Z]{3}", currency):
            raise GatewayMismatch(f"{self._gateway} answered with a currency that is none.")
        minor, remainder = divmod(amount * self._iso_units(currency), self._gateway_units(currency))
        if remainder:
            raise GatewayMismatch(f"{self._gateway} answered with less than one minor unit of {currency}.")
        if abs(minor) >= limit_minor:
            raise GatewayMismatch(f"{self._gateway} answered with an amount that is none.")
        return minor

    def decimals(self, currency: str) -> int:
        """The gateway's decimals of the currency."""
        return self._minor_units.get(currency, self._iso_minor_unit(currency) or 0)

    def _iso_units(self, currency: str) -> int:
        """The number of ISO 4217's minor units in one unit of the currency; 1 for a currency without a minor unit."""
        return int(10 ** (self._iso_minor_unit(currency) or 0))

    def _gateway_units(self, currency: str) -> int:
        return int(10 ** self.decimals(currency))
