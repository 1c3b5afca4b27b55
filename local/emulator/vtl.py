r"""API Gateway's mapping templates: Velocity by the library `airspeed`, brought to what Velocity 1.7 and AWS do.

Reference: "Variables for data transformations for API Gateway" in the API Gateway developer guide, and Velocity 1.7's
user guide. `airspeed` differs in three ways that the templates here depend on, so it is adapted in this process:

- It undoes backslash escapes in string literals. Velocity does not (a quote is doubled instead), so that the idiom AWS
  documents, `$util.escapeJavaScript(…).replaceAll("\\'","'")`, passes the regular expression `\\'`: a backslash and
  a quote.
- It calls Python's methods. Velocity calls Java's (see `java.py`).
- It has Python's idea of truth and equality. In Velocity 1.7 only null and false are false.

A path that selects nothing: `$input.json` gives `""` (a JSON string), `$input.path` an empty text that counts as false.
Absent `$context` and `$stageVariables` entries, and absent parameters, are the same empty text, as on AWS.
"""

import base64
import binascii
import functools
import json
import operator
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import airspeed

from local.emulator import java


class TransformationError(Exception):
    """A template that can't be parsed or evaluated. AWS: a configuration error, 500 to the client."""


class BodyNotJson(Exception):
    """The payload was asked for as JSON and is none. AWS: 400 to the client for a request."""


class _Absent(str):
    """What a lookup that finds nothing gives: prints as nothing, and counts as false."""


ABSENT = _Absent()


class Record(dict[str, Any]):
    """A map whose absent members print as nothing (`$context`, `$stageVariables`) and can be assigned to."""


class Parameters(dict[str, str]):
    """Header names compare without case, as HTTP's do; query string and path names as they are."""


class Input:
    """`$input`: a payload and the request's parameters."""

    def __init__(
        self, body: str, path: Mapping[str, str], querystring: Mapping[str, str], header: Mapping[str, str]
    ) -> None:
        self.body = body
        self._parameters = {
            "path": Parameters(path),
            "querystring": Parameters(querystring),
            "header": Parameters(header),
        }

    @functools.cached_property
    def _document(self) -> Any:
        if not self.body.strip():  # AWS takes an empty payload for an empty object
            return {}
        try:
            return json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BodyNotJson("Could not parse request body into json") from error

    def path(self, expression: str) -> Any:
        """The value at a JSONPath, for use in the template."""
        return _select(self._document, expression)

    def json(self, expression: str) -> str:
        """The value at a JSONPath as compact JSON, characters beyond ASCII as they are."""
        return json.dumps(self.path(expression), ensure_ascii=False, separators=(",", ":"))

    def params(self, name: str | None = None) -> Any:
        """All parameters by kind, or one by name: from the path, else the query string, else the headers."""
        if name is None:
            return self._parameters
        for kind in ("path", "querystring"):
            if name in self._parameters[kind]:
                return self._parameters[kind][name]
        headers = {key.lower(): value for key, value in self._parameters["header"].items()}
        return headers.get(name.lower(), ABSENT)


class Util:
    """`$util`."""

    def escapeJavaScript(self, value: object) -> str:  # noqa: N802 (the template's names)
        return java.escape_ecma_script(java.text(value))

    def parseJson(self, value: str) -> Any:  # noqa: N802
        return json.loads(value, parse_constant=_refuse_constant)

    def urlEncode(self, value: object) -> str:  # noqa: N802
        return urllib.parse.quote_plus(java.text(value), safe="*").replace("~", "%7E")

    def urlDecode(self, value: str) -> str:  # noqa: N802
        return urllib.parse.unquote_plus(value)

    def base64Encode(self, value: object) -> str:  # noqa: N802
        return base64.b64encode(java.text(value).encode()).decode()

    def base64Decode(self, value: str) -> str:  # noqa: N802
        try:
            return base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise java.IllegalArgument("not base64 of text") from error


def render(template: str, payload: Input, context: Record, stage_variables: Mapping[str, str]) -> str:
    """A template's text. Assignments to `$context.responseOverride` and the like are left in `context`.

    Raises TransformationError, or BodyNotJson when the payload is asked for as JSON and is none.
    """
    namespace = {"input": payload, "util": Util(), "context": context, "stageVariables": Record(stage_variables)}
    try:
        return str(_compile(template).merge(namespace))
    except (airspeed.TemplateError, RecursionError) as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, BodyNotJson):
                raise cause from None
            cause = cause.__cause__
        raise TransformationError(str(error)) from error


@functools.lru_cache(maxsize=256)
def _compile(template: str) -> Any:
    compiled = airspeed.Template(template)
    compiled.ensure_compiled()
    return compiled


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]")


def _select(document: Any, expression: str) -> Any:
    """The value at a definite JSONPath ($, .name, ['name'], [0]), or ABSENT."""
    rest = expression.removeprefix("$") if expression.startswith("$") else f".{expression}"
    value = document
    while rest:
        step = _STEP.match(rest)
        if step is None:
            raise java.IllegalArgument(f"unsupported JSONPath {expression!r}")
        rest = rest[step.end() :]
        name = next((group for group in step.groups()[:3] if group is not None), None)
        if name is not None:
            value = value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
        else:
            index = int(step.group(4))
            value = value[index] if isinstance(value, list) and index < len(value) else ABSENT
    return value


# -- airspeed, adapted --------------------------------------------------------------------------------------------


def _truth(value: object) -> bool:
    return value is not None and value is not False and value is not ABSENT


def _equal(left: object, right: object) -> bool:
    """Velocity compares by value, and by text where the types differ; null equals only null."""
    if left is None or right is None:
        return left is right
    if type(left) is type(right) or (isinstance(left, (int, float)) and isinstance(right, (int, float))):
        return left == right
    return java.text(left) == java.text(right)


def _member(owner: object, name: str, arguments: list[Any] | None) -> Any:
    """`owner.name` or `owner.name(arguments)`; None where Velocity finds no such property or method."""
    if arguments is None:
        if isinstance(owner, Record):
            return owner.get(name, ABSENT)
        if isinstance(owner, Parameters):
            return next((value for key, value in owner.items() if key.lower() == name.lower()), None)
        if isinstance(owner, Mapping):
            return owner.get(name)
        return owner.body if isinstance(owner, Input) and name == "body" else ABSENT if owner is ABSENT else None
    if isinstance(owner, Input | Util):
        method = getattr(owner, name, None) if not name.startswith("_") else None
        return method(*arguments) if callable(method) else None
    found = java.methods_of(owner).get(name)
    return found(owner, *arguments) if found else None


def _adapt_airspeed() -> None:
    name = r"[_a-z][a-z0-9_-]*"  # Velocity's identifiers may hold hyphens
    airspeed.NameOrCall.NAME = re.compile(f"({name})", re.I)
    airspeed.SetDirective.PLACE = re.compile(rf"\s*\$!?\{{?({name}(?:\.{name})*)\}}?", re.I)
    airspeed.StringLiteral.STRING = re.compile(r"'((?:[^']|'')*)'")
    airspeed.InterpolatedStringLiteral.STRING = re.compile(r'"((?:[^"]|"")*)"')

    def parse_single_quoted(self: Any) -> None:
        self.value = self.identity_match(self.STRING)[0].replace("''", "'")

    def parse_double_quoted(self: Any) -> None:
        raw = self.identity_match(self.STRING)[0].replace('""', '"')
        self.value = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), raw)
        block = airspeed.Block(self.filename, self.value, 0) if re.search(r"[$#]", self.value) else None
        self.block = block if block and block.end == len(self.value) else None

    interpolate = airspeed.InterpolatedStringLiteral.calculate

    def calculate_double_quoted(self: Any, namespace: Any, loader: Any) -> Any:
        return interpolate(self, namespace, loader) if self.block else self.value

    airspeed.StringLiteral.parse = parse_single_quoted
    airspeed.InterpolatedStringLiteral.parse = parse_double_quoted
    airspeed.InterpolatedStringLiteral.calculate = calculate_double_quoted

    variable = airspeed.NameOrCall.calculate

    def calculate_name(self: Any, owner: Any, loader: Any, namespace: Any) -> Any:
        if isinstance(owner, airspeed.LocalNamespace):
            return variable(self, owner, loader, namespace)
        arguments = None if self.parameters is None else self.parameters.calculate(namespace, loader)
        value = _member(owner, self.name, arguments)
        if self.index is not None and isinstance(value, list | dict):
            index = self.index.calculate(namespace, loader)
            return value.get(index) if isinstance(value, dict) else value[index]
        return value

    airspeed.NameOrCall.calculate = calculate_name

    def evaluate_reference(self: Any, stream: Any, namespace: Any, loader: Any) -> None:
        value = self.expression.calculate(namespace, loader) if self.expression else None
        if value is None and self.alternate is not None:
            value = self.alternate.calculate(namespace, loader)
        if value is None:  # Velocity leaves a reference to nothing as it is written, unless it is a quiet one
            value = "" if self.silent and self.expression else self.my_text()
        stream.write(java.text(value))

    airspeed.FormalReference.evaluate_raw = evaluate_reference

    parse_condition = airspeed.Condition.parse

    def parse_truth(self: Any) -> None:
        parse_condition(self)
        calculate: Callable[..., Any] = self.calculate
        self.calculate = lambda namespace, loader: _truth(calculate(namespace, loader))

    airspeed.Condition.parse = parse_truth
    either: Callable[[Any, Any], bool] = lambda left, right: _truth(left) or _truth(right)  # noqa: E731
    both: Callable[[Any, Any], bool] = lambda left, right: _truth(left) and _truth(right)  # noqa: E731
    negated: Callable[[Any], bool] = lambda value: not _truth(value)  # noqa: E731
    airspeed.BinaryOperator.OPERATORS.update(
        {
            "==": _equal,
            "eq": _equal,
            "!=": lambda left, right: not _equal(left, right),
            "ne": lambda left, right: not _equal(left, right),
            "||": either,
            "or": either,
            "&&": both,
            "and": both,
            "/": lambda left, right: int(operator.truediv(left, right)),  # Java divides integers towards zero
        }
    )
    airspeed.UnaryOperatorValue.OPERATORS.update({"!": negated, "not": negated})


_adapt_airspeed()
