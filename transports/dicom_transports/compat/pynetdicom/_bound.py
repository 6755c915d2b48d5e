"""What a program has bound, called as pynetdicom calls it."""

import tempfile
from collections.abc import Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

from attrs import evolve
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_C_GET, EVT_C_MOVE, EVT_C_STORE, EventKind
from dicom_proto.handlers.registry import Bindable, Binding, Handler, Handlers
from dicom_proto.services.storage.chunks import chunked

__all__ = ["BoundHandlers"]


class _InAFile(RequestEvent):
    """A request whose data set lies in a file while its handler runs."""

    dataset_path: Path

    @property
    def dataset(self) -> Dataset:
        """What is in the file."""
        dataset = dcmread(self.dataset_path)
        dataset.walk(lambda *_: None)  # read all of it while it is there
        return dataset

    def encoded_dataset(self, include_meta: bool = True) -> bytes:
        """Return the file, or what lies in it behind its head."""
        return self.dataset_path.read_bytes()[0 if include_meta else len(self.file_head()) :]


def _into_a_file(handler: Handler) -> Handler:
    """Let a handler of EVT_C_STORE find the data set in a file, at ``event.dataset_path``, until it returns."""

    @wraps(handler)
    def store(event: Any, *arguments: Any) -> Any:
        with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
            file.write(event.file_head())
            for piece in event.chunks():
                file.write(piece)
            file.flush()
            event.__class__ = _InAFile
            event.dataset_path = Path(file.name)
            return handler(event, *arguments)

    return chunked(store)


def _with_an_end(handler: Handler) -> Handler:
    """Let a handler of EVT_C_GET or EVT_C_MOVE that yields less than it has announced say that this was all.

    The programs of pynetdicom's documentation announce how many instances there are, and yield those that match.
    """

    @wraps(handler)
    def retrieve(event: Any, *arguments: Any) -> Iterator[Any]:
        return _ended(handler(event, *arguments))

    return retrieve


def _ended(items: Iterable[Any]) -> Iterator[Any]:
    to_come: int | None = None
    for item in items:
        to_come = to_come - 1 if to_come is not None else item if isinstance(item, int) else None
        yield item
    if to_come:
        yield 0x0000, None


class BoundHandlers(Handlers):
    """The registry of handlers of an AE.

    Parameters
    ----------
    stores_files : bool
        Whether a handler of EVT_C_STORE finds the data set in a file.
    """

    def __init__(
        self, bindings: Iterable[Bindable] | None = None, *, allow_async: bool = False, stores_files: bool = False
    ) -> None:
        super().__init__(bindings, allow_async=allow_async)
        self._made = {EVT_C_GET: _with_an_end, EVT_C_MOVE: _with_an_end}
        if stores_files:
            self._made[EVT_C_STORE] = _into_a_file

    def binding(self, kind: EventKind) -> Binding | None:
        """Return what is called for an intervention event; what was bound is :meth:`stated` as it is."""
        binding = super().binding(kind)
        if binding is None or binding.sink is not None or kind not in self._made:
            return binding
        return evolve(binding, handler=self._made[kind](binding.handler))
