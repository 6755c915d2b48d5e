"""Print management with real programs: a film session, a film box, its image, the print and what is deleted."""

from pathlib import Path

import pytest

from dicom_proto.sop_class import BasicFilmBox, BasicFilmSession, BasicGrayscaleImageBox, Printer
from tests.interop import peers
from tests.interop.archive import requestor
from tests.interop.images import CT, path_of
from tests.interop.printer import META, PrintSCP, print_one_film

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
WHOLE_FILM = [
    ("N_GET", Printer),
    ("N_CREATE", BasicFilmSession),
    ("N_CREATE", BasicFilmBox),
    ("N_SET", BasicGrayscaleImageBox),
    ("N_ACTION", BasicFilmBox),
    ("N_DELETE", BasicFilmBox),
    ("N_DELETE", BasicFilmSession),
]


@exchange("DCMTK", "Print", ours="SCU")
def test_dcmprscp(tmp_path: Path) -> None:
    ae = requestor(META, storage=False)
    with peers.dcmprscp(tmp_path) as scp, ae.associate(*scp.address, ae_title="PRINTER") as association:
        print_one_film(association)


@exchange("DCMTK", "Print", ours="SCP")
def test_dcmprscu(tmp_path: Path) -> None:
    """What dcmpsprt has rendered, dcmprscu prints with our SCP."""
    scp = PrintSCP()
    with scp.start() as server:
        config = peers.print_config(tmp_path, server.address[1], "PRINTER")
        peers.run("dcmpsprt", "-c", config, "-p", "PRINTER", path_of(CT), cwd=tmp_path).check()
        (job,) = (tmp_path / "database").glob("SP_*")
        peers.run("dcmprscu", "-v", "-c", config, "-p", "PRINTER", job, cwd=tmp_path).check()
    assert scp.seen == WHOLE_FILM
    (image,) = scp.printed
    assert len(image.PixelData) == image.Rows * image.Columns * image.BitsAllocated // 8


@exchange("CTN", "Print", ours="SCP")
def test_print_client(tmp_path: Path) -> None:
    """Four images on a film, which CTN reads from a file without File Meta Information."""
    scp = PrintSCP()
    peers.run("dcmconv", "-F", "+ti", path_of(CT), tmp_path / "image").check()
    with scp.start() as server:
        options = ["-s", "-c", "PRINTER", "-t", "CTN"]
        peers.run("print_client", *options, *server.address, *[tmp_path / "image"] * 4).check()
    services = [service for service, _ in scp.seen]
    assert services[:7] == ["N_GET", "N_CREATE", "N_CREATE", "N_SET", "N_SET", "N_SET", "N_SET"]
    assert services[7] == "N_ACTION"
    assert [image.Rows for image in scp.printed] == [128] * 4
