"""Table 9-10 as data, cell by cell against a copy of the facts (PS3.8 9.2)."""

import csv
from pathlib import Path

from dicom_proto.upper_layer.state_table import ACTIONS, TABLE, Action, Event, State
from tests.proto.rows import for_each

DATA = Path(__file__).parents[1] / "data"


def facts() -> dict[tuple[Event, State], str]:
    with (DATA / "table_9_10.csv").open(newline="") as file:
        return {
            (Event[row["event"]], State[state]): row[state]
            for row in csv.DictReader(file)
            for state in State.__members__
        }


@for_each("event", Event, ids=lambda event: event.name)
@for_each("state", State, ids=lambda state: state.name)
def test_every_cell(event: Event, state: State) -> None:
    action = TABLE.get((event, state))
    assert (action.value if action else "") == facts()[event, state]


def test_size_of_the_table() -> None:
    assert len(State) * len(Event) == 247
    assert len(TABLE) == 123
    assert len(facts()) == 247
    assert set(TABLE.values()) == set(Action) == set(ACTIONS)
    assert len(Action) == 28


# Next states of each action (PS3.8 9.2.2, Tables 9-6 to 9-9).
NEXT = {
    "AE-1": "Sta4", "AE-2": "Sta5", "AE-3": "Sta6", "AE-4": "Sta1", "AE-5": "Sta2", "AE-6": "Sta3 Sta13",
    "AE-7": "Sta6", "AE-8": "Sta13", "DT-1": "Sta6", "DT-2": "Sta6", "AR-1": "Sta7", "AR-2": "Sta8", "AR-3": "Sta1",
    "AR-4": "Sta13", "AR-5": "Sta1", "AR-6": "Sta7", "AR-7": "Sta8", "AR-8": "Sta9 Sta10", "AR-9": "Sta11",
    "AR-10": "Sta12",
    "AA-1": "Sta13", "AA-2": "Sta1", "AA-3": "Sta1", "AA-4": "Sta1", "AA-5": "Sta1", "AA-6": "Sta13", "AA-7": "Sta13",
    "AA-8": "Sta13",
}  # fmt: skip


@for_each("action", Action, ids=lambda action: action.value)
def test_next_states(action: Action) -> None:
    assert " ".join(state.name for state in ACTIONS[action].next_states) == NEXT[action.value]
    assert ACTIONS[action].effect
