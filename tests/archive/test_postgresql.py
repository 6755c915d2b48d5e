"""Two nodes over one PostgreSQL and one directory: found on the other what one has answered before it was killed."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import create_engine, func, select

from dicom_proto.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_transports._archive.index.schema import TABLES
from dicom_transports._archive.keys import Level
from dicom_transports.archive import Archive
from dicom_transports.blocking import AE, build_role, evt
from tests.archive.nodes import node
from tests.archive.objects import image, query
from tests.archive.postgresql import database
from tests.interop import peers

FIND, GET = StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelGet


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with database() as url:
        yield url


def dial(peer: peers.Peer, *handlers: Any) -> Any:
    ae = AE("SCU")
    for uid in (FIND, GET, CTImageStorage):
        ae.add_requested_context(uid)
    roles = [build_role(CTImageStorage, scu_role=True, scp_role=True)]
    return ae.associate(*peer.address, ae_title="ARCHIVE", ext_neg=roles, evt_handlers=list(handlers))


def killed_while_storing(peer: peers.Peer, objects: list[Dataset], after: int) -> set[str]:
    """Store objects and kill the node in the midst of it; return what has been answered with Success."""
    answered: set[str] = set()
    try:
        with dial(peer) as association:
            for number, one in enumerate(objects):
                if number == after:
                    threading.Timer(0.003, os.kill, (peer.process.popen.pid, signal.SIGKILL)).start()
                if association.send_c_store(one).Status == 0:
                    answered.add(str(one.SOPInstanceUID))
    except AssociationFailure:
        pass
    return answered


def fetched(peer: peers.Peer, study: str) -> set[str]:
    """Find and get all objects of a study."""
    got: set[str] = set()

    def keep(event: Any) -> int:
        got.add(str(event.request.AffectedSOPInstanceUID))
        return 0

    with dial(peer, (evt.EVT_C_STORE, keep)) as association:
        asked = query("SERIES", StudyInstanceUID=study, SeriesInstanceUID="", NumberOfSeriesRelatedInstances="")
        matches = [found for status, found in association.send_c_find(asked, FIND) if found]
        assert list(association.send_c_get(query("STUDY", StudyInstanceUID=study), GET))[-1][0].Status == 0
    assert sum(int(one.NumberOfSeriesRelatedInstances) for one in matches) == len(got)
    return got


STUDY = [image(f"1.1.{number}", PatientComments="x" * 2000) for number in range(1, 101)]


def test_a_node_that_dies_in_mid_study_loses_nothing(tmp_path: Path, url: str) -> None:
    for name in ("survivor", "victim"):  # as on two machines
        (tmp_path / f"{name}.toml").write_text(f'[[access]]\ncalling = ["SCU", "NEAR {name.upper()}"]\n')
    settings = [str(tmp_path / f"{name}.toml") for name in ("survivor", "victim")]
    with (
        node(tmp_path, "--database", url, "--settings", settings[0]) as survivor,
        node(tmp_path, "--database", url, "--settings", settings[1]) as victim,
    ):
        answered = killed_while_storing(victim, STUDY, 20)
        assert 20 <= len(answered) < len(STUDY)
        assert answered <= fetched(survivor, "1.2.1.1")
        with dial(survivor) as association:
            assert {association.send_c_store(one).Status for one in STUDY} == {0}
        assert len(fetched(survivor, "1.2.1.1")) == len(STUDY)
    with Archive(tmp_path, url) as again:
        assert again.verify() == []


def test_the_same_instance_to_two_nodes_at_once_gives_one_row(tmp_path: Path, url: str) -> None:
    same = [image(f"9.1.{number}") for number in range(1, 21)]
    results: list[int] = []

    def store(peer: peers.Peer) -> None:
        with dial(peer) as association:
            results.extend(association.send_c_store(one).Status for one in same)

    with node(tmp_path, "--database", url) as first, node(tmp_path, "--database", url) as second:
        threads = [threading.Thread(target=store, args=(peer,)) for peer in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [0] * 40
    engine = create_engine(url)
    instances = TABLES[Level.IMAGE]
    with engine.connect() as connection:
        mine = instances.c.SOPInstanceUID.like("1.2.9.1.%")
        assert connection.execute(select(func.count()).select_from(instances).where(mine)).scalar() == 20
    engine.dispose()
