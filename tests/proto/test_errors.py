"""Errors: whose fault each is, and as what else it can be caught."""

import pytest

from dicom_proto import errors
from dicom_proto.errors import AbortReason, DicomProtoError, LocalProtocolError, RemoteProtocolError
from tests.proto.rows import for_each


@for_each(
    ("name", "kinds"),
    [
        ("LocalProtocolError", ()),
        ("InvalidNameError", (LocalProtocolError, ValueError)),
        ("InvalidSettingError", (LocalProtocolError, ValueError, TypeError)),
        ("MissingElementError", (LocalProtocolError, AttributeError)),
        ("EncodingError", (LocalProtocolError, ValueError)),
        ("NotEstablishedError", (LocalProtocolError, RuntimeError)),
        ("NoContextError", (LocalProtocolError, ValueError)),
        ("NothingRequestedError", (LocalProtocolError, ValueError, RuntimeError)),
    ],
)
def test_what_this_side_asks_for_wrongly(name: str, kinds: tuple[type[Exception], ...]) -> None:
    """Users of pynetdicom catch what Python raises for such things."""
    error = getattr(errors, name)("what was wrong")
    assert isinstance(error, DicomProtoError)
    assert not isinstance(error, RemoteProtocolError)
    for kind in kinds:
        with pytest.raises(kind, match="what was wrong"):
            raise error


@for_each("name", ["RemoteProtocolError", "PDUError", "CommandSetError", "DataSetError", "LimitExceededError"])
def test_what_the_peer_does_wrongly_has_a_reason_for_the_abort(name: str) -> None:
    """PS3.8 9.3.8: an A-ABORT of the service-provider says why."""
    kind = getattr(errors, name)
    usual, given = kind("short"), kind("unexpected", abort_reason=AbortReason.UNEXPECTED_PDU)
    assert isinstance(usual, RemoteProtocolError)
    assert not isinstance(usual, LocalProtocolError)
    assert (str(usual), usual.abort_reason) == ("short", AbortReason.INVALID_PDU_PARAMETER_VALUE)
    assert (str(given), given.abort_reason) == ("unexpected", 2)


def test_the_reasons_of_an_abort() -> None:
    """PS3.8 Table 9-26; 3 is reserved."""
    assert sorted(AbortReason) == [0, 1, 2, 4, 5, 6]


def test_each_error_is_named() -> None:
    defined = [name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__]
    assert sorted(errors.__all__) == sorted(defined)
