"""DCMTK on the other end: what its programs send arrives here byte for byte, and what is sent to them arrives there."""

import socket
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationRejected, AssociationTimedOut
from dicom_proto.upper_layer.timers import Timer
from dicom_transports.blocking import evt
from tests.contract.adapters import assert_no_associations, wait_until
from tests.interop import peers
from tests.interop.images import COMPRESSED, CT, PLAIN, Stored, contents, image, images, large_image, path_of, stored_in
from tests.interop.storage import WAIT, StorageSCP, echo_and_send, requestor_of, send_files

pytestmark = pytest.mark.usefixtures("adapter")
PDU_SIZES = [4096, 16384, 131072]


def directory(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir()
    return path


# --- their SCUs, our SCP ----------------------------------------------------------------------------------------------


def test_echoscu(tmp_path: Path) -> None:
    with StorageSCP(tmp_path) as scp:
        finished = peers.run("echoscu", "-v", "--repeat", 3, *scp.address).check()
        assert finished.output.count("Received Echo Response (Success)") == 3
        (association,) = scp.wait()
    assert association.events == ["C_ECHO", "C_ECHO", "C_ECHO", "RELEASED"]


def test_echoscu_with_all_the_contexts_there_can_be(tmp_path: Path) -> None:
    with StorageSCP(tmp_path) as scp:
        finished = peers.run("echoscu", "-v", "-ppc", 128, "-pts", 38, *scp.address).check()
        assert "Received Echo Response (Success)" in finished.output
        (association,) = scp.wait()
    offer = association.association.peer.connection.offer
    assert offer is not None
    assert [len(context.transfer_syntaxes) for context in offer.presentation_contexts] == [38] * 128
    contexts = association.association.accepted_contexts
    assert [context.context_id for context in contexts] == list(range(1, 256, 2))


def test_echoscu_that_aborts(tmp_path: Path) -> None:
    with StorageSCP(tmp_path, maximum_associations=1) as scp:
        for number in range(1, 4):  # each gets the one slot
            finished = peers.run("echoscu", "-v", "--abort", *scp.address).check()
            assert "Aborting Association" in finished.output
            assert scp.wait(number)[-1].events == ["C_ECHO", "ABORTED"]


@cache  # it is the same for all adapters
def as_storescp_has_it(command: tuple[str, ...], *files: Path) -> Stored:
    """What a bit preserving storescp stores when it is sent the same: DCMTK's SCUs encode anew what they read."""
    with tempfile.TemporaryDirectory() as theirs:
        with peers.storescp(Path(theirs), "+B", "+xa") as scp:
            peers.run(*command, *scp.address, *files).check()
        return stored_in(Path(theirs))


@pytest.mark.parametrize("size", PDU_SIZES)
def test_storescu(tmp_path: Path, size: int) -> None:
    files = [path_of(name) for name in PLAIN if name not in ("ExplVR_BigEnd.dcm", "image_dfl.dcm")]
    command = ("storescu", "-v", "-R", "-pdu", str(size))
    ours = directory(tmp_path, "ours")
    with StorageSCP(ours, maximum_pdu_size=size) as scp:
        finished = peers.run(*command, *scp.address, *files).check()
        assert f"Max Send PDV: {size - 12}" in finished.output
        assert finished.output.count("Received Store Response (Success)") == len(files)
        (association,) = scp.wait()
        agreement = association.association.peer.connection.agreement
        assert agreement is not None
        assert agreement.requestor_maximum_length == size
    assert stored_in(ours) == as_storescp_has_it(command, *files)


@pytest.mark.parametrize(
    "files",
    [
        *([name] for name in sorted(COMPRESSED)),
        ["ExplVR_BigEnd.dcm"],
        ["image_dfl.dcm"],
    ],
    ids=lambda files: files[0],
)
def test_storescu_in_a_transfer_syntax_of_its_own(tmp_path: Path, files: list[str]) -> None:
    options = COMPRESSED | {"ExplVR_BigEnd.dcm": "-xb", "image_dfl.dcm": "-xd"}
    command = ("storescu", "-v", "-R", options[files[0]])
    ours = directory(tmp_path, "ours")
    with StorageSCP(ours) as scp:
        peers.run(*command, *scp.address, path_of(files[0])).check()
    stored = stored_in(ours)
    assert stored == as_storescp_has_it(command, path_of(files[0]))
    meta = image(files[0]).meta
    assert stored[meta.sop_instance_uid][:2] == (meta.sop_class_uid, meta.transfer_syntax)


@pytest.mark.parametrize("size", PDU_SIZES)
def test_dcmsend(tmp_path: Path, size: int) -> None:
    """All files in one association; dcmsend makes whatever is not compressed explicit VR little endian."""
    objects = [one for one in images() if one.meta.stated]  # dcmsend wants File Meta Information
    command = ("dcmsend", "-v", "-dn", "--max-send-pdu", str(size))
    ours = directory(tmp_path, "ours")
    with StorageSCP(ours) as scp:
        peers.run(*command, *scp.address, *(one.path for one in objects)).check()
        scp.wait()
    stored = stored_in(ours)
    assert stored == as_storescp_has_it(command, *(one.path for one in objects))
    assert stored.keys() == contents(objects).keys()
    for compressed in images(*COMPRESSED):
        assert stored[compressed.meta.sop_instance_uid][1] == compressed.meta.transfer_syntax


@pytest.mark.exchange("DCMTK", "User-Identity", ours="SCP")
def test_storescu_identifies_its_user(tmp_path: Path) -> None:
    identities: list[Any] = []

    def identify(event: Any) -> tuple[bool, bytes]:
        identities.append((event.user_id_type, event.primary_field, event.secondary_field))
        return event.secondary_field == b"secret", b""

    options = ["storescu", "-v", "-R", "-usr", "someone", "-rsp"]
    with StorageSCP(tmp_path, (evt.EVT_USER_ID, identify)) as scp:
        peers.run(*options, "-pwd", "secret", *scp.address, path_of(CT)).check()
        refused = peers.run(*options, "-pwd", "wrong", *scp.address, path_of(CT))
    assert refused.returncode != 0
    assert "Result: Rejected Permanent, Source: Service Provider (ACSE Related)" in refused.output
    assert identities == [(2, b"someone", word) for word in (b"secret", b"wrong")]
    assert len(scp.associations) == 1


# --- our SCP in trouble -----------------------------------------------------------------------------------------------


def test_server_at_its_limit(tmp_path: Path) -> None:
    with StorageSCP(tmp_path, maximum_associations=1) as scp:
        with requestor_of([]).associate(*scp.address):
            finished = peers.run("echoscu", *scp.address)
            assert finished.returncode != 0
            assert "Result: Rejected Transient, Source: Service Provider (Presentation Related)" in finished.output
            assert "Reason: Local Limit Exceeded" in finished.output
        scp.wait()
        peers.run("echoscu", *scp.address).check()


def test_server_that_shuts_down_tells_its_peers(tmp_path: Path) -> None:
    """It has fallen silent: a handler does not answer the tenth request."""
    requests: list[Any] = []
    has_fallen_silent, may_go_on = threading.Event(), threading.Event()

    def echo(event: Any) -> int:
        requests.append(event)
        if len(requests) == 10:
            has_fallen_silent.set()
            may_go_on.wait(WAIT)
        return 0x0000

    with StorageSCP(tmp_path, (evt.EVT_C_ECHO, echo)) as scp:
        command = [peers.require("echoscu"), "-v", "--repeat", "20", *map(str, scp.address)]
        with peers.start(command) as echoscu:
            assert has_fallen_silent.wait(WAIT)
            shutdown = threading.Thread(target=scp.server.shutdown)
            shutdown.start()
            echoscu.popen.wait(WAIT)  # its exit code is 0 all the same
            may_go_on.set()
            shutdown.join(WAIT)
            assert echoscu.output.count("Received Echo Response (Success)") == 9
            assert "Peer Aborted Association" in echoscu.output
    assert_no_associations()


def test_storescu_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    stored = large_image(tmp_path / "large.dcm", 64 << 20)
    ours = directory(tmp_path, "ours")
    arrives = threading.Event()

    def receive(_event: Any) -> None:
        if scp.happened.named("ACCEPTED"):
            arrives.set()

    with StorageSCP(ours, (evt.EVT_DATA_RECV, receive), maximum_associations=1) as scp:
        command = [peers.require("storescu"), "-v", "-R", *map(str, scp.address), str(stored.path)]
        with peers.start(command) as storescu:
            assert arrives.wait(WAIT)
            storescu.popen.kill()
            storescu.popen.wait(WAIT)
        (association,) = scp.wait()
        assert association.events == ["ABORTED"]
        assert list(ours.iterdir()) == []
        peers.run("echoscu", *scp.address).check()


def test_malformed_connections_do_not_lock_the_server(tmp_path: Path) -> None:
    openings = [b"\1\0\0", b"GET / HTTP/1.1\r\n\r\n", bytes(6), b"\1\0\xff\xff\xff\xff\0\1", b"\1\0\0\0\0\4\0\1\0\0"]
    with StorageSCP(tmp_path, maximum_associations=2) as scp:
        for number in range(12):
            with socket.create_connection(scp.address) as sock:
                sock.sendall(openings[number % len(openings)])
            peers.accepts(scp.address[1])
        # Until it has seen the last ones end, it is at its limit.
        wait_until(lambda: peers.run("echoscu", "-v", *scp.address, timeout=10).returncode == 0)
        assert len(scp.wait()) == 1


# --- our SCU, their SCP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", PDU_SIZES)
def test_storescp(tmp_path: Path, size: int) -> None:
    """All files on one association; a bit preserving storescp writes what it was sent."""
    objects = images()
    with peers.storescp(tmp_path, "+B", "+xa", "-pdu", str(size)) as scp:
        with requestor_of(objects).associate(*scp.address, ae_title="STORESCP") as association:
            agreement = association.peer.connection.agreement
            assert agreement is not None
            assert agreement.acceptor_maximum_length == size
            assert association.send_c_echo().Status == 0x0000
            send_files(association, objects)
        scp.process.end()
    assert stored_in(tmp_path) == contents(objects)


def test_storescp_that_encodes_anew_keeps_the_elements(tmp_path: Path) -> None:
    """Without +B storescp decodes what it gets; it can, and finds the same SOP Instance."""
    objects = images()
    with peers.storescp(tmp_path, "+xa") as scp:
        echo_and_send(scp.address, "STORESCP", objects)
        scp.process.end()
    assert stored_in(tmp_path).keys() == contents(objects).keys()


def test_several_associations_one_after_the_other(tmp_path: Path) -> None:
    with peers.storescp(tmp_path, "+B", "+xa") as scp:
        for one in images(*PLAIN):
            echo_and_send(scp.address, "STORESCP", [one])
    assert stored_in(tmp_path) == contents(images(*PLAIN))


def test_storescp_that_refuses(tmp_path: Path) -> None:
    with peers.storescp(tmp_path, "--refuse") as scp, pytest.raises(AssociationRejected) as caught:
        echo_and_send(scp.address, "STORESCP", [])
    assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 1)


def test_storescp_that_rejects_whoever_says_not_what_it_is(tmp_path: Path) -> None:
    """``--reject`` turns down a request without an implementation class UID: ours has one."""
    with peers.storescp(tmp_path, "--reject") as scp:
        echo_and_send(scp.address, "STORESCP", [])


@pytest.mark.parametrize("fault", ["--abort-after", "--abort-during"])
@pytest.mark.parametrize("size", [40_000, 64 << 20])
def test_storescp_that_aborts(tmp_path: Path, fault: str, size: int) -> None:
    stored = large_image(tmp_path / "image.dcm", size)
    with (
        peers.storescp(tmp_path, fault) as scp,
        pytest.raises(AssociationAborted) as caught,
        requestor_of([stored]).associate(*scp.address) as association,
    ):
        send_files(association, [stored])
    assert caught.value.origin in (AbortOrigin.PEER_USER, AbortOrigin.TRANSPORT)


def test_storescp_that_takes_too_long(tmp_path: Path) -> None:
    with (
        peers.storescp(tmp_path, "--sleep-during", "1") as scp,
        pytest.raises(AssociationTimedOut) as caught,
        requestor_of([image(CT)], dimse_timeout=0.1).associate(*scp.address) as association,
    ):
        send_files(association, [image(CT)])
    assert caught.value.timer is Timer.RESPONSE


def test_storescp_that_is_killed(tmp_path: Path) -> None:
    stored = large_image(tmp_path / "image.dcm", 64 << 20)
    with peers.storescp(tmp_path, "--sleep-during", "1") as scp:
        killing = threading.Timer(0.1, scp.process.popen.kill)
        handlers: list[Any] = [(evt.EVT_ESTABLISHED, lambda _: killing.start())]
        with (
            pytest.raises(AssociationAborted) as caught,
            requestor_of([stored]).associate(*scp.address, evt_handlers=handlers) as association,
        ):
            send_files(association, [stored])
        killing.join()
    assert caught.value.origin is AbortOrigin.TRANSPORT
