"""What the tests of the core share."""

from collections.abc import Iterator

import pytest

from dicom_proto import sop_class


@pytest.fixture
def registrations_undone() -> Iterator[None]:
    """What a test registers is gone after it."""
    before = dict(vars(sop_class)), dict(sop_class._RECORDS)  # noqa: SLF001
    yield
    for kept, now in zip(before, (vars(sop_class), sop_class._RECORDS), strict=True):  # noqa: SLF001
        for added in now.keys() - kept.keys():
            del now[added]
