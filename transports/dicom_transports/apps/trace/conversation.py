"""What passes over one TCP connection, read as DICOM by the core (PS3.8).

May change.
"""

from collections.abc import Callable
from typing import Any, Final

from attrs import define, field

from dicom_proto.errors import PDUError
from dicom_proto.limits import DEFAULT_LIMITS
from dicom_proto.upper_layer.inbound import Inbound
from dicom_proto.upper_layer.negotiation import agree
from dicom_proto.upper_layer.pdu import (
    HEADER_LENGTH,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    PDUType,
    decode_pdu,
)
from dicom_proto.upper_layer.reasons import describe_abort
from dicom_transports.apps.trace.ends import Ends, name_of
from dicom_transports.apps.trace.entries import Entry, Kind
from dicom_transports.apps.trace.messages import Dialogue
from dicom_transports.apps.trace.negotiating import describe_answer, describe_offer, describe_refusal
from dicom_transports.apps.trace.recognition import LONGEST_HEAD, Content, recognize

__all__ = ["Conversation"]

_TYPES: Final = {int(pdu_type): pdu_type for pdu_type in PDUType}
_P_DATA_TF: Final = int(PDUType.P_DATA_TF)
_ANY_CONTEXT: Final = range(256)
_CLAUSES: Final = {
    PDUType.A_ASSOCIATE_RQ: "PS3.8 9.3.2",
    PDUType.A_ASSOCIATE_AC: "PS3.8 9.3.3",
    PDUType.A_ASSOCIATE_RJ: "PS3.8 9.3.4",
    PDUType.P_DATA_TF: "PS3.8 9.3.5",
    PDUType.A_RELEASE_RQ: "PS3.8 9.3.6",
    PDUType.A_RELEASE_RP: "PS3.8 9.3.7",
    PDUType.A_ABORT: "PS3.8 9.3.8",
}
_KINDS: Final = {
    PDUType.P_DATA_TF: Kind.DATA,
    PDUType.A_RELEASE_RQ: Kind.RELEASE,
    PDUType.A_RELEASE_RP: Kind.RELEASE,
    PDUType.A_ABORT: Kind.ABORT,
}
_TABLE: Final = "PS3.8 9.2, Table 9-10"
_MOST_TRIES: Final = 64  # segments at whose beginning a PDU is looked for, where nobody knows where one begins
_LONGEST_HOLE: Final = 1 << 24
_ZEROS: Final = bytes(1 << 16)


@define(eq=False)
class _Lane:
    """One direction."""

    back: bool
    inbound: Inbound = field(factory=Inbound)
    head: bytearray | None = field(factory=bytearray)  # the first bytes, until it is known that a PDU begins with them
    tries: int = 0
    body_type: PDUType = PDUType.A_ABORT
    began: int = 0
    has_hole: bool = False  # in the PDU that is being read
    has_ended: bool = False


class Conversation:
    """What passes over one connection: a :class:`~dicom_transports.apps.trace.streams.Listener`.

    Parameters
    ----------
    number : int
        That of the connection.
    ends : tuple of str, str
        Their addresses, that of the one which opened the connection first.
    has_start : bool
        Whether the beginning of the connection was seen.
    sink : callable
        Takes an entry for everything that there is to tell.
    values : bool
        Whether the values of data sets may be told.
    pdus : bool
        Whether each P-DATA-TF is told of.

    Attributes
    ----------
    content : Content
        What the connection carries, as far as that is known.
    """

    def __init__(
        self,
        number: int,
        ends: tuple[str, str],
        has_start: bool,
        sink: Callable[[Entry], object],
        *,
        values: bool = False,
        pdus: bool = False,
    ) -> None:
        self.number = number
        self.addresses = ends
        self.has_start = has_start
        self.content = Content.UNKNOWN
        self.is_deaf = False
        self._sink = sink
        self._values = values
        self._tells_pdus = pdus
        self._lanes = (_Lane(False), _Lane(True))
        self._offer: AAssociateRQ | None = None
        self._start(is_whole=has_start)
        self._last = 0

    def _start(self, *, is_whole: bool) -> None:
        """Begin at the beginning of an association, or in the middle of one."""
        self._ends = Ends(is_established=not is_whole)
        self._dialogue = Dialogue(self._say, values=self._values, is_whole=is_whole)

    # --- what a listener is told --------------------------------------------------------------------------------------

    def receive(self, back: bool, time: int, data: bytes) -> None:
        """Take bytes that one end has sent."""
        lane = self._lanes[back]
        self._last = time
        if lane.head is None:
            lane.inbound.feed(data)
        elif not self._begin(lane, lane.head, data, time):
            return
        self._read(lane, time)

    def miss(self, back: bool, time: int, length: int) -> None:
        """Take note of bytes that are not in the capture."""
        lane = self._lanes[back]
        self._last = time
        if lane.head is not None:
            lane.head.clear()
            return
        inbound = lane.inbound
        if length <= min(inbound.data_left or inbound.skip_left, _LONGEST_HOLE):
            lane.has_hole = True
            if inbound.data_left:
                self._dialogue.miss(length, back=back)
            while length:
                inbound.feed(_ZEROS[:length])
                length -= min(length, len(_ZEROS))
                self._read(lane, time)
            return
        self._note(time, "gap", f"{length} bytes are not in the capture: reading goes on at the next PDU", back=back)
        self._lose(lane)

    def end(self, back: bool, time: int, *, reset: bool) -> None:
        """Take note of the end of one direction."""
        self._last = time
        if self.content is not Content.DICOM:
            return
        if not self._lanes[back].inbound.is_between_pdus and not reset:
            self._note(time, "FIN", "the connection ends within a PDU", back=back, status="failure")
        self._lanes[back].has_ended = True
        was_over = self._ends.is_over
        if reset or self._lanes[not back].has_ended:  # until then the other end may still be sending
            self._ends.close()
            name, words = ("RST", "the connection is reset") if reset else ("FIN", "the connection is closed")
            if not was_over:
                text = f"{words} with the association open: A-P-ABORT (PS3.8 7.4, Table 9-10, Evt17)"
                self._note(time, name, text, back=back, status="failure")
            elif reset:
                self._note(time, name, words, back=back)

    def close(self, remarks: list[str]) -> None:
        """Take note that there is nothing more of the connection."""
        if self.content is not Content.DICOM:
            return
        if not self._ends.is_over:
            remarks = ["it ends before the association does", *remarks]
        for remark in remarks:
            self._note(self._last, "capture", remark)

    # --- what it is ---------------------------------------------------------------------------------------------------

    def _begin(self, lane: _Lane, head: bytearray, data: bytes, time: int) -> bool:
        """Look at the first bytes of a direction; return whether a PDU begins with them."""
        start = len(head)
        head += data[: LONGEST_HEAD - start]
        is_first = self.has_start and self.content is Content.UNKNOWN and not lane.tries
        content = recognize(bytes(head), is_first=is_first and not lane.back)
        if content is Content.UNKNOWN:
            return False
        if content is Content.DICOM:
            lane.head = None
            if self.content is Content.UNKNOWN:
                self._announce(time, is_whole=head[0] == PDUType.A_ASSOCIATE_RQ)
            lane.inbound.feed(bytes(head) + data[len(head) - start :])
            return True
        self._fail(lane, content, time)
        return False

    def _fail(self, lane: _Lane, content: Content, time: int) -> None:
        """Give up on the first bytes of a direction, and perhaps on the connection."""
        lane.head = bytearray()
        lane.tries += 1
        if self.content is Content.DICOM:
            return  # the frame is lost, and the next segment may begin with a PDU
        if content is Content.TLS or self.has_start or lane.tries > _MOST_TRIES:
            self.content = content
            self.is_deaf = True
            if content is Content.TLS:
                first, second = self.addresses
                text = f"{first} to {second}: encrypted, what passes cannot be read (PS3.15 B)"
                self._say(time=time, until=time, kind=Kind.CONNECTION, name="TLS", text=text)

    def _announce(self, time: int, *, is_whole: bool) -> None:
        self.content = Content.DICOM
        self._start(is_whole=is_whole)
        first, second = self.addresses
        self._say(time=time, until=time, kind=Kind.CONNECTION, name="TCP", text=f"{first} to {second}")
        if not is_whole:
            self._note(
                time, "capture", "it begins in the middle of this connection: what was negotiated may be unknown"
            )

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self, lane: _Lane, time: int) -> None:
        """Read all that there is of a direction."""
        try:
            while lane.head is None and self._step(lane, time):
                pass
        except PDUError as error:
            if lane.has_hole:
                self._note(time, "gap", f"after bytes that are not in the capture: {error}", back=lane.back)
            else:
                clause = _CLAUSES[PDUType.P_DATA_TF if lane.inbound.data_left else lane.body_type]
                self._wrong(time, str(error), clause, back=lane.back)
            self._lose(lane)

    def _lose(self, lane: _Lane) -> None:
        """Look for the next PDU at the beginning of the segments that follow."""
        lane.inbound.clear()
        lane.head = bytearray()
        lane.tries += 1
        lane.has_hole = False
        self._dialogue.lose(back=lane.back)

    def _step(self, lane: _Lane, time: int) -> bool:
        """Read one thing; return whether there was one.

        Raises
        ------
        PDUError
            If it cannot be read.
        """
        inbound = lane.inbound
        if inbound.data_left:
            fragment = inbound.fragment(_ANY_CONTEXT)
            if fragment is None:
                return not inbound.data_left
            self._dialogue.take(fragment, time, back=lane.back)
            return True
        if inbound.skip_left and inbound.is_skipping():
            return False
        if inbound.in_body:
            body = inbound.body()
            if body is None:
                return False
            self._take_pdu(lane, body, time)
            return True
        header = inbound.header()
        if header is None:
            return False
        lane.began = time
        lane.has_hole = False
        self._enter(lane, *header, time)
        return True

    def _enter(self, lane: _Lane, pdu_type: int, length: int, time: int) -> None:
        """Enter a PDU, of which the header has been read."""
        known = _TYPES.get(pdu_type)
        if known is None:
            self._wrong(time, f"a PDU of type {pdu_type:02X}H", "PS3.8 9.3.1, Table 9-10, Evt19", back=lane.back)
            self._lose(lane)
            return
        lane.body_type = known
        if pdu_type == _P_DATA_TF:
            self._enter_data(lane, length, time)
            return
        longest = DEFAULT_LIMITS.associate_length if known <= PDUType.A_ASSOCIATE_AC else DEFAULT_LIMITS.fixed_length
        if length > longest:
            self._wrong(time, f"{name_of(known)} of {length} bytes is passed over", _CLAUSES[known], back=lane.back)
            lane.inbound.skip(length)
        else:
            lane.inbound.read_body(length)

    def _enter_data(self, lane: _Lane, length: int, time: int) -> None:
        lane.inbound.enter_data(length)
        self._dialogue.begin_pdu(back=lane.back)
        if not self._ends.pass_data(back=lane.back):
            self._send(PDUType.P_DATA_TF, lane.back, time)
        agreement = self._dialogue.agreement
        if agreement is not None:
            stated = agreement.requestor_maximum_length if lane.back else agreement.acceptor_maximum_length
            if stated and length > stated:
                text = f"P-DATA-TF of {length} bytes, the receiver takes {stated}"
                self._wrong(time, text, "PS3.8 D.1", back=lane.back)
        if self._tells_pdus:
            self._say_pdu(PDUType.P_DATA_TF, time, time, lane.back, f"{length} bytes", {"length": length})

    def _take_pdu(self, lane: _Lane, body: bytes, time: int) -> None:
        """Take a whole PDU that is no P-DATA-TF.

        Raises
        ------
        PDUError
            If it cannot be decoded: nobody can tell whether the next one begins where this one ends.
        """
        pdu_type, back = lane.body_type, lane.back
        if len(body) > 4 and pdu_type > PDUType.A_ASSOCIATE_AC:
            text = f"{name_of(pdu_type)} has a length of {len(body)} bytes, not 4"
            self._wrong(time, text, _CLAUSES[pdu_type], back=back)
        try:
            pdu = decode_pdu(pdu_type, body)
        except PDUError as error:
            self._send(pdu_type, back, time)
            text = f"{len(body)} bytes, which cannot be decoded"
            self._say_pdu(pdu_type, lane.began, time, back, text, {}, status="failure")
            self._wrong(time, str(error), f"{_CLAUSES[pdu_type]}, Table 9-10, Evt19", back=back)
            return
        by_provider = isinstance(pdu, AAbort) and pdu.source != 0
        problem = self._ends.send(pdu_type, back=back, by_provider=by_provider)
        wrong: list[str] = []
        text, status = "", ""
        fields: dict[str, Any] = {}
        match pdu:
            case AAssociateRQ():
                self._offer = pdu
                text, fields = describe_offer(pdu, values=self._values)
                wrong = [detail for _, detail in pdu.tolerated]
            case AAssociateAC():
                agreement = agree(self._offer, pdu) if self._offer is not None else None
                self._dialogue.agreement = agreement
                text, fields = describe_answer(pdu, agreement, values=self._values)
                wrong = [detail for _, detail in pdu.tolerated] + list(agreement.faults if agreement else ())
                status = "success" if any(not result.result for result in pdu.context_results) else "warning"
            case AAssociateRJ():
                (text, fields), status = describe_refusal(pdu), "failure"
            case AAbort():
                text, status = describe_abort(pdu.source, pdu.reason), "failure"
                fields = {"source": int(pdu.source), "reason": int(pdu.reason)}
        fields["bytes"] = HEADER_LENGTH + len(body)
        self._say_pdu(pdu_type, lane.began, time, back, text, fields, status=status)
        if problem:
            self._wrong(time, problem, _TABLE, back=back)
        for what in wrong[:16]:
            self._wrong(time, what, _CLAUSES[pdu_type], back=back)

    def _send(self, pdu_type: PDUType, back: bool, time: int) -> None:
        problem = self._ends.send(pdu_type, back=back)
        if problem:
            self._wrong(time, problem, _TABLE, back=back)

    # --- telling ------------------------------------------------------------------------------------------------------

    def _say(self, **entry: Any) -> None:
        self._sink(Entry(stream=self.number, states=self._ends.states, **entry))

    def _say_pdu(
        self, pdu_type: PDUType, began: int, time: int, back: bool, text: str, fields: dict[str, Any], status: str = ""
    ) -> None:
        kind = _KINDS.get(pdu_type, Kind.ASSOCIATION)
        self._say(
            time=began,
            until=time,
            back=back,
            kind=kind,
            name=name_of(pdu_type),
            text=text,
            status=status,
            fields=fields,
        )

    def _note(self, time: int, name: str, text: str, *, back: bool | None = None, status: str = "warning") -> None:
        self._say(time=time, until=time, back=back, kind=Kind.NOTE, name=name, text=text, status=status)

    def _wrong(self, time: int, what: str, clause: str, *, back: bool) -> None:
        self._say(
            time=time,
            until=time,
            back=back,
            kind=Kind.VIOLATION,
            name="violation",
            text=f"{what} ({clause})",
            fields={"clause": clause},
        )
