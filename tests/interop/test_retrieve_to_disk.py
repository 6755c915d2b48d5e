"""What real peers are asked for goes to disk: by C-GET over the same association, by C-MOVE to a server of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from pydicom import dcmread

from dicom_transports.blocking import AssociationServer, evt
from dicom_transports.storage import GroupCommit, store_to
from tests.contract.adapters import make_ae
from tests.interop import peers
from tests.interop.archive import (
    FILES,
    HOST,
    MODELS,
    ROLES,
    STORED,
    directories,
    query,
    requestor,
    send_files,
    syntaxes_of,
)
from tests.interop.images import contents, images, path_of, stored_in

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
FIND, GET, MOVE = MODELS["-S"]
STUDIES = {str(dcmread(path_of(name), stop_before_pixels=True).StudyInstanceUID) for name in FILES}
BY_STUDY = "{StudyInstanceUID}/{SOPInstanceUID}.dcm"


@frozen
class Places:
    """Where things are: those of the peer, what came by C-GET, what came by C-MOVE."""

    theirs: Path
    got: Path
    moved: Path


@contextmanager
def destination(directory: Path) -> Iterator[AssociationServer]:
    """A storage SCP that C-MOVE can send to."""
    ae = make_ae("MOVER")
    for uid in STORED:
        ae.add_supported_context(uid, syntaxes_of(uid))
    handlers: list[Any] = [(evt.EVT_C_STORE, store_to(directory, BY_STUDY, durability=GroupCommit()))]
    with ae.start_server((HOST, 0), block=False, evt_handlers=handlers) as server:
        yield server


def retrieve(peer: peers.Peer, ae_title: str, places: Places) -> None:
    """Store the files there, and have them sent back, in both ways."""
    handlers: list[Any] = [(evt.EVT_C_STORE, store_to(places.got, BY_STUDY))]
    ae = requestor(FIND, GET, MOVE, ae_title="MOVER")
    with ae.associate(*peer.address, ae_title=ae_title, ext_neg=ROLES, evt_handlers=handlers) as association:
        send_files(association)
        for study in sorted(STUDIES):
            wanted = query("STUDY", StudyInstanceUID=study)
            *_, (status, _) = association.send_c_get(wanted, GET)
            assert (status.Status, status.NumberOfCompletedSuboperations) == (0x0000, 1)
            *_, (status, _) = association.send_c_move(wanted, "MOVER", MOVE)
            assert (status.Status, status.NumberOfCompletedSuboperations) == (0x0000, 1)
    for directory in (places.got, places.moved):
        assert {path.name for path in directory.iterdir()} == STUDIES  # and nothing that is temporary


@exchange("DCMTK", "C-GET C-MOVE", ours="SCU")
def test_from_dcmqrscp(tmp_path: Path) -> None:
    places = Places(*directories(tmp_path, "theirs", "got", "moved"))
    with (
        destination(places.moved) as server,
        peers.dcmqrscp(places.theirs, movers={"MOVER": server.address[1]}) as peer,
    ):
        retrieve(peer, "QRSCP", places)
    assert stored_in(places.got) == stored_in(places.moved) == contents(images(*FILES))


@exchange("Orthanc", "C-GET C-MOVE", ours="SCU")
def test_from_orthanc(tmp_path: Path) -> None:
    places = Places(*directories(tmp_path, "theirs", "got", "moved"))
    with (
        destination(places.moved) as server,
        peers.orthanc(places.theirs, modalities={"sut": ("MOVER", server.address[1])}) as peer,
    ):
        retrieve(peer, "ORTHANC", places)
    assert stored_in(places.got) == stored_in(places.moved) == contents(images(*FILES))
