"""Stores the raw answers of our API and of AWS's APIs in files, without secrets and signatures."""

import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

_SECRET_HEADERS = {"authorization", "x-amz-security-token", "cookie", "set-cookie"}
"""Headers that hold signatures or credentials."""

_SECRETS = (
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "AKIAIOSFODNN7EXAMPLE"),  # pragma: allowlist secret
    (re.compile(r"(Signature=)[0-9a-f]{64}"), r"\1<signature>"),
    # A field in JSON, a field in JSON that is quoted in a string, or an XML element.
    (
        re.compile(r"""((?:SecretAccessKey|SessionToken|SecretString)(?:\\?"\s*:\s*\\?"|>))[^"\\<]+"""),
        r"\1<secret>",
    ),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+"), "somebody@example.com"),
)


class Recorder:
    """Stores answers below `folder`, in a folder per step, numbered in order of arrival. Thread-safe.

    Each file is JSON: `{"step", "request", "response"}`. The response has `status`, `headers` and `body` (as text).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.step = "before"
        self._hidden: dict[str, str] = {}
        self._count = 0
        self._lock = threading.Lock()

    def hide(self, secret: str | None, placeholder: str) -> None:
        """Replace the secret by `placeholder` in everything that is recorded from now on."""
        if secret:
            self._hidden[secret] = placeholder

    def watch(self, session: boto3.Session) -> None:
        """Record all AWS answers to clients that this session creates from now on."""
        session.events.register("before-parameter-build", _remember_parameters)
        session.events.register("response-received", self._save_response)

    def save(self, title: str, request: Mapping[str, Any], response: Mapping[str, Any]) -> Path:
        record = {"step": self.step, "request": _without_signature(request), "response": _without_signature(response)}
        return self.write(f"{title}.json", self.redacted(json.dumps(record, indent=2, ensure_ascii=False)) + "\n")

    def write(self, title: str, content: str | bytes) -> Path:
        with self._lock:
            self._count += 1
            folder = self.folder / _as_name(self.step)
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{self._count:04}-{_as_name(title)}"
        file.write_bytes(content if isinstance(content, bytes) else content.encode(errors="replace"))
        return file

    def redacted(self, text: str) -> str:
        """Remove the secrets from a text, the longest first, because one may be part of another."""
        for secret in sorted(self._hidden, key=len, reverse=True):
            text = text.replace(secret, self._hidden[secret])
        for pattern, placeholder in _SECRETS:
            text = pattern.sub(placeholder, text)
        return text

    def _save_response(
        self, event_name: str, response_dict: dict[str, Any] | None, context: dict[str, Any], **_: Any
    ) -> None:
        if response_dict is None:  # nobody answered
            return
        service, operation = event_name.split(".")[1:]
        body = response_dict["body"]
        self.save(
            f"{service}-{operation}",
            {"service": service, "operation": operation, "parameters": context.get("acceptance_parameters")},
            {
                "status": response_dict["status_code"],
                "headers": dict(response_dict["headers"]),
                "body": body.decode(errors="replace") if isinstance(body, bytes) else None,  # None: it is streamed
            },
        )


def _remember_parameters(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["acceptance_parameters"] = json.loads(json.dumps(params, default=_as_text))


def _as_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _without_signature(message: Mapping[str, Any]) -> dict[str, Any]:
    headers = {name: value for name, value in message.get("headers", {}).items() if name.lower() not in _SECRET_HEADERS}
    return {**message, "headers": headers} if "headers" in message else dict(message)


def _as_name(text: str) -> str:
    """Convert a text to a file name of letters, digits, dots and dashes, short enough for every file system."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")[-100:]
