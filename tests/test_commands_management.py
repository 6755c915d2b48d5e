"""worklist, mpps and commit, against the services of this library; what others answer is in tests/interop."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from dicom_proto.handlers import evt
from dicom_proto.services.management.commitment import (
    REPORTING_ROLE,
    CommitmentProvider,
    CommitmentRequest,
    decide,
    report_commitment,
)
from dicom_proto.services.management.mpps import PerformedProcedureSteps
from dicom_proto.sop_class import (
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
)
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_transports.apps.exits import Exit
from dicom_transports.apps.main import main
from dicom_transports.blocking import AE

HOST = "127.0.0.1"
IMAGES = [str(get_testdata_file(name, download=False)) for name in ("CT_small.dcm", "MR_small.dcm")]
EACH_IO = pytest.mark.parametrize("io", ["blocking", "asyncio", "trio"])
Captured = pytest.CaptureFixture[str]


def item(name: str, time: str) -> Dataset:
    step, found = Dataset(), Dataset()
    step.Modality, step.ScheduledStationAETitle = "CT", "SCANNER"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20260304", time
    step.ScheduledProcedureStepID, step.ScheduledProcedureStepDescription = "step", "head"
    found.PatientName, found.PatientID, found.AccessionNumber = name, "4711", "A1"
    found.StudyInstanceUID, found.RequestedProcedureID = "1.2.3", "R1"
    found.ScheduledProcedureStepSequence = [step]
    return found


class Department:
    """A worklist, performed steps and commitment in one server."""

    def __init__(self) -> None:
        self.asked: list[Dataset] = []
        self.steps = PerformedProcedureSteps()
        self.provider = CommitmentProvider(self.commit)
        self.report_to: int | None = None
        self.reports = True
        self.ae = AE("RIS")
        for uid in (ModalityWorklistInformationFind, ModalityPerformedProcedureStep, StorageCommitmentPushModel):
            self.ae.add_supported_context(uid)
        self.ae.add_requested_context(StorageCommitmentPushModel)

    @property
    def handlers(self) -> list[Any]:
        services = [*self.steps.handlers(Lock()), *self.provider.handlers(Lock())]
        return [(evt.EVT_C_FIND, self.find), *services]

    def find(self, event: Any) -> Iterator[Any]:
        self.asked.append(event.identifier)
        yield 0xFF00, item("Second^Patient", "1100")
        yield 0xFF00, item("[red]First^Patient", "0900")

    def commit(self, request: CommitmentRequest, event: Any) -> None:
        """Keep CT images only, and report by the association of the request as soon as it is answered."""
        result = decide(request, lambda reference: reference.sop_class_uid.endswith(".1.2"))
        if self.report_to is None:
            event.assoc.bind(evt.EVT_DIMSE_SENT, self.report, [result])
            return
        with self.ae.associate(HOST, self.report_to, ae_title="SCANNER", ext_neg=[REPORTING_ROLE]) as association:
            association.run(report_commitment(association.peer, result))

    def report(self, event: Any, result: Any) -> None:
        event.assoc.unbind(evt.EVT_DIMSE_SENT, self.report)
        if not self.reports:
            return

        def send() -> None:
            with suppress(AssociationFailure):  # who has the report releases the association, and need not answer
                event.assoc.run(report_commitment(event.assoc.peer, result))

        Thread(target=send).start()  # a notification may not wait for the peer


@pytest.fixture
def department() -> Iterator[tuple[Department, list[str]]]:
    made = Department()
    with made.ae.start_server((HOST, 0), block=False, evt_handlers=made.handlers) as server:
        yield made, [HOST, str(server.address[1])]


@EACH_IO
def test_a_worklist_is_a_table(department: tuple[Department, list[str]], io: str, capsys: Captured) -> None:
    ris, where = department
    options = ["--date", "20260304", "--modality", "CT", "--station", "SCANNER", "--io", io]
    assert main(["worklist", *where, *options, "-q"]) == Exit.ALL
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:5] == ["date", "time", "modality", "station", "patient"]
    assert [row.split()[:5] for row in rows] == [
        ["20260304", "0900", "CT", "SCANNER", "[red]First^Patient"],
        ["20260304", "1100", "CT", "SCANNER", "Second^Patient"],
    ]
    (asked,) = ris.asked
    (step,) = asked.ScheduledProcedureStepSequence
    assert (step.Modality, step.ScheduledStationAETitle, step.ScheduledProcedureStepStartDate) == (
        *("CT", "SCANNER"),
        "20260304",
    )
    assert main(["worklist", *where, "--date", "any", "--json", "-k", "PatientWeight"]) == Exit.ALL
    first, _, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["match"]["00400100"]["Value"][0]["00080060"]["Value"] == ["CT"]
    assert last["matches"] == 2
    assert "PatientWeight" in ris.asked[-1]
    assert main(["worklist", *where, "--date", "tomorrow"]) == Exit.USAGE


@EACH_IO
def test_a_step_is_created_and_ended(
    department: tuple[Department, list[str]], io: str, tmp_path: Path, capsys: Captured
) -> None:
    ris, where = department
    assert main(["worklist", *where, "-X", str(tmp_path), "--json"]) == Exit.ALL
    capsys.readouterr()
    begin = ["mpps", *where, "create", "-aet", "SCANNER", "--io", io]
    assert main([*begin, "--item", str(tmp_path / "rsp0001.dcm")]) == Exit.ALL
    said, uid = capsys.readouterr().out.splitlines()
    assert said.startswith("N-CREATE: 0x0000 Success")
    step = ris.steps.steps[uid]
    (scheduled,) = step.ScheduledStepAttributesSequence
    assert (step.PatientName, step.Modality, step.PerformedStationAETitle) == ("Second^Patient", "CT", "SCANNER")
    assert (scheduled.StudyInstanceUID, scheduled.RequestedProcedureID) == ("1.2.3", "R1")
    end = ["mpps", *where, "complete", "--io", io, "--uid", uid, "--images", *IMAGES]
    assert main([*end, "--json"]) == Exit.ALL
    assert json.loads(capsys.readouterr().out)["uid"] == uid
    step = ris.steps.steps[uid]
    assert step.PerformedProcedureStepStatus == "COMPLETED"
    assert len(step.PerformedSeriesSequence) == 2
    assert main(end) == Exit.NONE
    assert "may no longer be updated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create"], "the modality is not known: give -k Modality=CT"),
        (["complete", "--images", IMAGES[0]], "complete needs --uid: create has printed it"),
        (["discontinue", "--uid", "1.2.3"], "discontinue needs the images of the step: --images PATH"),
        (["create", "--item", IMAGES[0][:-1]], "No such file or directory"),
    ],
)
def test_a_step_that_lacks_something(arguments: list[str], said: str, capsys: Captured) -> None:
    assert main(["mpps", HOST, "1", *arguments]) == Exit.USAGE
    assert said in capsys.readouterr().err


@EACH_IO
def test_objects_are_committed(department: tuple[Department, list[str]], io: str, capsys: Captured) -> None:
    _, where = department
    assert main(["commit", *where, *IMAGES, "--io", io]) == Exit.SOME
    output = capsys.readouterr().out
    assert output.startswith("N-ACTION: 0x0000 Success")
    assert output.endswith(f"\n{IMAGES[1]}: referenced instance not available\n1 of 2 objects are kept\n")


def test_a_report_may_come_on_another_association(department: tuple[Department, list[str]], capsys: Captured) -> None:
    ris, where = department
    with socket.create_server((HOST, 0)) as sock:
        ris.report_to = sock.getsockname()[1]
    assert main(["commit", *where, IMAGES[0], "-aet", "SCANNER", "+P", str(ris.report_to), "--json"]) == Exit.ALL
    assert json.loads(capsys.readouterr().out) == {"item": IMAGES[0], "committed": True, "reason": None}


def test_a_report_that_does_not_come(department: tuple[Department, list[str]], capsys: Captured) -> None:
    ris, where = department
    ris.reports = False
    assert main(["commit", *where, IMAGES[0], "--wait", "0.1", "-q"]) == Exit.NONE
    assert "no report has come: it may report on another association, give a port with +P" in capsys.readouterr().err
