"""Query/Retrieve and Storage SCP: a small archive.

Keeps the objects that it is sent (C-STORE), finds them (C-FIND in the Patient Root, Study Root and Patient/Study Only
models), and gives them out (C-GET, C-MOVE), until Ctrl-C or SIGTERM. Objects are files in a directory, bit for bit as
they came; the index is a database, by default one file beside them. An object is in both, on disk, before it is
answered with Success. Several of these may serve one directory, on several machines too if the index is PostgreSQL.
"""

import argparse
from typing import TYPE_CHECKING, Final

from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.options import carrying, department, parsing, saying, serving, upkeep

if TYPE_CHECKING:
    from dicom_transports.archive import Archive

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "open_archive", "run"]

SUMMARY: Final = "keep objects, find them and give them out (C-STORE, C-FIND, C-GET, C-MOVE)"
EXAMPLES: Final = [
    ("--directory archive -aet ARCHIVE 11112", "an archive"),
    ("--directory archive --destination VIEWER=10.0.0.7:104 11112", "which may send to VIEWER"),
    ("--directory archive --verify", "compare the index with the files, and say where they differ"),
    ("--directory archive --reindex", "make the index anew from the files"),
    ("--directory archive --settings archive.toml --audit audit.jsonl --status 8080 11112", "for a department"),
    ("--directory archive --backup /backup/archive", "a backup, while it is used"),
    ("--directory archive --retain 3650 --dry-run", "what nothing has come to for ten years"),
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
    department.add_arguments(parser)
    upkeep.add_arguments(parser)
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
    if upkeep.is_wanted(arguments):
        with open_archive(arguments) as archive:
            return upkeep.perform(arguments, archive)
    if arguments.port is None:
        raise CommandError("there is no port to listen on: name one, or say what is to be done instead of serving")
    return department.serve(arguments, open_archive)


def open_archive(arguments: argparse.Namespace) -> "Archive":
    """Open the archive that the options name.

    Raises
    ------
    CommandError
        If its database cannot be opened.
    """
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
