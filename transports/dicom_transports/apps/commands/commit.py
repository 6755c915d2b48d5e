"""Storage commitment SCU.

Asks a peer to keep objects for good (N-ACTION, PS3.4 Annex J), and waits for its report of which it keeps: on the same
association, and on a port of this command as well, if it is given one with +P, for peers that report on an association
of their own. The objects are those of files that were sent before.
"""

import argparse
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.exits import CommandError, Exit, rate
from dicom_transports.apps.options import answers, carrying, network, parsing, saying
from dicom_transports.apps.stopping import stoppable

if TYPE_CHECKING:
    from dicom_proto.services.management.commitment import CommitmentResult

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "ask a peer to keep objects for good, and wait for its report (storage commitment)"
EXAMPLES: Final = [
    ("-aec ARCHIVE archive.example.org 104 -r studies", "with a report on the same association"),
    ("-aet SCANNER +P 11112 -aec ARCHIVE archive.example.org 104 -r studies", "with one on an association of its own"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    network.add_arguments(parser)
    parser.add_argument("paths", metavar="PATH", nargs="+", help="files, and directories with files")
    group = parser.add_argument_group("commitment")
    group.add_argument(
        "-r", "+r", "--recurse", action="store_true", help="look into the directories in directories as well"
    )
    network.add_own_port(group, "take the report on this port as well")
    group.add_argument(
        "--wait",
        metavar="SECONDS",
        type=parsing.seconds,
        default=60.0,
        help="wait so long for the report (default: %(default)g; 0: for ever)",
    )
    carrying.add_arguments(parser)
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Ask, and wait."""
    from dicom_transports.apps.options.files import find, meta_of  # noqa: PLC0415 - not for --help

    saying.set_up_logging(arguments)
    by_instance: dict[tuple[str, str], str] = {}
    for path in find(arguments.paths, recursive=arguments.recurse).paths:
        instance = meta_of(path)
        if instance is None:
            raise CommandError(f"{path} holds no object that can be stored")
        by_instance[instance] = path
    asking = Asking(arguments, list(by_instance))
    with stoppable():
        carrying.carry(arguments, asking.ask)
    return _tell(arguments, by_instance, asking.result)


class Asking:
    """One request for commitment, and the wait for its report.

    Attributes
    ----------
    result : CommitmentResult or None
        The report, when it has come.
    """

    def __init__(self, arguments: argparse.Namespace, instances: list[tuple[str, str]]) -> None:
        from dicom_proto.services.management.commitment import Commitments  # noqa: PLC0415

        self._arguments = arguments
        self._instances = instances
        self._commitments = Commitments(on_result=self._report)
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self.result: CommitmentResult | None = None

    def _report(self, result: "CommitmentResult") -> None:
        self.result = result
        self._is_over.set()

    async def ask(self) -> None:
        """Ask, and wait for the report.

        Raises
        ------
        CommandError
            If the peer does not take the request.
        """
        from dicom_proto.sop_class import StorageCommitmentPushModel  # noqa: PLC0415

        arguments = self._arguments
        ae = carrying.adapter(arguments).AE(arguments.calling_aet)
        network.apply(ae, arguments)
        ae.add_requested_context(StorageCommitmentPushModel)
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers = self._commitments.handlers(self._lock)
        try:
            async with self._receiving(ae, handlers):
                await self._request(ae, handlers)
                if arguments.own_port is not None:
                    await carrying.wait_for(arguments, self._is_over, arguments.wait or None)
        finally:
            self._is_over.set()  # who waits in a thread goes home

    async def _request(self, ae: Any, handlers: Iterable[Any]) -> None:
        from pydicom.uid import generate_uid  # noqa: PLC0415

        from dicom_proto.application.results import status_of  # noqa: PLC0415
        from dicom_proto.handlers.kinds import EVT_CONN_CLOSE  # noqa: PLC0415
        from dicom_proto.service_class import ServiceClass  # noqa: PLC0415
        from dicom_proto.services.management.commitment import request_commitment  # noqa: PLC0415

        arguments = self._arguments
        bound = [*handlers, (EVT_CONN_CLOSE, lambda _: self._is_over.set())] if arguments.own_port is None else handlers
        given = network.associating(arguments)
        async with carrying.entered(ae.associate(**given, evt_handlers=list(bound))) as association:
            program = request_commitment(association.peer, self._instances, generate_uid(), self._commitments)
            status = status_of((await carrying.settled(association.run(program))).response)
            words = answers.describe_status(status, ServiceClass.STORAGE_COMMITMENT, "N-ACTION")
            if not answers.is_performed(status):
                raise CommandError(f"the peer does not take the request: {words}", Exit.NONE)
            saying.say(arguments, f"N-ACTION: {words}")
            if arguments.own_port is None:
                await carrying.wait_for(arguments, self._is_over, arguments.wait or None)

    @asynccontextmanager
    async def _receiving(self, ae: Any, handlers: Iterable[Any]) -> AsyncIterator[None]:
        """Serve the association of a report, if the peer requests one."""
        arguments = self._arguments
        if arguments.own_port is None:
            yield
            return
        async with carrying.served(arguments, ae, ("", arguments.own_port), evt_handlers=list(handlers)):
            yield


def _tell(arguments: argparse.Namespace, named: dict[tuple[str, str], str], result: "CommitmentResult | None") -> Exit:
    if result is None:
        where = "" if arguments.own_port is not None else ": it may report on another association, give a port with +P"
        raise CommandError(f"no report has come{where}, or wait longer with --wait", Exit.NONE)
    reasons = {tuple(reference): reason for reference, reason in result.failure_words.items()}
    reasons.update((tuple(reference), "the report does not mention it") for reference in result.unmentioned)
    for instance, path in named.items():
        reason = reasons.get(instance)
        if reason is not None and not arguments.json:
            print(f"{path}: {reason}")
        saying.say_json(arguments, {"item": path, "committed": reason is None, "reason": reason})
    saying.say(arguments, f"{len(named) - len(reasons)} of {len(named)} objects are kept")
    return rate(len(named) - len(reasons), len(reasons))
