"""``pynetdicom.ae``: the application entity, with pynetdicom's defaults and what its flags say when it is made."""

import tempfile
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any
from weakref import WeakSet

from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_proto.errors import InvalidSettingError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.registry import Bindable, Handlers
from dicom_proto.offers.contexts import PresentationContext
from dicom_proto.services.storage.chunks import chunked
from dicom_transports import blocking
from dicom_transports.compat.pynetdicom import _config
from dicom_transports.compat.pynetdicom._globals import DEFAULT_MAX_LENGTH
from dicom_transports.compat.pynetdicom._settings import TAKEN, TIMEOUTS, as_title
from dicom_transports.compat.pynetdicom.association import Association
from dicom_transports.compat.pynetdicom.events import EVT_C_STORE

__all__ = ["AE", "ApplicationEntity"]


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


def _into_a_file(handler: Callable[..., Any]) -> Callable[..., Any]:
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


class ApplicationEntity(blocking.AE):
    """An application entity as pynetdicom has it."""

    association_class = Association

    def __init__(self, ae_title: str = "PYNETDICOM") -> None:
        self._requested_associations: WeakSet[blocking.Association] = WeakSet()
        super().__init__(as_title(ae_title))
        self.maximum_pdu_size = DEFAULT_MAX_LENGTH
        self.unrestricted_storage = _config.UNRESTRICTED_STORAGE_SERVICE
        self._stores_chunks = _config.STORE_RECV_CHUNKED_DATASET

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, TAKEN[name](value) if name in TAKEN else value)
        if name in TIMEOUTS:
            for association in self.active_associations:
                setattr(association, name, value)

    @property
    def active_associations(self) -> list[Any]:
        """The associations that are established now, those that it has requested among them."""
        requested = [association for association in self._requested_associations if association.is_established]
        return [*super().active_associations, *requested]

    def dial(self, *arguments: Any, **options: Any) -> Any:
        """See :meth:`dicom_transports.blocking.AE.dial`."""
        association = super().dial(*arguments, **options)
        self._requested_associations.add(association)
        return association

    def associate(
        self, addr: str, port: int, contexts: Any = None, ae_title: str = "ANY-SCP", *args: Any, **kw: Any
    ) -> Any:
        """See :meth:`dicom_transports.blocking.AE.associate`."""
        return super().associate(addr, port, contexts, as_title(ae_title), *args, **kw)

    def shutdown(self, finish_within: float | None = None) -> None:
        """Abort what it has requested as well."""
        for association in self.active_associations:
            association.abort()
        super().shutdown(finish_within)

    def handlers(self, bound: Iterable[Bindable] | None) -> Handlers:
        """See :meth:`dicom_transports.blocking.AE.handlers`."""
        stated: list[Any] = list(bound or ())
        if self._stores_chunks:
            stated = [
                (kind, _into_a_file(handler) if kind is EVT_C_STORE else handler, *rest)
                for kind, handler, *rest in stated
            ]
        return super().handlers(stated)

    def make_server(
        self,
        address: tuple[str, int],
        ae_title: str | None = None,
        contexts: Iterable[PresentationContext] | None = None,
        *arguments: Any,
        server_class: object = None,  # noqa: ARG002 - there is one class of servers
        **options: Any,
    ) -> Any:
        """See :meth:`dicom_transports.blocking.AE.make_server`."""
        supported = self.supported_contexts if contexts is None else list(contexts)
        for context in supported:
            if (context.scu_role is None) is not (context.scp_role is None):
                raise InvalidSettingError(f"{context!r} has one role that is None, and one that is not")
        return super().make_server(
            address, ae_title, contexts if contexts is None else supported, *arguments, **options
        )


AE = ApplicationEntity
