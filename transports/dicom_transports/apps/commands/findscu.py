"""Query SCU.

Asks for matches (C-FIND, PS3.4 Annexes C, K, V and CC), and prints each: an element a line, or with --json an object of
the DICOM JSON model a line. Keys are given with -k, or in files; a QueryRetrieveLevel that is not given is STUDY, or
PATIENT with -P and -O.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.exits import CommandError, Exit, rate
from dicom_transports.apps.options import asking, carrying, keys, network, parsing, saying
from dicom_transports.apps.stopping import stoppable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["EXAMPLES", "SUMMARY", "Query", "add_arguments", "add_extract", "run"]

SUMMARY: Final = "ask what there is (C-FIND)"
EXAMPLES: Final = [
    ("-aec ARCHIVE archive.example.org 104 -k 'PatientName=Doe*' -k StudyInstanceUID", "the studies of a patient"),
    (
        "archive.example.org 104 -k QueryRetrieveLevel=SERIES -k StudyInstanceUID=1.2.3 -k SeriesInstanceUID",
        "series",
    ),
    ("ris.example.org 104 -W -k 'ScheduledProcedureStepSequence[0].Modality=CT' -k PatientName", "a worklist"),
    ("archive.example.org 104 --cancel 10 --json -k PatientID query.dcm", "ten matches of a query in a file, as JSON"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    network.add_arguments(parser)
    keys.add_models(parser, "Find")
    keys.add_arguments(parser)
    asking.add_arguments(parser)
    add_extract(parser)
    carrying.add_arguments(parser)
    saying.add_arguments(parser)


def add_extract(parser: argparse.ArgumentParser) -> None:
    """Add the option that keeps the matches."""
    group = parser.add_argument_group("matches")
    group.add_argument(
        "-X",
        "--extract",
        dest="folder",
        metavar="DIRECTORY",
        type=parsing.directory,
        help="write each match into a file of its own there: rsp0001.dcm, rsp0002.dcm ...",
    )


def run(arguments: argparse.Namespace) -> Exit:
    """Ask."""
    saying.set_up_logging(arguments)
    query = Query(arguments, keys.model_of(arguments), keys.identifiers_of(arguments))
    with stoppable():
        carrying.carry(arguments, query.ask)
    return query.exit()


class Query:
    """Some queries, on one association.

    Parameters
    ----------
    arguments : argparse.Namespace
        What the user wants.
    model : str
        The information model.
    identifiers : list of Dataset
        What is asked for.
    """

    def __init__(self, arguments: argparse.Namespace, model: str, identifiers: "list[Dataset]") -> None:
        self.arguments = arguments
        self._model = model
        self._identifiers = identifiers
        self.matches: list[Dataset] = []
        self._answered = self._failed = self._number = 0

    async def ask(self) -> None:
        """Ask, and print what comes."""
        arguments = self.arguments
        ae = carrying.adapter(arguments).AE(arguments.calling_aet)
        network.apply(ae, arguments)
        ae.add_requested_context(self._model)
        async with carrying.entered(ae.associate(**network.associating(arguments))) as association:
            ask = partial(association.send_c_find, query_model=self._model)
            async for status, match in asking.responses(arguments, association, self._identifiers, ask):
                self._take(status, match)

    def _take(self, status: Any, match: "Dataset | None") -> None:
        from dicom_proto.service_class import ServiceClass  # noqa: PLC0415 - not for --help
        from dicom_transports.apps.options import answers  # noqa: PLC0415

        arguments = self.arguments
        if answers.is_pending(status):
            if match is not None:
                self._number += 1
                self.matches.append(match)
                self.tell(self._number, match)
                self._extract(match)
            return
        words = answers.describe_status(status, ServiceClass.QUERY_RETRIEVE, "C-FIND")
        saying.say(arguments, f"C-FIND: {words}; {self._number} matches")
        saying.say_json(arguments, {"status": int(status.Status), "words": words, "matches": self._number})
        is_good = int(status.Status) == 0 or (arguments.cancel and int(status.Status) == 0xFE00)
        self._answered, self._failed = self._answered + bool(is_good), self._failed + (not is_good)

    def tell(self, number: int, match: "Dataset") -> None:
        """Print a match."""
        from dicom_transports.apps.options import answers  # noqa: PLC0415

        answers.tell_match(self.arguments, number, match)

    def _extract(self, match: "Dataset") -> None:
        folder: Path | None = self.arguments.folder
        if folder is None:
            return
        from pydicom.dataset import FileMetaDataset  # noqa: PLC0415
        from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid  # noqa: PLC0415

        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(self._model), generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"rsp{self._number:04d}.dcm"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            match.file_meta = meta
            match.save_as(path, enforce_file_format=True)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}", Exit.LOCAL) from error

    def exit(self) -> Exit:
        """Return the exit status: whether the queries were performed, found they something or not."""
        return rate(self._answered or bool(self._number), self._failed)
