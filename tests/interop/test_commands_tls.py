"""The commands over TLS: with DCMTK's at the other end, in both directions, and with each other."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_transports.apps.exits import Exit
from dicom_transports.apps.main import main
from tests.contract import certificates
from tests.contract.certificates import Authority, Credentials
from tests.interop import peers
from tests.interop.archive import ONE
from tests.interop.images import contents, images, path_of, stored_in

authority = certificates.authority
server_credentials = certificates.server_credentials
client_credentials = certificates.client_credentials
HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]
EACH_IO = pytest.mark.parametrize("io", ["blocking", "asyncio", "trio"])


def own(credentials: Credentials, authority: Authority) -> list[str]:
    """Return the options that dicom-proto and DCMTK have in common."""
    return ["+tls", str(credentials.key), str(credentials.certificate), "+cf", str(authority.ca_file)]


@contextmanager
def storescp(directory: Path, *options: str) -> Iterator[peers.Peer]:
    port = peers.free_port()
    command = [sys.executable, "-m", "dicom_transports", "storescp", str(port), "-ba", HOST, "-od", str(directory)]
    with peers.serve([*command, *options], port, cwd=ROOT) as peer:
        yield peer


@EACH_IO
def test_our_commands_and_their_server(
    tmp_path: Path, authority: Authority, server_credentials: Credentials, client_credentials: Credentials, io: str
) -> None:
    with peers.storescp(tmp_path, "+B", *own(server_credentials, authority)) as scp:
        options = [*own(client_credentials, authority), "--io", io]
        assert main(["echoscu", *map(str, scp.address), *options]) == Exit.ALL
        assert main(["storescu", *map(str, scp.address), *options, str(path_of(ONE))]) == Exit.ALL
        assert main(["echoscu", *map(str, scp.address), "--tls", "-ta", "5"]) == Exit.NO_ASSOCIATION
        scp.process.end()
    assert stored_in(tmp_path) == contents(images(ONE))


def test_their_commands_and_ours_and_our_server(
    tmp_path: Path, authority: Authority, server_credentials: Credentials, client_credentials: Credentials
) -> None:
    trusting = own(client_credentials, authority)
    with storescp(tmp_path, *own(server_credentials, authority)) as scp:
        peers.run("echoscu", *trusting, *scp.address).check()
        peers.run("storescu", "-R", *trusting, *scp.address, path_of(ONE)).check()
        assert main(["echoscu", *map(str, scp.address), *trusting]) == Exit.ALL
        assert main(["storescu", *map(str, scp.address), *trusting, str(path_of(ONE))]) == Exit.ALL
        untrusted = ["--tls", "+cf", str(authority.ca_file), "-ta", "5"]
        assert main(["echoscu", *map(str, scp.address), *untrusted]) == Exit.NO_ASSOCIATION
        assert "TLS failed: " in scp.output
    assert stored_in(tmp_path) == contents(images(ONE))
