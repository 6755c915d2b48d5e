"""How other application entities are told something: on an association that they have, or on one of our own.

May change.
"""

from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from attrs import frozen

from dicom_proto.offers.contexts import build_context
from dicom_proto.programs.effects import Program
from dicom_proto.programs.invoking import Reply
from dicom_proto.status import Category
from dicom_transports._archive.destinations import Destination
from dicom_transports._archive.workflow.outbox import NotTakenError

__all__ = ["Associate", "Tell", "Telling", "run_on"]

Associate: TypeAlias = Callable[..., Any]
"""``AE.associate`` of the blocking adapter: the outbox has a thread of its own."""

Tell: TypeAlias = Callable[[Any], Program[Reply]]
"""Makes a program of the peer that is to be told."""


def run_on(association: Any, program: Tell) -> None:
    """Tell the peer of an association that is there, of whichever adapter, from a thread.

    Raises
    ------
    NotTakenError
        If the answer is a failure.
    AssociationFailure, NotEstablishedError
        If there is no answer.
    LocalProtocolError
        If no context was accepted for that.
    """
    if iscoroutinefunction(association.run):
        reply = association.wait_for(lambda: association.run(program(association.peer)))
    else:
        reply = association.run(program(association.peer))
    if reply.category not in (Category.SUCCESS, Category.WARNING):
        raise NotTakenError(f"the answer was {reply.response.status:04X}H")


@frozen
class Telling:
    """Who is told something on an association of our own.

    Parameters
    ----------
    ae_title : str
        The AE title of the archive: where instances can be retrieved from.
    associate : Associate
        Requests associations.
    destinations : callable
        Returns what is known of application entities, by AE title.
    """

    ae_title: str
    associate: Associate
    destinations: Callable[[], Mapping[str, Destination]]

    def tell(self, receiver: str, sop_class_uid: str, program: Tell, *, items: tuple[Any, ...] = ()) -> None:
        """Request an association with a receiver, and tell it something.

        Raises
        ------
        NotTakenError
            If there is no destination of that title, or the answer is a failure.
        AssociationFailure, LocalProtocolError, OSError
            As :func:`run_on`, or if there is no association.
        """
        destination = self.destinations().get(receiver)
        if destination is None:
            raise NotTakenError(f"there is no destination {receiver!r} whose address is known")
        options = {"ae_title": destination.ae_title or receiver, "ext_neg": list(items), **destination.transport()}
        contexts = [build_context(sop_class_uid)]
        with self.associate(destination.host, destination.port, contexts=contexts, **options) as association:
            run_on(association, program)
