"""``pynetdicom.association``: the association, and its two sides."""

from dicom_proto.application.service_user import ServiceUser
from dicom_proto.errors import NoContextError
from dicom_proto.offers.contexts import PresentationContext
from dicom_transports import blocking

__all__ = ["Association", "ServiceUser"]


class Association(blocking.Association):
    """An association as pynetdicom has it."""

    @property
    def connection_timeout(self) -> float | None:
        """That of its AE."""
        return self.entity.connection_timeout

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
