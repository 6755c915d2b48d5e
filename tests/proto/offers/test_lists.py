"""Presentation contexts that somebody has written down together."""

import pytest

from dicom_proto.errors import InvalidSettingError
from dicom_proto.offers.contexts import PresentationContext, build_context
from dicom_proto.offers.lists import (
    add,
    as_context,
    complete,
    contexts_of,
    described,
    merge,
    proposable,
    split,
    without,
)
from tests.proto.programs.script import CT, EXPLICIT, IMPLICIT, MR


def test_a_context_is_a_copy_or_made() -> None:
    given = build_context(CT, IMPLICIT)
    assert as_context(given, None) == given
    assert as_context(given, None) is not given
    assert as_context(CT, IMPLICIT) == given
    assert contexts_of([CT, MR], IMPLICIT) == [given, build_context(MR, IMPLICIT)]


def test_one_with_many_transfer_syntaxes_is_split() -> None:
    whole = [build_context(CT, [IMPLICIT, EXPLICIT]), build_context(MR, IMPLICIT)]
    assert list(split(whole, 1)) == [build_context(CT, IMPLICIT), build_context(CT, EXPLICIT), whole[1]]
    assert list(split(whole, 2)) == whole


@pytest.mark.parametrize("context", ["no context", PresentationContext(), PresentationContext(CT)])
def test_what_is_incomplete_is_refused(context: PresentationContext) -> None:
    with pytest.raises(InvalidSettingError):
        list(complete([context]))


def test_there_is_room_for_so_many() -> None:
    contexts = [build_context(f"1.2.{number}") for number in range(129)]
    assert proposable(contexts[1:]) == contexts[1:]
    with pytest.raises(InvalidSettingError, match="129"):
        proposable(contexts)


def test_what_is_supported_is_one_of_each() -> None:
    merged = merge([build_context(CT, IMPLICIT), build_context(CT, EXPLICIT), build_context(MR, IMPLICIT)])
    assert [one.transfer_syntax for one in merged.values()] == [[IMPLICIT, EXPLICIT], [IMPLICIT]]
    nobody = build_context(CT)
    nobody.scu_role = nobody.scp_role = False
    with pytest.raises(InvalidSettingError, match="no role"):
        add(merged, nobody)


def test_some_are_taken_out() -> None:
    def contexts() -> list[PresentationContext]:
        return [build_context(CT, [IMPLICIT, EXPLICIT]), build_context(MR, IMPLICIT)]

    assert without(contexts(), CT, None) == contexts()[1:]
    assert without(contexts(), CT, IMPLICIT) == [build_context(CT, EXPLICIT), contexts()[1]]
    assert without(contexts(), MR, [IMPLICIT, EXPLICIT]) == contexts()[:1]


def test_they_can_be_read() -> None:
    assert list(described("supported", [build_context(CT, IMPLICIT)])) == [
        "  supported presentation contexts:",
        "    CT Image Storage: Implicit VR Little Endian",
    ]
