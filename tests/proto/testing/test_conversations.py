from random import Random

import pytest
from attrs import evolve

from dicom_proto.dimse.connection import Connection
from dicom_proto.testing.conversations import DISORDERS, ECHO, SEEDS, disturb, mutate_conversation
from dicom_proto.testing.faults import FAULTS
from dicom_proto.testing.pair import IMPLICIT, answer, drain, sent
from dicom_proto.testing.samples import PLAIN_OFFER
from dicom_proto.upper_layer.events import Aborted, AssociateRequested, ReleaseRequested
from dicom_proto.upper_layer.items import ContextResult
from dicom_proto.upper_layer.pdu import AAssociateRJ


def told(conversation):
    machine = Connection()
    machine.connection_made(now=0)
    events = []
    for pdu in conversation:
        machine.receive_data(pdu, now=0)
        for event in drain(machine):
            events.append(event)
            if isinstance(event, AssociateRequested):
                contexts = event.offer.presentation_contexts
                results = tuple(
                    ContextResult(one.context_id, 0, IMPLICIT)
                    if IMPLICIT in one.transfer_syntaxes
                    else ContextResult(one.context_id, 4)
                    for one in contexts
                )
                if all(one.context_id & 1 for one in contexts):
                    machine.accept(evolve(answer(PLAIN_OFFER), context_results=results))
                else:  # nobody accepts that
                    machine.reject(AAssociateRJ(1, 1, 1))
        sent(machine)
    return events


@pytest.mark.parametrize("conversation", SEEDS[:-3])
def test_seeds_are_valid(conversation):
    events = told(conversation)
    assert isinstance(events[0], AssociateRequested)
    assert not any(isinstance(event, Aborted) and event.error is not None for event in events)


@pytest.mark.parametrize("disorder", DISORDERS, ids=lambda disorder: disorder.label)
def test_each_disorder_breaks_its_rule(disorder):
    events = told(disorder.apply(ECHO))
    if disorder.label == "data-after-release":  # the request is not told of
        assert isinstance(events[-1], ReleaseRequested | Aborted)
    else:
        assert isinstance(events[-1], Aborted) or any(isinstance(event, Aborted) for event in events)


def test_one_rule_is_broken_and_named():
    random = Random(1)
    labels = set()
    for _ in range(300):
        label, clause, conversation = disturb(ECHO, random)
        assert clause.startswith("PS3.")
        assert conversation != ECHO
        labels.add(label)
    assert labels > {disorder.label for disorder in DISORDERS}
    assert labels <= {rule.label for rule in (*DISORDERS, *FAULTS)}


def test_conversations_are_changed_the_same_way_for_the_same_seed():
    def grown():
        random = Random(2)
        said = ECHO
        for _ in range(1000):
            said = mutate_conversation(said if len(said) < 10 else ECHO, random)
            assert said
            assert all(said)
            yield said

    first = list(grown())
    assert first == list(grown())
    assert len(set(first)) > 500
    assert mutate_conversation((b"",), Random(4))
