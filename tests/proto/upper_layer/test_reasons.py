"""Words for the codes of A-ASSOCIATE-RJ and A-ABORT."""

from dicom_proto.errors import AbortReason
from dicom_proto.upper_layer.reasons import (
    REJECT_REASONS,
    AbortSource,
    RejectResult,
    RejectSource,
    describe_abort,
    describe_reason,
    describe_rejection,
    describe_result,
    describe_source,
)
from tests.proto.rows import for_each


@for_each(
    ("codes", "words"),
    [
        ((1, 1, 1), "rejected permanently by the service-user: no reason given"),
        ((1, 1, 2), "rejected permanently by the service-user: application context name not supported"),
        ((1, 1, 3), "rejected permanently by the service-user: calling AE title not recognized"),
        ((1, 1, 7), "rejected permanently by the service-user: called AE title not recognized"),
        ((1, 2, 1), "rejected permanently by the service-provider (ACSE): no reason given"),
        ((1, 2, 2), "rejected permanently by the service-provider (ACSE): protocol version not supported"),
        ((2, 3, 1), "rejected for now by the service-provider (presentation): temporary congestion"),
        ((2, 3, 2), "rejected for now by the service-provider (presentation): local limit exceeded"),
        ((2, 3, 0), "rejected for now by the service-provider (presentation): unknown reason 0"),
        ((1, 1, 10), "rejected permanently by the service-user: unknown reason 10"),
        ((0, 255, 7), "rejected with unknown result 0 by unknown source 255: unknown reason 7"),
    ],
)
def test_a_rejection_in_words(codes, words):
    assert describe_rejection(*codes) == words
    result, source, reason = codes
    assert f"{describe_result(result)} by {describe_source(source)}: {describe_reason(source, reason)}" == words


@for_each(
    ("codes", "words"),
    [
        ((0, 0), "aborted by the service-user"),
        ((0, 6), "aborted by the service-user"),
        ((2, 0), "aborted by the service-provider: not specified"),
        ((2, 1), "aborted by the service-provider: unrecognized PDU"),
        ((2, 2), "aborted by the service-provider: unexpected PDU"),
        ((2, 3), "aborted by the service-provider: unknown reason 3"),
        ((2, 4), "aborted by the service-provider: unrecognized PDU parameter"),
        ((2, 5), "aborted by the service-provider: unexpected PDU parameter"),
        ((2, 6), "aborted by the service-provider: invalid PDU parameter value"),
        ((1, 255), "aborted by unknown source 1: unknown reason 255"),
        ((9, 2), "aborted by unknown source 9: unexpected PDU"),
    ],
)
def test_an_abort_in_words(codes, words):
    assert describe_abort(*codes) == words


def test_the_codes_are_those_of_the_standard():
    assert [int(result) for result in RejectResult] == [1, 2]
    assert {int(source): sorted(map(int, reasons)) for source, reasons in REJECT_REASONS.items()} == {
        1: [1, 2, 3, 7],
        2: [1, 2],
        3: [1, 2],
    }
    assert set(REJECT_REASONS) == set(RejectSource)
    assert [int(source) for source in AbortSource] == [0, 2]
    assert [int(reason) for reason in AbortReason] == [0, 1, 2, 4, 5, 6]
