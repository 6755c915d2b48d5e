"""The state machine as an SVG picture: the states at chosen places, and an arrow for each way from one to another.

Nothing but the places is chosen here. What stands in the boxes and on the arrows, and which arrows there are, is read
from :mod:`dicom_proto.upper_layer.state_table`. Aborts (the AA actions) are left out: they leave almost every state.
"""

import textwrap
from enum import Enum
from html import escape
from itertools import groupby
from typing import Final, TypeAlias

from attrs import field, frozen

from dicom_proto.upper_layer.state_table import ACTIONS, TABLE, Action, Event, State

__all__ = ["Box", "Picture", "Transition", "draw", "main_transitions"]


class End(Enum):
    """Sta1 once more, where everything ends: the way back to the top of the picture would cross all others."""

    END = State.Sta1


Node: TypeAlias = State | End
Point: TypeAlias = tuple[float, float]

# Column and row of each box.
_PLACES: Final[dict[Node, Point]] = {
    State.Sta1: (1.5, 0),
    State.Sta4: (0.5, 1),
    State.Sta2: (2.5, 1),
    State.Sta5: (0.5, 2),
    State.Sta3: (2.5, 2),
    State.Sta6: (1.5, 3),
    State.Sta7: (0.5, 4),
    State.Sta8: (2.5, 4),
    State.Sta9: (0, 5),
    State.Sta10: (1.5, 5),
    State.Sta11: (0, 6),
    State.Sta12: (1.5, 6),
    State.Sta13: (2.5, 7),
    End.END: (0.5, 8),
}
# The columns of arrows that go round other boxes, and on which side of its box a loop is.
_LANES: Final[dict[tuple[Node, Node], float]] = {
    (State.Sta5, End.END): -0.62,
    (State.Sta3, State.Sta13): 3.12,
    (State.Sta2, State.Sta13): 3.48,
}
_LOOP_SIDES: Final[dict[Node, int]] = {State.Sta6: 1, State.Sta7: -1, State.Sta8: -1}

_COLUMN, _ROW = 204.0, 122.0
_WIDTH, _HEIGHT = 174.0, 74.0
_LABEL_WIDTH, _LABEL_HEIGHT = 84.0, 16.0
_PORT = 30.0  # between arrows that begin or end at the same side of a box
_CORNER = 12.0

_STYLE: Final = """
.state-diagram { width: 100%; height: auto; font-family: sans-serif; color: var(--color-foreground-primary, #222); }
.state-diagram rect { fill: var(--color-background-secondary, #f6f8fa); stroke: currentColor; }
.state-diagram .label rect { fill: var(--color-background-primary, #fff); stroke: none; }
.state-diagram text { fill: currentColor; text-anchor: middle; font-size: 11px; }
.state-diagram .name { font-size: 14px; font-weight: bold; }
.state-diagram .label text { font-size: 12px; }
.state-diagram path { fill: none; stroke: currentColor; stroke-width: 1.3; }
.state-diagram marker path { fill: currentColor; stroke: none; }
"""


@frozen
class Transition:
    """One way from a state to another: a cell of Table 9-10, and one of the states its action leads to."""

    source: State
    target: State
    event: Event
    action: Action

    def __str__(self) -> str:
        return f"{self.event.name} / {self.action.value}"

    def describe(self) -> str:
        """Say in words what it stands for."""
        return f"{self.event.name}: {self.event.value}. {self.action.value}: {ACTIONS[self.action].effect}."


@frozen
class Box:
    """A rectangle on the picture."""

    x: float = field(converter=lambda x: round(x, 1))  # of its left side
    y: float = field(converter=lambda y: round(y, 1))
    width: float
    height: float

    @classmethod
    def around(cls, centre: Point, width: float, height: float) -> "Box":
        """Return the box of a size with its centre at a point."""
        return cls(centre[0] - width / 2, centre[1] - height / 2, width, height)

    def overlaps(self, other: "Box") -> bool:
        """Tell whether two boxes share a point."""
        return abs(self.x + self.width / 2 - other.x - other.width / 2) < (self.width + other.width) / 2 and (
            abs(self.y + self.height / 2 - other.y - other.height / 2) < (self.height + other.height) / 2
        )


@frozen
class Picture:
    """What was drawn, and where its boxes are (for whoever checks that none covers another)."""

    svg: str
    states: dict[Node, Box]
    labels: list[Box]


def main_transitions() -> list[Transition]:
    """Return every transition of Table 9-10 except those of aborts."""
    return [
        Transition(state, target, event, action)
        for (event, state), action in TABLE.items()
        if not action.value.startswith("AA")
        for target in ACTIONS[action].next_states
    ]


def draw() -> Picture:
    """Draw the state machine."""
    states = {node: Box.around(_centre(node), _WIDTH, _HEIGHT) for node in _PLACES}
    arrows = _arrows()
    labels: list[Box] = []
    shapes = []
    for (source, target), transitions in arrows.items():
        path, points = _route(source, target, arrows)
        height = _LABEL_HEIGHT * len(transitions)
        options = [Box.around(point, _LABEL_WIDTH, height) for point in points]
        taken = [*states.values(), *labels]
        label = next((box for box in options if not any(box.overlaps(other) for other in taken)), options[0])
        labels.append(label)
        shapes.append(_show_arrow(path, label, transitions))
    shapes += [_show_state(node, box) for node, box in states.items()]
    left = min(box.x for box in labels) - 4
    right = max(box.x + box.width for box in [*labels, *states.values()]) + 4
    bottom = max(box.y + box.height for box in states.values()) + 4
    svg = (
        f'<svg class="state-diagram" viewBox="{left:g} -4 {right - left:g} {bottom + 4:g}" role="img"'
        f' aria-label="State machine of the upper layer" xmlns="http://www.w3.org/2000/svg"><style>{_STYLE}</style>'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"'
        ' orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>\n' + "\n".join(shapes) + "\n</svg>"
    )
    return Picture(svg, states, labels)


_Arrows: TypeAlias = dict[tuple[Node, Node], list[Transition]]


def _arrows() -> _Arrows:
    """Return the transitions by the boxes that they join: one arrow for each pair."""

    def ends(transition: Transition) -> tuple[Node, Node]:
        return transition.source, End.END if transition.target is State.Sta1 else transition.target

    order = list(_PLACES)
    ordered = sorted(main_transitions(), key=lambda transition: [order.index(node) for node in ends(transition)])
    return {pair: list(transitions) for pair, transitions in groupby(ordered, ends)}


def _centre(node: Node) -> Point:
    column, row = _PLACES[node]
    return column * _COLUMN, row * _ROW + _HEIGHT / 2


def _port(node: Node, other: Node, others: list[Node]) -> float:
    """Return where along the side of a box the arrow from or to another begins or ends, so that they do not cross."""
    beside = sorted(others, key=lambda one: _PLACES[one][0])
    return _centre(node)[0] + (beside.index(other) - (len(beside) - 1) / 2) * _PORT


def _route(source: Node, target: Node, arrows: _Arrows) -> tuple[str, list[Point]]:
    """Return the path of an arrow, and points on it where its label may stand, the best first."""
    if source is target:
        return _loop(source)
    if (source, target) in _LANES:
        return _detour(source, target)
    direct = [pair for pair in arrows if pair not in _LANES and pair[0] is not pair[1]]
    x1 = _port(source, target, [pair[1] for pair in direct if pair[0] is source])
    x2 = _port(target, source, [pair[0] for pair in direct if pair[1] is target])
    y1, y2 = _centre(source)[1] + _HEIGHT / 2, _centre(target)[1] - _HEIGHT / 2
    bend = min(y2 - y1, _ROW) / 2
    points = []
    for t in (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.75):
        weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
        xs, ys = (x1, x1, x2, x2), (y1, y1 + bend, y2 - bend, y2)
        points.append((_weigh(weights, xs), _weigh(weights, ys)))
    return f"M{x1:g},{y1:g} C{x1:g},{y1 + bend:g} {x2:g},{y2 - bend:g} {x2:g},{y2:g}", points


def _weigh(weights: tuple[float, ...], values: tuple[float, ...]) -> float:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _loop(node: Node) -> tuple[str, list[Point]]:
    side = _LOOP_SIDES[node]
    x, y = _centre(node)
    edge, out = x + side * _WIDTH / 2, x + side * (_WIDTH / 2 + 26)
    path = f"M{edge:g},{y - 16:g} C{out:g},{y - 30:g} {out:g},{y + 30:g} {edge:g},{y + 16:g}"
    return path, [(out + side * (_LABEL_WIDTH / 2 - 4), y)]


def _detour(source: Node, target: Node) -> tuple[str, list[Point]]:
    lane = _LANES[source, target] * _COLUMN
    side = 1 if lane > _centre(source)[0] else -1
    (x1, y1), (x2, y2) = _centre(source), _centre(target)
    same_end = sorted((pair for pair in _LANES if pair[1] is target), key=lambda pair: abs(_LANES[pair]))
    y2 += same_end.index((source, target)) * _PORT / 2
    x1, x2 = x1 + side * _WIDTH / 2, x2 + side * _WIDTH / 2
    path = (
        f"M{x1:g},{y1:g} H{lane - side * _CORNER:g} Q{lane:g},{y1:g} {lane:g},{y1 + _CORNER:g}"
        f" V{y2 - _CORNER:g} Q{lane:g},{y2:g} {lane - side * _CORNER:g},{y2:g} H{x2:g}"
    )
    return path, [(lane, y1 + _ROW * share) for share in (0.5, 0.75, 1.0)]


def _show_arrow(path: str, label: Box, transitions: list[Transition]) -> str:
    lines = "".join(
        f'<text x="{label.x + label.width / 2:g}" y="{label.y + 12 + _LABEL_HEIGHT * number:g}">{transition}</text>'
        for number, transition in enumerate(transitions)
    )
    title = escape("\n".join(transition.describe() for transition in transitions))
    return (
        f'<g><title>{title}</title><path d="{path}" marker-end="url(#arrow)"/>'
        f'<g class="label">{_rectangle(label)}{lines}</g></g>'
    )


def _show_state(node: Node, box: Box) -> str:
    state = node.value if isinstance(node, End) else node
    middle = box.x + box.width / 2
    lines = textwrap.wrap(state.value, 27)
    top = box.y + (box.height - 17 - 12.5 * len(lines)) / 2 + 13
    words = "".join(f'<text x="{middle:g}" y="{top + 15 + 12.5 * n:g}">{line}</text>' for n, line in enumerate(lines))
    return f'<g>{_rectangle(box, 6)}<text class="name" x="{middle:g}" y="{top:g}">{state.name}</text>{words}</g>'


def _rectangle(box: Box, radius: int = 0) -> str:
    return f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="{radius}"/>'
