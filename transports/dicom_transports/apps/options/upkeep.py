"""What is done with an archive instead of serving it: verified, indexed anew, deleted from, copied.

The options, and what they do. Each works beside processes that serve the same archive.
"""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.options import parsing, saying

if TYPE_CHECKING:
    from dicom_transports.archive import Archive

__all__ = ["add_arguments", "is_wanted", "perform"]

_TASKS = ("verify", "reindex", "delete_studies", "delete_patients", "retain", "backup", "restore")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("instead of serving")
    task = group.add_mutually_exclusive_group()
    task.add_argument("--verify", action="store_true", help="compare the index with the files, byte by byte")
    task.add_argument("--reindex", action="store_true", help="make the index anew from the files")
    task.add_argument(
        "--delete-study", dest="delete_studies", metavar="UID", action="append", help="delete a study; may be repeated"
    )
    task.add_argument(
        "--delete-patient",
        dest="delete_patients",
        metavar="ID",
        action="append",
        help="delete all studies of a patient; may be repeated",
    )
    task.add_argument(
        "--retain",
        metavar="DAYS",
        type=parsing.count,
        help="delete the studies to which nothing has come for so many days",
    )
    task.add_argument(
        "--backup", metavar="DIRECTORY", type=parsing.directory, help="copy the archive into this one, while it is used"
    )
    task.add_argument(
        "--restore", metavar="DIRECTORY", type=parsing.directory, help="make the archive what this backup is"
    )
    group.add_argument("--dry-run", action="store_true", help="say what would be deleted, and delete nothing")


def is_wanted(arguments: argparse.Namespace) -> bool:
    """Whether something is to be done instead of serving."""
    return any(getattr(arguments, name) for name in _TASKS)


def perform(arguments: argparse.Namespace, archive: "Archive") -> Exit:
    """Do what is wanted.

    Raises
    ------
    DicomProtoError, OSError
        If it cannot be done: what is to be deleted is not there, a directory cannot be written.
    """
    if arguments.verify:
        return _verify(arguments, archive)
    if arguments.reindex:
        return _told(arguments, "indexed", archive.reindex(_progress(arguments)), "objects are in the index")
    if arguments.backup or arguments.restore:
        return _copy(arguments, archive)
    return _delete(arguments, archive)


def _told(arguments: argparse.Namespace, key: str, count: int, words: str) -> Exit:
    saying.say(arguments, f"{count} {words}")
    saying.say_json(arguments, {key: count})
    return Exit.ALL


def _verify(arguments: argparse.Namespace, archive: "Archive") -> Exit:
    differences = archive.verify(_progress(arguments))
    for one in differences:
        saying.say(arguments, f"{one.kind}: {one.path}")
        saying.say_json(arguments, {"difference": one.kind, "path": one.path})
    saying.say(arguments, f"{len(differences)} differences" if differences else "index and files are in step")
    return Exit.SOME if differences else Exit.ALL


def _copy(arguments: argparse.Namespace, archive: "Archive") -> Exit:
    from dicom_transports._archive.copying import copy_archive  # noqa: PLC0415 - only what is used is loaded
    from dicom_transports.archive import Archive  # noqa: PLC0415

    other = arguments.backup or arguments.restore
    if arguments.restore and not other.is_dir():
        raise CommandError(f"{other} is no directory with a backup")
    with Archive(other) as copy:
        source, target = (archive, copy) if arguments.backup else (copy, archive)
        count = copy_archive(source, target, _progress(arguments))
    return _told(arguments, "copied", count, "objects are in the copy")


def _delete(arguments: argparse.Namespace, archive: "Archive") -> Exit:
    from contextlib import closing, nullcontext  # noqa: PLC0415 - only what is used is loaded

    from dicom_transports._archive.audit import AuditTrail  # noqa: PLC0415
    from dicom_transports._archive.deleting import delete_studies, of_patients, older_than, studies  # noqa: PLC0415

    if arguments.delete_studies:
        doomed = studies(archive, arguments.delete_studies)
    elif arguments.delete_patients:
        doomed = of_patients(archive, arguments.delete_patients)
    else:
        doomed = older_than(archive, arguments.retain)
    for one in doomed:
        uid = one.study.instance_uid
        saying.say(arguments, f"{uid}: {one.instances} objects, {one.size} bytes")
        saying.say_json(arguments, {"study": uid, "objects": one.instances, "bytes": one.size})
    if arguments.dry_run:
        return _told(arguments, "would be deleted", sum(one.instances for one in doomed), "objects would be deleted")
    trail = closing(AuditTrail(arguments.audit, arguments.own_aet)) if arguments.audit else nullcontext()
    with trail as audit:
        return _told(arguments, "deleted", delete_studies(archive, doomed, audit), "objects are deleted")


def _progress(arguments: argparse.Namespace) -> Callable[[int, int], Any]:
    """Return what tells how far it is, a line for each tenth."""
    told = 0

    def progress(done: int, of: int) -> None:
        nonlocal told
        if done * 10 // of > told:
            told = done * 10 // of
            saying.say(arguments, f"{done} of {of}")

    return progress
