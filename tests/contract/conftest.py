"""The adapters, and an association that one of them has requested."""

from collections.abc import Iterator

import pytest

from dicom_transports.blocking import Session
from tests.contract.adapters import ADAPTERS, Adapter, Peer
from tests.contract.scenes import establish


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return ADAPTERS[request.param]


@pytest.fixture
def dialled(adapter: Adapter) -> Iterator[tuple[Session, Peer]]:
    session, peer = establish(adapter)
    with session, peer:
        yield session, peer
