"""Programs that belong to no association, such as batches, driven by calling or by awaiting."""

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, assert_never

from dicom_proto.application.face import AssociationFace
from dicom_proto.programs.effects import Call, Dial, HangUp, Run
from dicom_proto.services.storage.batch import ErrandEffect, Pause, Shipment
from dicom_proto.services.storage.pipeline import Sent
from dicom_transports._tasks.steps import drive, drive_async
from dicom_transports.loops import OneByOne

if TYPE_CHECKING:
    from dicom_transports._tasks.entity import AsyncAE

__all__ = ["Deliveries", "deliver"]

AnyAssociation = AssociationFace[Any, Any, Any, Any, Any]


def deliver(shipment: Shipment, dial: Callable[..., AnyAssociation]) -> Iterator[Sent]:
    """Yield what becomes of a shipment."""
    try:
        while (sent := drive(shipment.next(), partial(_perform, dial), nullcontext())) is not None:
            yield sent
    finally:
        shipment.abandon()


def _perform(dial: Callable[..., AnyAssociation], effect: ErrandEffect) -> Any:
    match effect:
        case Call():
            return effect.function(*effect.arguments)
        case Dial():
            return _reached(dial(effect.address, effect.offer, **effect.options))
        case Run():
            return effect.peer.association.run(effect.program)
        case HangUp():
            return effect.peer.association.release()
        case Pause():
            return threading.Event().wait(effect.seconds)
        case _:
            assert_never(effect)


def _reached(association: AnyAssociation) -> Any:
    """Return the peer at the other end of an association, or raise why there is none."""
    if association.failure is not None:
        raise association.failure
    return association.peer


class Deliveries(OneByOne):
    """What becomes of a shipment, awaited one by one.

    It is no async generator: one that is left in the middle could be closed in another task only.
    """

    def __init__(self, shipment: Shipment, ae: "AsyncAE[Any]") -> None:
        self._shipment = shipment
        self._ae = ae

    async def __anext__(self) -> Sent:
        sent = await drive_async(self._shipment.next(), self._perform)
        if sent is None:
            raise StopAsyncIteration
        return sent

    def close(self) -> None:
        """Take no more interest in the results: the association is aborted."""
        self._shipment.abandon()

    async def _perform(self, effect: ErrandEffect) -> Any:
        match effect:
            case Call():
                result = effect.function(*effect.arguments)
                return await result if isawaitable(result) else result
            case Dial():
                loop = self._ae.loop()
                return _reached(await self._ae.dial_from(loop, effect.address, effect.offer, **effect.options))
            case Run():
                return await effect.peer.association.run(effect.program)
            case HangUp():
                return await effect.peer.association.release()
            case Pause():
                loop = self._ae.loop()
                return await loop.wait_until(loop.signal(), loop.now() + effect.seconds)
            case _:
                assert_never(effect)
