"""How a command ends: its exit status, and what it says when it cannot do what it is asked."""

from enum import IntEnum

__all__ = ["CommandError", "Exit", "rate"]


class Exit(IntEnum):
    """The exit status of every command."""

    ALL = 0
    """All that was asked for has been done; of a server, that it has been ended as servers are."""
    SOME = 1
    """Some of it has been done, and some not: the output says which."""
    USAGE = 2
    """The command line is wrong, or a file that it names: nothing has been sent."""
    NONE = 3
    """The peer was there, and nothing of what was asked for has been done."""
    NO_ASSOCIATION = 4
    """There was no association: no connection, no TLS, rejected, no context accepted, or lost before all was done."""
    LOCAL = 5
    """This side cannot do its part: a directory cannot be written to, a port is taken, something is not installed."""
    INTERRUPTED = 130
    """Ctrl-C has ended a client before it was done."""
    TERMINATED = 143
    """SIGTERM has."""


class CommandError(Exception):
    """A command cannot do what it is asked; the text is one line for people, and says what to do."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code


def rate(done: int, failed: int) -> Exit:
    """Return the exit status for so many things that have been done, and so many that have not."""
    if not failed:
        return Exit.ALL
    return Exit.SOME if done else Exit.NONE
