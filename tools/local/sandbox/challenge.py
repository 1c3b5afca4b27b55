"""The page on which a customer passes or fails the challenge of 3-D Secure, for all sandboxes.

A browser has no API key, so whoever knows the charge's id may answer. The page leads nowhere but to the `return_url`
with which the charge was made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast, get_args

from flask import Flask, Response, make_response, redirect, render_template_string
from iso4217 import Currency

Outcome = Literal["approve", "fail"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

PAGES = ("show_challenge", "answer_challenge")
"""The pages' endpoints, which need no API key."""

# Without a word on `form-action`: a browser would apply it to the redirect to the shop, too.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 2rem auto; padding: 0 1rem }
form { display: inline }
button { font: inherit; padding: 0.5rem 1.5rem; margin: 0 0.5rem 1rem 0 }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
{% if waiting %}
<p>This page stands in for that of the bank that issued your card.</p>
<p>Do you want to pay <strong>{{ challenge.amount }}</strong> with the card that ends in {{ challenge.card_last4 }}?</p>
<form method="post" action="/challenge/{{ id }}/approve"><button>Approve</button></form>
<form method="post" action="/challenge/{{ id }}/fail"><button>Fail</button></form>
{% endif %}
{% if challenge and challenge.return_url %}
<p><a href="{{ challenge.return_url }}">Leave</a> and go back to the shop.</p>
{% else %}
<p>You may close this page.</p>
{% endif %}
</main>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A charge whose customer is asked, and whether the answer is still open.

    `amount` is for people, like `19.99 USD`; `return_url` is http or https.
    """

    amount: str
    card_last4: str
    return_url: str | None
    waiting: bool


def amount_for_people(amount: int, currency: str) -> str:
    """Write `1999` and `USD` as `19.99 USD`. The gateways count two currencies in hundredths that ISO 4217 doesn't."""
    decimals = 2 if currency in ("ISK", "UGX") else Currency(currency).exponent or 0
    return f"{Decimal(amount).scaleb(-decimals)} {currency}"


def add_challenge_pages(
    app: Flask, find: Callable[[str], Challenge | None], end: Callable[[str, Outcome], bool]
) -> None:
    """Add the pages. `find` looks up a charge's challenge by the charge's id, and `end` ends it and returns whether it
    was still open."""

    @app.get("/challenge/<charge_id>")
    def show_challenge(charge_id: str) -> Response:
        challenge = find(charge_id)
        if challenge is None:
            return _page("There is no such payment", 404)
        if challenge.waiting:
            return _page("Confirm your payment", 200, challenge, id=charge_id, waiting=True)
        return _page("Nobody is waiting for you any more", 200, challenge)

    @app.post("/challenge/<charge_id>/<outcome>")
    def answer_challenge(charge_id: str, outcome: str) -> Response:
        challenge = find(charge_id)
        if challenge is None or outcome not in OUTCOMES:
            return _page("There is no such payment", 404)
        if not end(charge_id, outcome):
            return _page("Nobody is waiting for you any more", 409, challenge)
        if challenge.return_url:
            return cast(Response, redirect(challenge.return_url, 303))
        return _page("Thank you", 200, challenge)


def _page(title: str, status: int, challenge: Challenge | None = None, **more: object) -> Response:
    response = make_response(render_template_string(_PAGE, title=title, challenge=challenge, **more), status)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-store"
    return response
