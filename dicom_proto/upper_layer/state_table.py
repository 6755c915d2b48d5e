"""The upper layer state machine as data: PS3.8 9.2, Tables 9-1 to 9-10, in the standard's own names.

Stable.

``TABLE`` is Table 9-10 as it is printed: a row per event, a column per state, an action where the standard has one
and a dash where the event cannot happen. ``ACTIONS`` says for each action what it does and where it leads.
:class:`dicom_proto.upper_layer.association.Association` performs the actions; the tests walk all 13 x 19 cells; the
documentation draws its diagram from here.
"""

from enum import Enum
from typing import Final

from attrs import frozen

__all__ = ["ACTIONS", "TABLE", "Action", "ActionRow", "Event", "State"]


class _Name(Enum):
    """Names of the standard. They are looked up in tables for every PDU, and the hash of Enum is slow."""

    __hash__ = object.__hash__


class State(_Name):
    """States of the upper layer (PS3.8 9.2.1, Tables 9-1 to 9-5); the value says what the state waits for."""

    Sta1 = "idle: no association and no transport connection"
    Sta2 = "transport connection open, awaiting A-ASSOCIATE-RQ PDU"
    Sta3 = "awaiting local A-ASSOCIATE response primitive"
    Sta4 = "awaiting transport connection opening to complete"
    Sta5 = "awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ PDU"
    Sta6 = "association established, ready for data transfer"
    Sta7 = "awaiting A-RELEASE-RP PDU"
    Sta8 = "awaiting local A-RELEASE response primitive"
    Sta9 = "release collision, requestor side: awaiting local A-RELEASE response primitive"
    Sta10 = "release collision, acceptor side: awaiting A-RELEASE-RP PDU"
    Sta11 = "release collision, requestor side: awaiting A-RELEASE-RP PDU"
    Sta12 = "release collision, acceptor side: awaiting local A-RELEASE response primitive"
    Sta13 = "awaiting transport connection close indication: the association no longer exists"


class Event(_Name):
    """Events of the upper layer in the row order of Table 9-10 (PS3.8 9.2.3)."""

    Evt1 = "A-ASSOCIATE request (local user)"
    Evt2 = "transport connection confirm (local transport)"
    Evt3 = "A-ASSOCIATE-AC PDU received"
    Evt4 = "A-ASSOCIATE-RJ PDU received"
    Evt5 = "transport connection indication (local transport)"
    Evt6 = "A-ASSOCIATE-RQ PDU received"
    Evt7 = "A-ASSOCIATE response, accept (local user)"
    Evt8 = "A-ASSOCIATE response, reject (local user)"
    Evt9 = "P-DATA request (local user)"
    Evt10 = "P-DATA-TF PDU received"
    Evt11 = "A-RELEASE request (local user)"
    Evt12 = "A-RELEASE-RQ PDU received"
    Evt13 = "A-RELEASE-RP PDU received"
    Evt14 = "A-RELEASE response (local user)"
    Evt15 = "A-ABORT request (local user)"
    Evt16 = "A-ABORT PDU received"
    Evt17 = "transport connection closed indication (local transport)"
    Evt18 = "ARTIM timer expired"
    Evt19 = "unrecognized or invalid PDU received"


class Action(_Name):
    """Actions of the upper layer (PS3.8 9.2.2, Tables 9-6 to 9-9); the values are the standard's names."""

    AE_1 = "AE-1"
    AE_2 = "AE-2"
    AE_3 = "AE-3"
    AE_4 = "AE-4"
    AE_5 = "AE-5"
    AE_6 = "AE-6"
    AE_7 = "AE-7"
    AE_8 = "AE-8"
    DT_1 = "DT-1"
    DT_2 = "DT-2"
    AR_1 = "AR-1"
    AR_2 = "AR-2"
    AR_3 = "AR-3"
    AR_4 = "AR-4"
    AR_5 = "AR-5"
    AR_6 = "AR-6"
    AR_7 = "AR-7"
    AR_8 = "AR-8"
    AR_9 = "AR-9"
    AR_10 = "AR-10"
    AA_1 = "AA-1"
    AA_2 = "AA-2"
    AA_3 = "AA-3"
    AA_4 = "AA-4"
    AA_5 = "AA-5"
    AA_6 = "AA-6"
    AA_7 = "AA-7"
    AA_8 = "AA-8"


@frozen
class ActionRow:
    """What an action does (in words) and the states it leads to; where there are two, the action itself decides."""

    effect: str
    next_states: tuple[State, ...]


def _row(effect: str, *next_states: State) -> ActionRow:
    return ActionRow(effect, next_states)


ACTIONS: Final[dict[Action, ActionRow]] = {
    # Table 9-6, association establishment
    Action.AE_1: _row("ask the local transport to open a connection", State.Sta4),
    Action.AE_2: _row("send A-ASSOCIATE-RQ", State.Sta5),
    Action.AE_3: _row("confirm the association to the user: accepted", State.Sta6),
    Action.AE_4: _row("confirm the association to the user: rejected; close the transport", State.Sta1),
    Action.AE_5: _row("accept the transport connection; start ARTIM", State.Sta2),
    Action.AE_6: _row(
        "stop ARTIM; indicate the request, or send A-ASSOCIATE-RJ and start ARTIM", State.Sta3, State.Sta13
    ),
    Action.AE_7: _row("send A-ASSOCIATE-AC", State.Sta6),
    Action.AE_8: _row("send A-ASSOCIATE-RJ; start ARTIM", State.Sta13),
    # Table 9-7, data transfer
    Action.DT_1: _row("send P-DATA-TF", State.Sta6),
    Action.DT_2: _row("indicate the data to the user", State.Sta6),
    # Table 9-8, association release
    Action.AR_1: _row("send A-RELEASE-RQ", State.Sta7),
    Action.AR_2: _row("indicate the release to the user", State.Sta8),
    Action.AR_3: _row("confirm the release to the user; close the transport", State.Sta1),
    Action.AR_4: _row("send A-RELEASE-RP; start ARTIM", State.Sta13),
    Action.AR_5: _row("stop ARTIM", State.Sta1),
    Action.AR_6: _row("indicate the data to the user", State.Sta7),
    Action.AR_7: _row("send P-DATA-TF", State.Sta8),
    Action.AR_8: _row("indicate the release to the user: collision", State.Sta9, State.Sta10),  # requestor, acceptor
    Action.AR_9: _row("send A-RELEASE-RP", State.Sta11),
    Action.AR_10: _row("confirm the release to the user", State.Sta12),
    # Table 9-9, association abort
    Action.AA_1: _row("send A-ABORT (service-user); start ARTIM, again if it runs", State.Sta13),
    Action.AA_2: _row("stop ARTIM; close the transport", State.Sta1),
    Action.AA_3: _row("indicate the abort of the peer to the user; close the transport", State.Sta1),
    Action.AA_4: _row("indicate A-P-ABORT to the user", State.Sta1),
    Action.AA_5: _row("stop ARTIM", State.Sta1),
    Action.AA_6: _row("ignore the PDU", State.Sta13),
    Action.AA_7: _row("send A-ABORT", State.Sta13),
    Action.AA_8: _row("send A-ABORT (service-provider); indicate A-P-ABORT to the user; start ARTIM", State.Sta13),
}

_TABLE_9_10: Final = """
event   Sta1  Sta2  Sta3  Sta4  Sta5  Sta6  Sta7  Sta8  Sta9  Sta10 Sta11 Sta12 Sta13
Evt1    AE-1  -     -     -     -     -     -     -     -     -     -     -     -
Evt2    -     -     -     AE-2  -     -     -     -     -     -     -     -     -
Evt3    -     AA-1  AA-8  -     AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt4    -     AA-1  AA-8  -     AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt5    AE-5  -     -     -     -     -     -     -     -     -     -     -     -
Evt6    -     AE-6  AA-8  -     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
Evt7    -     -     AE-7  -     -     -     -     -     -     -     -     -     -
Evt8    -     -     AE-8  -     -     -     -     -     -     -     -     -     -
Evt9    -     -     -     -     -     DT-1  -     AR-7  -     -     -     -     -
Evt10   -     AA-1  AA-8  -     AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt11   -     -     -     -     -     AR-1  -     -     -     -     -     -     -
Evt12   -     AA-1  AA-8  -     AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt13   -     AA-1  AA-8  -     AA-8  AA-8  AR-3  AA-8  AA-8  AR-10 AR-3  AA-8  AA-6
Evt14   -     -     -     -     -     -     -     AR-4  AR-9  -     -     AR-4  -
Evt15   -     -     AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  -
Evt16   -     AA-2  AA-3  -     AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
Evt17   -     AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
Evt18   -     AA-2  -     -     -     -     -     -     -     -     -     -     AA-2
Evt19   -     AA-1  AA-8  -     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
"""


def _read_table(text: str) -> dict[tuple[Event, State], Action]:
    """Turn the printed table into a mapping that has only the cells with an action."""
    head, *rows = (line.split() for line in text.strip().splitlines())
    return {
        (Event[row[0]], State[column]): Action(cell)
        for row in rows
        for column, cell in zip(head[1:], row[1:], strict=True)
        if cell != "-"
    }


TABLE: Final = _read_table(_TABLE_9_10)
