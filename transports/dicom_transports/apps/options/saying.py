"""How much a command says, and in which form: ``-v``, ``-d``, ``-q``, ``--json``."""

import argparse
from typing import Any

__all__ = ["add_arguments", "printable", "say", "say_json", "set_up_logging"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("output")
    how_much = group.add_mutually_exclusive_group()
    how_much.add_argument("-v", "--verbose", action="store_true", help="log what happens to the standard error")
    how_much.add_argument("-d", "--debug", action="store_true", help="log each PDU, state and timer; show tracebacks")
    how_much.add_argument("-q", "--quiet", action="store_true", help="print results and errors only")
    group.add_argument("--json", action="store_true", help="print each result as a JSON object, one a line")


def set_up_logging(arguments: argparse.Namespace, level: str = "CRITICAL") -> None:
    """Let the library log to the standard error.

    Parameters
    ----------
    arguments : argparse.Namespace
        What has been parsed.
    level : str
        From which level on, if the user does not say: a client prints itself what becomes of it.
    """
    import logging  # noqa: PLC0415 - only what is used is loaded

    wanted = "DEBUG" if arguments.debug else "INFO" if arguments.verbose else "CRITICAL" if arguments.quiet else level
    logging.basicConfig(level=wanted, format="%(levelname).1s: %(message)s", force=True)


def printable(text: str) -> str:
    """Return what a peer sent as a terminal may show it."""
    return "".join(character if character.isprintable() else "?" for character in text)


def say(arguments: argparse.Namespace, text: str) -> None:
    """Print a line for people: not for programs, which read JSON, nor for those who want quiet."""
    if not (arguments.quiet or arguments.json):
        print(text, flush=True)


def say_json(arguments: argparse.Namespace, record: dict[str, Any]) -> None:
    """Print a line for programs, if they are to read it."""
    if arguments.json:
        import json  # noqa: PLC0415 - only what is used is loaded

        print(json.dumps(record, ensure_ascii=False), flush=True)
