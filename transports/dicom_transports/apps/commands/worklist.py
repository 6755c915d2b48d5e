"""Modality worklist as a table.

Asks for the scheduled procedure steps of a modality (C-FIND, PS3.4 Annex K), and shows them in a table, by date and
time. What else is asked for with -k is in what --json prints.
"""

import argparse
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.commands import findscu
from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.options import asking, carrying, keys, network, parsing, saying
from dicom_transports.apps.stopping import stoppable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "show a modality worklist (C-FIND)"
EXAMPLES: Final = [
    ("-aec RIS ris.example.org 104 --modality CT", "what is scheduled today for CT"),
    ("-aec RIS ris.example.org 104 --date 20260301-20260307 --station SCANNER", "a week of a station"),
    ("-aec RIS ris.example.org 104 --date any --patient-name 'Doe*' --json", "all of a patient, as JSON"),
]
_MODEL: Final = "ModalityWorklistInformationModelFind"
_STEP: Final = "ScheduledProcedureStepSequence"
_DATE: Final = re.compile(r"\d{8}|\d{8}-(\d{8})?|-\d{8}")
_COLUMNS: Final = {  # keyword to heading; those of the step first
    "ScheduledProcedureStepStartDate": "date",
    "ScheduledProcedureStepStartTime": "time",
    "Modality": "modality",
    "ScheduledStationAETitle": "station",
    "PatientName": "patient",
    "PatientID": "patient ID",
    "PatientBirthDate": "born",
    "AccessionNumber": "accession",
    "ScheduledProcedureStepDescription": "what",
}
_OF_STEP: Final = frozenset(
    {
        "Modality",
        "ScheduledProcedureStepDescription",
        "ScheduledProcedureStepID",
        "ScheduledProcedureStepStartDate",
        "ScheduledProcedureStepStartTime",
        "ScheduledStationAETitle",
    }
)
# What a modality needs of an item beside the columns (PS3.4 K.6.1.2.2).
_ALSO: Final = ("PatientSex", "StudyInstanceUID", "RequestedProcedureID", "RequestedProcedureDescription")
_WIDE: Final = 250  # columns of text where there is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    network.add_arguments(parser)
    group = parser.add_argument_group("steps")
    group.add_argument(
        "--date", metavar="DATE", type=_date, default="today", help="YYYYMMDD, a range, today or any (default: today)"
    )
    group.add_argument("--modality", metavar="NAME", default="", help="CT, MR ...")
    group.add_argument("--station", metavar="TITLE", type=parsing.ae_title, help="AE title of the station")
    group.add_argument("--patient-name", metavar="NAME", default="", help="may have wildcards: Doe*")
    group.add_argument("--patient-id", metavar="ID", default="")
    keys.add_arguments(parser)
    asking.add_arguments(parser)
    findscu.add_extract(parser)
    carrying.add_arguments(parser)
    saying.add_arguments(parser)


def _date(text: str) -> str:
    if text in {"today", "any"} or _DATE.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no date: YYYYMMDD, YYYYMMDD-YYYYMMDD, today or any")


def run(arguments: argparse.Namespace) -> Exit:
    """Ask, and show the table."""
    saying.set_up_logging(arguments)
    arguments.keys = [*_keys(arguments), *(arguments.keys or ())]
    arguments.model = _MODEL
    query = Steps(arguments, keys.model_of(arguments), keys.identifiers_of(arguments))
    with stoppable():
        carrying.carry(arguments, query.ask)
    if not arguments.json:
        _show(query.matches)
    return query.exit()


class Steps(findscu.Query):
    """A query whose matches are shown when all are there."""

    def tell(self, number: int, match: "Dataset") -> None:
        """Print a match for programs only."""
        if self.arguments.json:
            super().tell(number, match)


def _keys(arguments: argparse.Namespace) -> list[str]:
    today = datetime.now(UTC).astimezone().strftime("%Y%m%d")
    values = {
        "ScheduledProcedureStepStartDate": {"today": today, "any": ""}.get(arguments.date, arguments.date),
        "Modality": arguments.modality,
        "ScheduledStationAETitle": arguments.station or "",
        "PatientName": arguments.patient_name,
        "PatientID": arguments.patient_id,
    }
    asked = dict.fromkeys((*_COLUMNS, *sorted(_OF_STEP), *_ALSO))
    return [
        f"{_STEP}[0].{name}={values.get(name, '')}" if name in _OF_STEP else f"{name}={values.get(name, '')}"
        for name in asked
    ]


def _show(matches: "list[Dataset]") -> None:
    try:
        from rich.console import Console  # noqa: PLC0415 - only what is used is loaded
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CommandError(
            "the table needs rich: pip install 'dicom-proto[cli]'; --json does not", Exit.LOCAL
        ) from error
    rows = sorted([_value(match, keyword) for keyword in _COLUMNS] for match in matches)
    table = Table(*_COLUMNS.values(), box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))  # what a peer sends is no markup
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


def _value(match: "Dataset", keyword: str) -> str:
    holder: Any = match
    if keyword in _OF_STEP:
        steps = match.get(_STEP) or []
        holder = steps[0] if len(steps) else {}
    return saying.printable(str(holder.get(keyword) or ""))
