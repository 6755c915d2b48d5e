"""What the end of an association is put down to."""

import logging

import pytest

from dicom_proto.application.endings import Retired, explained, note_forgotten, suspect_nothing
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers import kinds as evt
from dicom_proto.programs.effects import Program
from dicom_proto.programs.tasks import Task
from dicom_proto.upper_layer.failures import AssociationClosed
from tests.proto.application.lives import Couple, fate
from tests.proto.programs.script import CT


@pytest.mark.parametrize("many", [50, 51])
def test_an_offer_of_many_transfer_syntaxes_that_is_not_answered(many: int) -> None:
    """DCMTK 3.6.7 drops an association request with more than fifty transfer syntaxes in a context."""
    ae = ApplicationEntity("HERE")
    ae.most_transfer_syntaxes = many
    ae.add_requested_context(CT, [f"1.2.826.0.1.3680043.{number}" for number in range(1, many + 1)])
    couple = Couple(there=[(evt.EVT_REQUESTED, lambda event: event.assoc.cut())], offer=ae.offer("THERE"))
    couple.wait()
    assert ("51 transfer syntaxes" in str(couple.scu.failure)) == (many == 51)


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (AssociationClosed("released"), "released: it wants TLS"),
        (ConnectionResetError(104, "reset"), "[Errno 104] reset: it wants TLS"),
        (ConnectionAbortedError("gone"), "gone: it wants TLS"),
    ],
)
def test_what_is_suspected_is_added_to_a_failure(failure: Exception, text: str) -> None:
    before = str(failure)
    assert explained(failure, suspect_nothing()) is failure  # type: ignore[func-returns-value]
    assert str(failure) == before
    assert explained(failure, "it wants TLS") is failure
    assert str(failure) == text


def test_what_is_left_does_nothing_and_runs_programs_to_their_end() -> None:
    couple = Couple().establish()
    couple.scu.abort()
    couple.wait()
    retired = Retired(couple.scu.engine)
    retired.abort_soon()
    ended: list[Task[None]] = []
    retired.submit(retired.part(), ended.append)
    couple.settle()
    ((error, is_done),) = [(task.error, task.is_done) for task in ended]
    assert (error, is_done) == (None, True)
    assert fate(couple.scu) == {"aborted", "over"}


@pytest.mark.parametrize("error", [None, LocalProtocolError("it has ended")])
def test_results_that_nobody_wants_may_be_there_no_more(
    error: LocalProtocolError | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "dicom_proto.association")

    def abandon() -> Program[None]:
        yield from ()
        if error is not None:
            raise error

    couple = Couple().establish()
    task = couple.scu.engine.submit(abandon(), note_forgotten)
    couple.settle()
    assert (task.is_done, task.error) == (True, None)
    assert ("were not cancelled: it has ended" in caplog.text) == (error is not None)
