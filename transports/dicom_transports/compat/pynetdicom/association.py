"""``pynetdicom.association``: the association, and its two sides."""

from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from dicom_proto.application.service_user import ServiceUser
from dicom_proto.errors import NoContextError
from dicom_proto.offers.contexts import PresentationContext
from dicom_transports import blocking
from dicom_transports.compat.pynetdicom._pynetdicom1 import query_model_of
from dicom_transports.compat.pynetdicom._settings import as_title

__all__ = ["Association", "ServiceUser"]


class Association(blocking.Association):
    """An association as pynetdicom has it."""

    @cached_property
    def name(self) -> str:
        """What its thread is called there; it may be set."""
        return f"{self.mode.capitalize()}Thread@{datetime.now(UTC):%Y%m%d%H%M%S}"

    @property
    def connection_timeout(self) -> float | None:
        """That of its AE."""
        return self.entity.connection_timeout

    def send_c_find(self, dataset: Any, query_model: str = "P", *arguments: Any, **options: Any) -> Any:
        """See :meth:`dicom_transports.blocking.Association.send_c_find`; the model may be a letter."""
        return super().send_c_find(dataset, query_model_of(query_model, "Find"), *arguments, **options)

    def send_c_get(self, dataset: Any, query_model: str = "P", *arguments: Any, **options: Any) -> Any:
        """See :meth:`dicom_transports.blocking.Association.send_c_get`; the model may be a letter."""
        return super().send_c_get(dataset, query_model_of(query_model, "Get"), *arguments, **options)

    def send_c_move(self, dataset: Any, move_aet: Any, query_model: str = "P", *arguments: Any, **options: Any) -> Any:
        """See :meth:`dicom_transports.blocking.Association.send_c_move`; the title may be bytes."""
        model = query_model_of(query_model, "Move")
        return super().send_c_move(dataset, as_title(move_aet), model, *arguments, **options)

    def _get_valid_context(
        self, ab_syntax: str, tr_syntax: str, role: str, context_id: int | None = None, *_: object
    ) -> PresentationContext:
        """Return an accepted context; private there as well, and called by pynetdicom's findscu."""
        for context in self.accepted_contexts:
            has_role = context.as_scu if role == "scu" else context.as_scp
            fits = context.abstract_syntax == ab_syntax and context_id in {None, context.context_id}
            if fits and has_role and tr_syntax in {"", *context.transfer_syntax}:
                return context
        raise NoContextError(f"no presentation context for {ab_syntax} was accepted")
