"""C-ECHO in both roles."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.dimse.events import ResponseReceived
from dicom_proto.dimse.messages import CEchoRQ
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_C_ECHO
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call, Receive
from dicom_proto.programs.peer import Peer
from dicom_proto.services.verification import echo_scu
from dicom_proto.status import Category
from tests.proto.programs.script import CT, VERIFICATION, Scene, Script, connected, dataset_of, offer_of, statuses
from tests.proto.rows import for_each


def scene(handler: Any = None) -> Scene:
    return Scene(VERIFICATION, bindings=[] if handler is None else [(EVT_C_ECHO, handler)])


def test_scu_sends_a_request_and_waits_for_the_response() -> None:
    one, _ = connected(offer_of(CT, VERIFICATION))
    script = Script(echo_scu(Peer(one, Handlers()), message_id=7))
    assert script.expect(Receive).inbox.key == (7, True)
    assert one.invoked[7].context_id == 3
    response = CEchoRQ.response(message_id_being_responded_to=7, status=0)
    reply = script.end(ResponseReceived(message_id=7, context_id=3, response=response, has_data=False))
    assert (reply.response, reply.data, reply.category) == (response, None, Category.SUCCESS)


def test_scu_needs_a_context() -> None:
    one, _ = connected(offer_of(CT))
    with pytest.raises(LocalProtocolError, match=r"1\.2\.840\.10008\.1\.1 with the SCU role"):
        Script(echo_scu(Peer(one, Handlers()))).expect(Receive)


def test_scp_calls_the_handler_and_answers() -> None:
    here = Scene(VERIFICATION, bindings=[(EVT_C_ECHO, lambda _, _extra: 0, ["extra"])])
    script = here.ask(CEchoRQ())
    call = script.expect(Call)
    event, extra = call.arguments
    assert isinstance(event, RequestEvent)
    assert (event.name, event.assoc, extra) == ("EVT_C_ECHO", "the association", "extra")
    script.end(0)
    ((response, data),) = here.replies()
    assert (response.status, response.affected_sop_class_uid, data) == (0, VERIFICATION, None)


def test_scp_without_a_handler_answers_success() -> None:
    assert statuses(scene().serve(CEchoRQ())) == [0x0000]


@for_each(
    ("result", "status"),
    [
        (0x0122, 0x0122),
        (None, 0xC002),
        (True, 0xC002),
        (-1, 0xC002),
        (0x10000, 0xC002),
        ("0", 0xC002),
        (Dataset(), 0xC001),
        (dataset_of(Status=0x0122), 0x0122),
    ],
)
def test_what_a_handler_returns_is_the_status(result: object, status: int) -> None:
    assert statuses(scene(lambda _: result).serve(CEchoRQ())) == [status]


def test_a_handler_that_raises_is_no_success() -> None:
    def handler(_: Any) -> int:
        raise RuntimeError

    assert statuses(scene(handler).serve(CEchoRQ())) == [0x0110]


def test_a_data_set_that_should_not_be_there_is_read_to_its_end() -> None:
    assert statuses(scene().serve_raw(CEchoRQ(message_id=1), b"ab")) == [0]
