"""Which transfer syntaxes storescu proposes for what is uncompressed, where the user says so."""

from collections.abc import Iterable
from typing import Any, Final

from dicom_proto.offers.contexts import PresentationContext
from dicom_proto.sop_class import DEFAULT_TRANSFER_SYNTAXES

__all__ = ["proposing", "restricted"]

_UNCOMPRESSED: Final = frozenset(map(str, DEFAULT_TRANSFER_SYNTAXES))


def proposing(entity_class: type[Any], syntaxes: list[str]) -> type[Any]:
    """Return a class of application entities that propose these transfer syntaxes for what is uncompressed.

    Parameters
    ----------
    entity_class : type
        The ``AE`` of an adapter.
    syntaxes : list of str
        Uncompressed ones, the preferred first; none if each object decides.
    """
    if not syntaxes:
        return entity_class

    class Proposing(entity_class):  # type: ignore[misc]
        def offer(self, called_ae_title: Any, contexts: Any = None, **options: Any) -> Any:
            return super().offer(called_ae_title, restricted(contexts, syntaxes), **options)

    return Proposing


def restricted(contexts: Iterable[PresentationContext], syntaxes: list[str]) -> list[PresentationContext]:
    """Return contexts with other transfer syntaxes where they have uncompressed ones: one for each SOP class.

    Those for compressed objects, which stay as they are, are left alone.
    """
    made: dict[tuple[str, ...], PresentationContext] = {}
    for context in contexts:
        own = tuple(map(str, context.transfer_syntax))
        chosen = tuple(syntaxes) if _UNCOMPRESSED.issuperset(own) else own
        made.setdefault(
            (str(context.abstract_syntax), *chosen), PresentationContext(context.abstract_syntax, list(chosen))
        )
    return list(made.values())
