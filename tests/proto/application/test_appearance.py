"""What an association shows of itself: its sides, its timeouts, its contexts, what is bound to it."""

from typing import Any

import pytest

from dicom_proto.application.appearance import Appearance
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.application.service_user import NOWHERE
from dicom_proto.errors import InvalidSettingError, LocalProtocolError
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.event import Event
from dicom_proto.offers.contexts import build_role
from dicom_proto.testing.network import MemoryAssociation, Network
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ
from dicom_proto.upper_layer.timers import Timeouts
from tests.proto.application.lives import HERE, THERE, Couple, entity, fate
from tests.proto.programs.script import CT, EXPLICIT, IMPLICIT, MR, STUDY_FIND, VERIFICATION


def ignore(*_: Any) -> None:
    """Do nothing."""


def test_what_is_there_from_the_beginning() -> None:
    shown = MemoryAssociation(Network(), entity(), ())
    assert isinstance(shown, Appearance)
    assert (shown.local_address, shown.peer_address, shown.answer) == (NOWHERE, NOWHERE, None)
    assert (shown.is_requestor, shown.is_acceptor) == (True, False)


def test_completion_offers_what_users_look_for() -> None:
    """The methods of drivers are there, and on the class."""
    shown = MemoryAssociation(Network(), entity(), ())
    offered = set(dir(shown))
    assert {"ae", "peer", "failure", "is_established", "send_c_echo", "release", "bind", "tls"} < offered
    drivers = {"engine", "notifier", "attend", "take_over", "opened", "give_up", "wake", "run", "part", "entity"}
    assert offered.isdisjoint(drivers)
    assert all(hasattr(shown, name) for name in drivers)


def test_the_title_of_the_acceptor_is_its_own() -> None:
    """Whatever it is called by: the requestor knows no other."""
    couple = Couple(offer=entity().offer("ANYBODY")).establish()
    assert (couple.scu.acceptor.ae_title, couple.scp.acceptor.ae_title) == ("ANYBODY", "THERE")
    titled = Appearance(entity("AE"), couple.scp.peer, is_acceptor=True, ae_title="SERVER")
    assert titled.acceptor.ae_title == "SERVER"


def test_what_was_said() -> None:
    couple = Couple().establish()
    for one in (couple.scu, couple.scp):
        assert one.requestor.primitive == one.peer.connection.offer
        assert isinstance(one.acceptor.primitive, AAssociateAC)
        assert one.acceptor.primitive == one.answer
    couple = Couple(reception=AAssociateRJ(1, 1, 7)).establish()
    for one in (couple.scu, couple.scp):
        primitive: Any = one.acceptor.primitive
        assert primitive.result_str == "rejected permanently"
        assert primitive.source_str == "the service-user"
        assert primitive.reason_str == "called AE title not recognized"


# --- what it is -------------------------------------------------------------------------------------------------------


def described(contexts: Any) -> list[tuple[Any, ...]]:
    return [
        (one.context_id, one.abstract_syntax, one.transfer_syntax, one.result, one.as_scu, one.as_scp)
        for one in contexts
    ]


def test_contexts() -> None:
    here, there = ApplicationEntity("HERE"), ApplicationEntity("THERE")
    here.add_requested_context(CT, [EXPLICIT, IMPLICIT])
    here.add_requested_context(MR, [EXPLICIT])
    here.add_requested_context(STUDY_FIND)
    there.add_supported_context(CT, [IMPLICIT], scu_role=True, scp_role=True)
    there.add_supported_context(MR, [IMPLICIT])
    couple = Couple(offer=here.offer("THERE", items=[build_role(CT, scp_role=True)]), reception=there.policy())
    assert couple.scu.accepted_contexts == couple.scu.rejected_contexts == []
    couple.establish()
    assert described(couple.scu.accepted_contexts) == [(1, CT, [IMPLICIT], 0, False, True)]
    assert described(couple.scp.accepted_contexts) == [(1, CT, [IMPLICIT], 0, True, False)]
    for assoc in (couple.scu, couple.scp):
        rejected = assoc.rejected_contexts
        assert [(one.context_id, one.abstract_syntax, one.result) for one in rejected] == [
            (3, MR, 4),
            (5, STUDY_FIND, 3),
        ]
        assert rejected[0].transfer_syntax == [EXPLICIT]


def test_both_sides() -> None:
    couple = Couple().establish()
    scu, scp = couple.scu, couple.scp
    assert (scu.mode, scp.mode) == ("requestor", "acceptor")
    assert (scu.ae, scp.ae) == (scu.entity, scp.entity)
    for assoc in (scu, scp):
        assert (assoc.requestor.ae_title, assoc.acceptor.ae_title) == ("HERE", "THERE")
        assert [(one.address, one.port) for one in (assoc.requestor, assoc.acceptor)] == [HERE, THERE]
        assert [one.abstract_syntax for one in assoc.requestor.requested_contexts] == [VERIFICATION, CT, STUDY_FIND]
    assert (scu.requestor.is_requestor, scu.requestor.is_acceptor) == (True, False)
    assert (scu.acceptor.is_requestor, scu.acceptor.is_acceptor) == (False, True)
    assert scu.local == scp.remote == scu.requestor.info
    assert scu.remote == scp.local == scp.acceptor.info
    assert (scu.remote["mode"], scu.remote["ae_title"], scu.remote["address"]) == ("acceptor", "THERE", THERE[0])


def test_timeouts() -> None:
    assoc = Couple().establish().scu
    assert (assoc.acse_timeout, assoc.dimse_timeout, assoc.network_timeout) == (30, 30, 60)
    assoc.acse_timeout, assoc.dimse_timeout, assoc.network_timeout = 1, 2.5, None
    assert (assoc.acse_timeout, assoc.dimse_timeout, assoc.network_timeout) == (1, 2.5, None)
    assert assoc.peer.connection.timeouts == Timeouts(artim=1, request=1, release=1, response=2.5, idle=None)
    assoc.acse_timeout = None
    assert assoc.peer.connection.timeouts.artim == 1  # which never lasts for ever


@pytest.mark.parametrize("name", ["acse_timeout", "dimse_timeout", "network_timeout"])
def test_no_time_at_all_is_all_the_time_there_is(name: str) -> None:
    assoc = Couple().establish().scu
    setattr(assoc, name, 0)
    assert getattr(assoc, name) is None


@pytest.mark.parametrize("nonsense", [-1, "soon"])
def test_timeouts_that_are_none(nonsense: Any) -> None:
    assoc = Couple().establish().scu
    with pytest.raises(InvalidSettingError, match="a timeout is a number"):
        assoc.dimse_timeout = nonsense


def test_what_follows_when_nothing_passes() -> None:
    couple = Couple().establish()
    assert couple.scu.network_timeout_response == "A-ABORT"
    with pytest.raises(InvalidSettingError, match="'A-ABORT' or 'A-RELEASE'"):
        couple.scu.network_timeout_response = "patience"
    couple.scu.network_timeout_response = "A-RELEASE"
    assert couple.scu.network_timeout_response == "A-RELEASE"
    couple.scp.network_timeout = None
    couple.scu.send_c_echo()  # it counts from the next traffic on
    couple.wait()
    assert fate(couple.scu) == fate(couple.scp) == {"released", "over"}
    couple = Couple().establish()
    couple.wait()
    assert fate(couple.scu) == fate(couple.scp) == {"aborted", "over"}


# --- handlers ---------------------------------------------------------------------------------------------------------


def test_events_and_handlers() -> None:
    assoc = MemoryAssociation(Network(), entity(), [(evt.EVT_C_STORE, ignore, ["a"]), (evt.EVT_C_ECHO, ignore)])
    assoc.bind(evt.EVT_ABORTED, ignore)
    assoc.bind(evt.EVT_ABORTED, ignore, [1, 2])
    assert assoc.get_events() == [evt.EVT_ABORTED, evt.EVT_C_ECHO, evt.EVT_C_STORE]
    assert assoc.get_handlers(evt.EVT_ABORTED) == [(ignore, None), (ignore, [1, 2])]
    assert assoc.get_handlers(evt.EVT_RELEASED) == []
    assert assoc.get_handlers(evt.EVT_C_STORE) == (ignore, ["a"])
    assert assoc.get_handlers(evt.EVT_C_FIND) == (None, None)
    assoc.unbind(evt.EVT_ABORTED, ignore)
    assoc.unbind(evt.EVT_C_STORE, ignore)
    assert assoc.get_events() == [evt.EVT_C_ECHO]
    assert assoc.get_handlers(evt.EVT_ABORTED) == []
    assert assoc.get_handlers(evt.EVT_C_STORE) == (None, None)


def test_handler_that_cannot_be_bound() -> None:
    with pytest.raises(LocalProtocolError, match="cannot take"):
        MemoryAssociation(Network(), entity(), ()).bind(evt.EVT_ABORTED, lambda: None)


def test_bound_while_it_is_established() -> None:
    couple = Couple().establish()
    seen: list[str] = []

    def show(event: Event) -> None:
        seen.append(event.name)

    couple.scu.bind(evt.EVT_DIMSE_RECV, show)
    couple.scu.send_c_echo()
    couple.settle()
    couple.scu.unbind(evt.EVT_DIMSE_RECV, show)
    couple.scu.send_c_echo()
    couple.settle()
    assert seen == ["EVT_DIMSE_RECV"]
