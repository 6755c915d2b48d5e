"""C-FIND in both roles."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.dimse.events import DataChunk, ResponseReceived
from dicom_proto.dimse.messages import CFindRQ, CFindRSP, Priority
from dicom_proto.encoding.rules import EncodingRules
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.kinds import EVT_C_FIND
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call, Drain, Pull, Receive
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.performing import Answer
from dicom_proto.services.query import find_scu
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from tests.proto.programs.script import (
    CANCEL,
    CT,
    EXPLICIT,
    IMPLICIT,
    PENDING,
    STUDY_FIND,
    Scene,
    Script,
    connected,
    data_set,
    dataset_of,
    decoded,
    offer_of,
    statuses,
    unencodable,
)
from tests.proto.rows import for_each

QUERY = dataset_of(QueryRetrieveLevel="STUDY", PatientID="*")
ABORTED = AssociationAborted(AbortOrigin.PEER_USER, 0, None)
CONTEXT = (STUDY_FIND, EXPLICIT)


def request() -> CFindRQ:
    return CFindRQ(affected_sop_class_uid=STUDY_FIND)


def match(number: int) -> Dataset:
    return dataset_of(PatientID=str(number))


def scene(*bindings: Any) -> Scene:
    return Scene(CONTEXT, bindings=[(EVT_C_FIND, *binding) for binding in bindings])


def serve(handler: Any, *more: Any) -> list[Any]:
    return scene((handler, *more)).serve(request(), data_set(EXPLICIT, PatientID="*"))


# --- SCU --------------------------------------------------------------------------------------------------------------


def test_scu_sends_the_identifier_in_the_syntax_of_its_context() -> None:
    one, other = connected(offer_of(CT, CONTEXT))
    invoking = find_scu(Peer(one, Handlers()), QUERY, STUDY_FIND)
    other.receive_data(b"".join(one.data_to_send(now=0)), now=0)
    received, chunk = other.next_event(), other.next_event()
    assert isinstance(chunk, DataChunk)
    assert received.request.priority is Priority.LOW  # type: ignore[union-attr]
    assert (received.context_id, decoded(bytes(chunk.data), EXPLICIT)) == (3, QUERY)  # type: ignore[union-attr]
    assert invoking.message_id == 1


def test_scu_gets_every_match_and_then_the_end() -> None:
    one, _ = connected(offer_of(CONTEXT))
    invoking = find_scu(Peer(one, Handlers()), QUERY, STUDY_FIND, message_id=5, priority=Priority.HIGH)

    def response(status: int, **how: Any) -> ResponseReceived:
        return ResponseReceived(
            message_id=5, context_id=1, response=CFindRSP(message_id_being_responded_to=5, status=status), **how
        )

    script = Script(invoking.next_reply())
    script.expect(Receive)
    script.expect(Receive, response(PENDING, has_data=True))
    script.expect(Receive, DataChunk(message_id=5, invoked=True, data=b"ab", last=False))
    reply = script.end(DataChunk(message_id=5, invoked=True, data=b"cd", last=True))
    assert reply is not None
    assert reply.data == b"abcd"
    script = Script(invoking.next_reply())
    script.expect(Receive)
    reply = script.end(response(0, has_data=False))
    assert reply is not None
    assert (reply.data, invoking.is_over) == (None, True)
    assert Script(invoking.next_reply()).end() is None


def test_scu_needs_a_context_and_a_data_set() -> None:
    one, _ = connected(offer_of(CT, CONTEXT))
    peer = Peer(one, Handlers())
    with pytest.raises(LocalProtocolError):
        find_scu(peer, QUERY, "1.2.3")
    with pytest.raises(LocalProtocolError):
        find_scu(peer, unencodable(), STUDY_FIND)
    assert not one.invoked


# --- SCP --------------------------------------------------------------------------------------------------------------


def test_scp_pulls_and_sends_match_by_match() -> None:
    here = scene((lambda _: [],))
    script = here.ask(request(), data_set(EXPLICIT, PatientID="*"))
    receive = script.expect(Receive)
    call = script.expect(Call, here.peer.event(receive.inbox.key))
    assert call.arguments[0].identifier == dataset_of(PatientID="*")
    pull = script.expect(Pull, iter([(PENDING, match(1))]))
    script.expect(Drain, next(pull.iterator))
    assert [(r.status, decoded(d, EXPLICIT)) for r, d in here.replies()] == [(PENDING, match(1))]
    assert script.expect(Pull).iterator is pull.iterator
    script.end(next(pull.iterator))
    assert here.replies() == [
        (CFindRSP(message_id_being_responded_to=1, status=0, affected_sop_class_uid=STUDY_FIND), None)
    ]


@for_each("effects", [[Receive], [Receive, Call, Pull, Drain]])
def test_the_end_of_the_association_ends_the_program(effects: list[type]) -> None:
    here = scene((lambda _: [],))
    script = here.ask(request(), data_set(EXPLICIT, PatientID="*"))
    results = [None, here.peer.event((1, False)), iter(()), [(Answer(PENDING), data_set(EXPLICIT, PatientID="1"))]]
    for kind, result in zip(effects, results, strict=False):
        script.expect(kind, result)
    here.acceptor.abort()
    with pytest.raises(AssociationAborted):
        script.fail_at_last(ABORTED)
    assert here.peer.router.find((1, False)) is None


def test_an_answer_after_the_end_of_the_association_is_not_the_handlers_fault(caplog: pytest.LogCaptureFixture) -> None:
    here = scene((lambda _: [],))
    script = here.ask(request(), data_set(EXPLICIT, PatientID="*"))
    script.expect(Receive)
    script.expect(Call, here.peer.event((1, False)))
    pull = script.expect(Pull, iter(()))
    here.acceptor.abort()
    with pytest.raises(LocalProtocolError):
        script.end(next(pull.iterator))
    assert not caplog.records


def generator(_: Any) -> Iterator[Any]:
    yield PENDING, match(1)
    yield PENDING, data_set(EXPLICIT, PatientID="2")
    yield 0xFF01, match(3)


def test_matches_are_data_sets_or_encoded() -> None:
    said = serve(generator)
    assert statuses(said) == [PENDING, PENDING, 0xFF01, 0]
    assert [decoded(data, EXPLICIT).PatientID for _, data in said[:3]] == ["1", "2", "3"]
    assert said[3][1] is None


@for_each("last", [0xFE00, 0xA700, 0xC001, 0xB001, 0x0000])
def test_a_final_status_of_the_handler_ends_the_query(last: int) -> None:
    def handler(_: Any) -> Iterator[Any]:
        yield PENDING, match(1)
        yield last, match(2)
        yield PENDING, match(3)

    said = serve(handler)
    assert statuses(said) == [PENDING, last]
    assert said[1][1] is None


@for_each(
    ("item", "status"),
    [
        (None, 0xC002),
        ("nonsense", 0xC002),
        ((PENDING,), 0xC002),
        ((PENDING, match(1), "more"), 0xC002),
        (Dataset(), 0xC001),
        (PENDING, 0xC312),
        ((PENDING, None), 0xC312),
        ((PENDING, Dataset()), 0xC312),
        ((PENDING, b""), 0xC312),
        ((PENDING, b"odd"), 0xC312),
        ((PENDING, "text"), 0xC312),
    ],
)
def test_nonsense_costs_the_query(item: object, status: int) -> None:
    assert statuses(serve(lambda _: iter([item]))) == [status]


def test_what_cannot_be_encoded_costs_the_query() -> None:
    assert statuses(serve(lambda _: [(PENDING, unencodable())])) == [0xC312]


def test_a_list_will_do_and_so_will_the_status_alone() -> None:
    assert statuses(serve(lambda _: [0xA700])) == [0xA700]
    assert statuses(serve(lambda _: [])) == [0x0000]


class Unwilling:
    def __iter__(self) -> Any:
        raise RuntimeError


def test_a_handler_that_has_nothing_to_yield() -> None:
    assert statuses(serve(lambda _: None)) == [0x0000]


@for_each("result", [5, 0xFF00, Unwilling()])
def test_a_handler_that_does_not_yield(result: object) -> None:
    assert statuses(serve(lambda _: result)) == [0xC311]


def raises_at_once(_: Any) -> Iterator[Any]:
    raise RuntimeError


def raises_later(_: Any) -> Iterator[Any]:
    yield PENDING, match(1)
    raise RuntimeError


def test_a_handler_that_raises() -> None:
    assert statuses(serve(raises_at_once)) == [0xC311]
    assert statuses(serve(raises_later)) == [PENDING, 0xC311]


def test_no_handler() -> None:
    assert statuses(scene().serve(request(), data_set(EXPLICIT, PatientID="*"))) == [0xC311]


def test_an_identifier_that_cannot_be_decoded_costs_the_query() -> None:
    def handler(event: Any) -> Iterator[Any]:
        yield PENDING, event.identifier

    said = scene((handler,)).serve(request(), b"\x10\x00\x10\x00PN\xff\xffab")
    assert statuses(said) == [0xC311]


def test_a_handler_may_use_one_dataset_for_all_matches() -> None:
    found = Dataset()

    def handler(_: Any) -> Iterator[Any]:
        for number in range(3):
            found.PatientID = str(number)
            yield PENDING, found

    said = serve(handler)
    assert [decoded(data, EXPLICIT).PatientID for _, data in said[:-1]] == ["0", "1", "2"]
    assert statuses(said) == [PENDING] * 3 + [0]


def test_several_matches_that_were_gathered_go_out_together() -> None:
    here = scene((lambda _: [(PENDING, match(number)) for number in range(3)],))
    script = here.ask(request(), data_set(EXPLICIT, PatientID="*"))
    script.expect(Receive)
    script.expect(Call, here.peer.event((1, False)))
    items = script.expect(Pull, iter([(PENDING, match(number)) for number in range(3)])).iterator
    for _ in range(4):
        items.gather()
    script.expect(Drain, items.take())
    script.expect(Drain)
    script.expect(Drain)
    script.end()
    assert statuses(here.replies()) == [PENDING] * 3 + [0]


def test_an_async_generator_is_left_to_the_driver() -> None:
    async def handler(_: Any) -> Any:
        yield PENDING, match(1)

    here = scene((handler,))
    script = here.ask(request(), data_set(EXPLICIT, PatientID="*"))
    script.expect(Receive)
    call = script.expect(Call, here.peer.event((1, False)))
    matches = call.function(*call.arguments)
    assert script.expect(Pull, matches).iterator.iterator is matches


# --- cancel -----------------------------------------------------------------------------------------------------------


def test_a_query_that_is_cancelled_before_it_begins() -> None:
    here = scene((generator,))
    received = here.arrive(request(), data_set(EXPLICIT, PatientID="*"))
    here.requestor.send_cancel(received.message_id)
    here.carry()
    script = here.script(received)
    script.expect(Receive)
    script.expect(Call, here.peer.event((1, False)))
    script.end(iter(()))
    assert statuses(here.replies()) == [CANCEL]


def test_a_query_that_is_cancelled_between_matches() -> None:
    events: list[Any] = []

    def handler(event: Any) -> Iterator[Any]:
        events.append(event)
        yield PENDING, match(1)
        here.requestor.send_cancel(event.message_id)
        here.carry()
        assert not event.is_cancelled  # nobody has looked yet
        yield PENDING, match(2)
        raise AssertionError

    here = scene((handler,))
    said = here.serve(request(), data_set(EXPLICIT, PatientID="*"))
    assert statuses(said) == [PENDING, CANCEL]
    assert said[1][1] is None
    assert events[0].is_cancelled  # and stays so, when the ID stands for another query


def test_a_cancel_after_the_end_is_ignored() -> None:
    here = scene((generator,))
    assert statuses(here.serve(request(), data_set(EXPLICIT, PatientID="*")))[-1] == 0
    ended = here.requestor.send_request(request(), context=1, data=data_set(EXPLICIT, PatientID="*"))
    here.requestor.send_cancel(ended)
    received = here.arrived()
    assert received.message_id == ended


def test_a_handler_may_see_the_cancel_itself() -> None:
    def handler(event: Any) -> Iterator[Any]:
        here.requestor.send_cancel(event.message_id)
        here.carry()
        here.peer.turn()
        assert event.is_cancelled
        yield CANCEL, None

    here = scene((handler,))
    assert statuses(here.serve(request(), data_set(EXPLICIT, PatientID="*"))) == [CANCEL]


# --- text, and long values --------------------------------------------------------------------------------------------


def asked_in(stated: str | None, name: str, own: str | None = None) -> list[Any]:
    """Responses to a query in one character set, whose match has a name, and states one of its own."""
    found = dataset_of(PatientName=name)
    if own is not None:
        found.SpecificCharacterSet = own
    keys = {} if stated is None else {"SpecificCharacterSet": stated}
    here = scene((lambda _: [(PENDING, found)],))
    return here.serve(request(), data_set(EXPLICIT, PatientID="*", **keys))


@for_each(
    ("stated", "own", "answered"),
    [
        ("ISO_IR 192", "ISO_IR 100", "ISO_IR 192"),
        ("ISO_IR 192", None, "ISO_IR 192"),
        ("ISO_IR 144", "ISO_IR 100", "ISO_IR 100"),  # which does not have all of it
        (None, "ISO_IR 100", "ISO_IR 100"),
    ],
)
def test_the_answer_is_in_the_character_set_of_the_request(stated: str | None, own: str | None, answered: str) -> None:
    """A UTF-8 query answered by a Latin-1 SCP loses no letter (PS3.4 C.4.1.1.3.2)."""
    pending, final = asked_in(stated, "Müller", own)
    assert final[0].status == 0x0000
    read = decoded(pending[1], EXPLICIT)
    assert (read.SpecificCharacterSet, read.PatientName) == (answered, "Müller")


@for_each(("stated", "own"), [(None, None), ("ISO_IR 100", "ISO_IR 100"), ("ISO_IR 100", None)])
def test_a_match_that_no_character_set_has_is_a_failure(stated: str | None, own: str | None) -> None:
    """A Pending with question marks would tell a wrong name (PS3.3 C.12.1.1.2)."""
    assert statuses(asked_in(stated, "Тест", own)) == [0xC312]


def test_by_setting_it_is_said_in_unicode() -> None:
    here = scene((lambda _: [(PENDING, dataset_of(PatientName="Тест"))],))
    here.peer.rules = EncodingRules(state_utf_8=True)
    pending, _ = here.serve(request(), data_set(EXPLICIT, PatientID="*"))
    assert decoded(pending[1], EXPLICIT).SpecificCharacterSet == "ISO_IR 192"


def test_a_key_that_its_character_set_lacks_is_not_sent() -> None:
    one, _ = connected(offer_of(CONTEXT))
    with pytest.raises(LocalProtocolError, match="PatientName"):
        find_scu(Peer(one, Handlers()), dataset_of(SpecificCharacterSet="ISO_IR 100", PatientName="Тест"), STUDY_FIND)


def test_long_keys_go_on_a_context_for_implicit_vr() -> None:
    """PS3.5 6.2.2: a list of 1,502 UIDs has no explicit encoding that everybody reads."""
    uids = [f"1.2.840.113619.2.55.3.604688119.{10**10 + number}" for number in range(1_502)]
    for keys, number in ((uids, 3), (uids[:2], 1)):
        one, other = connected(offer_of(CONTEXT, (STUDY_FIND, IMPLICIT)))
        find_scu(Peer(one, Handlers()), dataset_of(StudyInstanceUID=keys), STUDY_FIND)
        other.receive_data(b"".join(one.data_to_send(now=0)), now=0)
        event = other.next_event()
        assert event.context_id == number  # type: ignore[union-attr]
