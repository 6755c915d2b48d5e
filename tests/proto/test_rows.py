"""The tables of the other tests: no row is lost, and each that fails is named."""

import pytest

from tests.proto.rows import for_each


def test_every_row_of_every_table_is_run() -> None:
    seen = []

    @for_each("first", [1, 2])
    @for_each(("second", "third"), [(3, 4), (5, 6)])
    def check(first: int, second: int, third: int) -> None:
        seen.append((first, second, third))

    check()
    assert seen == [(1, 3, 4), (1, 5, 6), (2, 3, 4), (2, 5, 6)]


def test_the_row_that_fails_is_named() -> None:
    @for_each(("number", "limit"), [(1, 2), (3, 2)])
    def check(number: int, limit: int) -> None:
        assert number < limit

    with pytest.raises(AssertionError) as caught:
        check()
    assert caught.value.__notes__ == ["in the row 3, 2"]


def test_what_fails_does_not_hide_the_rows_behind_it() -> None:
    @for_each("number", [1, 2, 3], ids=["one", "two", "three"])
    def check(number: int) -> None:
        if number == 2:
            raise KeyError(number)
        with pytest.raises(ZeroDivisionError):
            1 // (number - 1)

    with pytest.raises(BaseExceptionGroup, match="2 of 3 rows fail") as caught:
        check()
    assert [failure.__notes__ for failure in caught.value.exceptions] == [["in the row two"], ["in the row three"]]
    assert caught.group_contains(KeyError)
    assert caught.group_contains(pytest.fail.Exception, match="DID NOT RAISE")


def test_rows_are_named_by_a_function() -> None:
    @for_each("number", [10, 11], ids=hex)
    def check(number: int) -> None:
        assert number == 10

    with pytest.raises(AssertionError) as caught:
        check()
    assert caught.value.__notes__ == ["in the row 0xb"]


def test_a_table_has_rows_and_as_many_ids() -> None:
    with pytest.raises(ValueError, match="without a row"):
        for_each("number", [])
    with pytest.raises(ValueError, match="needs its id"):
        for_each("number", [1, 2], ids=["one"])
    with pytest.raises(ValueError, match="zip"):
        for_each(("number", "limit"), [(1,)])
