"""The page about the state machine shows what the table says: all of it, and nothing on top of something else."""

import sys
from itertools import combinations
from pathlib import Path

from dicom_proto.upper_layer.state_table import TABLE, Event, State

sys.path.append(str(Path(__file__).parents[1] / "docs"))

from _ext.diagram import draw, main_transitions
from _ext.state_machine import StateTable


def test_every_cell_of_the_table_is_shown() -> None:
    (table,) = StateTable.run(None)  # type: ignore[arg-type]
    rows = [[cell.astext() for cell in row.children] for row in table.findall() if row.tagname == "row"]
    assert rows[0][1:] == list(State.__members__)
    assert [row[0] for row in rows[1:]] == list(Event.__members__)
    shown = {
        (Event[row[0]], State[name]): cell for row in rows[1:] for name, cell in zip(rows[0][1:], row[1:], strict=True)
    }
    assert {place: cell for place, cell in shown.items() if cell} == {
        place: action.value for place, action in TABLE.items()
    }


def test_the_picture_has_every_state_and_every_way_but_aborts() -> None:
    picture = draw()
    for state in State:
        assert f">{state.name}</text>" in picture.svg
    for transition in main_transitions():
        assert f">{transition}</text>" in picture.svg


def test_nothing_in_the_picture_covers_something_else() -> None:
    picture = draw()
    boxes = [*picture.states.values(), *picture.labels]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
