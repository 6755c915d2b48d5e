"""Service programs of the user's own, and the SOP classes that they are for: private ones, or any of PS3.4.

Stable.

An SCP program performs what the peer asks for on a presentation context of its SOP classes, instead of the program
that :mod:`dicom_proto.application.dispatch` has for the message. An SCU program is what a user runs on an association.
Both are generator functions that yield effects (:mod:`dicom_proto.programs.effects`), so that each of them runs over
every driver::

    @sop_classes("1.2.3.4")
    def my_scp(performing: Performing) -> Program[None]:
        data = yield from performing.receive_data()
        performing.respond(Answer(0x0000 if data else 0x0120))

    @sop_classes("1.2.3.4")
    def my_scu(peer: Peer, data: bytes) -> Program[Reply]:
        request = NActionRQ(requested_sop_class_uid="1.2.3.4", requested_sop_instance_uid="1.2.3.5", action_type_id=1)
        return (yield from invoke(peer, request, peer.context("1.2.3.4"), data))

They are bound with :meth:`~dicom_proto.application.entity.ApplicationEntity.add_scp` and
:meth:`~dicom_proto.application.entity.ApplicationEntity.add_scu`.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from dicom_proto.errors import LocalProtocolError
from dicom_proto.names import check_uid
from dicom_proto.programs.effects import Program
from dicom_proto.programs.peer import Entity
from dicom_proto.programs.performing import Performing

__all__ = ["ScpProgram", "ScuProgram", "check_scp", "scu_for", "sop_classes", "sop_classes_of"]

ScpProgram: TypeAlias = Callable[[Performing], Program[None]]
"""What performs an operation that the peer asks for, to its final response."""

ScuProgram: TypeAlias = Callable[..., Program[Any]]
"""What asks a :class:`~dicom_proto.programs.peer.Peer`, its first argument, for something."""

_MARK: Final = "sop_classes"
_P = TypeVar("_P", bound=Callable[..., Any])


def sop_classes(*uids: str) -> Callable[[_P], _P]:
    """Decorate a program with the SOP classes that it is for.

    What is decorated is a generator function, or a class whose objects can be called and whose ``__call__`` is one. It
    is returned as it is, with the UIDs as its attribute ``sop_classes``; decorating it again replaces them.

    Parameters
    ----------
    *uids : str
        Abstract syntaxes: SOP classes, or meta SOP classes.

    Raises
    ------
    InvalidNameError
        If one is no UID.
    LocalProtocolError
        If there is none, or what is decorated is no generator function, or no attribute of it can be set.
    """
    if not uids:
        raise LocalProtocolError("a program is for one SOP class or several: state their UIDs")
    checked = tuple(dict.fromkeys(check_uid(uid) for uid in uids))

    def mark(program: _P) -> _P:
        _check_is_program(program)
        try:
            setattr(program, _MARK, checked)
        except AttributeError as error:
            raise LocalProtocolError(f"decorate the function or the class, not {program!r}: {error}") from error
        return program

    return mark


def sop_classes_of(program: Callable[..., Any]) -> tuple[str, ...]:
    """Return the UIDs that a program was decorated with, without repetitions.

    Raises
    ------
    LocalProtocolError
        If it was not decorated, or cannot be run: it is no generator function, or a class instead of an object of it.
    """
    _check_is_program(program)
    uids: tuple[str, ...] | None = getattr(program, _MARK, None)
    if uids is None:
        raise LocalProtocolError(f"{program!r} does not say what it is for: decorate it with @sop_classes(UID, ...)")
    if isinstance(program, type):
        raise LocalProtocolError(f"{program!r} is a class: what is bound is an object of it")
    return uids


def check_scp(program: ScpProgram) -> tuple[str, ...]:
    """Return the same for an SCP program; raises also if it cannot be called with a ``Performing`` alone."""
    uids = sop_classes_of(program)
    try:
        inspect.signature(program).bind(None)
    except TypeError as error:
        raise LocalProtocolError(
            f"{program!r} is called with one argument, the operation that it performs: {error}"
        ) from error
    return uids


def scu_for(entity: Entity, sop_class: str) -> ScuProgram:
    """Return the SCU program that is bound to a SOP class.

    Raises
    ------
    LocalProtocolError
        If none is; the message says to which SOP classes there are some.
    """
    program = entity.scu_programs.get(sop_class)
    if program is None:
        bound = sorted(entity.scu_programs) or "none"
        raise LocalProtocolError(f"no SCU program is bound to {sop_class}: call add_scu() first; bound are {bound}")
    return program


def _check_is_program(program: object) -> None:
    owner = program if isinstance(program, type) else type(program)
    call = getattr(owner, "__call__", None)  # noqa: B004 - the method of an object that can be called
    if not any(inspect.isgeneratorfunction(inspect.unwrap(f)) for f in (program, call)):  # type: ignore[arg-type]
        raise LocalProtocolError(
            f"{program!r} is not a generator function, as a service program is: it has to get what it waits for with"
            " `yield from`, such as `yield from performing.receive_data()` or `yield from invoke(...)`"
        )
