"""Presentation contexts that somebody has written down together: complete, few enough, one for each abstract syntax.

May change.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import evolve

from dicom_proto.errors import InvalidSettingError
from dicom_proto.offers.contexts import PresentationContext, build_context

__all__ = ["add", "as_context", "complete", "contexts_of", "described", "merge", "proposable", "split", "without"]

_MOST_REQUESTED: Final = 128  # PS3.8 9.3.2.2: the context IDs are the odd numbers up to 255


def as_context(
    abstract_syntax: str | PresentationContext, transfer_syntax: str | Iterable[str] | None
) -> PresentationContext:
    """Return a context of its own: a copy of one that is given, or one that is made for an abstract syntax."""
    if isinstance(abstract_syntax, PresentationContext):
        return abstract_syntax.copy()
    return build_context(abstract_syntax, transfer_syntax)


def contexts_of(uids: Sequence[str], transfer_syntax: str | Iterable[str] | None) -> list[PresentationContext]:
    """Return a context for each abstract syntax, all with the same transfer syntaxes."""
    first = build_context(uids[0], transfer_syntax)
    return [evolve(first, abstract_syntax=uid) for uid in uids]


def split(contexts: Iterable[PresentationContext], most: int) -> Iterator[PresentationContext]:
    """Yield contexts that have no more than so many transfer syntaxes."""
    for context in contexts:
        syntaxes = context.transfer_syntax
        if len(syntaxes) <= most:
            yield context
            continue
        for start in range(0, len(syntaxes), most):
            yield evolve(context, transfer_syntax=syntaxes[start : start + most])


def complete(contexts: Iterable[PresentationContext]) -> Iterator[PresentationContext]:
    """Yield contexts that have been filled in."""
    for context in contexts:
        if not isinstance(context, PresentationContext):
            raise InvalidSettingError(f"{context!r} is not a presentation context: build_context() makes them")
        if not (context.abstract_syntax and context.transfer_syntax):
            raise InvalidSettingError(f"{context!r} lacks its abstract syntax, or has no transfer syntax")
        yield context


def proposable(contexts: Iterable[PresentationContext]) -> list[PresentationContext]:
    """Return contexts that can be proposed together.

    Raises
    ------
    InvalidSettingError
        If one is incomplete, or there are more than 128.
    """
    proposed = list(complete(contexts))
    if len(proposed) > _MOST_REQUESTED:
        raise InvalidSettingError(
            f"{len(proposed)} presentation contexts are requested, no more than 128 fit into an association"
        )
    return proposed


def merge(contexts: Iterable[PresentationContext]) -> dict[str, PresentationContext]:
    """Return contexts by abstract syntax, made one where there are several."""
    merged: dict[str, PresentationContext] = {}
    for context in contexts:
        add(merged, context)
    return merged


def add(supported: dict[str, PresentationContext], context: PresentationContext) -> None:
    """Support a context too: what was supported before stays so and is preferred, but the roles are the new ones."""
    if context.scu_role is False and context.scp_role is False:
        raise InvalidSettingError(f"{context!r} leaves the requestor no role")
    known = supported.get(context.abstract_syntax)
    if known is not None:
        context = evolve(context, transfer_syntax=[*known.transfer_syntax, *context.transfer_syntax])
    supported[context.abstract_syntax] = context


def without(
    contexts: Iterable[PresentationContext], abstract_syntax: str, transfer_syntax: str | Iterable[str] | None
) -> list[PresentationContext]:
    """Return contexts without those of an abstract syntax, or without some of its transfer syntaxes."""
    removed = {transfer_syntax} if isinstance(transfer_syntax, str) else set(transfer_syntax or ())
    kept = []
    for context in contexts:
        if context.abstract_syntax == abstract_syntax:
            if transfer_syntax is None:
                continue
            context.transfer_syntax = [uid for uid in context.transfer_syntax if uid not in removed]
        if context.transfer_syntax:
            kept.append(context)
    return kept


def described(kind: str, contexts: Iterable[PresentationContext]) -> Iterator[str]:
    """Yield lines that say in words which contexts there are."""
    yield f"  {kind} presentation contexts:"
    for context in contexts:
        yield f"    {context.abstract_syntax.name}: {', '.join(uid.name for uid in context.transfer_syntax)}"
