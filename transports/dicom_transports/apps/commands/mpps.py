"""Modality performed procedure step SCU.

Creates a step that is IN PROGRESS (N-CREATE, PS3.4 Annex F), and prints its SOP Instance UID; with that UID it is
ended, COMPLETED or DISCONTINUED (N-SET), with the series of the images that are named. What the step is about is taken
from an item of a worklist, as findscu -W -X or worklist -X writes it, and from -k.
"""

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.options import answers, carrying, keys, network, saying
from dicom_transports.apps.stopping import stoppable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "create a performed procedure step, and end it (N-CREATE, N-SET)"
EXAMPLES: Final = [
    ("-aec RIS ris.example.org 104 create --item rsp0001.dcm", "begin what a worklist has scheduled"),
    ("-aec RIS ris.example.org 104 create -k Modality=CT -k PatientID=7", "begin what nobody has scheduled"),
    ("-aec RIS ris.example.org 104 complete --uid 1.2.3.4 --images study", "end it, with the images of a directory"),
    ("-aec RIS ris.example.org 104 discontinue --uid 1.2.3.4 --images study", "end it, before all was done"),
]
_PATIENT: Final = ("SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_SCHEDULED: Final = (
    "StudyInstanceUID",
    "ReferencedStudySequence",
    "AccessionNumber",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
)
_OF_STEP: Final = ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription", "ScheduledProtocolCodeSequence")
_UNKNOWN_PROTOCOL: Final = "UNKNOWN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    network.add_arguments(parser)
    parser.add_argument("action", choices=("create", "complete", "discontinue"), help="what is done with the step")
    group = parser.add_argument_group("step")
    group.add_argument("--uid", metavar="UID", help="the SOP Instance UID of the step; create makes one by default")
    group.add_argument("--item", metavar="FILE", type=Path, help="create: an item of a worklist")
    group.add_argument(
        "--images",
        metavar="PATH",
        nargs="+",
        default=[],
        help="to end it: files, and directories with files",
    )
    group.add_argument("--protocol", metavar="NAME", help="the name of the protocol (default: that of the images)")
    keys.add_key(group)
    carrying.add_arguments(parser)
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Create or end a step."""
    from dicom_proto.services.management.mpps import create_step, set_step  # noqa: PLC0415 - not for --help

    saying.set_up_logging(arguments)
    is_new = arguments.action == "create"
    uid = arguments.uid or (_new_uid() if is_new else None)
    if uid is None:
        raise CommandError(f"{arguments.action} needs --uid: create has printed it")
    attributes = _begun(arguments) if is_new else _ended(arguments)
    program = create_step if is_new else set_step

    async def talk() -> Any:
        from dicom_proto.sop_class import ModalityPerformedProcedureStep  # noqa: PLC0415

        ae = carrying.adapter(arguments).AE(arguments.calling_aet)
        network.apply(ae, arguments)
        ae.add_requested_context(ModalityPerformedProcedureStep)
        async with carrying.entered(ae.associate(**network.associating(arguments))) as association:
            return await carrying.settled(association.run(program(association.peer, uid, attributes)))

    with stoppable():
        reply = carrying.carry(arguments, talk)
    return _tell(arguments, uid, reply)


def _new_uid() -> str:
    from pydicom.uid import generate_uid  # noqa: PLC0415

    return str(generate_uid())


def _tell(arguments: argparse.Namespace, uid: str, reply: Any) -> Exit:
    from dicom_proto.application.results import status_of  # noqa: PLC0415
    from dicom_proto.service_class import ServiceClass  # noqa: PLC0415

    service = "N-CREATE" if arguments.action == "create" else "N-SET"
    status = status_of(reply.response)
    words = answers.describe_status(status, ServiceClass.PROCEDURE_STEP, service)
    is_done = answers.is_performed(status)
    saying.say(arguments, f"{service}: {words}")
    saying.say_json(arguments, {"uid": uid, "status": int(status.Status), "words": words})
    if is_done and not arguments.json:
        print(uid)
    return Exit.ALL if is_done else Exit.NONE


def _begun(arguments: argparse.Namespace) -> "Dataset":
    """Return the attributes of a new step; the library adds what may be empty."""
    from pydicom.dataset import Dataset  # noqa: PLC0415

    item = keys.read_identifier(arguments.item) if arguments.item else Dataset()
    planned = (item.get("ScheduledProcedureStepSequence") or [Dataset()])[0]
    now = datetime.now(UTC).astimezone()
    step, scheduled = Dataset(), Dataset()
    _copy(item, step, _PATIENT)
    _copy(item, scheduled, _SCHEDULED)
    _copy(planned, scheduled, _OF_STEP)
    if "StudyInstanceUID" not in scheduled:
        scheduled.StudyInstanceUID = _new_uid()
    step.ScheduledStepAttributesSequence = [scheduled]
    step.PerformedProcedureStepID = now.strftime("%y%m%d%H%M%S")
    step.PerformedStationAETitle = arguments.calling_aet
    step.PerformedProcedureStepStartDate = now.strftime("%Y%m%d")
    step.PerformedProcedureStepStartTime = now.strftime("%H%M%S")
    step.PerformedProcedureStepDescription = planned.get("ScheduledProcedureStepDescription", "")
    _copy(planned, step, ("Modality",))
    for key in arguments.keys or ():
        keys.set_key(step, key)
    if not step.get("Modality"):
        raise CommandError("the modality is not known: give -k Modality=CT, or an item of a worklist with --item")
    return step


def _copy(source: "Dataset", target: "Dataset", keywords: tuple[str, ...]) -> None:
    for keyword in keywords:
        if keyword in source:
            target[keyword] = source[keyword]


def _ended(arguments: argparse.Namespace) -> "Dataset":
    """Return what ends a step."""
    from dicom_proto.services.management.mpps import StepStatus, end_step, performed_series  # noqa: PLC0415

    series = [
        performed_series(uid, protocol, images=images, OperatorsName="")
        for (uid, protocol), images in _series(arguments).items()
    ]
    if not series:
        raise CommandError(f"{arguments.action} needs the images of the step: --images PATH")
    status = StepStatus.COMPLETED if arguments.action == "complete" else StepStatus.DISCONTINUED
    modifications = end_step(status, datetime.now(UTC).astimezone(), series)
    for key in arguments.keys or ():
        keys.set_key(modifications, key)
    return modifications


def _series(arguments: argparse.Namespace) -> Mapping[tuple[str, str], list[tuple[str, str]]]:
    """Return the images by their series and its protocol."""
    from pydicom import dcmread  # noqa: PLC0415
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415

    from dicom_transports.apps.options.files import find  # noqa: PLC0415

    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for path in find(arguments.images, recursive=True).paths:
        try:
            image = dcmread(path, stop_before_pixels=True)
            series, instance = image.SeriesInstanceUID, (str(image.SOPClassUID), str(image.SOPInstanceUID))
        except (InvalidDicomError, AttributeError) as error:
            raise CommandError(f"{path} holds no image of a series") from error
        protocol = arguments.protocol or image.get("ProtocolName") or _UNKNOWN_PROTOCOL
        found.setdefault((str(series), str(protocol)), []).append(instance)
    return found
