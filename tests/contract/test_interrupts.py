"""Ctrl-C and SIGTERM: what a server in a process of its own does then, and how soon.

A handler that is stuck holds up neither the A-ABORT to its peer nor the end of the process for ever.
"""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from dicom_proto.dimse.messages import CEchoRQ
from dicom_proto.upper_layer.pdu import AAbort, AAssociateAC, AReleaseRP, AReleaseRQ
from tests.contract.adapters import WAIT, Peer
from tests.contract.scenes import OFFER, message

HEAD = """
    import {module} as loop
    import logging, threading
    from dicom_transports.{module} import AE, evt
    ae = AE()
    ae.add_supported_context("1.2.840.10008.1.1")

    def echo(event):
        print("begun", flush=True)
        threading.Event().wait({seconds})
        return 0
    handlers = [(evt.EVT_C_ECHO, echo)]
"""
BLOCKING = """
    logging.basicConfig(level=logging.INFO)
    class Shown(logging.Handler):
        def emit(self, record):
            pass
    server_made = AE.make_server
    def make_server(self, *arguments, **options):
        server = server_made(self, *arguments, **options)
        print(server.address[1], flush=True)
        return server
    AE.make_server = make_server
    ae.start_server(("127.0.0.1", 0), evt_handlers=handlers, finish_within={finish})
    print("returned", flush=True)
"""
LOOP = """
    async def main():
        server = ae.make_server(("127.0.0.1", 0), evt_handlers=handlers)
        print(server.address[1], flush=True)
        await server.serve()
    try:
        loop.run(main{call})
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@contextmanager
def program(adapter: str, *, seconds: float = 0.0, finish: float = 10.0) -> Iterator["subprocess.Popen[str]"]:
    """A server that prints its port, and when a handler begins that takes some seconds."""
    head = HEAD.replace("import {module} as loop", "") if adapter == "blocking" else HEAD
    body = BLOCKING if adapter == "blocking" else LOOP
    call = "" if adapter == "trio" else "()"
    source = textwrap.dedent(head + body).format(module=adapter, seconds=seconds, finish=finish, call=call)
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def associated(process: "subprocess.Popen[str]") -> Iterator[Peer]:
    with Peer.dial(("127.0.0.1", int(line(process)))) as peer:
        peer.send(OFFER)
        assert isinstance(peer.get(), AAssociateAC)
        yield peer


@pytest.mark.parametrize("adapter", ["blocking", "asyncio", "trio"])
def test_ctrl_c_aborts_although_a_handler_is_stuck_and_twice_ends_the_process(adapter: str) -> None:
    with program(adapter, seconds=3600) as process, associated(process) as peer:
        peer.send(message(CEchoRQ(message_id=1)))
        assert line(process) == "begun"
        process.send_signal(signal.SIGINT)
        assert peer.get() == AAbort(0)
        while process.poll() is None:  # the second, or one more if that came before the first has done its work
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)


@pytest.mark.parametrize(
    ("adapter", "last"), [("blocking", "returned"), ("asyncio", "interrupted"), ("trio", "interrupted")]
)
def test_ctrl_c_ends_a_server_as_such(adapter: str, last: str) -> None:
    """The blocking one returns; a loop raises KeyboardInterrupt, and no group of exceptions."""
    with program(adapter) as process, associated(process) as peer:
        process.send_signal(signal.SIGINT)
        assert peer.get() == AAbort(0)
        assert line(process) == last
        assert process.wait(WAIT) == 0


def test_sigterm_lets_associations_end_by_themselves() -> None:
    with program("blocking") as process, associated(process) as peer:
        process.send_signal(signal.SIGTERM)
        peer.send(AReleaseRQ())
        assert peer.get() == AReleaseRP()
        assert line(process) == "returned"
        assert process.wait(WAIT) == 0


def test_sigterm_waits_no_longer_than_it_says() -> None:
    with program("blocking", finish=0.1) as process, associated(process) as peer:
        process.send_signal(signal.SIGTERM)
        assert peer.get() == AAbort(0)
        assert line(process) == "returned"
