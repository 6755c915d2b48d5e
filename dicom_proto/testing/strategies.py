"""Hypothesis strategies of PDUs and their items (PS3.8): everything that may be sent, and nothing else.

May change. Needs Hypothesis: ``pip install "dicom-proto[testing]"``.
"""

from typing import Any, Final, TypeVar

from dicom_proto.errors import AbortReason
from dicom_proto.testing._hypothesis import st
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

__all__ = [
    "PRINTABLE",
    "aborts",
    "ac_user_information",
    "ae_titles",
    "associate_acs",
    "associate_rjs",
    "associate_rqs",
    "bits8",
    "bits16",
    "common_extended_negotiations",
    "context_ids",
    "context_results",
    "data_tfs",
    "extended_negotiations",
    "octets",
    "operations_windows",
    "pdus",
    "proposed_contexts",
    "protocol_versions",
    "role_selections",
    "rq_user_information",
    "uids",
    "user_identities",
    "version_names",
]

_S = TypeVar("_S", RoleSelection, ExtendedNegotiation, CommonExtendedNegotiation)
_C = TypeVar("_C", ProposedContext, ContextResult)
Strategy = st.SearchStrategy

PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))
"""The characters of ISO 646 that are no control characters."""

bits8: Strategy[int] = st.integers(0, 0xFF)
"""A byte."""
bits16: Strategy[int] = st.integers(0, 0xFFFF)
"""Two bytes, unsigned."""
octets: Strategy[bytes] = st.binary(max_size=40)
"""A few bytes of any kind."""
context_ids: Strategy[int] = st.integers(0, 127).map(lambda n: 2 * n + 1)
"""IDs of presentation contexts: odd, 1 to 255 (PS3.8 9.3.2.2)."""
uids: Strategy[str] = st.lists(st.integers(0, 10**12 - 1), min_size=1, max_size=5).map(
    lambda parts: ".".join(map(str, parts))
) | st.integers(10**56, 10**62 - 1).map("2.{}".format)
"""UIDs of up to 64 characters (PS3.5 9.1)."""
ae_titles: Strategy[str] = (
    st.text(PRINTABLE.replace("\\", ""), min_size=1, max_size=16)
    .filter(str.strip)
    .map(str.strip)  # what is left is what the receiver gets
)
"""AE titles without the spaces around them, which say nothing (PS3.5 6.2)."""
version_names: Strategy[str] = st.text(PRINTABLE, min_size=1, max_size=16)
"""Implementation version names (PS3.7 D.3.3.2.3)."""

proposed_contexts: Strategy[ProposedContext] = st.builds(
    ProposedContext, context_ids, uids, st.lists(uids, min_size=1, max_size=4).map(tuple)
)
"""Presentation contexts of an A-ASSOCIATE-RQ (PS3.8 9.3.2.2)."""
context_results: Strategy[ContextResult] = st.builds(ContextResult, context_ids, st.just(0), uids) | st.builds(
    ContextResult, bits8, st.integers(1, 4), st.none() | uids
)
"""Presentation contexts of an A-ASSOCIATE-AC (PS3.8 9.3.3.2)."""

operations_windows: Strategy[OperationsWindow] = st.builds(OperationsWindow, bits16, bits16)
"""Asynchronous operations windows (PS3.7 D.3.3.3)."""
role_selections: Strategy[RoleSelection] = st.builds(RoleSelection, uids, st.booleans(), st.booleans())
"""SCP/SCU role selections (PS3.7 D.3.3.4)."""
extended_negotiations: Strategy[ExtendedNegotiation] = st.builds(ExtendedNegotiation, uids, octets)
"""SOP class extended negotiations (PS3.7 D.3.3.5)."""
common_extended_negotiations: Strategy[CommonExtendedNegotiation] = st.builds(
    CommonExtendedNegotiation, uids, uids, st.lists(uids, max_size=3).map(tuple)
)
"""SOP class common extended negotiations (PS3.7 D.3.3.6)."""
user_identities: Strategy[UserIdentity] = st.builds(
    UserIdentity, st.sampled_from([1, 3, 4, 5]), octets, positive_response_requested=st.booleans()
) | st.builds(UserIdentity, st.just(2), octets, octets, st.booleans())
"""User identities (PS3.7 D.3.3.7)."""


def _one_per_sop_class(sub_items: Strategy[_S]) -> Strategy[tuple[_S, ...]]:
    return st.lists(sub_items, max_size=3, unique_by=lambda sub_item: sub_item.sop_class_uid).map(tuple)


def _user_information(**fields: Strategy[Any]) -> Strategy[UserInformation]:
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


rq_user_information: Strategy[UserInformation] = _user_information(
    common_extended=_one_per_sop_class(common_extended_negotiations), identity=st.none() | user_identities
)
"""The user information of an A-ASSOCIATE-RQ (PS3.8 9.3.2.3)."""
ac_user_information: Strategy[UserInformation] = _user_information(identity_response=st.none() | octets)
"""The user information of an A-ASSOCIATE-AC (PS3.8 9.3.3.3)."""


def _one_per_context_id(contexts: Strategy[_C]) -> Strategy[tuple[_C, ...]]:
    return st.lists(contexts, min_size=1, max_size=5, unique_by=lambda context: context.context_id).map(tuple)


protocol_versions: Strategy[int] = st.integers(0, 0x7FFF).map(lambda n: 2 * n + 1)
"""Protocol versions; bit 0 is version 1 (PS3.8 9.3.2)."""
associate_rqs: Strategy[AAssociateRQ] = st.builds(
    AAssociateRQ,
    called_ae_title=ae_titles,
    calling_ae_title=ae_titles,
    presentation_contexts=_one_per_context_id(proposed_contexts),
    user_information=rq_user_information,
    application_context_name=uids,
    protocol_version=protocol_versions,
)
"""A-ASSOCIATE-RQ PDUs (PS3.8 9.3.2)."""
associate_acs: Strategy[AAssociateAC] = st.builds(
    AAssociateAC,
    context_results=_one_per_context_id(context_results),
    user_information=ac_user_information,
    application_context_name=uids,
    protocol_version=protocol_versions,
    echo=st.binary(min_size=64, max_size=64),
)
"""A-ASSOCIATE-AC PDUs (PS3.8 9.3.3)."""
associate_rjs: Strategy[AAssociateRJ] = st.sampled_from(
    [
        AAssociateRJ(result, source, reason)
        for result in (1, 2)
        for source, reasons in REJECT_REASONS.items()
        for reason in reasons
    ]
)
"""A-ASSOCIATE-RJ PDUs: every reason there is (PS3.8 9.3.4)."""
aborts: Strategy[AAbort] = st.sampled_from(
    [AAbort(AbortSource.SERVICE_USER), *(AAbort(AbortSource.SERVICE_PROVIDER, reason) for reason in AbortReason)]
)
"""A-ABORT PDUs: every reason there is (PS3.8 9.3.8)."""


@st.composite
def data_tfs(draw: st.DrawFn) -> PDataTF:
    """Draw a P-DATA-TF PDU (PS3.8 9.3.5), and in it fragments of one message: of command, data set, or both."""
    context_id = draw(context_ids)
    fragment = st.binary(min_size=1, max_size=20).map(lambda half: half + half)
    commands: list[bytes] = draw(st.lists(fragment, max_size=3))
    data: list[bytes] = draw(st.lists(fragment, min_size=not commands, max_size=3))
    is_ended: bool = draw(st.booleans())
    pdvs = [PDV(context_id, True, False, value) for value in commands]
    if commands and (data or is_ended):
        pdvs[-1] = PDV(context_id, True, True, commands[-1])
    pdvs += [PDV(context_id, False, False, value) for value in data]
    if data and is_ended:
        pdvs[-1] = PDV(context_id, False, True, data[-1])
    return PDataTF(tuple(pdvs))


pdus: Strategy[PDU] = st.one_of(
    associate_rqs,
    associate_acs,
    associate_rjs,
    data_tfs(),
    st.just(AReleaseRQ()),
    st.just(AReleaseRP()),
    aborts,
)
"""PDUs of all kinds."""
