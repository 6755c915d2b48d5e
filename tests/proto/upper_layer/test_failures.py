"""How an association ended, as exceptions."""

from dicom_proto.errors import AbortReason, DicomProtoError, PDUError
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateRejected,
    ConnectionClosed,
    Released,
    TimedOut,
)
from dicom_proto.upper_layer.failures import (
    AssociationAborted,
    AssociationClosed,
    AssociationFailure,
    AssociationRejected,
    AssociationTimedOut,
    Ending,
    failure_of,
)
from dicom_proto.upper_layer.timers import Timer
from tests.proto.rows import for_each


def test_a_rejection_has_its_three_numbers() -> None:
    failure = failure_of(AssociateRejected(result=1, source=1, reason=7))
    assert isinstance(failure, AssociationRejected)
    assert (failure.result, failure.source, failure.reason) == (1, 1, 7)
    assert "rejected permanently by the service-user: called AE title not recognized" in str(failure)


def test_a_rejection_with_numbers_that_nobody_knows() -> None:
    failure = failure_of(AssociateRejected(result=77, source=88, reason=99))
    assert all(number in str(failure) for number in ("77", "88", "99"))


def test_an_abort_of_the_peers_provider_says_why() -> None:
    failure = failure_of(Aborted(origin=AbortOrigin.PEER_PROVIDER, reason=AbortReason.UNEXPECTED_PDU))
    assert isinstance(failure, AssociationAborted)
    assert (failure.origin, failure.reason, failure.error) == (AbortOrigin.PEER_PROVIDER, 2, None)
    assert "unexpected PDU" in str(failure)


def test_an_abort_of_this_side_carries_the_error() -> None:
    error = PDUError("what was wrong")
    failure = failure_of(Aborted(origin=AbortOrigin.LOCAL_PROVIDER, reason=6, error=error))
    assert isinstance(failure, AssociationAborted)
    assert failure.error is error
    assert str(failure).endswith(": what was wrong")


@for_each("origin", [AbortOrigin.PEER_USER, AbortOrigin.TRANSPORT])
def test_aborts_without_a_reason(origin: AbortOrigin) -> None:
    assert str(failure_of(Aborted(origin=origin))) == f"association ended by {origin.value}"


@for_each("timer", Timer, ids=lambda timer: timer.name)
def test_a_timeout_names_its_timer(timer: Timer) -> None:
    failure = failure_of(TimedOut(timer=timer))
    assert isinstance(failure, AssociationTimedOut)
    assert failure.timer is timer
    assert timer.value in str(failure)


@for_each("event", [Released(), ConnectionClosed()])
def test_the_regular_end(event: Ending) -> None:
    failure = failure_of(event)
    assert isinstance(failure, AssociationClosed)
    assert isinstance(failure, AssociationFailure)
    assert isinstance(failure, DicomProtoError)


@for_each(
    ("source", "reason", "is_busy"),
    [(3, 1, True), (3, 2, True), (3, 7, False), (1, 1, False), (1, 2, False), (2, 1, False)],
)
def test_who_has_too_much_to_do(source: int, reason: int, is_busy: bool) -> None:
    assert AssociationRejected(2, source, reason).is_busy is is_busy
