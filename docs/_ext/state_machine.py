"""Directives that show the upper layer state machine, all of it read from :mod:`dicom_proto.upper_layer.state_table`.

``{state-table}`` is Table 9-10, ``{state-diagram}`` the picture, ``{state-words} states`` (or ``events``, ``actions``)
a list of what the names mean.
"""

from typing import TYPE_CHECKING

from _ext.diagram import draw
from docutils import nodes
from docutils.parsers.rst import Directive

from dicom_proto.upper_layer.state_table import ACTIONS, TABLE, Action, Event, State

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup"]


def table(head: list[str], rows: list[list[str]]) -> nodes.table:
    """Build a table of plain texts."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", group)


def _row(cells: list[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in cells))


class StateTable(Directive):
    """Table 9-10: a row for each event, a column for each state."""

    def run(self) -> list[nodes.Node]:
        rows = []
        for event in Event:
            actions = (TABLE.get((event, state)) for state in State)
            rows.append([event.name, *(action.value if action else "" for action in actions)])
        return [table(["", *(state.name for state in State)], rows)]


class StateWords(Directive):
    """What the states, events or actions are."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        rows = {
            "states": [[state.name, state.value] for state in State],
            "events": [[event.name, event.value] for event in Event],
            "actions": [[action.value, ACTIONS[action].effect, _next(action)] for action in Action],
        }[self.arguments[0]]
        return [table(["", "", "next state"][: len(rows[0])], rows)]


def _next(action: Action) -> str:
    return " or ".join(state.name for state in ACTIONS[action].next_states)


class StateDiagram(Directive):
    """The picture, as inline SVG."""

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", draw().svg, format="html")]


def setup(app: "Sphinx") -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("state-table", StateTable)
    app.add_directive("state-words", StateWords)
    app.add_directive("state-diagram", StateDiagram)
    return {"parallel_read_safe": True}
