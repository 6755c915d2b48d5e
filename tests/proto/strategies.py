"""Hypothesis strategies of the records of PDUs: everything that may be sent, and nothing else."""

from hypothesis import settings
from hypothesis import strategies as st

from dicom_proto.errors import AbortReason
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from dicom_proto.upper_layer.pdu import (
    PDU,
    PDV,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
)
from dicom_proto.upper_layer.reasons import REJECT_REASONS, AbortSource


def times(factor: float) -> settings:
    """So many times as many examples as the profile asks for."""
    return settings(max_examples=max(1, round(factor * settings().max_examples)))


PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))

bits8 = st.integers(0, 0xFF)
bits16 = st.integers(0, 0xFFFF)
octets = st.binary(max_size=40)
context_ids = st.integers(0, 127).map(lambda n: 2 * n + 1)
uids = st.lists(st.integers(0, 10**12), min_size=1, max_size=5).map(lambda parts: ".".join(map(str, parts))) | (
    st.integers(10**56, 10**62 - 1).map("2.{}".format)
)
ae_titles = (
    st.text(PRINTABLE.replace("\\", ""), min_size=1, max_size=16)
    .filter(str.strip)
    .map(str.strip)  # what is left is what the receiver gets
)
version_names = st.text(PRINTABLE, min_size=1, max_size=16)

proposed_contexts = st.builds(ProposedContext, context_ids, uids, st.lists(uids, min_size=1, max_size=4).map(tuple))
context_results = st.builds(ContextResult, context_ids, st.just(0), uids) | st.builds(
    ContextResult, bits8, st.integers(1, 4), st.none() | uids
)

operations_windows = st.builds(OperationsWindow, bits16, bits16)
role_selections = st.builds(RoleSelection, uids, st.booleans(), st.booleans())
extended_negotiations = st.builds(ExtendedNegotiation, uids, octets)
common_extended_negotiations = st.builds(CommonExtendedNegotiation, uids, uids, st.lists(uids, max_size=3).map(tuple))
user_identities = st.builds(
    UserIdentity, st.sampled_from([1, 3, 4, 5]), octets, positive_response_requested=st.booleans()
) | st.builds(UserIdentity, st.just(2), octets, octets, st.booleans())


def _one_per_sop_class(sub_items):
    return st.lists(sub_items, max_size=3, unique_by=lambda sub_item: sub_item.sop_class_uid).map(tuple)


def _user_information(**fields):
    return st.builds(
        UserInformation,
        maximum_length=st.just(0) | st.integers(8, 0xFFFFFFFF),
        implementation_class_uid=uids,
        implementation_version_name=st.none() | version_names,
        operations_window=st.none() | operations_windows,
        roles=_one_per_sop_class(role_selections),
        extended=_one_per_sop_class(extended_negotiations),
        **fields,
    )


rq_user_information = _user_information(
    common_extended=_one_per_sop_class(common_extended_negotiations), identity=st.none() | user_identities
)
ac_user_information = _user_information(identity_response=st.none() | octets)


def _one_per_context_id(contexts):
    return st.lists(contexts, min_size=1, max_size=5, unique_by=lambda context: context.context_id).map(tuple)


protocol_versions = st.integers(0, 0x7FFF).map(lambda n: 2 * n + 1)  # bit 0 is version 1
associate_rqs = st.builds(
    AAssociateRQ,
    called_ae_title=ae_titles,
    calling_ae_title=ae_titles,
    presentation_contexts=_one_per_context_id(proposed_contexts),
    user_information=rq_user_information,
    application_context_name=uids,
    protocol_version=protocol_versions,
)
associate_acs = st.builds(
    AAssociateAC,
    context_results=_one_per_context_id(context_results),
    user_information=ac_user_information,
    application_context_name=uids,
    protocol_version=protocol_versions,
    echo=st.binary(min_size=64, max_size=64),
)
associate_rjs = st.sampled_from(
    [
        AAssociateRJ(result, source, reason)
        for result in (1, 2)
        for source, reasons in REJECT_REASONS.items()
        for reason in reasons
    ]
)
aborts = st.sampled_from(
    [AAbort(AbortSource.SERVICE_USER), *(AAbort(AbortSource.SERVICE_PROVIDER, reason) for reason in AbortReason)]
)


@st.composite
def data_tfs(draw):
    """Draw fragments of one message: of its command, its data set, or the end of one and the start of the other."""
    context_id = draw(context_ids)
    fragment = st.binary(min_size=1, max_size=20).map(lambda half: half + half)
    commands = draw(st.lists(fragment, max_size=3))
    data = draw(st.lists(fragment, min_size=not commands, max_size=3))
    pdvs = [PDV(context_id, True, False, value) for value in commands]
    if commands and (data or draw(st.booleans())):
        pdvs[-1] = PDV(context_id, True, True, commands[-1])
    pdvs += [PDV(context_id, False, False, value) for value in data]
    if data and draw(st.booleans()):
        pdvs[-1] = PDV(context_id, False, True, data[-1])
    return PDataTF(tuple(pdvs))


pdus: st.SearchStrategy[PDU] = st.one_of(
    associate_rqs,
    associate_acs,
    associate_rjs,
    data_tfs(),
    st.just(AReleaseRQ()),
    st.just(AReleaseRP()),
    aborts,
)
