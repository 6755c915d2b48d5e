"""Storage SCU.

Sends files, and those of directories that hold an object, whatever they are called (C-STORE, PS3.4 Annex B). It
requests as many associations as they need, with the presentation contexts that they need; what a lost connection has
left unanswered is sent again. What is uncompressed is converted where the peer does not take it as it is; what is
compressed is decompressed with --decompress only.

On a terminal there is a bar, otherwise a line every few seconds, and at the end a summary with the reasons of what was
not stored. The exit status is 0 if all was stored, 1 if some, 3 if nothing.
"""

import argparse
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.options import carrying, contexts, network, parsing, paths, saying
from dicom_transports.apps.stopping import stoppable

if TYPE_CHECKING:
    from dicom_transports.apps.storing.account import Account, Outcome
    from dicom_transports.apps.storing.progress import Progress
    from dicom_transports.apps.storing.report import Report

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "send objects (C-STORE)"
EXAMPLES: Final = [
    ("-aec ARCHIVE archive.example.org 104 image.dcm", "one file"),
    ("-aec ARCHIVE archive.example.org 104 -r studies", "all objects below a directory"),
    ("archive.example.org 104 -r studies --report sent.jsonl", "with a report of each file"),
    ("archive.example.org 104 -r studies --report sent.jsonl --resume", "what that report does not have as stored"),
]
_MOST_LINES: Final = 10  # about failures, before the summary has to do
_WINDOW: Final = 1 << 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    network.add_arguments(parser)
    paths.add_arguments(parser)
    group = parser.add_argument_group("C-STORE")
    group.add_argument("--decompress", action="store_true", help="decompress what the peer does not take as it is")
    group.add_argument(
        "--max-ops",
        metavar="N",
        type=parsing.natural,
        default=1,
        help="propose that so many requests may be outstanding (default: 1; 0: any number)",
    )
    group.add_argument(
        "--associations",
        metavar="N",
        type=parsing.count,
        default=1,
        help="send over so many associations at a time (default: 1)",
    )
    group.add_argument(
        "--retries",
        metavar="N",
        type=parsing.natural,
        default=2,
        help="send what a lost association has left so many more times (default: %(default)s)",
    )
    group.add_argument("--repeat", metavar="N", type=parsing.count, default=1, help="send all so many times")
    group.add_argument("--halt", action="store_true", help="stop at the first file that is not stored")
    contexts.add_proposed(parser)
    report = parser.add_argument_group("report")
    report.add_argument(
        "--report", metavar="FILE", type=Path, help="write what becomes of each file there, a JSON object a line"
    )
    report.add_argument(
        "--resume", action="store_true", help="leave out what the report has as stored, and add the rest to it"
    )
    carrying.add_arguments(parser)
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Send."""
    from dicom_transports.apps.options.files import find  # noqa: PLC0415 - not for --help
    from dicom_transports.apps.storing.account import Account  # noqa: PLC0415
    from dicom_transports.apps.storing.report import Report, stored_before  # noqa: PLC0415

    saying.set_up_logging(arguments)
    if arguments.resume and arguments.report is None:
        raise CommandError("--resume needs --report FILE: the report of what was sent before")
    if arguments.max_ops > _WINDOW:
        raise CommandError(f"--max-ops {arguments.max_ops} is too many: at most {_WINDOW}")
    found = find(arguments.paths, recursive=arguments.recurse)
    if found.skipped:
        saying.say(arguments, f"{found.skipped} files are left out: they hold no object that can be stored")
    if arguments.resume:
        done = stored_before(arguments.report, found.paths)
        found.drop(done)
        saying.say(arguments, f"{len(done)} files are left out: the report has them as stored")
    account = Account(len(found.paths) * arguments.repeat, found.total * arguments.repeat)
    sending = Sending(arguments, account, found.sizes, found.paths * arguments.repeat)
    if arguments.report is None:
        return sending.run(None)
    with Report(arguments.report, resume=arguments.resume) as report:
        return sending.run(report)


class Sending:
    """A transfer.

    Parameters
    ----------
    arguments : argparse.Namespace
        What the user wants.
    account : Account
        What is known about it at the end, or when it is interrupted.
    sizes : dict of str to int
        The lengths of the files.
    paths : list of str
        The files, in the order in which they are sent.
    """

    def __init__(
        self, arguments: argparse.Namespace, account: "Account", sizes: dict[str, int], paths: list[str]
    ) -> None:
        self._arguments = arguments
        self._account = account
        self._sizes = sizes
        self._paths = paths
        self._began = monotonic()
        self._told = 0

    def run(self, report: "Report | None") -> Exit:
        """Send the files, show how that gets on, and sum up; return the exit status.

        Raises
        ------
        AssociationFailure, OSError
            If there never was an association.
        KeyboardInterrupt
            If the user ended it, after the summary.
        """
        from dicom_transports.apps.storing.progress import progress_of  # noqa: PLC0415 - not for --help

        arguments, account = self._arguments, self._account
        try:
            with stoppable(), progress_of(account, quiet=arguments.quiet or arguments.json) as progress:
                carrying.carry(arguments, lambda: self._send(report, progress))
        finally:
            account.seconds = monotonic() - self._began
            self._sum_up()
        if account.never_associated and account.first is not None:
            raise account.first
        return account.exit()

    async def _send(self, report: "Report | None", progress: "Progress") -> None:
        from dicom_transports.apps.storing.account import outcome_of  # noqa: PLC0415
        from dicom_transports.apps.storing.proposing import proposing  # noqa: PLC0415

        arguments = self._arguments
        ae = proposing(carrying.adapter(arguments).AE, arguments.proposed)(arguments.calling_aet)
        network.apply(ae, arguments)
        sent = ae.send_c_stores(
            items=self._paths,
            **network.associating(arguments),
            retries=arguments.retries,
            decompress=arguments.decompress,
            window=arguments.max_ops,
            associations=arguments.associations,
        )
        async for path, status in carrying.each(sent):
            outcome = outcome_of(status)
            self._account.take(outcome, self._sizes[path])
            self._account.seconds = monotonic() - self._began
            if report is not None:
                report.add(path, outcome)
            self._tell(path, outcome, progress)
            progress.show(self._account)
            if arguments.halt and not outcome.is_stored:
                break

    def _tell(self, path: str, outcome: "Outcome", progress: "Progress") -> None:
        arguments = self._arguments
        saying.say_json(arguments, _record(path, outcome))
        if arguments.json:
            return
        if not outcome.is_stored and not self._account.never_associated:
            self._told += 1
            if self._told <= _MOST_LINES or arguments.verbose:
                progress.tell(f"{path}: {outcome.reason}")
        elif arguments.verbose or arguments.debug:
            progress.tell(f"{path}: {outcome.reason}")

    def _sum_up(self) -> None:
        if self._account.never_associated:
            return  # one line says why
        if self._told > _MOST_LINES and not self._arguments.verbose:
            saying.say(
                self._arguments, f"{self._told - _MOST_LINES} more files were not stored: -v or --report names them"
            )
        saying.say(self._arguments, "\n".join(self._account.lines()))
        saying.say_json(self._arguments, {"summary": self._account.record()})


def _record(path: str, outcome: "Outcome") -> dict[str, Any]:
    return {"item": path, "stored": outcome.is_stored, "status": outcome.status, "reason": outcome.reason}
