"""How an adapter's methods are made of the verbs: called, awaited, or iterated over.

Stable.

The method has the verb's own signature and documentation, for type checkers, ``help`` and editors alike; only the
:class:`~dicom_proto.programs.peer.Peer` that is asked first is the association's own.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from dicom_proto.application import requests
from dicom_proto.programs.effects import Program
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.streams import Stream

__all__ = ["AwaitedVerbs", "CalledVerbs", "awaited", "called", "iterated", "iterated_async"]

P = ParamSpec("P")
T = TypeVar("T")


def called(
    verb: Callable[Concatenate[Peer, P], Program[T]], *, invokes: bool = True
) -> Callable[Concatenate[Any, P], T]:
    """Make a method that returns what the verb does.

    Parameters
    ----------
    verb : callable
        Returns the program.
    invokes : bool
        Whether it invokes one operation, and so waits until the operations window has room for it (PS3.7 D.3.3.3).
    """

    def method(self: Any, /, *arguments: P.args, **options: P.kwargs) -> T:
        result: T = self.run(verb(self.peer, *arguments, **options), invokes=invokes and not self.peer.is_handling())
        return result

    update_wrapper(method, verb)
    return method


def iterated(
    verb: Callable[Concatenate[Peer, P], Program[Stream[T]]], *, invokes: bool = True
) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """Make a method that returns the results of a verb one by one."""

    def method(self: Any, /, *arguments: P.args, **options: P.kwargs) -> Iterator[T]:
        begin = verb(self.peer, *arguments, **options)
        results: Iterator[T] = self.iterate(begin, invokes=invokes and not self.peer.is_handling())
        return results

    update_wrapper(method, verb)
    return method


def awaited(
    verb: Callable[Concatenate[Peer, P], Program[T]], *, invokes: bool = True
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Make a method that is awaited for what the verb returns."""

    async def method(self: Any, /, *arguments: P.args, **options: P.kwargs) -> T:
        result: T = await self.run(
            verb(self.peer, *arguments, **options), invokes=invokes and not self.peer.is_handling()
        )
        return result

    update_wrapper(method, verb)
    return method


def iterated_async(
    verb: Callable[Concatenate[Peer, P], Program[Stream[T]]], *, invokes: bool = True
) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """Make a method that returns the results of a verb, each to be awaited."""

    def method(self: Any, /, *arguments: P.args, **options: P.kwargs) -> AsyncIterator[T]:
        begin = verb(self.peer, *arguments, **options)
        results: AsyncIterator[T] = self.iterate(begin, invokes=invokes and not self.peer.is_handling())
        return results

    update_wrapper(method, verb)
    return method


class CalledVerbs:
    """All verbs as methods that return what they do, for a driver whose ``run`` and ``iterate`` return it.

    Beside :class:`~dicom_proto.application.association.EntityAssociation`; for who embeds the core.
    """

    send_c_echo = called(requests.send_c_echo)
    send_c_store = called(requests.send_c_store)
    send_c_stores = iterated(requests.send_c_stores, invokes=False)
    send_c_find = iterated(requests.send_c_find)
    send_c_get = iterated(requests.send_c_get)
    send_c_move = iterated(requests.send_c_move)
    send_c_cancel = called(requests.send_c_cancel, invokes=False)
    send_n_event_report = called(requests.send_n_event_report)
    send_n_get = called(requests.send_n_get)
    send_n_set = called(requests.send_n_set)
    send_n_action = called(requests.send_n_action)
    send_n_create = called(requests.send_n_create)
    send_n_delete = called(requests.send_n_delete)


class AwaitedVerbs:
    """All verbs as methods that are awaited, for a driver whose ``run`` and ``iterate`` are."""

    send_c_echo = awaited(requests.send_c_echo)
    send_c_store = awaited(requests.send_c_store)
    send_c_stores = iterated_async(requests.send_c_stores, invokes=False)
    send_c_find = iterated_async(requests.send_c_find)
    send_c_get = iterated_async(requests.send_c_get)
    send_c_move = iterated_async(requests.send_c_move)
    send_c_cancel = awaited(requests.send_c_cancel, invokes=False)
    send_n_event_report = awaited(requests.send_n_event_report)
    send_n_get = awaited(requests.send_n_get)
    send_n_set = awaited(requests.send_n_set)
    send_n_action = awaited(requests.send_n_action)
    send_n_create = awaited(requests.send_n_create)
    send_n_delete = awaited(requests.send_n_delete)
