"""Systems that have less than Linux: everything is imported and works without what they lack (simulated)."""

import subprocess
import sys
from textwrap import dedent

import pytest

# What some system lacks: Windows all of it, macOS and the BSDs the last three.
WITHOUT = """
    import os, select, socket, sys
    for module, names in ((os, ("sysconf", "sysconf_names", "writev", "pread", "eventfd")), (select, ("poll", "epoll")),
                          (socket, ("TCP_QUICKACK", "SO_REUSEPORT")), (select, ("POLLRDHUP",))):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    sys.modules["fcntl"] = None

    def lacks(sock):
        raise AttributeError
    socket.socket.sendmsg = property(lacks)
"""


def run(program: str, before: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", before + dedent(WITHOUT) + dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["blocking", "asyncio", "trio", "storage", "tls"])
def test_it_can_be_imported(module: str) -> None:
    run(f"import dicom_transports.{module}", "import trio\n" if module == "trio" else "")  # which has needs of its own


def test_a_waker_wakes() -> None:
    run("""
        import threading
        from dicom_transports._socket.polling import HANGUP, READABLE, WRITABLE, poller
        from dicom_transports._threads.waker import Vigil, Waker
        assert HANGUP == 0
        waker, (here, there) = Waker(), socket.socketpair()
        vigil = Vigil(waker)
        assert not vigil.wait(here.fileno(), READABLE, 0.0)
        assert not vigil.wait(here.fileno(), READABLE | WRITABLE, None)
        threading.Timer(0.05, waker.wake).start()
        assert not vigil.wait(here.fileno(), READABLE, None)
        for _ in range(100_000):
            waker.wake()
        waker.clear()
        waker.clear()
        assert not vigil.wait(here.fileno(), READABLE, 0.0)
        there.send(b"x")
        assert vigil.wait(here.fileno(), READABLE | WRITABLE, None)
        alone = poller()
        alone.register(here, READABLE)
        alone.register(there.fileno(), READABLE)
        assert alone.poll(1000) == [(here.fileno(), READABLE)]
        there.close()
        assert vigil.wait(here.fileno(), READABLE, None)
        waker.close()
        waker.wake()
        here.close()
    """)


def test_a_channel_carries_data() -> None:
    run("""
        from dicom_transports._socket.channel import Channel
        from dicom_transports._socket.sockets import accept, close_listener, connect_socket, listen_all, local_address
        (listener,) = listen_all(("127.0.0.1", 0))
        sock = connect_socket(local_address(listener), 10)
        ends = [Channel(sock), Channel(accept(listener))]
        close_listener(listener)
        data = [bytes([number % 251]) * size for number, size in enumerate([12, 30_000, 12, 100_000] * 50)]
        wanted, received = b"".join(data), bytearray()
        ends[0].put(data)
        while len(received) < len(wanted):
            ends[0].send()
            for block in ends[1].receive():
                received += block
        assert received == wanted
        ends[0].end_output()
        while not ends[1].has_ended:
            ends[1].receive()
        for end in ends:
            end.close()
    """)


@pytest.mark.parametrize("with_window", [False, True])
def test_an_association_over_blocking_sockets(with_window: bool) -> None:
    run(f"""
        from pydicom import Dataset
        from dicom_transports.blocking import AE, evt
        CT = "1.2.840.10008.5.1.4.1.1.2"
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = CT, "1.2.3"
        image.add_new("PixelData", "OW", bytes(3_000_000))
        ae, lengths = AE(), []
        ae.add_requested_context(CT)
        ae.add_supported_context(CT)
        ae.maximum_operations_performed = 4
        handlers = [(evt.EVT_C_STORE, lambda event: lengths.append(len(event.dataset.PixelData)) or 0)]
        with ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers) as server:
            host, port = server.address
            for _, status in ae.send_c_stores(host, port, [image] * 4, window={4 if with_window else 1}):
                assert status.Status == 0
        assert lengths == [3_000_000] * 4
    """)


def test_files_are_written_and_read() -> None:
    run("""
        from io import BytesIO
        from pathlib import Path
        from tempfile import TemporaryDirectory
        from dicom_proto.encoding.datasets import file_preamble_and_meta
        from dicom_transports._files.reading import IncomingFile, as_storable, read_object, sweep
        data = b"\\x10\\x00\\x20\\x00\\x02\\x00\\x00\\x00ab\\xe0\\x7f\\x10\\x00" + (200_000).to_bytes(4, "little")
        data += bytes(200_000)
        with TemporaryDirectory() as name:
            for length in (10, len(data)):
                with IncomingFile(Path(name)) as file:
                    assert sweep(Path(name)) == []
                    file.write(file_preamble_and_meta("1.2.3", "1.2.3.4", "1.2.840.10008.1.2"))
                    for at in range(0, length, 1000):
                        file.write(data[at : min(length, at + 1000)])
                    file.commit(Path(name, "object"))
                assert read_object(Path(name, "object")).data_set == data[:length]
                assert as_storable(Path(name, "object")).data == data[:length]
                with Path(name, "object").open("rb") as opened:
                    assert as_storable(opened).data == data[:length]
                    assert opened.tell() == 0
    """)
