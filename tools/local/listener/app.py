"""The routes: `POST /webhooks` for the deployment, `GET /events` for listeners, `POST /refusals` to refuse events.

An event is kept as it arrived, so that whoever listens can verify it again, and forward it.
"""

import json
from collections import deque
from threading import Condition
from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue
from standardwebhooks import Webhook, WebhookVerificationError

from tools.local.events import signing_secret

MAX_EVENTS = 10_000
LONGEST_WAIT_SECONDS = 20
_SIGNED_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def create_app(api_key: str) -> Flask:
    """Create the listener. Whoever listens must know the API key; it also determines the secret of the signatures."""
    app, verifier = Flask(__name__), Webhook(signing_secret(api_key))
    app.json.sort_keys = False  # type: ignore[attr-defined]
    received: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
    refusals: list[tuple[int, str | None]] = []
    arrived = Condition()
    count = 0

    @app.get("/sandbox/health")
    def health() -> ResponseReturnValue:
        return {"status": "ok"}

    @app.post("/webhooks")
    def receive() -> ResponseReturnValue:
        nonlocal count
        body = request.get_data(as_text=True)
        headers = {name: request.headers.get(name, "") for name in _SIGNED_HEADERS}
        try:
            verifier.verify(body, headers, json_parse=False)
        except WebhookVerificationError as error:
            return {"error": {"code": "invalid_signature", "message": str(error)}}, 400
        subject = json.loads(body)["subject"] if refusals else None
        if refusal := next((each for each in refusals if each[1] in (None, subject)), None):
            refusals.remove(refusal)
            return "", refusal[0]
        with arrived:
            count += 1
            received.append({"number": count, "headers": headers, "body": body})
            arrived.notify_all()
        return "", 204

    @app.post("/refusals")
    def refuse() -> ResponseReturnValue:
        """Answer the next events, or those of a `subject`, with these statuses, as an experiment: `{"statuses": [500,
        410], "subject": null}`."""
        if request.headers.get("Authorization") != f"Bearer {api_key}":
            return {"error": {"code": "unauthorized"}}, 401
        asked = request.get_json()
        refusals.extend((status, asked.get("subject")) for status in asked["statuses"])
        return "", 204

    @app.get("/events")
    def events() -> ResponseReturnValue:
        """Those after the number `after`, or if there are none yet, the next, for which it waits `wait` seconds.
        Without `after`, only the number of the last one."""
        if request.headers.get("Authorization") != f"Bearer {api_key}":
            return {"error": {"code": "unauthorized"}}, 401
        after = request.args.get("after", type=int)
        wait = min(request.args.get("wait", 0, type=int), LONGEST_WAIT_SECONDS)
        with arrived:
            if after is None:
                return {"events": [], "last": count}
            arrived.wait_for(lambda: count > after, wait)
            return {"events": [event for event in received if event["number"] > after], "last": count}

    return app
