"""Generates the README's Mermaid diagram of the payment state machine from its definition."""

from collections import defaultdict
from collections.abc import Iterator

from tools.console.definition import Definition, Kind

BEGIN = "<!-- The picture is made by `make picture`. -->"
END = "<!-- The end of the picture. -->"

_API_EDGE = '    API["POST /payments<br>API Gateway starts the execution itself"] --> {start}'
_DOUBT = "PaymentInDoubt"
_RESOLVE_EDGE = (
    f"    {_DOUBT} -. also whatever was stopped or timed out .-> Resolve[[resolve, until there is evidence]]"
)


def picture(definition: Definition) -> str:
    """Draw the state machine in Mermaid: end states as stadiums, choices as diamonds, catches as dotted arrows."""
    lines = ["```mermaid", "flowchart TD", _API_EDGE.format(start=definition.start)]
    mentioned: set[str] = set()

    def node(name: str) -> str:
        """Return a state's name, with its shape when it is mentioned for the first time."""
        state = definition.states[name]
        if name in mentioned or not (state.is_terminal or state.type == "Choice"):
            return name
        mentioned.add(name)
        return f"{name}([{name}])" if state.is_terminal else f"{name}{{{name}}}"

    for target, kind, label, sources in _grouped(definition):
        arrow = ("-.->" if kind is Kind.CATCH else "-->") + (f"|{label}|" if label else "")
        lines.append(f"    {' & '.join(map(node, sources))} {arrow} {node(target)}")
    if _DOUBT in definition.states:
        lines.append(_RESOLVE_EDGE)
    return "\n".join([*lines, "```"])


def with_picture(text: str, definition: Definition) -> str:
    """Return the text with the diagram placed between its two markers. Raises ValueError if they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"There is no {BEGIN} with a {END} after it.")
    return f"{before}{BEGIN}\n{picture(definition)}\n{END}{after}"


def _grouped(definition: Definition) -> Iterator[tuple[str, Kind, str, list[str]]]:
    """Group the transitions that have the same target, kind and label; caught errors come last."""
    sources: defaultdict[tuple[str, Kind, str], list[str]] = defaultdict(list)
    for each in sorted(definition.transitions, key=lambda transition: transition.kind is Kind.CATCH):
        values = [label.rpartition(" = ")[2].replace("_", "").lower() for label in each.labels]
        # A target's name can make the label redundant: PaymentReversed already says that the status is reversed.
        is_redundant = each.kind is Kind.CHOICE and any(value in each.target.lower() for value in values)
        sources[each.target, each.kind, "" if is_redundant else _short(each.label)].append(each.source)
    for (target, kind, label), states in sources.items():
        yield target, kind, label, states


def _short(label: str) -> str:
    """Shorten a label with more than two conditions to the first one and the number of others."""
    first, *others = label.split(" or ")
    return label if len(others) < 2 else f"{first} or {len(others)} others"
