"""Generates the JSON Schemas of the events, docs/events/, from the API description."""

import json
from pathlib import Path
from typing import Any

import yaml

from tools.deployment.paths import DOCS, OPENAPI

EVENT_SCHEMAS = DOCS / "events"
_FILES = {
    "Event": "event.json",
    "CloudEvent": "cloud_event.json",
    "PaymentEvent": "payment_event.json",
    "CardErased": "card_erased.json",
    "ReconciliationBreak": "reconciliation_break.json",
}
"""Each file by its schema's name in the API description. They refer to each other by their files."""


def event_schema_texts() -> dict[Path, str]:
    """The JSON Schemas (draft 2020-12, which OpenAPI 3.1 uses too) by their files."""
    schemas = yaml.load(OPENAPI.read_text(encoding="utf-8"), yaml.CSafeLoader)["components"]["schemas"]
    return {EVENT_SCHEMAS / file: _text(_standalone(name, schemas)) for name, file in _FILES.items()}


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _standalone(name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """A schema with everything that it refers to and that has no file of its own."""
    definitions: dict[str, Any] = {}

    def moved(node: Any) -> Any:
        if isinstance(node, list):
            return [moved(child) for child in node]
        if not isinstance(node, dict):
            return node
        if "$ref" not in node:
            return {key: moved(child) for key, child in node.items()}
        target = node["$ref"].removeprefix("#/components/schemas/")
        if target in _FILES:
            return {"$ref": _FILES[target]}
        if target not in definitions:
            definitions[target] = {}  # now, because it may refer to itself
            definitions[target] = moved(schemas[target])
        return {"$ref": f"#/$defs/{target}"}

    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **moved(schemas[name])}
    return schema | ({"$defs": dict(sorted(definitions.items()))} if definitions else {})
