"""Storage Commitment, both sides."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.errors import InvalidNameError, LocalProtocolError, NoContextError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_N_ACTION, EVT_N_EVENT_REPORT
from dicom_proto.services.management.attributes import Refused
from dicom_proto.services.management.commitment import (
    ALL_COMMITTED,
    FAILURES_EXIST,
    REPORTING_ROLE,
    REQUEST_COMMITMENT,
    CommitmentProvider,
    CommitmentRequest,
    CommitmentResult,
    Commitments,
    Location,
    Reference,
    commitment_report,
    commitment_request,
    decide,
    read_commitment_report,
    read_commitment_request,
    report_commitment,
    request_commitment,
)
from tests.proto.programs.script import CT, MR, dataset_of, decoded, offer_of
from tests.proto.rows import for_each
from tests.proto.services.management.flows import Talk, action_event, code, report_event

CLASS, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
TRANSACTION = "1.2.3.4"
ONE, TWO, THREE = Reference(CT, "1.2.1"), Reference(MR, "1.2.2"), Reference(CT, "1.2.3")
ARCHIVE, SHELF = Location("ARCHIVE"), Location("", "SHELF", "1.9")


def item(reference: Reference, **more: Any) -> Dataset:
    return dataset_of(
        ReferencedSOPClassUID=reference.sop_class_uid, ReferencedSOPInstanceUID=reference.sop_instance_uid, **more
    )


def asking(data_set: Dataset | None, sop_class: str = CLASS, instance: str = INSTANCE, kind: int = 1) -> RequestEvent:
    return action_event(sop_class, instance, kind, data_set)


def reporting(
    data_set: Dataset | None, sop_class: str = CLASS, instance: str = INSTANCE, kind: int = 1
) -> RequestEvent:
    return report_event(sop_class, instance, kind, data_set)


def result_of(committed: Any = (), failed: Any = (), **more: Any) -> CommitmentResult:
    return CommitmentResult(transaction_uid=TRANSACTION, committed=dict(committed), failed=dict(failed), **more)


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_request() -> None:
    request = commitment_request(TRANSACTION, [ONE, tuple(TWO)], file_set_id="SHELF", file_set_uid="1.9")  # type: ignore[list-item]
    assert request == dataset_of(
        TransactionUID=TRANSACTION,
        ReferencedSOPSequence=[item(ONE), item(TWO)],
        StorageMediaFileSetID="SHELF",
        StorageMediaFileSetUID="1.9",
    )


@for_each(
    ("transaction", "references", "error"),
    [
        ("1.02", [ONE], InvalidNameError),
        (TRANSACTION, [(CT, "1\n2")], InvalidNameError),
        (TRANSACTION, [("", "1.2")], InvalidNameError),
        (TRANSACTION, [], LocalProtocolError),
        (TRANSACTION, ["1.2.3"], LocalProtocolError),
        (TRANSACTION, [5], LocalProtocolError),
        (TRANSACTION, [ONE, TWO, ONE], LocalProtocolError),
        (TRANSACTION, [ONE, (MR, ONE.sop_instance_uid)], LocalProtocolError),
    ],
)
def test_request_that_would_be_wrong(transaction: str, references: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        commitment_request(transaction, references)


def test_an_irregular_instance_can_be_asked_for() -> None:
    """It has no other name (PS3.5 9.1 binds who makes a UID); horos#83."""
    request = commitment_request(TRANSACTION, [(CT, "LOCALIZER1.02")])
    assert request.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "LOCALIZER1.02"


REPORTS = [
    (  # one place: said once
        result_of({ONE: ARCHIVE, TWO: ARCHIVE}),
        dataset_of(TransactionUID=TRANSACTION, RetrieveAETitle="ARCHIVE", ReferencedSOPSequence=[item(ONE), item(TWO)]),
    ),
    (  # several places: said item by item
        result_of({ONE: ARCHIVE, TWO: SHELF}, {THREE: 0x0213}),
        dataset_of(
            TransactionUID=TRANSACTION,
            ReferencedSOPSequence=[
                item(ONE, RetrieveAETitle="ARCHIVE"),
                item(TWO, StorageMediaFileSetID="SHELF", StorageMediaFileSetUID="1.9"),
            ],
            FailedSOPSequence=[item(THREE, FailureReason=0x0213)],
        ),
    ),
    (
        result_of({}, {ONE: 0x0112}),
        dataset_of(TransactionUID=TRANSACTION, FailedSOPSequence=[item(ONE, FailureReason=0x0112)]),
    ),
    (result_of({ONE: Location("A\\B")}), None),
]


@for_each(("result", "expected"), REPORTS)
def test_report(result: CommitmentResult, expected: Dataset | None) -> None:
    report = commitment_report(result)
    assert expected is None or report == expected
    assert read_commitment_report(reporting(report, kind=2)) == result


@for_each("result", [result_of(), result_of({ONE: ARCHIVE}, unmentioned=(TWO,))])
def test_report_has_to_say_what_became_of_everything(result: CommitmentResult) -> None:
    with pytest.raises(LocalProtocolError, match="every instance"):
        commitment_report(result)


def test_result_says_what_it_means() -> None:
    result = result_of({ONE: ARCHIVE}, {TWO: 0x0213, THREE: 0xA700})
    assert not result.is_complete
    assert result.failure_words == {TWO: "not enough resources", THREE: "failure reason A700H"}
    assert result_of({ONE: ARCHIVE}).is_complete
    assert not result_of({ONE: ARCHIVE}, unmentioned=(TWO,)).is_complete


# --- what the SCP reads -----------------------------------------------------------------------------------------------


@for_each(
    ("event", "status", "named"),
    [
        (asking(commitment_request(TRANSACTION, [ONE]), sop_class=CT), 0x0118, None),
        (asking(commitment_request(TRANSACTION, [ONE]), instance="1.2"), 0x0112, None),
        (asking(commitment_request(TRANSACTION, [ONE]), kind=2), 0x0123, None),
        (asking(None), 0x0115, None),
        (asking(dataset_of(ReferencedSOPSequence=[item(ONE)])), 0x0115, None),
        (asking(dataset_of(TransactionUID="", ReferencedSOPSequence=[item(ONE)])), 0x0115, "TransactionUID"),
        (asking(dataset_of(TransactionUID=["1.2", "1.3"])), 0x0115, "TransactionUID"),
        (asking(dataset_of(TransactionUID=TRANSACTION)), 0x0115, None),
        (asking(dataset_of(TransactionUID=TRANSACTION, ReferencedSOPSequence=[])), 0x0115, "ReferencedSOPSequence"),
        (
            asking(dataset_of(TransactionUID=TRANSACTION, ReferencedSOPSequence=[item(ONE), item(ONE)])),
            0x0115,
            "ReferencedSOPSequence",
        ),
        (
            asking(dataset_of(TransactionUID=TRANSACTION, ReferencedSOPSequence=[item(Reference("", "1.2"))])),
            0x0115,
            "ReferencedSOPSequence",
        ),
    ],
)
def test_request_that_is_refused(event: RequestEvent, status: int, named: str | None) -> None:
    accepted: list[Any] = []
    provider = CommitmentProvider(lambda request, _: accepted.append(request))
    answer, data_set = provider.on_action(event)
    assert (answer, accepted, provider.used) == (status, [], set())
    assert [element.keyword for element in data_set or ()] == ([named] if named else [])


def test_request_is_accepted_once() -> None:
    accepted: list[CommitmentRequest] = []
    used: set[str] = set()
    provider = CommitmentProvider(lambda request, _: accepted.append(request), used)
    event = asking(commitment_request(TRANSACTION, [ONE, TWO], file_set_id="SHELF", file_set_uid="1.9"))
    assert provider.on_action(event) == (0x0000, None)
    assert provider.on_action(event) == (0x0115, dataset_of(TransactionUID=TRANSACTION))
    assert used == {TRANSACTION}
    assert accepted == [CommitmentRequest(transaction_uid=TRANSACTION, references={ONE: SHELF, TWO: SHELF})]


def test_request_may_say_item_by_item_where_instances_are() -> None:
    items = [item(ONE, StorageMediaFileSetID="SHELF", StorageMediaFileSetUID="1.9"), item(TWO)]
    request = read_commitment_request(
        asking(dataset_of(TransactionUID=TRANSACTION, ReferencedSOPSequence=items), kind=REQUEST_COMMITMENT)
    )
    assert request.references == {ONE: SHELF, TWO: Location()}


def test_provider_may_refuse_for_reasons_of_its_own() -> None:
    def refuse(*_: object) -> None:
        raise Refused(0x0213)

    provider = CommitmentProvider(refuse)
    assert provider.on_action(asking(commitment_request(TRANSACTION, [ONE]))) == (0x0213, None)
    assert not provider.used  # so the peer may try again


@for_each(
    ("decision", "committed", "failed"),
    [
        (True, {ONE: Location()}, {}),
        (ARCHIVE, {ONE: ARCHIVE}, {}),
        (False, {}, {ONE: 0x0112}),
        (0x0119, {}, {ONE: 0x0119}),
    ],
)
def test_decision(decision: Any, committed: Any, failed: Any) -> None:
    request = CommitmentRequest(transaction_uid=TRANSACTION, references={ONE: Location()})
    assert decide(request, lambda _: decision) == result_of(committed, failed)


# --- what the SCU reads -----------------------------------------------------------------------------------------------


@for_each(
    ("event", "status"),
    [
        (reporting(commitment_report(result_of({ONE: ARCHIVE})), sop_class=CT), 0x0118),
        (reporting(commitment_report(result_of({ONE: ARCHIVE})), instance="1.2"), 0x0112),
        (reporting(commitment_report(result_of({ONE: ARCHIVE})), kind=3), 0x0113),
        (reporting(None), 0x0115),
        (reporting(dataset_of(ReferencedSOPSequence=[item(ONE)])), 0x0115),
        (reporting(dataset_of(TransactionUID=TRANSACTION, FailedSOPSequence=[Dataset()])), 0x0115),
        (reporting(dataset_of(TransactionUID="1.5", ReferencedSOPSequence=[item(ONE)])), 0x0115),
    ],
)
def test_report_that_is_refused(event: RequestEvent, status: int) -> None:
    commitments = Commitments()
    commitments.expect(TRANSACTION, [ONE])
    assert code(commitments.on_event_report(event)) == status
    assert commitments.requested == {TRANSACTION: (ONE,)}
    assert not commitments.results


def test_reports_find_their_requests_and_may_be_repeated() -> None:
    told: list[CommitmentResult] = []
    commitments = Commitments(on_result=told.append)
    commitments.expect(TRANSACTION, [ONE, TWO])
    commitments.expect("1.5", [THREE])
    result = result_of({ONE: ARCHIVE}, {TWO: 0x0110})
    report = reporting(commitment_report(result), kind=2)
    for _ in range(2):
        assert commitments.on_event_report(report) == (0x0000, None)
        assert commitments.results == {TRANSACTION: result}
        assert commitments.requested == {"1.5": (THREE,)}
        assert told == [result]
    other = reporting(commitment_report(result_of({ONE: ARCHIVE, TWO: ARCHIVE})))
    assert code(commitments.on_event_report(other)) == 0x0115
    assert commitments.results == {TRANSACTION: result}


@for_each("uid", [TRANSACTION, "1.5"])
def test_transaction_uid_is_not_used_again(uid: str) -> None:
    commitments = Commitments({TRANSACTION: (ONE,)}, {"1.5": result_of({ONE: ARCHIVE})})
    with pytest.raises(LocalProtocolError, match="used"):
        commitments.expect(uid, [TWO])


def test_report_is_only_believed_about_what_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    commitments = Commitments({TRANSACTION: (ONE, TWO)})
    report = dataset_of(TransactionUID=TRANSACTION, ReferencedSOPSequence=[item(ONE), item(THREE)])
    assert commitments.on_event_report(reporting(report)) == (0x0000, None)
    assert commitments.results == {TRANSACTION: result_of({ONE: Location()}, unmentioned=(TWO,))}
    assert "not asked for" in caplog.text


def test_what_is_named_as_failed_is_not_committed() -> None:
    report = dataset_of(
        TransactionUID=TRANSACTION, ReferencedSOPSequence=[item(ONE), item(TWO)], FailedSOPSequence=[item(ONE)]
    )
    assert read_commitment_report(reporting(report)) == result_of({TWO: Location()}, {ONE: 0x0110})


# --- both sides -------------------------------------------------------------------------------------------------------


def test_report_comes_on_the_same_association() -> None:
    commitments = Commitments()
    accepted: list[CommitmentRequest] = []
    provider = CommitmentProvider(lambda request, _: accepted.append(request))
    talk = Talk(
        offer_of(CLASS),
        one=commitments.handlers(),
        other=provider.handlers(),
    )
    reply = talk.run(lambda peer: request_commitment(peer, iter([ONE, TWO]), TRANSACTION, commitments, message_id=5))
    assert (reply.response.status, reply.response.message_id_being_responded_to) == (0x0000, 5)
    assert commitments.requested == {TRANSACTION: (ONE, TWO)}
    reply = talk.run(lambda peer: request_commitment(peer, [ONE], TRANSACTION))
    assert (reply.response.status, decoded(reply.data)) == (0x0115, dataset_of(TransactionUID=TRANSACTION))  # type: ignore[arg-type]
    result = decide(accepted[0], lambda reference: reference == ONE)
    reply = talk.run(lambda peer: report_commitment(peer, result), side=1)
    assert reply.response.status == 0x0000
    assert reply.response.event_type_id == FAILURES_EXIST  # type: ignore[attr-defined]
    assert commitments.results == {TRANSACTION: result}


def test_report_comes_on_another_association() -> None:
    commitments = Commitments({TRANSACTION: (ONE,)})
    talk = Talk(offer_of(CLASS, roles=[REPORTING_ROLE]), other=commitments.handlers())
    result = result_of({ONE: ARCHIVE})
    reply = talk.run(lambda peer: report_commitment(peer, result, message_id=7))
    assert (reply.response.status, reply.response.message_id_being_responded_to) == (0x0000, 7)
    assert reply.response.event_type_id == ALL_COMMITTED  # type: ignore[attr-defined]
    assert commitments.results == {TRANSACTION: result}


def test_requestor_that_forgets_to_propose_to_report_does_so_all_the_same() -> None:
    events: list[Any] = []

    def take(event: Any) -> int:
        events.append(event)
        return 0x0000

    talk = Talk(offer_of(CLASS), other=[(EVT_N_EVENT_REPORT, take)])
    assert talk.run(lambda peer: report_commitment(peer, result_of({ONE: ARCHIVE}))).response.status == 0
    assert events[0].event_type == 1
    with pytest.raises(NoContextError, match="SCP"):
        Talk(offer_of(CT)).run(lambda peer: report_commitment(peer, result_of({ONE: ARCHIVE})))


@for_each("commitments", [Commitments(), None])
def test_request_that_is_refused_is_forgotten(commitments: Commitments | None) -> None:
    talk = Talk(offer_of(CLASS), other=[(EVT_N_ACTION, lambda _: (0x0213, None))])
    reply = talk.run(lambda peer: request_commitment(peer, [ONE], TRANSACTION, commitments))
    assert reply.response.status == 0x0213
    if commitments is not None:
        assert not commitments.requested
        with pytest.raises(LocalProtocolError, match="used"):  # not even then
            commitments.expect(TRANSACTION, [ONE])


def test_request_that_cannot_be_sent_is_forgotten() -> None:
    commitments = Commitments()
    with pytest.raises(NoContextError):
        Talk(offer_of(CT)).run(lambda peer: request_commitment(peer, [ONE], TRANSACTION, commitments))
    assert not commitments.requested
    commitments.expect(TRANSACTION, [ONE])
