"""Real images over loopback: a storage SCP and an SCU move what pydicom brings as test data, and compare the bytes.

Run ``make demo``, or ``python -m dicom_transports.apps.demo``.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from pydicom.data import get_testdata_file
from pydicom.uid import UID
from rich.console import Console
from rich.table import Table

from dicom_proto.datasets import file_preamble_and_meta
from dicom_proto.dimse import DataChunk, RequestReceived
from dicom_proto.dimse.messages import CEchoRQ, CEchoRSP, CStoreRQ, CStoreRSP
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.sop_class import ALL_TRANSFER_SYNTAXES, Verification
from dicom_proto.status import code_to_category
from dicom_proto.upper_layer import Policy, ReleaseRequested, Supported, build_offer
from dicom_transports._files import FileObject, IncomingFile, read_object, safe_path
from dicom_transports.blocking import Server, Session, connect

FILES = {
    "CT_small.dcm": "CT image",
    "MR_small.dcm": "MR image",
    "rtplan.dcm": "RT plan",
    "rtdose.dcm": "RT dose, multi-frame",
    "test-SR.dcm": "structured report",
    "JPEG2000.dcm": "compressed",
    "MR_small_bigendian.dcm": "big endian",
}


class StorageSCP:
    """Answers C-ECHO, and stores what C-STORE brings as DICOM files in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def serve(self, session: Session) -> None:
        """Serve one association until it ends."""
        for event in session:
            match event:
                case RequestReceived(request=CStoreRQ() as request):
                    self._store(session, event.message_id, event.context_id, request)
                case RequestReceived(request=CEchoRQ() as request):
                    response = CEchoRSP(message_id_being_responded_to=event.message_id, status=0x0000)
                    response.affected_sop_class_uid = request.affected_sop_class_uid  # optional, and some SCUs need it
                    session.send_response(response)
                case ReleaseRequested():
                    session.confirm_release()
                case _:
                    logging.getLogger(__name__).info("%r", event)

    def _store(self, session: Session, message_id: int, context_id: int, request: CStoreRQ) -> None:
        context = session.connection.contexts[context_id]
        path = safe_path(self.directory, request.affected_sop_instance_uid, suffix=".dcm")
        with IncomingFile(path) as file:
            file.write(
                file_preamble_and_meta(
                    request.affected_sop_class_uid, request.affected_sop_instance_uid, context.transfer_syntax
                )
            )
            for event in session:
                if not isinstance(event, DataChunk):
                    return  # the association has ended, and the file is gone with it
                file.write(event.data)
                if event.last:
                    break
            file.commit()
        session.send_response(
            CStoreRSP(
                message_id_being_responded_to=message_id,
                status=0x0000,
                affected_sop_class_uid=request.affected_sop_class_uid,
                affected_sop_instance_uid=request.affected_sop_instance_uid,
            )
        )


def send(session: Session, stored: FileObject) -> int:
    """Send the data set of a file as it lies there; return the status of the response."""
    key = (stored.meta.sop_class_uid, stored.meta.transfer_syntax)
    (context_id,) = (
        number
        for number, context in session.connection.contexts.items()
        if (context.abstract_syntax, context.transfer_syntax) == key
    )
    request = CStoreRQ(
        affected_sop_class_uid=stored.meta.sop_class_uid, affected_sop_instance_uid=stored.meta.sop_instance_uid
    )
    response, _ = session.call(request, context=context_id, data=stored.data_set)
    return response.status


def contexts_for(objects: list[FileObject]) -> list[tuple[str, str]]:
    """Return the contexts that files need: one for each SOP class and transfer syntax, and one for C-ECHO."""
    needed = [(stored.meta.sop_class_uid, stored.meta.transfer_syntax) for stored in objects]
    return list(dict.fromkeys([(str(Verification), IMPLICIT_VR_LITTLE_ENDIAN), *needed]))


def show_contexts(console: Console, session: Session) -> None:
    """Print what was negotiated."""
    agreement = session.connection.agreement
    if agreement is None:
        raise RuntimeError("the association is not established")
    table = Table(
        "ID", "abstract syntax", "transfer syntax", title="accepted presentation contexts", title_justify="left"
    )
    for context in agreement.contexts.values():
        table.add_row(str(context.context_id), UID(context.abstract_syntax).name, UID(context.transfer_syntax).name)
    console.print(table)
    peer = agreement.acceptor_implementation
    console.print(
        f"maximum length {agreement.acceptor_maximum_length} bytes, peer {peer.version_name} ({peer.class_uid})\n"
    )


def transfer(console: Console, session: Session, objects: list[FileObject], directory: Path) -> bool:
    """Send files one after the other, compare what was stored with what was sent, and print an account of it."""
    table = Table(
        "file", "what", "bytes", "ms", "status", "data set as stored", title="transfers", title_justify="left"
    )
    all_identical = True
    for stored in objects:
        began = perf_counter()
        status = send(session, stored)
        took = perf_counter() - began
        copy = read_object(safe_path(directory, stored.meta.sop_instance_uid, suffix=".dcm"))
        identical = copy.data_set == stored.data_set and copy.meta.transfer_syntax == stored.meta.transfer_syntax
        all_identical = all_identical and identical and status == 0x0000
        table.add_row(
            stored.path.name,
            FILES[stored.path.name],
            f"{len(stored.data_set):,}",
            f"{took * 1000:.1f}",
            f"{status:04X}H {code_to_category(status)}",
            "identical" if identical else "DIFFERENT",
        )
    console.print(table)
    return all_identical


def run(console: Console, directory: Path) -> bool:
    """Run the demonstration with files stored below a directory; return whether everything arrived as it was sent."""
    objects = [read_object(Path(str(get_testdata_file(name, download=False)))) for name in FILES]
    policy = Policy(
        called_ae_titles="DEMO_SCP",
        supported={str(Verification): IMPLICIT_VR_LITTLE_ENDIAN},
        unrestricted=Supported(ALL_TRANSFER_SYNTAXES),
    )
    with Server(("127.0.0.1", 0), policy, StorageSCP(directory).serve) as server:
        host, port = server.address
        console.print(f"storage SCP DEMO_SCP listens on {host}:{port}, files go to {directory}")
        offer = build_offer("DEMO_SCP", "DEMO_SCU", contexts_for(objects))
        session = connect(server.address, offer)
        console.print(f"association DEMO_SCU -> DEMO_SCP established ({session.connection.state.name})\n")
        show_contexts(console, session)
        echo, _ = session.call(CEchoRQ(affected_sop_class_uid=str(Verification)), context=1)
        console.print(f"C-ECHO: status {echo.status:04X}H {code_to_category(echo.status)}\n")
        everything = transfer(console, session, objects, directory)
        session.release()
        console.print(f"\nassociation released ({session.connection.state.name})")
    console.print(
        "every data set arrived as it was sent" if everything else "[red]something was not stored as it was sent"
    )
    return everything


def main() -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="where to store the files (default: a temporary directory)")
    parser.add_argument("--debug", action="store_true", help="log every PDU, state and timer")
    arguments = parser.parse_args()
    if arguments.debug:
        logging.basicConfig(level=logging.DEBUG, format="%(relativeCreated)8.1f %(threadName)-18s %(message)s")
    console = Console()
    if arguments.directory is not None:
        arguments.directory.mkdir(parents=True, exist_ok=True)
        return 0 if run(console, arguments.directory) else 1
    with tempfile.TemporaryDirectory(prefix="dicom-demo-") as directory:
        return 0 if run(console, Path(directory)) else 1


if __name__ == "__main__":
    sys.exit(main())
