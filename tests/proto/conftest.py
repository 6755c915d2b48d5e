"""What the tests of the core share."""

import gc
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from dicom_proto import sop_class

# So many examples as find at once what is broken; `--hypothesis-profile thorough` looks for what is rare. No deadline:
# a time says more of the machine than of the code.
settings.register_profile("unit", max_examples=10, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)
settings.load_profile("unit")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while tests are collected: what is made then lives as long as the run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture
def registrations_undone() -> Iterator[None]:
    """What a test registers is gone after it."""
    groups = [group for name, group in vars(sop_class).items() if name.endswith("_CLASSES")]
    tables = [vars(sop_class), sop_class._RECORDS, *groups]  # noqa: SLF001
    before = [dict(table) for table in tables]
    yield
    for kept, now in zip(before, tables, strict=True):
        for added in now.keys() - kept.keys():
            del now[added]
