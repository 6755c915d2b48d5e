"""Associations as users see them, both ends in a network in memory, turn by turn."""

from collections.abc import Iterable
from typing import Any

from dicom_proto.application.association import EntityAssociation, Reception
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.event import Event
from dicom_proto.testing.network import MemoryAssociation, Network
from dicom_proto.upper_layer.pdu import AAssociateRQ
from tests.proto.programs.script import CT, IMPLICIT, STUDY_FIND, VERIFICATION

HERE, THERE = ("127.0.0.1", 11112), ("127.0.0.1", 104)
LIFE = (
    *(evt.EVT_CONN_OPEN, evt.EVT_REQUESTED, evt.EVT_ACCEPTED, evt.EVT_ESTABLISHED),
    *(evt.EVT_REJECTED, evt.EVT_ABORTED, evt.EVT_RELEASED, evt.EVT_CONN_CLOSE),
)
"""What an association tells of its life."""

Bindings = Iterable[Any]


class Diary:
    """What handlers were told, in order: the names of the events without ``EVT_``."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.events: list[Event] = []

    def write(self, event: Event) -> None:
        self.names.append(event.name.removeprefix("EVT_"))
        self.events.append(event)

    def bindings(self, *kinds: evt.EventKind) -> list[Any]:
        return [(kind, self.write) for kind in kinds or LIFE]


def entity(title: str = "HERE", *abstract_syntaxes: str) -> ApplicationEntity:
    """An application entity that requests and supports some abstract syntaxes, in both roles."""
    made = ApplicationEntity(title)
    for uid in abstract_syntaxes or (VERIFICATION, CT, STUDY_FIND):
        made.add_requested_context(uid, IMPLICIT)
        made.add_supported_context(uid, IMPLICIT, scu_role=True, scp_role=True)
    return made


class Couple:
    """A requestor and an acceptor, the connection open and nothing said; what is bound is bound at one end.

    Parameters
    ----------
    here, there : iterable of bindings
        Of the requestor and of the acceptor.
    offer : AAssociateRQ, optional
        What is requested.
    reception : Policy, AAssociateRJ or callable, optional
        How the acceptor receives it.
    """

    def __init__(
        self,
        *,
        here: Bindings = (),
        there: Bindings = (),
        offer: AAssociateRQ | None = None,
        reception: Reception | None = None,
    ) -> None:
        self.network = Network()
        self.diaries = Diary(), Diary()
        self.scu = MemoryAssociation(self.network, entity(), [*self.diaries[0].bindings(), *here])
        self.scp = MemoryAssociation(
            self.network,
            entity("THERE"),
            [*self.diaries[1].bindings(), *there],
            reception or entity("THERE").policy(),
        )
        self.scu.peer.connection.request(offer or entity().offer("THERE"))
        self.network.associations += [self.scu, self.scp]
        self.scu.local_address = self.scp.peer_address = HERE
        self.scp.local_address = self.scu.peer_address = THERE
        self.scu.open(self.scp)
        self.scp.open(self.scu)

    def establish(self) -> "Couple":
        """Let the requestor wait for its answer."""
        self.scu.run(self.scu.establish())
        return self

    def settle(self) -> "Couple":
        self.network.settle()
        return self

    def wait(self) -> "Couple":
        """Let time pass until nothing is left to happen."""
        self.network.settle()
        while self.network.pass_time():
            self.network.settle()
        return self

    @property
    def told(self) -> tuple[list[str], list[str]]:
        """What the handlers of the requestor and of the acceptor were told."""
        return self.diaries[0].names, self.diaries[1].names


def arrive(association: MemoryAssociation, data: bytes) -> None:
    """Let bytes arrive that the other end has not said."""
    association.on_the_way.append((association.network.now, data))


def fate(life: EntityAssociation) -> set[str]:
    """What has become of an association."""
    words = ("is_released", "is_aborted", "is_rejected", "is_over", "is_established")
    return {word.removeprefix("is_") for word in words if getattr(life, word)}
