"""Take a server through the cells of Table 9-10 that its peer can bring about, and judge what it does.

May change. The cells and what the standard asks in them come from :data:`~dicom_proto.upper_layer.state_table.TABLE`.
A requestor brings an acceptor into Sta2, Sta6 and Sta13; in the other states it is the server's own user that acts.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from time import monotonic
from typing import Final

from attrs import evolve, frozen

from dicom_proto.testing.conversations import ECHO
from dicom_proto.testing.samples import PDUS, PLAIN_OFFER
from dicom_proto.testing.structure import split
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDUType, encode_pdu
from dicom_proto.upper_layer.reasons import AbortSource
from dicom_proto.upper_layer.state_table import ACTIONS, TABLE, Action, Event, State
from dicom_transports.testing.scripted import Address

__all__ = ["Finding", "Outcome", "Seen", "judge", "walk"]

_BLOCK: Final = 1 << 16
_MOST: Final = 1 << 20  # bytes of an answer that are read
_SHORTEST: Final = 0.001  # seconds
_CLAUSE: Final = "PS3.8 Table 9-10"

_SENT: Final[dict[Event, bytes]] = {
    Event.Evt3: PDUS["associate-ac"],
    Event.Evt4: PDUS["associate-rj"],
    Event.Evt10: ECHO[1],
    Event.Evt12: PDUS["release-rq"],
    Event.Evt13: PDUS["release-rp"],
    Event.Evt16: PDUS["abort-user"],
    Event.Evt19: b"\xff\0" + (4).to_bytes(4, "big") + bytes(4),
}
_OF_A_PEER: Final = frozenset((*_SENT, Event.Evt6, Event.Evt17, Event.Evt18))


class Outcome(Enum):
    """What a server did in a cell, beside what the standard asks."""

    AS_ASKED = "as the standard asks"
    TOLERATED = "tolerated"
    DEVIATION = "deviation"
    NOT_REACHED = "not reached"


@frozen
class Seen:
    """What was seen of a server after an event.

    Attributes
    ----------
    pdus : tuple of bytes
        What it sent.
    end : str
        How the connection was then: ``"open"``, ``"closed"`` or ``"reset"``.
    lives : bool
        Whether it has answered a C-ECHO on a new connection afterwards.
    """

    pdus: tuple[bytes, ...]
    end: str
    lives: bool = True

    def __str__(self) -> str:
        """Return it in words, without what the PDUs contain."""
        sent = " and ".join(map(_name, self.pdus)) or "nothing"
        return f"sent {sent}, connection {self.end}" + ("" if self.lives else ", answers no C-ECHO afterwards")


@frozen
class Finding:
    """A cell of Table 9-10 and what a server did in it.

    Attributes
    ----------
    event, state : Event, State
        The cell.
    action : Action
        What the standard asks; :data:`~dicom_proto.upper_layer.state_table.ACTIONS` has it in words.
    outcome : Outcome
        How the server did.
    seen : str
        What it did, or why the cell was not reached.
    note : str
        Which tolerance, or what is wrong.
    clause : str
        Where the standard says so.
    """

    event: Event
    state: State
    action: Action
    outcome: Outcome
    seen: str
    note: str = ""
    clause: str = _CLAUSE

    @property
    def asked(self) -> str:
        """What the standard asks, in words."""
        return f"{self.action.value}: {ACTIONS[self.action].effect}"


def _name(pdu: bytes) -> str:
    try:
        return PDUType(pdu[0]).name.replace("_", "-")
    except ValueError:
        return f"a PDU of the type {pdu[0]:02X}H"


_Judgement = tuple[Outcome, str]
_GOOD: Final[_Judgement] = (Outcome.AS_ASKED, "")


def _bad(note: str) -> _Judgement:
    return Outcome.DEVIATION, note


def _answers(*kinds: PDUType) -> Callable[[Seen], _Judgement]:
    wanted = " or ".join(kind.name.replace("_", "-") for kind in kinds)
    return lambda seen: _GOOD if seen.pdus and seen.pdus[0][0] in kinds else _bad(f"no {wanted}")


def _aborts(*sources: AbortSource) -> Callable[[Seen], _Judgement]:
    def judge_abort(seen: Seen) -> _Judgement:
        if not seen.pdus or seen.pdus[0][0] != PDUType.A_ABORT:
            is_silent = not seen.pdus and seen.end == "open"
            return _bad("no A-ABORT" + (", and the connection stays open" if is_silent else ""))
        source = seen.pdus[0][HEADER_LENGTH + 2]
        if sources and source not in sources:
            return Outcome.TOLERATED, f"the source of the A-ABORT is {source} instead of {int(sources[0])}"
        return _GOOD

    return judge_abort


def _closes(seen: Seen) -> _Judgement:
    if seen.pdus:
        return _bad("sends something")
    return _GOOD if seen.end != "open" else _bad("the connection stays open")


def _sends_nothing(seen: Seen) -> _Judgement:
    return _bad("sends something") if seen.pdus else _GOOD


def _aborts_again(seen: Seen) -> _Judgement:
    if not seen.pdus and seen.end != "open":
        return Outcome.TOLERATED, "closes without waiting for its peer or ARTIM"
    return _aborts()(seen)


_JUDGES: Final[dict[Action, Callable[[Seen], _Judgement]]] = {
    Action.AE_6: _answers(PDUType.A_ASSOCIATE_AC, PDUType.A_ASSOCIATE_RJ),
    Action.DT_2: _answers(PDUType.P_DATA_TF),
    Action.AR_2: _answers(PDUType.A_RELEASE_RP),
    Action.AR_5: _closes,
    Action.AA_1: _aborts(AbortSource.SERVICE_USER),
    Action.AA_2: _closes,
    Action.AA_3: _closes,
    Action.AA_4: _closes,
    Action.AA_5: _closes,
    Action.AA_6: _sends_nothing,
    Action.AA_7: _aborts_again,
    Action.AA_8: _aborts(AbortSource.SERVICE_PROVIDER),
}


def judge(action: Action, seen: Seen) -> tuple[Outcome, str]:
    """Judge what was seen of a server whose cell has this action; return also which tolerance, or what is wrong."""
    return _JUDGES[action](seen) if seen.lives else _bad("the server answers no C-ECHO afterwards")


class _Connection:
    """A connection to the server, read PDU by PDU."""

    def __init__(self, address: Address, patience: float) -> None:
        self._socket = socket.create_connection(address, patience)
        self._patience = patience
        self._data = b""
        self.end = "open"

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        with suppress(OSError):  # the server may have closed it: what it did then is read
            self._socket.sendall(data)

    def finish(self) -> None:
        with suppress(OSError):  # the same
            self._socket.shutdown(socket.SHUT_WR)

    def receive(self, *, most: int, patience: float = 0.0) -> tuple[bytes, ...]:
        """Return the PDUs until there are so many, or the connection ends, or patience does."""
        until = monotonic() + (patience or self._patience)
        while len(pdus := self._whole()) < most and self.end == "open" and len(self._data) < _MOST:
            self._socket.settimeout(max(_SHORTEST, until - monotonic()))
            try:
                block = self._socket.recv(_BLOCK)
            except TimeoutError:
                break
            except OSError:
                self.end = "reset"
                break
            self._data += block
            if not block:
                self.end = "closed"
        self._data = b""
        return pdus

    def _whole(self) -> tuple[bytes, ...]:
        return tuple(
            pdu
            for pdu in split(self._data)
            if len(pdu) >= HEADER_LENGTH and len(pdu) == HEADER_LENGTH + int.from_bytes(pdu[2:6], "big")
        )


def walk(
    address: Address,
    *,
    called: str = "ANY-SCP",
    calling: str = "ECHOSCU",
    patience: float = 5.0,
    artim: float = 0.0,
) -> Iterator[Finding]:
    """Take a server through the cells of Table 9-10 of which a peer is the cause; yield what it did in each.

    Parameters
    ----------
    address : tuple of str and int
        Where it listens.
    called, calling : str
        AE titles of the associations.
    patience : float
        Seconds that an answer may take.
    artim : float
        Seconds within which the server's ARTIM has to expire in Sta2; 0 not to wait for it. In Sta13 it is never waited
        for.
    """
    offer = encode_pdu(evolve(PLAIN_OFFER, called_ae_title=called, calling_ae_title=calling))
    walker = _Walker(address, offer, patience, artim)
    for (event, state), action in TABLE.items():
        if event in _OF_A_PEER:
            yield walker.visit(event, state, action)


class _Walker:
    def __init__(self, address: Address, offer: bytes, patience: float, artim: float) -> None:
        self._address = address
        self._patience = patience
        self._artim = artim
        self._offer = offer
        self._routes: dict[State, list[tuple[bytes, PDUType]]] = {State.Sta2: []}
        self._routes[State.Sta6] = [(offer, PDUType.A_ASSOCIATE_AC)]
        self._routes[State.Sta13] = [*self._routes[State.Sta6], (PDUS["release-rq"], PDUType.A_RELEASE_RP)]

    def visit(self, event: Event, state: State, action: Action) -> Finding:
        unreached = Finding(event, state, action, Outcome.NOT_REACHED, "a peer alone cannot bring a server there")
        if state not in self._routes:
            return unreached
        if event is Event.Evt18 and (state is not State.Sta2 or not self._artim):
            return evolve(unreached, seen="not waited for")
        try:
            connection = _Connection(self._address, self._patience)
        except OSError as error:
            return evolve(unreached, seen=f"no connection: {error.strerror or error}")
        try:
            for data, answer in self._routes[state]:
                connection.send(data)
                pdus = connection.receive(most=1)
                if not pdus or pdus[0][0] != answer:
                    return evolve(unreached, seen=f"on the way it {Seen(pdus, connection.end)}")
            seen = self._cause(event, action, connection)
        finally:
            connection.close()
        if event is Event.Evt17:
            seen = evolve(seen, lives=self._lives())
        outcome, note = judge(action, seen)
        return Finding(event, state, action, outcome, str(seen), note)

    def _cause(self, event: Event, action: Action, connection: _Connection) -> Seen:
        patience = self._patience
        if event is Event.Evt18:
            patience = self._artim
        elif event is not Event.Evt17:
            connection.send(_SENT.get(event, self._offer))
        if event is Event.Evt17 or action is Action.AA_6:
            connection.finish()  # what is ignored is followed by the end, so that nothing waits for ARTIM
        return Seen(connection.receive(most=1, patience=patience), connection.end)

    def _lives(self) -> bool:
        """Ask for a C-ECHO on a new connection."""
        try:
            connection = _Connection(self._address, self._patience)
        except OSError:
            return False
        try:
            connection.send(self._offer)
            connection.receive(most=1)
            connection.send(ECHO[1])
            answer = connection.receive(most=1)
            connection.send(ECHO[2])
            return [pdu[0] for pdu in answer] == [PDUType.P_DATA_TF]
        finally:
            connection.close()
