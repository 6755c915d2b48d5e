"""What an archive has for a department: settings, audit trail, worklist, status page, several processes.

The options, and how an archive is served with them.
"""

import argparse
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from dicom_transports.apps.exits import Exit
from dicom_transports.apps.options import carrying, parsing, saying, serving
from dicom_transports.apps.stopping import hanging_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicom_transports.archive import Archive

__all__ = ["add_arguments", "serve"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("department")
    group.add_argument(
        "--settings",
        metavar="FILE",
        help="a TOML file with destinations, who may do what, and room; read again on SIGHUP",
    )
    group.add_argument(
        "--audit", metavar="FILE", help="write down here who has stored, asked for and fetched what; reopened on SIGHUP"
    )
    group.add_argument(
        "--worklist", metavar="DIRECTORY", type=parsing.directory, help="has worklist items in files, NAME.wl"
    )
    group.add_argument(
        "--status",
        metavar="[HOST:]PORT",
        type=_place,
        help="serve a status page, and /status.json (HOST: 127.0.0.1)",
    )
    group.add_argument(
        "--status-patients", action="store_true", help="the status page shows the last studies, with names"
    )
    group.add_argument(
        "--workers", metavar="N", type=parsing.count, default=1, help="serve with so many processes (default: 1)"
    )


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]") or "127.0.0.1", parsing.port(port)


def serve(arguments: argparse.Namespace, open_archive: "Callable[[argparse.Namespace], Archive]") -> Exit:
    """Serve an archive until Ctrl-C or SIGTERM, in this process or in several.

    Parameters
    ----------
    arguments : argparse.Namespace
        What has been parsed.
    open_archive : callable
        Opens the archive that they name; a function of a module, which other processes can import.
    """
    if arguments.workers == 1:
        return _serve_here(arguments, open_archive)
    from dicom_transports.processes import Workers  # noqa: PLC0415 - only what is used is loaded

    address = (arguments.bind_address, arguments.port)
    with ExitStack() as stack:
        archive = stack.enter_context(open_archive(arguments))  # for the page; and its tables are made once
        _add_page(stack, arguments, archive, _entity(arguments, None), None)
        workers = stack.enter_context(
            Workers(
                _work,
                address,
                count=arguments.workers,
                arguments=(arguments, open_archive),
                finish_within=arguments.finish_within,
            )
        )
        saying.say(arguments, f"{arguments.workers} processes listen on {address[0]}:{workers.address[1]}")
        saying.say_json(arguments, {"listening": list(workers.address)})
        stack.enter_context(hanging_up(lambda: workers.send_signal(signal.SIGHUP)))
        workers.wait()
    return Exit.ALL


def _work(
    address: tuple[str, int],
    arguments: argparse.Namespace,
    open_archive: "Callable[[argparse.Namespace], Archive]",
) -> None:
    """Serve in a process of several."""
    saying.set_up_logging(arguments, "WARNING")
    arguments.port = address[1]
    arguments.quiet = True  # but for the log
    arguments.json = False
    _serve_here(arguments, open_archive, is_one_of_several=True)


def _serve_here(
    arguments: argparse.Namespace,
    open_archive: "Callable[[argparse.Namespace], Archive]",
    *,
    is_one_of_several: bool = False,
) -> Exit:
    from dicom_transports import blocking  # noqa: PLC0415 - only what is used is loaded
    from dicom_transports._archive.status import Presence  # noqa: PLC0415
    from dicom_transports.node import Node  # noqa: PLC0415

    with ExitStack() as stack:
        archive = stack.enter_context(open_archive(arguments))
        telling = blocking.AE(arguments.own_aet)
        node = Node(
            archive,
            arguments.own_aet,
            telling.associate,
            settings=arguments.settings,
            audit=arguments.audit,
            worklist=arguments.worklist,
        )
        telling.ae_title = node.ae_title
        stack.enter_context(node)
        ae = _entity(arguments, node)
        if arguments.status:
            presence = stack.enter_context(Presence(archive.engine, ae))
            if not is_one_of_several:
                _add_page(stack, arguments, archive, ae, presence)
        stack.enter_context(hanging_up(node.reload))
        return serving.serve(arguments, ae, node.handlers, reuse_port=is_one_of_several)


def _entity(arguments: argparse.Namespace, node: Any) -> Any:
    ae = carrying.adapter(arguments).AE(arguments.own_aet if node is None else node.ae_title)
    serving.apply(ae, arguments)
    if node is not None:
        node.apply(ae)
        ae.supported_contexts = node.supported_contexts
    return ae


def _add_page(stack: ExitStack, arguments: argparse.Namespace, archive: "Archive", ae: Any, presence: Any) -> None:
    """Serve the status page, if it is wanted."""
    if not arguments.status:
        return
    from dicom_transports._archive.status import overview  # noqa: PLC0415 - only what is used is loaded
    from dicom_transports._archive.status_page import StatusPage  # noqa: PLC0415

    def read() -> dict[str, Any]:
        if presence is not None:
            presence.tell()
        return overview(archive.engine, archive.directory, ae, has_patients=arguments.status_patients)

    page = stack.enter_context(StatusPage(arguments.status, read))
    host, port = page.address
    saying.say(arguments, f"the status is at http://{host}:{port}/")
    saying.say_json(arguments, {"status": [host, port]})
