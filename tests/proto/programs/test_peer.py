"""The peer as programs see it: who it is, on which contexts it can be asked, and what it is asked."""

import pytest

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.messages import CEchoRQ, CFindRQ, CStoreRQ, NDeleteRQ
from dicom_proto.encoding.datasets import encode
from dicom_proto.errors import DataSetError, InvalidNameError, LocalProtocolError, NoContextError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.limits import Limits, Tolerance
from dicom_proto.programs.peer import Peer, RunsPrograms
from dicom_proto.testing.network import MemoryAssociation, Network
from dicom_proto.upper_layer.failures import AssociationClosed
from dicom_proto.upper_layer.items import RoleSelection
from tests.proto.programs.script import (
    CT,
    EXPLICIT,
    IMPLICIT,
    STUDY_FIND,
    VERIFICATION,
    ScriptedPeer,
    carry,
    connected,
    data_set,
    dataset_of,
    offer_of,
    unencodable,
)


def peers(*contexts: str, roles: list[RoleSelection] | None = None) -> tuple[Peer, Peer]:
    near, far = connected(offer_of(*contexts, roles=roles or []))
    return Peer(near, Handlers()), Peer(far, Handlers())


def test_titles() -> None:
    near, far = peers(VERIFICATION)
    assert (near.ae_title, far.ae_title) == ("CALLED", "CALLING")
    assert Peer(Connection(), Handlers()).ae_title == ""


def test_what_nothing_else_is_known_of() -> None:
    near, _ = peers(VERIFICATION)
    assert (near.read("as it is"), near.is_strict, near.is_handling(), near.entity) == ("as it is", False, False, None)
    assert near.look() is None
    assert isinstance(near.end(), AssociationClosed)
    assert near.end() is not near.end()


def test_a_message_id_is_free_when_all_responses_have_been_read() -> None:
    near, _ = peers(VERIFICATION)
    assert near.lowest_free_id() == 1
    inbox = near.send(CEchoRQ(message_id=1), context_id=1)
    assert near.lowest_free_id() == 2
    inbox.close()
    assert near.lowest_free_id() == 2  # it has not been answered


def test_contexts_have_roles() -> None:
    near, far = peers(CT, VERIFICATION)
    assert [context.context_id for context in near.contexts(VERIFICATION)] == [3]
    assert list(near.contexts(VERIFICATION, as_scu=False)) == list(far.contexts(VERIFICATION)) == []
    assert [context.context_id for context in far.contexts(VERIFICATION, as_scu=False)] == [3]
    near, far = peers(CT, roles=[RoleSelection(CT, scu=True, scp=True)])
    for one in (near, far):
        assert one.context(CT) is one.context(CT, as_scu=False) is one.connection.contexts[1]


def test_a_context_that_is_known_already() -> None:
    near, _ = peers(CT, CT)
    first = near.context(CT)
    assert first.context_id == 1
    assert near.context(CT) is first


def test_no_context() -> None:
    near, far = peers(CT)
    with pytest.raises(NoContextError, match=rf"for {VERIFICATION} with the SCU role .*accepted are \['{CT}'\]"):
        near.context(VERIFICATION)
    with pytest.raises(NoContextError, match="with the SCU role"):
        far.context(CT)
    with pytest.raises(NoContextError, match="with the SCP role"):
        near.context(CT, as_scu=False)


def test_a_message_id_is_in_use_until_all_has_been_read() -> None:
    near, far = connected(offer_of(STUDY_FIND, VERIFICATION, window=(2, 2)))
    peer = ScriptedPeer(near, Handlers())
    inbox = peer.send(CEchoRQ(message_id=7), context_id=3)
    assert peer.router.find((7, True)) is inbox
    carry(near, far)
    request = far.next_event()
    far.send_response(CEchoRQ.response(message_id_being_responded_to=7, status=0))
    carry(near, far)
    peer.turn()
    assert request is not None
    with pytest.raises(LocalProtocolError, match="message ID 7 is in use"):
        peer.send(CEchoRQ(message_id=7), context_id=3)
    inbox.close()
    assert peer.send(CEchoRQ(message_id=7), context_id=3).key == (7, True)
    find = CFindRQ(affected_sop_class_uid=STUDY_FIND)
    assert peer.send(find, context_id=1, data=b"ab").key[0] == find.message_id


def test_an_association_runs_programs() -> None:
    assert isinstance(MemoryAssociation(Network(), ApplicationEntity(), ()), RunsPrograms)
    assert not isinstance(peers(CT)[0], RunsPrograms)


def test_data_sets_are_decoded_within_its_settings() -> None:
    """What is tolerated in them counts with the association."""
    near, _ = peers(CT)
    dataset = dataset_of(SOPClassUID=CT, PatientID="1")
    assert near.decode(encode(dataset, EXPLICIT), IMPLICIT) == dataset
    assert near.connection.tolerated == {"other_vr_encoding": 1}
    near.tolerance = Tolerance(other_vr_encoding=False)
    with pytest.raises(DataSetError, match="with value representations"):
        near.decode(encode(dataset, EXPLICIT), IMPLICIT)
    with pytest.raises(DataSetError, match="with value representations"):
        near.check_vr_encoding(encode(dataset, EXPLICIT), IMPLICIT)
    near.tolerance = Tolerance()
    near.check_vr_encoding(encode(dataset, EXPLICIT), IMPLICIT)
    assert near.connection.tolerated == {"other_vr_encoding": 2}
    near.limits = Limits(data_set_elements=1)
    with pytest.raises(DataSetError, match="more than 1 elements"):
        near.decode(encode(dataset, IMPLICIT), IMPLICIT)


def test_what_is_asked_about_an_instance_has_a_bound() -> None:
    near, _ = peers(CT)
    near.limits = Limits(instance_uid=64)
    for uid in ("1" * 65, "1" * 2000):
        for request in (
            CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid=uid),
            NDeleteRQ(requested_sop_class_uid=CT, requested_sop_instance_uid=uid),
        ):
            with pytest.raises(InvalidNameError, match=r"see Limits\.instance_uid"):
                near.send(request, context_id=1)
    near.send(CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid="1" * 64), context_id=1, data=b"12")


def test_a_data_set_is_encoded_for_a_context_that_was_accepted() -> None:
    one, _ = connected(offer_of((STUDY_FIND, EXPLICIT), (CT, IMPLICIT)))
    peer = Peer(one, Handlers())
    identifier = dataset_of(PatientID="1")
    assert peer.encode(identifier, STUDY_FIND) == (one.contexts[1], data_set(EXPLICIT, PatientID="1"))
    with pytest.raises(NoContextError):
        peer.encode(identifier, "1.2.3")
    with pytest.raises(LocalProtocolError):
        peer.encode(unencodable(), STUDY_FIND)


def test_what_was_answered_and_not_read_keeps_its_message_id() -> None:
    """Its responses are asked for by it (PS3.7 9.1): what comes next has the lowest that is free."""
    near, far = connected(offer_of(VERIFICATION, window=(2, 2)))
    peer = ScriptedPeer(near, Handlers())
    peer.send(CEchoRQ(message_id=0xFFFF), context_id=1)
    carry(near, far)
    far.next_event()
    far.send_response(CEchoRQ.response(message_id_being_responded_to=0xFFFF, status=0))
    carry(near, far)
    peer.turn()
    assert peer.router.has_waiting
    assert [peer.send(CEchoRQ(), context_id=1).key for _ in range(2)] == [(1, True), (2, True)]
