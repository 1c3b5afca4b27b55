"""Layout of a state machine diagram: top down and in layers, as Step Functions draws it.

This is Sugiyama's method with its four steps: reverse the transitions that close loops, assign each state to a layer,
order each layer to reduce line crossings, and straighten the lines. None of the existing packages fits: grandalf is no
longer maintained (last release in January 2023); fast-sugiyama gives a different layout on each run, which is no good
for a diagram that updates while somebody watches it; and igraph gives a line that crosses a layer as much room as a
box, which would make our diagram twice as wide.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, combinations, pairwise

from tools.console.definition import END, START, Definition, Kind, Transition

BOX_WIDTH, BOX_HEIGHT = 142.0, 38.0
CIRCLE = 46.0
LANE_WIDTH = 4.0
COLUMN_GAP, LANE_GAP, LAYER_GAP = 14.0, 10.0, 48.0
MARGIN = 16.0

_SWEEPS = 16
_STRAIGHTENING_SWEEPS = 300
# How strongly a line pulls its ends together. Regular transitions pull most, so their lines are the straightest.
_WEIGHTS = {Kind.NEXT: 32.0, Kind.CHOICE: 1.0, Kind.CATCH: 0.5}
_LANE_WEIGHT = 4.0


@dataclass(frozen=True, slots=True)
class Box:
    """A state or one of the two circles: its center and its size."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """The line of a transition from box to box, through these points."""

    transition: Transition
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """The finished layout of a state machine. The origin is the top left corner; x grows to the right, y downwards."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


@dataclass(eq=False, slots=True)
class _Node:
    """A box or, if `name` is None, the lane in which a line crosses a layer. Each neighbour comes with a weight."""

    name: str | None
    layer: int
    x: float = 0.0
    above: list[tuple["_Node", float]] = field(default_factory=list)
    below: list[tuple["_Node", float]] = field(default_factory=list)

    @property
    def width(self) -> float:
        if self.name is None:
            return LANE_WIDTH
        return CIRCLE if self.name in (START, END) else BOX_WIDTH


Rows = list[list[_Node]]


@lru_cache(maxsize=16)
def lay_out(definition: Definition) -> Picture:
    """Compute the layout of a state machine. The result is deterministic."""
    transitions = [
        Transition(START, definition.start, Kind.NEXT),
        *definition.transitions,
        *(Transition(state.name, END, Kind.NEXT) for state in definition.states.values() if state.is_terminal),
    ]
    back = _back_edges(transitions)
    down = [(each.target, each.source) if each in back else (each.source, each.target) for each in transitions]
    layers = _layers(definition, down)
    nodes = {name: _Node(name, layer) for name, layer in layers.items()}
    chains = [
        _chain(nodes[top], nodes[bottom], _WEIGHTS[t.kind]) for t, (top, bottom) in zip(transitions, down, strict=True)
    ]
    rows = _ordered(chains)
    _straighten(rows)
    for chain in chains:
        _align_lanes(chain[1:-1], rows)
    return _picture(
        rows, [(t, chain[::-1] if t in back else chain) for t, chain in zip(transitions, chains, strict=True)]
    )


def _back_edges(transitions: Sequence[Transition]) -> set[Transition]:
    """Find the transitions that lead back to a state on the path from the start."""
    back: set[Transition] = set()
    followed: set[str] = set()

    def follow(name: str, path: tuple[str, ...]) -> None:
        for each in transitions:
            if each.source == name:
                if each.target in path:
                    back.add(each)
                elif each.target not in followed:
                    follow(each.target, (*path, each.target))
        followed.add(name)

    follow(START, (START,))
    return back


def _layers(definition: Definition, down: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Assign each box to a layer below all its predecessors. Fail states go below Succeed states, to save width."""
    states = definition.states.values()
    ends = [[state.name for state in states if state.type == kind] for kind in ("Succeed", "Fail")]
    order = [*down, *((success, failure) for success in ends[0] for failure in ends[1])]
    layers = dict.fromkeys([START, *definition.states, END], 0)
    for _ in layers:
        for top, bottom in order:
            layers[bottom] = max(layers[bottom], layers[top] + 1)
    return layers


def _chain(top: _Node, bottom: _Node, weight: float) -> list[_Node]:
    """Create a line's nodes, with a lane in each layer that the line crosses, and link each node to its neighbours."""
    chain = [top, *(_Node(None, layer) for layer in range(top.layer + 1, bottom.layer)), bottom]
    for upper, lower in pairwise(chain):
        link = _LANE_WEIGHT if upper.name is None and lower.name is None else weight
        upper.below.append((lower, link))
        lower.above.append((upper, link))
    return chain


def _ordered(chains: Sequence[Sequence[_Node]]) -> Rows:
    """Order each layer to reduce line crossings: sweep down and up several times and keep the best result."""
    nodes = list(dict.fromkeys(node for chain in chains for node in chain))
    rows: Rows = [[] for _ in range(1 + max(node.layer for node in nodes))]
    for node in nodes:
        rows[node.layer].append(node)
    best, fewest = [row.copy() for row in rows], _crossings(rows)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for row in rows[1:] if downwards else rows[-2::-1]:
            _sort_by_neighbours(row, rows, downwards)
        _swap_neighbours(rows)
        if (crossings := _crossings(rows)) < fewest:
            best, fewest = [row.copy() for row in rows], crossings
    return best


def _sort_by_neighbours(row: list[_Node], rows: Rows, downwards: bool) -> None:
    places = {node: place for other in rows for place, node in enumerate(other)}

    def middle(node: _Node) -> float:
        neighbours = node.above if downwards else node.below
        if not neighbours:
            return places[node]
        return sum(places[neighbour] for neighbour, _ in neighbours) / len(neighbours)

    row.sort(key=middle)


def _swap_neighbours(rows: Rows) -> None:
    """Swap two adjacent nodes wherever this reduces the number of crossings."""
    for row in rows:
        for place in range(len(row) - 1):
            before = _crossings(rows)
            row[place], row[place + 1] = row[place + 1], row[place]
            if _crossings(rows) >= before:
                row[place], row[place + 1] = row[place + 1], row[place]


def _crossings(rows: Rows) -> int:
    count = 0
    for upper, lower in pairwise(rows):
        places = {node: place for place, node in enumerate(lower)}
        lines = [(place, places[below]) for place, node in enumerate(upper) for below, _ in node.below]
        count += sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in combinations(lines, 2))
    return count


def _straighten(rows: Rows) -> None:
    """Set each node's x as close to its neighbours' as the order and the widths in its layer allow."""
    for row in rows:
        for node, offset in zip(row, _offsets(row), strict=True):
            node.x = offset
    for sweep in range(_STRAIGHTENING_SWEEPS):
        downwards = sweep % 2 == 0
        for row in rows if downwards else reversed(rows):
            # The first third of the sweeps uses one side's neighbours, the rest both, so that neither side dominates.
            last = sweep >= _STRAIGHTENING_SWEEPS // 3
            _place(row, [node.above + node.below if last else node.above if downwards else node.below for node in row])
    left = min(node.x - node.width / 2 for row in rows for node in row)
    for row in rows:
        for node in row:
            node.x += MARGIN - left


def _align_lanes(lanes: Sequence[_Node], rows: Rows) -> None:
    """Align a line's lanes vertically if the adjacent nodes leave enough room."""
    if len(lanes) < 2:
        return
    lowest, highest = 0.0, float("inf")
    for lane in lanes:
        row = rows[lane.layer]
        place = row.index(lane)
        if place > 0:
            lowest = max(lowest, row[place - 1].x + _distance(row[place - 1], lane))
        if place < len(row) - 1:
            highest = min(highest, row[place + 1].x - _distance(lane, row[place + 1]))
    if lowest <= highest:
        middle = sum(lane.x for lane in lanes) / len(lanes)
        for lane in lanes:
            lane.x = min(max(middle, lowest), highest)


def _distance(left: _Node, right: _Node) -> float:
    """The minimum distance between the centers of two adjacent nodes."""
    gap = COLUMN_GAP if left.name is not None and right.name is not None else LANE_GAP
    return (left.width + right.width) / 2 + gap


def _offsets(row: Sequence[_Node]) -> list[float]:
    """The minimum distance of each node from the first one in its row."""
    return list(accumulate((_distance(left, right) for left, right in pairwise(row)), initial=0.0))


def _place(row: Sequence[_Node], links: Sequence[Sequence[tuple[_Node, float]]]) -> None:
    """Place a row's nodes by least squares. Nodes that would violate order or minimum distance are pooled."""
    pools: list[tuple[float, float, int]] = []  # desired place minus the offset, weight, number of nodes
    offsets = _offsets(row)
    for node, offset, neighbours in zip(row, offsets, links, strict=True):
        weight = sum(weight for _, weight in neighbours)
        desired = sum(other.x * weight for other, weight in neighbours) / weight if weight else node.x
        pool = (desired - offset, weight or 0.1, 1)
        while pools and pools[-1][0] > pool[0]:
            place, before, count = pools.pop()
            total = before + pool[1]
            pool = ((place * before + pool[0] * pool[1]) / total, total, count + pool[2])
        pools.append(pool)
    places = [place for place, _, count in pools for _ in range(count)]
    for node, place, offset in zip(row, places, offsets, strict=True):
        node.x = place + offset


def _picture(rows: Rows, lines: Iterable[tuple[Transition, Sequence[_Node]]]) -> Picture:
    heights = [CIRCLE if row[0].name in (START, END) else BOX_HEIGHT for row in rows]
    tops = list(accumulate((height + LAYER_GAP for height in heights), initial=MARGIN))
    boxes = {
        node.name: Box(node.name, node.x, top + height / 2, node.width, height)
        for row, top, height in zip(rows, tops, heights, strict=False)
        for node in row
        if node.name is not None
    }

    def points(chain: Sequence[_Node]) -> Iterator[tuple[float, float]]:
        downwards = chain[0].layer < chain[-1].layer
        for place, node in enumerate(chain):
            top, bottom = tops[node.layer], tops[node.layer] + heights[node.layer]
            enters, leaves = (top, bottom) if downwards else (bottom, top)
            x = node.x if downwards or node.name is None else _upward_x(place, chain)
            if place > 0:
                yield x, enters
            if place < len(chain) - 1:
                yield x, leaves

    return Picture(
        width=max(node.x + node.width / 2 for row in rows for node in row) + MARGIN,
        height=tops[-1] - LAYER_GAP + MARGIN,
        boxes=tuple(boxes.values()),
        lines=tuple(Line(transition, tuple(points(chain))) for transition, chain in lines),
    )


def _upward_x(end: int, chain: Sequence[_Node]) -> float:
    """The x at which an upward line meets a box: off center, because the center is used by downward lines."""
    node = chain[end]
    # If the line crosses no layer, both of its ends are on the same side of the boxes.
    beyond, other = (chain[0], chain[1]) if len(chain) == 2 else (chain[1 if end == 0 else -2], node)
    return node.x + (node.width / 3 if beyond.x > other.x else -node.width / 3)
