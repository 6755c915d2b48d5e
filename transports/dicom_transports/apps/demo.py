"""Real images over loopback: a storage SCP and an SCU move what pydicom brings as test data, and compare the bytes.

Run ``make demo``, or ``python -m dicom_transports.apps.demo``. All of it is the same for every adapter, but for the few
lines of :func:`over_blocking`, :func:`over_trio` and :func:`over_asyncio`.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeAlias, TypeVar

from attrs import define, field
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import UID
from rich.console import Console
from rich.table import Table

import dicom_transports.asyncio
import dicom_transports.blocking
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.handlers.kinds import EVT_C_STORE
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.offers.contexts import PresentationContext, build_context
from dicom_proto.sop_class import Verification
from dicom_proto.status import code_to_category
from dicom_transports._files.reading import FileObject, read_object
from dicom_transports.storage import store_to

FILES: Final = {
    "CT_small.dcm": "CT image",
    "MR_small.dcm": "MR image",
    "rtplan.dcm": "RT plan",
    "rtdose.dcm": "RT dose, multi-frame",
    "test-SR.dcm": "structured report",
    "JPEG2000.dcm": "compressed",
    "MR_small_bigendian.dcm": "big endian",
}
LOOPBACK: Final = ("127.0.0.1", 0)

AnyAssociation: TypeAlias = Any
Talk: TypeAlias = Generator[Any, Dataset, None]
"""What is said on an association: yields what a call returns, and is sent the status when it is there."""

EntityT = TypeVar("EntityT", bound=ApplicationEntity)


def open_files() -> list[FileObject]:
    """Open the files that are sent."""
    return [read_object(Path(str(get_testdata_file(name, download=False)))) for name in FILES]


@define
class Demo:
    """The demonstration, whatever carries it.

    Attributes
    ----------
    console : Console
        Where the account of it is printed.
    directory : Path
        Where the SCP stores the files.
    all_identical : bool
        Whether everything has arrived as it was sent, so far.
    """

    console: Console
    directory: Path
    all_identical: bool = True
    _objects: list[FileObject] = field(factory=open_files, init=False)

    def scp(self, make: Callable[[str], EntityT]) -> EntityT:
        """Make an application entity that accepts what can be stored."""
        ae = make("DEMO_SCP")
        ae.require_called_aet = True
        ae.unrestricted_storage = True
        ae.add_supported_context(Verification, IMPLICIT_VR_LITTLE_ENDIAN)
        return ae

    def scu(self, make: Callable[[str], EntityT]) -> EntityT:
        """Make an application entity that proposes what is to be sent."""
        ae = make("DEMO_SCU")
        ae.requested_contexts = self.contexts()
        return ae

    @property
    def handlers(self) -> list[Any]:
        """What the SCP does with what it gets."""
        return [(EVT_C_STORE, store_to(self.directory))]

    def contexts(self) -> list[PresentationContext]:
        """Return the contexts that the files need: one for each SOP class and transfer syntax, and one for C-ECHO."""
        needed = [(one.meta.sop_class_uid, one.meta.transfer_syntax) for one in self._objects]
        return [build_context(*key) for key in dict.fromkeys([(Verification, IMPLICIT_VR_LITTLE_ENDIAN), *needed])]

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, soft_wrap=True)

    def talk(self, association: AnyAssociation, address: tuple[str, int]) -> Talk:
        """Send the files one after the other, compare what was stored with what was sent, and print an account."""
        connection = association.peer.connection
        self.say(f"storage SCP DEMO_SCP listens on {address[0]}:{address[1]}, files go to {self.directory}")
        self.say(f"association DEMO_SCU -> DEMO_SCP established ({connection.state.name})\n")
        self._show_contexts(association)
        echo = yield association.send_c_echo()
        self.say(f"C-ECHO: status {as_text(echo)}\n")
        table = _table("transfers", "file", "what", "bytes", "ms", "status", "data set as stored")
        for sent in self._objects:
            began = perf_counter()
            status = yield association.send_c_store(str(sent.path))
            took = perf_counter() - began
            is_identical = status.Status == 0x0000 and self._is_stored(sent)
            self.all_identical = self.all_identical and is_identical
            table.add_row(
                sent.path.name,
                FILES[sent.path.name],
                f"{len(sent.data_set):,}",
                f"{took * 1000:.1f}",
                as_text(status),
                "identical" if is_identical else "DIFFERENT",
            )
        self.console.print(table)

    def _show_contexts(self, association: AnyAssociation) -> None:
        table = _table("accepted presentation contexts", "ID", "abstract syntax", "transfer syntax")
        for context in association.accepted_contexts:
            table.add_row(
                str(context.context_id), UID(context.abstract_syntax).name, UID(context.transfer_syntax[0]).name
            )
        self.console.print(table)
        agreement = association.peer.connection.agreement
        if agreement is not None:
            peer = agreement.acceptor_implementation
            self.say(
                f"maximum length {agreement.acceptor_maximum_length} bytes,"
                f" peer {peer.version_name} ({peer.class_uid})\n"
            )

    def _is_stored(self, sent: FileObject) -> bool:
        stored = read_object(self.directory / f"{sent.meta.sop_instance_uid}.dcm")
        return stored.data_set == sent.data_set and stored.meta.transfer_syntax == sent.meta.transfer_syntax

    def end(self, association: AnyAssociation) -> None:
        """Print how it ended."""
        self.say(f"\nassociation released ({association.peer.connection.state.name})")
        self.say(
            "every data set arrived as it was sent"
            if self.all_identical
            else "[red]something was not stored as it was sent"
        )


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left")


def as_text(status: Dataset) -> str:
    """Return a status in the form of the standard, with its category."""
    return f"{status.Status:04X}H {code_to_category(status.Status)}"


# --- each of the adapters ---------------------------------------------------------------------------------------------


def over_blocking(demo: Demo) -> None:
    """Show it over blocking sockets."""
    scp, scu = demo.scp(dicom_transports.blocking.AE), demo.scu(dicom_transports.blocking.AE)
    with scp.start_server(LOOPBACK, block=False, evt_handlers=demo.handlers) as server:
        with scu.associate(*server.address, ae_title=scp.ae_title) as association:
            talk = demo.talk(association, server.address)
            result = next(talk)
            with suppress(StopIteration):
                while True:
                    result = talk.send(result)
        demo.end(association)


async def over_loop(demo: Demo, make: Callable[[str], Any]) -> None:
    """Show it in an event loop, with the AE of its adapter."""
    scp, scu = demo.scp(make), demo.scu(make)
    async with scp.start_server(LOOPBACK, evt_handlers=demo.handlers) as server:
        async with scu.associate(*server.address, ae_title=scp.ae_title) as association:
            talk = demo.talk(association, server.address)
            result = next(talk)
            with suppress(StopIteration):
                while True:
                    result = talk.send(await result)
        demo.end(association)


def over_asyncio(demo: Demo) -> None:
    """Show it over asyncio."""
    asyncio.run(over_loop(demo, dicom_transports.asyncio.AE))


def over_trio(demo: Demo) -> None:
    """Show it over trio."""
    import trio  # noqa: PLC0415 - the other two do without it

    import dicom_transports.trio  # noqa: PLC0415

    trio.run(over_loop, demo, dicom_transports.trio.AE)


IO: Final[dict[str, Callable[[Demo], None]]] = {
    "blocking": over_blocking,
    "trio": over_trio,
    "asyncio": over_asyncio,
}


def run(io: str, console: Console, directory: Path) -> bool:
    """Show it with files stored below a directory; return whether everything arrived as it was sent."""
    demo = Demo(console, directory)
    IO[io](demo)
    return demo.all_identical


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--io", choices=IO, default="blocking", help="what carries the bytes (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="where to store the files (default: a temporary directory)")
    parser.add_argument("--debug", action="store_true", help="log every PDU, state and timer")
    options = parser.parse_args(arguments)
    if options.debug:
        logging.basicConfig(level=logging.DEBUG, format="%(relativeCreated)8.1f %(threadName)-18s %(message)s")
    console = Console()
    if options.directory is not None:
        return 0 if run(options.io, console, options.directory) else 1
    with tempfile.TemporaryDirectory(prefix="dicom-demo-") as directory:
        return 0 if run(options.io, console, Path(directory)) else 1


if __name__ == "__main__":
    sys.exit(main())
