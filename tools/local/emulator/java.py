"""The parts of Java that a Velocity template can use: methods of strings and collections, regular expressions, and
`toString()`.

API Gateway renders mapping templates in Java, so `"$x.replaceAll(…)"` means `String.replaceAll`. Indexes count code
points here and UTF-16 units in Java; these differ for emoji only.
"""

import functools
import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import regex

_REPLACEMENT = re.compile(r"\\(.)|\$(\d)|\$\{(\w+)\}", re.DOTALL)


class IllegalArgument(ValueError):
    """Java would raise an exception, so that the template's transformation fails."""


class JsonList(list[Any]):
    """A list from a JSON document. It prints as JSON, as others saw on AWS; any other list prints as in Java."""


def text(value: object) -> str:
    """Return a value as Velocity prints it, by `toString()`: `true`, `{a=1}`, `[a, b]`, `1.0E7`."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text(key)}={text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, JsonList):
        return to_json(value)
    if isinstance(value, list):
        return "[" + ", ".join(text(item) for item in value) + "]"
    return str(value)


def _double(value: float) -> str:
    """`Double.toString`, which writes an exponent for values below 10^-3 and from 10^7 on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "-Infinity" if value < 0 else "Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    shortest = Decimal(repr(value)).normalize()
    first, *rest = shortest.as_tuple().digits
    return f"{'-' if value < 0 else ''}{first}.{''.join(map(str, rest)) or 0}E{shortest.adjusted()}"


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def from_json(document: str) -> Any:
    """Parse a JSON document; of duplicate members the last one counts. Raises ValueError or RecursionError."""
    return _lists(json.loads(document, parse_constant=_refuse_constant))


def _lists(value: Any) -> Any:
    if isinstance(value, list):
        return JsonList(_lists(item) for item in value)
    return {name: _lists(item) for name, item in value.items()} if isinstance(value, dict) else value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def to_json(value: Any) -> str:
    """Return compact JSON that does not escape characters beyond ASCII."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{to_json(text(name))}:{to_json(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else text(value)


def escape_ecma_script(value: str) -> str:
    r"""Apache Commons `StringEscapeUtils.escapeEcmaScript`. It puts a backslash before quotes (`'` too), `\` and `/`,
    and writes `\b`, `\n`, `\t`, `\f` and `\r`. Other characters outside U+0020..U+007F become `\uXXXX` in upper case,
    as a surrogate pair beyond the basic plane."""
    return "".join(_ESCAPES.get(character) or _unicode_escape(character) for character in value)


_ESCAPES = {
    "'": "\\'",
    '"': '\\"',
    "\\": "\\\\",
    "/": "\\/",
    "\b": "\\b",
    "\n": "\\n",
    "\t": "\\t",
    "\f": "\\f",
    "\r": "\\r",
}


def _unicode_escape(character: str) -> str:
    if " " <= character <= "\x7f":
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex().upper()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


@functools.cache
def _compiled(pattern: str) -> Any:
    r"""Compile a pattern of java.util.regex, where \w, \d, \s and \b are ASCII but \p{…} is Unicode. In `regex` one
    flag applies to all of them, so a pattern can't use both kinds."""
    return regex.compile(pattern, 0 if r"\p{" in pattern else regex.ASCII)


def _replacement(template: str) -> Callable[[Any], str] | str:
    r"""Parse a `Matcher.appendReplacement` template with `$1`, `${name}`, and `\x` for a literal x. One without any of
    these is returned as it is: `regex` replaces nine million letters by a constant within a second, but calls no
    function as often."""
    if "$" not in template and "\\" not in template:
        return template
    leftover = _REPLACEMENT.sub("", template)
    if "$" in leftover or "\\" in leftover:
        raise IllegalArgument(f"Illegal group reference in {template!r}")

    def expand(match: Any) -> str:
        def part(token: re.Match[str]) -> str:
            literal, number, name = token.groups()
            return str(literal) if literal is not None else match.group(name or int(number)) or ""

        return _REPLACEMENT.sub(part, template)

    return expand


def _parts(value: str, separator: Any, limit: int) -> list[str]:
    parts: list[str] = []
    start = 0
    for match in separator.finditer(value):
        if limit > 0 and len(parts) == limit - 1:
            break
        if match.end() == 0:  # Java 8: a zero-width match at the beginning never gives an empty first part
            continue
        parts.append(value[start : match.start()])
        start = match.end()
    parts.append(value[start:])
    return parts


def _split(value: str, pattern: str, limit: int = 0) -> list[str]:
    """`String.split`, whose result has no groups and, without a limit, no trailing empty strings."""
    literal = pattern.isalnum() and limit == 0
    parts = value.split(pattern) if literal else _parts(value, _compiled(pattern), limit)
    if limit == 0:
        last = next((index for index in range(len(parts) - 1, 0, -1) if parts[index]), 0)
        del parts[last + 1 :]
    return parts


def _substring(value: str, begin: int, end: int | None = None) -> str:
    end = len(value) if end is None else end
    if not 0 <= begin <= end <= len(value):
        raise IllegalArgument(f"begin {begin}, end {end}, length {len(value)}")
    return value[begin:end]


Methods = dict[str, Callable[..., Any]]


def _equals(value: object, other: object) -> bool:
    return type(value) is type(other) and value == other


def _compare(value: str, other: str) -> int:
    """`String.compareTo`: the difference of the first units of UTF-16 that differ, or of the lengths."""
    units, others = map(_units, (value, other))
    differences = (unit - other_unit for unit, other_unit in zip(units, others, strict=False) if unit != other_unit)
    return next(differences, len(units) - len(others))


def _units(value: str) -> list[int]:
    encoded = value.encode("utf-16-be", "surrogatepass")
    return [high << 8 | low for high, low in zip(encoded[::2], encoded[1::2], strict=True)]


OBJECT_METHODS: Methods = {
    "equals": _equals,
    "toString": text,
}

STRING_METHODS: Methods = OBJECT_METHODS | {
    "charAt": lambda s, index: _substring(s, index, index + 1),
    "compareTo": _compare,
    "concat": lambda s, other: s + other,
    "contains": lambda s, other: text(other) in s,
    "endsWith": lambda s, suffix: s.endswith(suffix),
    "equalsIgnoreCase": lambda s, other: isinstance(other, str) and s.lower() == other.lower(),
    "indexOf": lambda s, other, start=0: s.find(other, start),
    "isEmpty": lambda s: not s,
    "lastIndexOf": lambda s, other: s.rfind(other),
    "length": len,
    "matches": lambda s, pattern: _compiled(pattern).fullmatch(s) is not None,
    "replace": lambda s, old, new: s.replace(old, new),
    "replaceAll": lambda s, pattern, new: _compiled(pattern).sub(_replacement(new), s),
    "replaceFirst": lambda s, pattern, new: _compiled(pattern).sub(_replacement(new), s, count=1),
    "split": _split,
    "startsWith": lambda s, prefix: s.startswith(prefix),
    "substring": _substring,
    "toLowerCase": lambda s: s.lower(),
    "toUpperCase": lambda s: s.upper(),
    "trim": lambda s: s.strip("".join(map(chr, range(33)))),
}

LIST_METHODS: Methods = OBJECT_METHODS | {
    "add": lambda values, item: values.append(item) or True,
    "contains": lambda values, item: any(_equals(value, item) for value in values),
    "get": lambda values, index: values[index],
    "isEmpty": lambda values: not values,
    "size": len,
}

MAP_METHODS: Methods = OBJECT_METHODS | {
    "containsKey": lambda entries, key: key in entries,
    "entrySet": lambda entries: [{"key": key, "value": value} for key, value in entries.items()],
    "get": lambda entries, key: entries.get(key),
    "isEmpty": lambda entries: not entries,
    "keySet": lambda entries: list(entries),
    "put": lambda entries, key, value: entries.__setitem__(key, value),
    "size": len,
    "values": lambda entries: list(entries.values()),
}


def methods_of(value: object) -> Methods:
    """Return the Java methods that a template may call on a value; null has none."""
    if isinstance(value, str):
        return STRING_METHODS
    if isinstance(value, list):
        return LIST_METHODS
    if isinstance(value, Mapping):
        return MAP_METHODS
    return OBJECT_METHODS if value is not None else {}
