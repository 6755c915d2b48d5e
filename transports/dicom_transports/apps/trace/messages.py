"""The DIMSE messages of one association, as they pass in both directions (PS3.7).

May change.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

from attrs import define, field, frozen

from dicom_proto.dimse.codec import decode_odd_message
from dicom_proto.dimse.incoming import Assembler, Handling
from dicom_proto.dimse.messages import CCancelRQ, Message, Request, Response, decode_message
from dicom_proto.errors import CommandSetError, LimitExceededError, LocalProtocolError, PDUError
from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE
from dicom_proto.sop_class import service_class_of, uid_to_sop_class
from dicom_proto.status import Category, code_to_category, describe
from dicom_proto.upper_layer.events import FragmentReceived
from dicom_proto.upper_layer.negotiation import AcceptedContext, Agreement
from dicom_transports.apps.trace.datasets import Summary
from dicom_transports.apps.trace.entries import Kind

__all__ = ["Dialogue", "Say", "uid_name"]

_MOST_OUTSTANDING: Final = 256
_LONGEST_VALUE: Final = 256  # characters
_MESSAGE_TABLES: Final = "PS3.7 9.3, 10.3"
_NO_CONTEXTS: Final[dict[int, AcceptedContext]] = {}

Say = Callable[..., None]
"""Takes what goes into an entry by name."""


def uid_name(uid: str) -> str:
    """Return the name of a UID, or the UID itself."""
    return uid_to_sop_class(uid).name


@frozen
class _Operation:
    name: str
    sop_class: str
    time: int


@define
class _Way:
    """One direction: the message that is under way in it."""

    back: bool
    assembler: Assembler = field(factory=lambda: Assembler(DEFAULT_LIMITS))
    summary: Summary | None = None
    title: str = ""  # what the data set belongs to
    began: int | None = None
    pdus: int = 0
    outstanding: dict[int, _Operation] = field(factory=dict)  # what this end has invoked

    def start_again(self) -> None:
        """Forget the message that is under way."""
        self.assembler = Assembler(DEFAULT_LIMITS)
        self.summary = None
        self.began = None


class Dialogue:
    """Reads fragments as messages.

    Parameters
    ----------
    say : callable
        Takes what there is to tell.
    values : bool
        Whether the values of data sets may be told.
    is_whole : bool
        Whether the capture has the association from its beginning.

    Attributes
    ----------
    agreement : Agreement or None
        What was negotiated, once it is known.
    """

    def __init__(self, say: Say, *, values: bool, is_whole: bool) -> None:
        self._say = say
        self._values = values
        self._is_whole = is_whole
        self._ways = (_Way(False), _Way(True))
        self.agreement: Agreement | None = None

    def begin_pdu(self, *, back: bool) -> None:
        """Note that a P-DATA-TF begins."""
        self._ways[back].pdus += 1

    def miss(self, length: int, *, back: bool) -> None:
        """Note that so many bytes of the fragment are not in the capture, and zeros will stand for them."""
        summary = self._ways[back].summary
        if summary is not None:
            summary.miss(length)

    def lose(self, *, back: bool) -> None:
        """Forget the message that is under way."""
        self._ways[back].start_again()

    def take(self, fragment: FragmentReceived, time: int, *, back: bool) -> None:
        """Take a piece of a fragment."""
        way = self._ways[back]
        if way.began is None:
            way.began = time
        try:
            if fragment.command:
                command = way.assembler.take_command(fragment)
                if command is not None:
                    self._take_command(way, fragment.context_id, bytes(command), time)
                return
            chunk = way.assembler.take_data(fragment)
        except (PDUError, LimitExceededError) as error:
            if self._is_whole or way.summary is not None or fragment.command:
                self._wrong(way, time, str(error), "PS3.8 Annex E")
            way.start_again()
            return
        if chunk is not None and way.summary is not None:
            way.summary.add(chunk.data)
            if chunk.last:
                self._end_data_set(way, way.summary, time)

    # --- commands -----------------------------------------------------------------------------------------------------

    def _take_command(self, way: _Way, context_id: int, command: bytes, time: int) -> None:
        context = self._context(context_id)
        began = time if way.began is None else way.began
        try:
            message, has_data_set = decode_message(command)
        except CommandSetError as error:
            try:
                abstract_syntax = context.abstract_syntax if context else ""
                odd = decode_odd_message(command, error, DEFAULT_TOLERANCE, abstract_syntax)
            except CommandSetError:
                self._wrong(way, time, str(error), "PS3.7 6.3, E.1")
                way.start_again()
                return
            message, has_data_set = odd.message, odd.has_data_set
            for _, habit in odd.habits:
                self._wrong(way, time, habit, "PS3.7 6.3, E.1")
        if context is None and self.agreement is not None:
            what = f"presentation context {context_id} has not been accepted"
            self._wrong(way, time, what, "PS3.8 9.3.5.1, 7.1.1.13")
        text, status = self._describe(way, message, context, time)
        self._say(
            time=began,
            until=time,
            back=way.back,
            kind=Kind.MESSAGE,
            name=message.name,
            text=text,
            status=status,
            fields=self._fields(message, context_id, context, has_data_set=has_data_set),
        )
        self._judge(way, message, context, time, has_data_set=has_data_set)
        way.began = None
        way.pdus = 0
        if has_data_set:
            way.title = message.name
            way.summary = Summary(context.transfer_syntax if context else None)
            way.assembler.expect_data(context_id, 0, invoked=False, handling=Handling.STREAM)

    def _context(self, context_id: int) -> AcceptedContext | None:
        contexts = self.agreement.contexts if self.agreement else _NO_CONTEXTS
        return contexts.get(context_id)

    def _describe(self, way: _Way, message: Message, context: AcceptedContext | None, time: int) -> tuple[str, str]:
        """Return a message in one line, and the category of its status."""
        if isinstance(message, Response):
            operation = self._ways[not way.back].outstanding.get(message.message_id_being_responded_to)
            service = service_class_of(operation.sop_class) if operation else None
            words = [
                f"to message {message.message_id_being_responded_to}",
                describe(message.status, service, message.name.removesuffix("-RSP")),
            ]
            words += _counters(message)
            if operation:
                words.append(f"{(time - operation.time) / 1e6:.3f} ms after its request")
            return ", ".join(words), _category(message.status)
        if isinstance(message, CCancelRQ):
            return f"of message {message.message_id_being_responded_to}", Category.CANCEL.value.lower()
        words = [f"message {getattr(message, 'message_id', None)}", uid_name(_sop_class(message))]
        instance = getattr(message, "affected_sop_instance_uid", getattr(message, "requested_sop_instance_uid", None))
        destination = getattr(message, "move_destination", None)
        if instance:
            words.append(f"instance {instance}")
        if destination:
            words.append(f"to {destination}")
        if context:
            words.append(f"{uid_name(context.transfer_syntax)}")
        return ", ".join(word for word in words if word), ""

    def _fields(
        self, message: Message, context_id: int, context: AcceptedContext | None, *, has_data_set: bool
    ) -> dict[str, Any]:
        found: dict[str, Any] = {"presentation context": context_id}
        if context:
            found["abstract syntax"] = f"{context.abstract_syntax} {uid_name(context.abstract_syntax)}"
            found["transfer syntax"] = f"{context.transfer_syntax} {uid_name(context.transfer_syntax)}"
        for name in (element.attribute for element in message.elements):
            value = getattr(message, name)
            if value is not None:
                found[name.replace("_", " ")] = self._show(name, value)
        found["data set"] = "follows" if has_data_set else "none"
        return found

    def _show(self, name: str, value: Any) -> Any:
        if name == "error_comment" and not self._values:
            return f"hidden: {len(str(value))} characters"
        if name == "status":
            return f"{value:04X}H"
        if name.endswith("sop_class_uid"):
            name = uid_name(value)
            return value[:_LONGEST_VALUE] if name == value else f"{value} {name}"
        if isinstance(value, IntEnum):
            return f"{value.value} {value.name.lower()}"
        if isinstance(value, tuple | list):
            return [f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in list(value)[:64]]
        return value[:_LONGEST_VALUE] if isinstance(value, str) else value

    def _judge(
        self, way: _Way, message: Message, context: AcceptedContext | None, time: int, *, has_data_set: bool
    ) -> None:
        """Hold a message against the rules, and note which operations are outstanding now."""
        try:
            message.check(has_data_set=has_data_set)
        except LocalProtocolError as error:
            self._wrong(way, time, str(error), _MESSAGE_TABLES)
        if isinstance(message, Request):
            self._invoke(way, message, context, time)
        elif isinstance(message, Response):
            invoked = self._ways[not way.back].outstanding
            message_id = message.message_id_being_responded_to
            if message_id not in invoked:
                if self._is_whole:
                    what = f"{message.name} to message {message_id}, which is not outstanding"
                    self._wrong(way, time, what, _MESSAGE_TABLES)
            elif code_to_category(message.status) != Category.PENDING:
                del invoked[message_id]

    def _invoke(self, way: _Way, message: Request, context: AcceptedContext | None, time: int) -> None:
        message_id = message.message_id or 0
        if message_id in way.outstanding:
            what = f"{message.name} with message ID {message_id}, which is outstanding already"
            self._wrong(way, time, what, "PS3.7 E.1")
        way.outstanding[message_id] = _Operation(message.name, _sop_class(message), time)
        if len(way.outstanding) > _MOST_OUTSTANDING:
            del way.outstanding[next(iter(way.outstanding))]
        if self.agreement is None or context is None:
            return
        window = self.agreement.acceptor_window if way.back else self.agreement.requestor_window
        if window and len(way.outstanding) > window:
            what = f"{len(way.outstanding)} operations are outstanding, the window is {window}"
            self._wrong(way, time, what, "PS3.7 D.3.3.3")
        is_scu = context.acceptor_is_scu if way.back else context.requestor_is_scu
        is_scp = context.acceptor_is_scp if way.back else context.requestor_is_scp
        role, has_role = ("SCP", is_scp) if message.name == "N-EVENT-REPORT-RQ" else ("SCU", is_scu)
        if not has_role:
            what = f"{message.name} from an end that is not the {role} of its presentation context"
            self._wrong(way, time, what, "PS3.7 D.3.3.4")

    def _wrong(self, way: _Way, time: int, what: str, clause: str) -> None:
        self._say(
            time=time,
            until=time,
            back=way.back,
            kind=Kind.VIOLATION,
            name="violation",
            text=f"{what} ({clause})",
            fields={"clause": clause},
        )

    # --- data sets ----------------------------------------------------------------------------------------------------

    def _end_data_set(self, way: _Way, summary: Summary, time: int) -> None:
        elements, why = summary.elements(values=self._values)
        words = [f"{summary.length} bytes", f"{way.pdus or 1} P-DATA-TF", f"{len(elements)} elements"]
        if summary.missing:
            words.append(f"{summary.missing} bytes of it are not in the capture")
        if why:
            words.append(why)
        self._say(
            time=time if way.began is None else way.began,
            until=time,
            back=way.back,
            kind=Kind.DATA_SET,
            name="data set",
            text=f"of {way.title}: {', '.join(words)}",
            fields={"bytes": summary.length, "P-DATA-TF": way.pdus or 1, "elements": elements},
        )
        way.summary = None
        way.began = None
        way.pdus = 0


def _sop_class(message: Message) -> str:
    found = getattr(message, "affected_sop_class_uid", None) or getattr(message, "requested_sop_class_uid", None)
    return found or ""


def _category(status: int) -> str:
    return code_to_category(status).value.lower()


def _counters(message: Response) -> list[str]:
    """Spell the counters of sub-operations of a C-GET or C-MOVE response."""
    return [
        f"{count} {word}"
        for word in ("remaining", "completed", "failed", "warning")
        if (count := getattr(message, f"number_of_{word}_suboperations", None)) is not None
    ]
