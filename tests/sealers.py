"""Everybody who may seal a card to a single-use key: our clients, and the JOSE libraries of others."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from joserfc import jwe
from joserfc.jwk import ECKey
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from playwright.sync_api import Browser, Route

from client import seal
from tests.browser import seal_in_browser
from tests.npm import by_npm
from tools.deployment.paths import ROOT

_BY_NPM_JOSE = """
import { CompactEncrypt, importJWK } from "jose";

const [cardData, header, jwk, parties] = JSON.parse(process.argv[1]);
const encrypt = new CompactEncrypt(new TextEncoder().encode(JSON.stringify(cardData))).setProtectedHeader(header);
if (parties) {
  const bytes = ([name, text]) => [name, new TextEncoder().encode(text)];
  encrypt.setKeyManagementParameters(Object.fromEntries(Object.entries(parties).map(bytes)));
}
console.log(JSON.stringify(await encrypt.encrypt(await importJWK(jwk, "ECDH-ES"))));
"""

Sealer = Callable[[Mapping[str, str], str, Mapping[str, Any]], str]
"""Seals a card for the payment of this id with what `POST /keys` answered."""


def header_of(key: Mapping[str, Any], payment_id: str) -> dict[str, Any]:
    """What the documents tell a JOSE library to write into the header; it adds the `epk` itself."""
    return {"alg": key["alg"], "enc": key["enc"], "kid": key["kid"], "payment_id": payment_id}


def by_chromium(browser: Browser, card_data: Mapping[str, str], payment_id: str, key: Mapping[str, Any]) -> str:
    """Seal with the browser's client on a page that came over https, in a new context of Chromium."""

    def serve(route: Route) -> None:
        if route.request.url.endswith("/sealing.mjs"):
            route.fulfill(path=ROOT / "examples" / "sealing.mjs", content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html>", content_type="text/html")

    with browser.new_context() as context:
        page = context.new_page()
        page.route("https://shop.test/**", serve)
        page.goto("https://shop.test/")
        sealing = "(values) => import('/sealing.mjs').then(({ seal }) => seal(...values))"
        return str(page.evaluate(sealing, [dict(card_data), payment_id, dict(key)]))


def by_joserfc(card_data: Mapping[str, str], payment_id: str, key: Mapping[str, Any]) -> str:
    registry = jwe.JWERegistry(algorithms=[key["alg"], key["enc"]])
    registry.strict_check_header = False  # it doesn't know `payment_id`
    recipient = ECKey.import_key(key["jwk"])
    return jwe.encrypt_compact(header_of(key, payment_id), json.dumps(card_data), recipient, registry=registry)


def by_jwcrypto(card_data: Mapping[str, str], payment_id: str, key: Mapping[str, Any]) -> str:
    token = JWE(json.dumps(card_data).encode(), protected=header_of(key, payment_id) | {"typ": "JWE"})
    token.add_recipient(JWK(**key["jwk"]))
    return str(token.serialize(compact=True))


def by_npm_jose(
    card_data: Mapping[str, str], payment_id: str, key: Mapping[str, Any], parties: Mapping[str, str] | None = None
) -> str:
    """Seal with jose of npm, which may name the `parties`, `apu` and `apv`."""
    return str(by_npm("jose", _BY_NPM_JOSE, [dict(card_data), header_of(key, payment_id), key["jwk"], parties]))


SEALERS: dict[str, Sealer] = {
    "our back end": seal,
    "our page, in Node": seal_in_browser,
    "joserfc": by_joserfc,
    "jwcrypto": by_jwcrypto,
    "npm's jose": by_npm_jose,
}


def issued_key() -> tuple[ECKey, dict[str, Any]]:
    """A new key pair, and what `POST /keys` would answer."""
    pair = ECKey.generate_key("P-256")
    public = {name: str(pair.as_dict(private=False)[name]) for name in ("kty", "crv", "x", "y")}
    kid = pair.thumbprint()
    jwk = public | {"kid": kid, "alg": "ECDH-ES", "use": "enc"}
    return pair, {"kid": kid, "alg": "ECDH-ES", "enc": "A256GCM", "jwk": jwk, "expires_at": "2026-11-28T10:00:00.000Z"}


def header_in(sealed: str) -> Any:
    segment = sealed.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
