"""Query/Retrieve and Storage SCP: a small archive.

Keeps the objects that it is sent (C-STORE), finds them (C-FIND in the Patient Root, Study Root and Patient/Study Only
models), and gives them out (C-GET, C-MOVE), until Ctrl-C or SIGTERM. Objects are files in a directory, bit for bit as
they came; the index is a database, by default one file beside them. An object is in both, on disk, before it is
answered with Success. Several of these may serve one directory, on several machines too if the index is PostgreSQL.
"""

import argparse
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.options import carrying, parsing, saying, serving

if TYPE_CHECKING:
    from dicom_transports.archive import Archive

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "keep objects, find them and give them out (C-STORE, C-FIND, C-GET, C-MOVE)"
EXAMPLES: Final = [
    ("--directory archive -aet ARCHIVE 11112", "an archive"),
    ("--directory archive --destination VIEWER=10.0.0.7:104 11112", "which may send to VIEWER"),
    ("--directory archive --verify", "compare the index with the files, and say where they differ"),
    ("--directory archive --reindex", "make the index anew from the files"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    serving.add_arguments(parser, needs_port=False)
    group = parser.add_argument_group("archive")
    group.add_argument(
        "--directory",
        metavar="DIRECTORY",
        type=parsing.directory,
        required=True,
        help="where the objects are; it is made if it is not there",
    )
    group.add_argument(
        "--database",
        metavar="URL",
        help="the database of the index, postgresql+psycopg://user@host/database for one (default: a file in the"
        " directory)",
    )
    group.add_argument(
        "--destination",
        dest="destinations",
        metavar="TITLE=HOST:PORT",
        action="append",
        type=destination,
        default=[],
        help="where C-MOVE may send to; may be repeated",
    )
    group.add_argument(
        "--fsync",
        choices=("group", "each", "none"),
        default="group",
        help="bring objects to disk before they are answered, those that wait together, each by itself, or leave it to"
        " the system (default: %(default)s)",
    )
    group.add_argument(
        "--duplicates",
        choices=("replace", "ignore"),
        default="replace",
        help="what becomes of an object that is there already (default: %(default)s)",
    )
    group.add_argument("--fuzzy", action="store_true", help="find names whatever their accents, by beginnings of parts")
    work = parser.add_argument_group("instead of serving")
    task = work.add_mutually_exclusive_group()
    task.add_argument("--verify", action="store_true", help="compare the index with the files, byte by byte")
    task.add_argument("--reindex", action="store_true", help="make the index anew from the files")
    carrying.add_arguments(parser)
    saying.add_arguments(parser)


def destination(text: str) -> tuple[str, tuple[str, int]]:
    """Read ``TITLE=HOST:PORT``."""
    title, equals, where = text.partition("=")
    host, colon, port = where.rpartition(":")
    if not (equals and colon and host):
        raise argparse.ArgumentTypeError(f"{text!r} is not TITLE=HOST:PORT")
    return parsing.ae_title(title), (host.strip("[]"), parsing.port(port))


def run(arguments: argparse.Namespace) -> Exit:
    """Serve, or look after the index."""
    saying.set_up_logging(arguments, "WARNING")
    if arguments.port is None and not (arguments.verify or arguments.reindex):
        raise CommandError("there is no port to listen on: name one, or give --verify or --reindex")
    with _opened(arguments) as archive:
        if arguments.verify:
            return _verify(arguments, archive)
        if arguments.reindex:
            count = archive.reindex(_progress(arguments))
            saying.say(arguments, f"{count} objects are in the index")
            saying.say_json(arguments, {"indexed": count})
            return Exit.ALL
        ae = carrying.adapter(arguments).AE(arguments.own_aet)
        serving.apply(ae, arguments)
        ae.supported_contexts = archive.supported_contexts
        return serving.serve(arguments, ae, archive.handlers)


def _opened(arguments: argparse.Namespace) -> "Archive":
    import logging  # noqa: PLC0415 - only what is used is loaded

    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from dicom_transports.archive import Archive  # noqa: PLC0415

    if not arguments.debug:
        logging.getLogger("alembic").setLevel("WARNING")
    try:
        return Archive(
            arguments.directory,
            arguments.database,
            durability=arguments.fsync,
            duplicates=arguments.duplicates,
            destinations=dict(arguments.destinations),
            fuzzy=arguments.fuzzy,
        )
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        raise CommandError(
            f"the database of the index cannot be opened: {reason}".splitlines()[0], Exit.LOCAL
        ) from error


def _verify(arguments: argparse.Namespace, archive: "Archive") -> Exit:
    differences = archive.verify(_progress(arguments))
    for one in differences:
        saying.say(arguments, f"{one.kind}: {one.path}")
        saying.say_json(arguments, {"difference": one.kind, "path": one.path})
    saying.say(arguments, f"{len(differences)} differences" if differences else "index and files are in step")
    return Exit.SOME if differences else Exit.ALL


def _progress(arguments: argparse.Namespace) -> Any:
    """Return what tells how far it is, a line for each tenth."""
    told = 0

    def progress(done: int, of: int) -> None:
        nonlocal told
        if done * 10 // of > told:
            told = done * 10 // of
            saying.say(arguments, f"{done} of {of}")

    return progress
