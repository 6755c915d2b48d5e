"""Classes for ``isinstance``: pynetdicom's names for what is one class here, or several."""

from collections.abc import Callable
from typing import Any

__all__ = ["class_of"]


class _StandsFor(type):
    """A class whose instances are those that something says are."""

    _is_one: Callable[[Any], bool]

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls._is_one(instance)

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise TypeError(f"a {cls.__name__} is made by the stack, and by nobody else")


def class_of(name: str, module: str, is_one: Callable[[Any], bool]) -> type:
    """Return a class by which others are known."""
    doc = f"For ``isinstance``: what is a {name}."
    return _StandsFor(name, (), {"__doc__": doc, "__module__": module, "_is_one": staticmethod(is_one)})
