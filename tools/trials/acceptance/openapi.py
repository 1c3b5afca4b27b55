"""`docs/openapi.yaml` with all references resolved."""

from typing import Any

import yaml

from tools.deployment.paths import OPENAPI

METHODS = ("get", "post", "put", "patch", "delete")

_UNRESOLVED: dict[str, Any] = yaml.load(OPENAPI.read_text(encoding="utf-8"), yaml.CSafeLoader)


def _resolved(node: Any) -> Any:
    if isinstance(node, list):
        return [_resolved(child) for child in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target: Any = _UNRESOLVED
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        return _resolved(target)
    return {name: _resolved(child) for name, child in node.items()}


DOCUMENT: dict[str, Any] = _resolved(_UNRESOLVED)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
EXAMPLES: dict[str, Any] = {name: example["value"] for name, example in DOCUMENT["components"]["examples"].items()}

OPERATIONS: dict[tuple[str, str], dict[str, Any]] = {
    (method.upper(), path): item[method]
    | {"parameters": [*item.get("parameters", []), *item[method].get("parameters", [])]}
    for path, item in DOCUMENT["paths"].items()
    for method in METHODS
    if method in item
}
"""The operations by method and path. Each operation includes the parameters of its path."""


def examples(media_type: dict[str, Any]) -> dict[str, Any]:
    return {name: example["value"] for name, example in media_type.get("examples", {}).items()}


def request_example(method: str, path: str, name: str) -> Any:
    return examples(OPERATIONS[method, path]["requestBody"]["content"]["application/json"])[name]
