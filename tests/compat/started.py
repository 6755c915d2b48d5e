"""Start an example program: ``python started.py PROGRAM``, as a program or, with prompts, as a session.

What it logs itself is printed, what the library logs is not: the words of that are others in each library.
"""

import doctest
import logging
import runpy
import sys
from pathlib import Path
from typing import Any


def show_own_lines(program: str) -> None:
    """Print what is logged by the code of a program."""
    make = logging.getLogRecordFactory()

    def made(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make(*arguments, **options)
        if record.pathname == program:
            print(f"{record.name} {record.levelname} {record.getMessage()}")
        return record

    logging.setLogRecordFactory(made)


def type_in(session: str) -> None:
    """Type a session, and print what it is answered; an exception costs one answer."""
    names: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(session):
        try:
            exec(compile(example.source, "session", "single"), names)
        except Exception as error:  # noqa: BLE001 - at a prompt nothing is lost with one answer
            print(f"raised {type(error).__name__}")


if __name__ == "__main__":
    program = str(Path(sys.argv[1]).resolve())
    sys.argv = [program]
    sys.path[0] = str(Path(program).parent)
    show_own_lines(program)
    text = Path(program).read_text(encoding="utf-8")
    if text.startswith(">>>"):
        type_in(text)
    else:
        runpy.run_path(program, run_name="__main__")
