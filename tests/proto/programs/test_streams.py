"""Programs that only call a function, and what a stream has to have."""

import pytest

from dicom_proto.programs.streams import Stream, at_once
from tests.proto.programs.script import Script


def test_a_function_is_called_when_the_program_is_run() -> None:
    stack = [7]
    program = at_once(stack.pop)
    assert stack == [7]
    assert Script(program).end() == 7
    assert stack == []


def test_what_the_function_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        Script(at_once(lambda: 1 // 0)).end()


def test_a_stream_has_three_abilities() -> None:
    assert Stream.__abstractmethods__ == {"is_over", "next", "abandon"}
    with pytest.raises(TypeError, match="abstract"):
        Stream()  # type: ignore[abstract]
