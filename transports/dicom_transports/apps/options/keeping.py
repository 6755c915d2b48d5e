"""Where received objects go: a directory, names by a template, how safely, and a program to be told of each."""

import argparse
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.options import parsing, saying

if TYPE_CHECKING:
    pass

__all__ = ["Kept", "add_arguments", "kept_in"]

_MOST_WAITING: Final = 1000  # objects of which a program is still to be told
_PLACES: Final = ("{path}", "{sop_class}", "{sop_instance}", "{calling_aet}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("storage")
    group.add_argument(
        "-od",
        "--output-directory",
        metavar="DIRECTORY",
        type=parsing.directory,
        default=".",
        help="where objects are stored (default: here); it is made if it is not there",
    )
    group.add_argument(
        "--template",
        metavar="NAME",
        default="{SOPInstanceUID}.dcm",
        help="names files, by keywords in braces: {PatientID}/{SOPInstanceUID}.dcm (default: %(default)s)",
    )
    group.add_argument(
        "--fsync",
        choices=("each", "group", "none"),
        default="each",
        help="bring each object to disk before its answer, those that wait together, or leave it to the system"
        " (default: %(default)s)",
    )
    group.add_argument(
        "--duplicates",
        choices=("replace", "ignore", "keep"),
        default="replace",
        help="what becomes of an object whose name is taken: it replaces the file, is dropped, or gets another name"
        " (default: %(default)s)",
    )
    group.add_argument(
        "--exec",
        dest="program",
        metavar="ARGUMENT",
        nargs=argparse.REMAINDER,
        help="run a program for each object that has been stored, with these arguments, to the end of the line;"
        f" {', '.join(_PLACES)} in them stand for what they say. No shell sees them",
    )


class Kept:
    """Stores what arrives, prints what was stored, and runs the program of the user for it, one after the other.

    Attributes
    ----------
    handler : tuple
        To be bound to an association or a server.
    count : int
        How many objects have been stored.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        from dicom_proto.handlers.kinds import EVT_C_STORE  # noqa: PLC0415 - only what is used is loaded
        from dicom_transports.storage import GroupCommit, store_to  # noqa: PLC0415

        self._arguments = arguments
        self._lock = threading.Lock()
        self._waiting: Queue[list[str] | None] = Queue(_MOST_WAITING)
        self.count = 0
        try:
            sink = store_to(
                arguments.output_directory,
                arguments.template,
                durability=GroupCommit() if arguments.fsync == "group" else arguments.fsync,
                duplicates=arguments.duplicates,
                on_stored=self._stored,
            )
        except OSError as error:
            where = f"{arguments.output_directory}: {error.strerror}"
            raise CommandError(
                f"nothing can be stored in {where}: name another directory with -od", Exit.LOCAL
            ) from error
        self.handler = (EVT_C_STORE, sink)

    def _stored(self, path: Path, event: Any) -> None:
        request = event.request
        record = {
            "path": str(path),
            "sop_class": str(request.AffectedSOPClassUID),
            "sop_instance": str(request.AffectedSOPInstanceUID),
            "calling_aet": event.source_ae_title,
        }
        with self._lock:
            self.count += 1
            saying.say_json(self._arguments, record)
            if self._arguments.verbose or self._arguments.debug:
                saying.say(self._arguments, str(path))
        if self._arguments.program:
            self._waiting.put([_filled(argument, record) for argument in self._arguments.program])

    def sum_up(self) -> None:
        """Say how many objects have been stored, and where."""
        saying.say(self._arguments, f"{self.count} objects have been stored in {self._arguments.output_directory}")

    def work(self) -> None:
        """Run the programs, until there is nothing more to come."""
        while (command := self._waiting.get()) is not None:
            try:
                code = subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode  # noqa: S603 - the user's
            except OSError as error:
                complain(f"{command[0]} cannot be run: {error.strerror}")
                continue
            if code:
                complain(f"{command[0]} has ended with {code} for {' '.join(command[1:])}")

    def finish(self) -> None:
        """Say that there is nothing more to come."""
        self._waiting.put(None)


def complain(text: str) -> None:
    """Print a line about what goes wrong beside the work."""
    import sys  # noqa: PLC0415

    print(f"dicom-proto: {text}", file=sys.stderr, flush=True)


def _filled(argument: str, record: "dict[str, str]") -> str:
    """Put what is known of an object into an argument; what else is in braces stays as it is."""
    for name, value in record.items():
        argument = argument.replace(f"{{{name}}}", value)
    return argument


@contextmanager
def kept_in(arguments: argparse.Namespace) -> Iterator[Kept]:
    """Make what stores objects; at the end wait for the programs that it has to run.

    Raises
    ------
    CommandError
        If the directory cannot be written to, or the template is none.
    """
    kept = Kept(arguments)
    if not arguments.program:
        yield kept
        return
    worker = threading.Thread(target=kept.work, name="dicom-exec")
    worker.start()
    try:
        yield kept
    finally:
        kept.finish()
        worker.join()
