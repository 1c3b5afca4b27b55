r"""API Gateway's mapping templates, rendered with the Velocity library `airspeed`, adapted to Velocity 1.7 and AWS.

References: "Variables for data transformations for API Gateway" in the API Gateway developer guide, Velocity 1.7's user
guide, and what others recorded on AWS (`tests/aws_facts/mapping_templates.yaml`). `tests/velocity/` compares this
module with Velocity itself. The module patches `airspeed`, which differs in features that templates depend on:

- **Nothing is `""`.** On API Gateway a reference to nothing (a path that selects nothing or null; a parameter, variable
  or property that does not exist) is an empty text. It prints as nothing, equals `""` and any other reference to
  nothing, and is *true* in `#if`, where only null and false are false. In Velocity itself it is null, which is false in
  `#if`, and `#set` to null leaves the variable unchanged; `render(…, absent=None)` does the same.
- `airspeed` resolves backslash escapes in string literals. Velocity does not (a quote is doubled instead). So in the
  idiom that AWS documents, `$util.escapeJavaScript(…).replaceAll("\\'","'")`, the regular expression is `\\'`: a
  backslash and a quote.
- `airspeed` calls Python's methods, Velocity Java's (see `java.py`).
- A `#foreach` has at most 1,000 iterations.
- `airspeed` has Python's truth, equality and names. In Velocity `&&` and `||` short-circuit, and a variable that `#set`
  sets in a loop keeps its value afterwards.
"""

import base64
import binascii
import functools
import operator
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import airspeed

from tools.local.emulator import java

MAX_ITERATIONS = 1000
"""API Gateway's quota for one `#foreach`. What it does beyond is not documented; here it is an error."""


class TransformationError(Exception):
    """A template can't be parsed or evaluated. AWS reports a configuration error, a 500 to the client."""


class BodyNotJson(Exception):
    """A template reads the payload as JSON, but it is not JSON. AWS answers 400 if the payload is a request."""


class Input:
    """`$input`: a payload and the request's parameters."""

    def __init__(
        self, body: str, path: Mapping[str, str], querystring: Mapping[str, str], header: Mapping[str, str]
    ) -> None:
        self.body = body if body.strip() else "{}"  # AWS takes an empty payload for an empty object
        self._parameters = {"path": path, "querystring": querystring, "header": header}

    @functools.cached_property
    def _document(self) -> Any:
        try:
            return java.from_json(self.body)
        except (ValueError, RecursionError) as error:
            raise BodyNotJson("Could not parse request body into json") from error

    def path(self, expression: str) -> Any:
        """Return the value at a JSONPath, for use in the template, or None."""
        return _select(self._document, expression)

    def json(self, expression: str) -> str:
        """Return the value at a JSONPath as compact JSON without escapes beyond ASCII; for nothing, an empty string."""
        value = self.path(expression)
        return java.to_json("" if value is None else value)

    def params(self, name: str | None = None) -> Any:
        """Return all parameters by kind, or the first of exactly this name from path, query string and headers."""
        if name is None:
            return self._parameters
        return next((kind[name] for kind in self._parameters.values() if name in kind), None)


class Util:
    """`$util`."""

    def escapeJavaScript(self, value: object) -> str:  # noqa: N802 (templates use these names)
        return java.escape_ecma_script(java.text(value))

    def parseJson(self, value: str) -> Any:  # noqa: N802
        return java.from_json(value)

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


# The namespace's key for the value of a reference to nothing. No template can refer to it.
_ABSENT = "absent reference"


def render(
    template: str,
    payload: Input,
    context: dict[str, Any],
    stage_variables: Mapping[str, str],
    absent: str | None = "",
) -> str:
    """Render a template. Its assignments to `$context.responseOverride` and the like change `context`.

    `absent` is the value of a reference to nothing: `""` as on API Gateway, or None as in Velocity itself.
    Raises TransformationError, or BodyNotJson if the template reads a payload as JSON that is not JSON.
    """
    variables = {"input": payload, "util": Util(), "context": context, "stageVariables": stage_variables}
    try:
        return str(_compile(template).merge(variables | {_ABSENT: absent}))
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


_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]")


def _select(document: Any, expression: str) -> Any:
    """Return the value at a definite JSONPath ($, .name, ['name'], [0]), or None."""
    rest = expression.removeprefix("$") if expression.startswith("$") else f".{expression}"
    value = document
    while rest:
        step = _STEP.match(rest)
        if step is None:
            raise java.IllegalArgument(f"unsupported JSONPath {expression!r}")
        rest = rest[step.end() :]
        name = next((group for group in step.groups()[:3] if group is not None), None)
        if name is not None:
            value = value.get(name) if isinstance(value, dict) else None
        else:
            index = int(step.group(4))
            value = value[index] if isinstance(value, list) and index < len(value) else None
    return value


# -- airspeed, adapted --------------------------------------------------------------------------------------------


def _is_true(value: object) -> bool:
    return value is not None and value is not False


def _equal(left: object, right: object) -> bool:
    """Compare like Velocity: by value, or by text if the types differ; null equals only null."""
    if left is None or right is None:
        return left is right
    if type(left) is type(right) or (java.is_number(left) and java.is_number(right)):
        return left == right
    return java.text(left) == java.text(right)


def _member(owner: object, name: str, arguments: list[Any] | None) -> Any:
    """Evaluate `owner.name` or `owner.name(arguments)`; return None if Velocity finds no such property or method."""
    if arguments is None:
        if isinstance(owner, Mapping):
            return owner.get(name)
        return owner.body if isinstance(owner, Input) and name == "body" else None
    if isinstance(owner, Input | Util):
        method = getattr(owner, name, None) if not name.startswith("_") else None
        return method(*arguments) if callable(method) else None
    java_method = java.methods_of(owner).get(name)
    return java_method(owner, *arguments) if java_method else None


def _divide(left: int, right: int) -> int | None:
    """Round towards zero, as Java does for integers."""
    return int(operator.truediv(left, right)) if right else None


_EQUALITY, _AND, _OR = 8, 12, 13
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "/": _divide,
}
_LITERALS = (
    airspeed.StringLiteral,
    airspeed.IntegerLiteral,
    airspeed.FloatingPointLiteral,
    airspeed.ArrayLiteral,
    airspeed.DictionaryLiteral,
)


def _value(terms: list[Any], namespace: Any, loader: Any) -> Any:
    """Evaluate an expression: terms with operators between them."""
    if len(terms) == 1:
        return terms[0].calculate(namespace, loader)
    # The loosest operator has the highest number. Of the loosest ones, the last is applied at the end.
    loosest = max(range(1, len(terms), 2), key=lambda position: (terms[position].precedence, position))
    operation, left, right = terms[loosest], terms[:loosest], terms[loosest + 1 :]
    if operation.precedence == _AND:
        return _truth(left, namespace, loader) and _truth(right, namespace, loader)
    if operation.precedence == _OR:
        return _truth(left, namespace, loader) or _truth(right, namespace, loader)
    return operation.apply_to(_value(left, namespace, loader), _value(right, namespace, loader))


def _truth(terms: list[Any], namespace: Any, loader: Any) -> bool:
    """Return whether an expression is true. A lone literal is always false, even a text."""
    if len(terms) == 1 and isinstance(terms[0].expression, _LITERALS):
        return False
    return _is_true(_value(terms, namespace, loader))


def _adapt_airspeed() -> None:
    name = r"[_a-z][a-z0-9_-]*"  # Velocity's identifiers may hold hyphens
    airspeed.NameOrCall.NAME = re.compile(f"({name})", re.I)
    airspeed.SetDirective.PLACE = re.compile(rf"\s*\$!?\{{?({name}(?:\.{name})*)\}}?", re.I)
    airspeed.StringLiteral.STRING = re.compile(r"'((?:[^']|'')*)'")
    airspeed.InterpolatedStringLiteral.STRING = re.compile(r'"((?:[^"]|"")*)"')
    airspeed.NullLiteral.NULL = re.compile("(?!)")  # Velocity 1.7 has no null literal

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

    parse_reference = airspeed.FormalReference.parse

    def parse_reference_to_something(self: Any) -> None:
        parse_reference(self)
        if calculate := self.calculate:

            def calculate_reference(namespace: Any, loader: Any) -> Any:
                value = calculate(namespace, loader)
                return namespace.top()[_ABSENT] if value is None else value

            self.calculate = calculate_reference

    def evaluate_reference(self: Any, stream: Any, namespace: Any, loader: Any) -> None:
        value = self.calculate(namespace, loader) if self.calculate else None
        if value is None:  # Velocity prints the source text of a reference to null, unless it is a quiet reference
            value = "" if self.silent and self.expression else self.my_text()
        stream.write(java.text(value))

    airspeed.FormalReference.parse = parse_reference_to_something
    airspeed.FormalReference.evaluate_raw = evaluate_reference

    def evaluate_set(self: Any, stream: Any, namespace: Any, loader: Any) -> None:
        value = self.value.calculate(namespace, loader)
        if value is None:
            return
        *owners, last = self.terms
        owner = functools.reduce(operator.getitem, owners, namespace) if owners else namespace.find_outermost(last)
        (namespace.top() if owner is None else owner)[last] = value

    airspeed.SetDirective.evaluate_raw = evaluate_set

    def evaluate_foreach(self: Any, stream: Any, namespace: Any, loader: Any) -> None:
        value = self.value.calculate(namespace, loader)
        items = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list | range) else []
        if len(items) > MAX_ITERATIONS:
            raise TransformationError(f"A #foreach has more than {MAX_ITERATIONS} iterations.")
        for index, item in enumerate(items):
            loop = airspeed.LocalNamespace(namespace)
            last = index == len(items) - 1
            loop[self.loop_var_name] = item
            loop["foreach"] = {
                "count": index + 1,
                "index": index,
                "hasNext": not last,
                "first": not index,
                "last": last,
            }
            self.block.evaluate(stream, loop, loader)

    airspeed.ForeachDirective.evaluate_raw = evaluate_foreach
    # Velocity removes the rest of the line after these directives too, if it is blank.
    airspeed.ForeachDirective.CLOSE_PAREN = re.compile(r"\s*\)(?:[ \t]*\r?\n)?")
    airspeed.ElseBlock.START = re.compile(r"#(?:else|\{else\})(?:[ \t]*\r?\n)?", re.I)

    parse_condition = airspeed.Condition.parse

    def parse_truth(self: Any) -> None:
        parse_condition(self)
        terms = self.calculate.__self__.expression
        self.calculate = lambda namespace, loader: _truth(terms, namespace, loader)

    airspeed.Condition.parse = parse_truth
    airspeed.Expression.calculate = lambda self, namespace, loader: _value(self.expression, namespace, loader)
    airspeed.UnaryOperatorValue.calculate = lambda self, namespace, loader: not _truth([self.value], namespace, loader)
    aliases = {"eq": "==", "ne": "!="}
    airspeed.BinaryOperator.OPERATORS.update(_OPERATORS | {word: _OPERATORS[sign] for word, sign in aliases.items()})
    airspeed.BinaryOperator.PRECEDENCE.update(dict.fromkeys(("==", "!=", "eq", "ne"), _EQUALITY))


_adapt_airspeed()
