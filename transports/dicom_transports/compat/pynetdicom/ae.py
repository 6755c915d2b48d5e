"""``pynetdicom.ae``: the application entity, with pynetdicom's defaults and what its flags say when it is made."""

from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from dicom_proto.errors import InvalidSettingError
from dicom_proto.handlers.registry import Bindable, Handlers
from dicom_proto.offers.contexts import PresentationContext
from dicom_transports import blocking
from dicom_transports.compat.pynetdicom import _config
from dicom_transports.compat.pynetdicom._bound import BoundHandlers
from dicom_transports.compat.pynetdicom._globals import DEFAULT_MAX_LENGTH
from dicom_transports.compat.pynetdicom._pynetdicom1 import bound_callbacks
from dicom_transports.compat.pynetdicom._settings import TAKEN, TIMEOUTS, as_title
from dicom_transports.compat.pynetdicom.association import Association

__all__ = ["AE", "ApplicationEntity"]


class ApplicationEntity(blocking.AE):
    """An application entity as pynetdicom has it; with what pynetdicom 1 had besides."""

    association_class = Association
    bind_addr = ""

    def __init__(
        self,
        ae_title: str = "PYNETDICOM",
        port: int = 0,
        scu_sop_class: Iterable[str] = (),
        scp_sop_class: Iterable[str] = (),
    ) -> None:
        self._requested_associations: WeakSet[blocking.Association] = WeakSet()
        super().__init__(as_title(ae_title))
        self.port = port
        for uid in scu_sop_class:
            self.add_requested_context(uid)
        for uid in scp_sop_class:
            self.add_supported_context(uid)
        self.maximum_pdu_size = DEFAULT_MAX_LENGTH
        self.unrestricted_storage = _config.UNRESTRICTED_STORAGE_SERVICE
        self._stores_files = _config.STORE_RECV_CHUNKED_DATASET

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

    def start(self) -> None:
        """Listen on its port, as in pynetdicom 1, until it is interrupted or stopped."""
        self.start_server((self.bind_addr, self.port))

    def stop(self) -> None:
        """End what :meth:`start` does."""
        self.shutdown()

    quit = stop

    def shutdown(self, finish_within: float | None = None) -> None:
        """Abort what it has requested as well."""
        for association in self.active_associations:
            association.abort()
        super().shutdown(finish_within)

    def handlers(self, bound: Iterable[Bindable] | None) -> Handlers:
        """See :meth:`dicom_transports.blocking.AE.handlers`."""
        stated = list(bound or ())
        callbacks = bound_callbacks(self, [kind for kind, *_ in stated])
        return BoundHandlers([*callbacks, *stated], allow_async=False, stores_files=self._stores_files)

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
