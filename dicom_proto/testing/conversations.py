"""Conversations: the PDUs that one side sends, one after the other; valid, or with one rule broken.

May change. What a requestor says on one connection is a tuple of PDUs, bytes each. A rule about their order, or about
what was negotiated, is a :class:`Disorder`; rules about a PDU alone are in :mod:`dicom_proto.testing.faults`.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import Final, TypeAlias

from attrs import frozen

from dicom_proto.dimse.messages import CEchoRQ, CFindRQ, CStoreRQ, Message, encode_message
from dicom_proto.testing.faults import faults_for
from dicom_proto.testing.mutators import mutate_bytes, mutate_list, mutate_pdu
from dicom_proto.testing.samples import CT, FIND, FULL_OFFER, PDUS, PLAIN_OFFER, VERIFICATION
from dicom_proto.upper_layer.pdu import PDV, PDataTF, encode_pdu

__all__ = ["DISORDERS", "ECHO", "SEEDS", "Conversation", "Disorder", "disturb", "message", "mutate_conversation"]

Conversation: TypeAlias = tuple[bytes, ...]
_RELEASE: Final = PDUS["release-rq"]
_INSTANCE: Final = "1.2.3.4"


def message(context_id: int, command: Message, data: bytes = b"") -> Conversation:
    """Return the P-DATA-TF PDUs of a message: its command set, and its data set if there is one."""
    pdvs = [PDV(context_id, command=True, last=True, data=encode_message(command, has_data_set=bool(data)))]
    if data:
        pdvs.append(PDV(context_id, command=False, last=True, data=data))
    return tuple(encode_pdu(PDataTF((pdv,))) for pdv in pdvs)


_OBJECT: Final = b"".join(
    tag + len(value).to_bytes(4, "little") + value
    for tag, value in ((b"\x08\0\x16\0", CT.encode() + b"\0"), (b"\x08\0\x18\0", _INSTANCE.encode() + b"\0"))
)
_QUERY: Final = b"\x08\0\x52\0" + (6).to_bytes(4, "little") + b"STUDY " + b"\x20\0\x0d\0" + bytes(4)
_ECHO_RQ: Final = message(1, CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION))
_STORE_RQ: Final = message(
    3, CStoreRQ(message_id=2, affected_sop_class_uid=CT, affected_sop_instance_uid=_INSTANCE, priority=0), _OBJECT
)
_FIND_RQ: Final = message(5, CFindRQ(message_id=3, affected_sop_class_uid=FIND, priority=0), _QUERY)
_PLAIN: Final = encode_pdu(PLAIN_OFFER)
_FULL: Final = encode_pdu(FULL_OFFER)

ECHO: Final[Conversation] = (_PLAIN, *_ECHO_RQ, _RELEASE)
"""A C-ECHO, from the A-ASSOCIATE-RQ to the A-RELEASE-RQ."""

SEEDS: Final[tuple[Conversation, ...]] = (
    ECHO,
    (_PLAIN, _RELEASE),
    (_PLAIN, PDUS["abort-user"]),
    (_FULL, *_ECHO_RQ, *_STORE_RQ, _RELEASE),
    (_FULL, *_FIND_RQ, *_ECHO_RQ, _RELEASE),
    (_FULL, PDUS["p-data-command-begun"], PDUS["p-data-command-ended"], PDUS["abort-provider"]),
    (PDUS["associate-ac"],),
    (PDUS["release-rq"],),
    (PDUS["abort-user"],),
)
"""Conversations to start from; all but the last three are valid."""


@frozen
class Disorder:
    """A rule that a conversation can break although each of its PDUs is valid.

    Attributes
    ----------
    label : str
        Its name.
    clause : str
        Where the standard has the rule.
    rule : str
        What it says.
    """

    label: str
    clause: str
    rule: str
    _apply: Callable[[Conversation], Iterable[bytes]]

    def apply(self, conversation: Conversation) -> Conversation:
        """Return a valid conversation, which begins with an A-ASSOCIATE-RQ, with this rule broken."""
        return tuple(self._apply(conversation))


_UNKNOWN_CONTEXT: Final = message(201, CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION))
_EARLY_DATA: Final = encode_pdu(PDataTF((PDV(1, command=False, last=True, data=bytes(8)),)))

DISORDERS: Final[tuple[Disorder, ...]] = (
    Disorder("no-associate", "PS3.8 9.2.3, AA-1", "an A-ASSOCIATE-RQ comes first", lambda pdus: pdus[1:]),
    Disorder("two-associates", "PS3.8 9.2.3, AA-8", "it comes once", lambda pdus: (pdus[0], *pdus)),
    Disorder(
        "answer-to-nothing", "PS3.8 9.2.3, AA-8", "an A-ASSOCIATE-AC answers an A-ASSOCIATE-RQ",
        lambda pdus: (pdus[0], PDUS["associate-ac"], *pdus[1:]),
    ),
    Disorder(
        "release-of-nothing", "PS3.8 9.2.3, AA-8", "an A-RELEASE-RP answers an A-RELEASE-RQ",
        lambda pdus: (pdus[0], PDUS["release-rp"], *pdus[1:]),
    ),
    Disorder(
        "data-after-release", "PS3.8 9.2.3, Sta8", "who has asked for a release sends no data",
        lambda pdus: (pdus[0], _RELEASE, *_ECHO_RQ),
    ),
    Disorder(
        "unknown-context", "PS3.8 9.3.5.1", "a PDV is of an accepted presentation context",
        lambda pdus: (pdus[0], *_UNKNOWN_CONTEXT, *pdus[1:]),
    ),
    Disorder(
        "data-set-first", "PS3.7 6.3, PS3.8 E.2", "a message begins with its command",
        lambda pdus: (pdus[0], _EARLY_DATA, *pdus[1:]),
    ),
    Disorder(
        "release-in-message", "PS3.8 7.2, PS3.7 6.3", "a message is whole before the release",
        lambda pdus: (pdus[0], PDUS["p-data-command-begun"], _RELEASE),
    ),
)  # fmt: skip
"""The rules, each with what breaks it."""


def disturb(conversation: Conversation, random: Random) -> tuple[str, str, Conversation]:
    """Break one rule in a valid conversation; return its label and clause, and what came of it."""
    if random.randrange(3) == 0:
        disorder = random.choice(DISORDERS)
        return disorder.label, disorder.clause, disorder.apply(conversation)
    at = random.randrange(len(conversation))
    fault = random.choice(faults_for(conversation[at]))
    changed = fault.apply(conversation[at], random)
    return fault.label, fault.clause, (*conversation[:at], changed, *conversation[at + 1 :])


def mutate_conversation(conversation: Conversation, random: Random) -> Conversation:
    """Change one PDU, or the number and order of PDUs; not empty, and no longer than 64 PDUs."""
    pdus = tuple(PDUS.values())

    def change(pdu: bytes) -> bytes:
        faults = faults_for(pdu) if len(pdu) >= 10 else ()
        match random.randrange(4):
            case 0 if faults:
                return random.choice(faults).apply(pdu, random)
            case 1:
                return mutate_bytes(pdu, random)
            case _:
                return mutate_pdu(pdu, random)

    changed = mutate_list(conversation, random, change, lambda: random.choice(pdus))
    return tuple(pdu for pdu in changed if pdu)[:64] or (random.choice(pdus),)
