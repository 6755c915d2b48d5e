"""Every bound of the core, and every tolerance it shows to peers, each in one frozen record.

Stable.

A peer decides how much it sends; these numbers decide how much of it is ever kept.
"""

from attrs import field, frozen
from attrs.validators import ge, le

__all__ = ["DEFAULT_LIMITS", "DEFAULT_TOLERANCE", "Limits", "Tolerance"]

# The smallest maximum length that still carries data: 6 bytes of PDV header and one even fragment (PS3.8 D.1, E.1).
SMALLEST_MAXIMUM_LENGTH = 8


@frozen(kw_only=True)
class Limits:
    """Bounds on what one association keeps, all in bytes unless a name says otherwise.

    Parameters
    ----------
    associate_length : int
        Longest body of an A-ASSOCIATE-RQ, -AC (PS3.8 9.3.2). 128 contexts with 30 transfer syntaxes each need 120 KiB.
    fixed_length : int
        Longest body of the PDUs whose length is fixed at 4 (A-ASSOCIATE-RJ, A-RELEASE-RQ/-RP, A-ABORT).
    receive_buffer : int
        How much received and not yet parsed data is kept before ``wants_read`` turns false.
    send_pdu_length : int
        Longest P-DATA-TF body (PDU length field) that is sent to a peer which states no limit, or a larger one.
    send_queue : int
        How much outgoing data may wait before ``write_room`` is 0.
    command_set : int
        Longest command set that is collected (PS3.7 6.3).
    data_set : int
        Longest data set that is collected in memory; data sets that are streamed have no limit.
    data_set_elements : int
        Most elements and items (count) of one data set that are made into objects, at all levels together. What a
        sequence has is made when it is asked for: 1 KB or so for each.
    data_set_depth : int
        How deep (count) sequences of a data set may be nested that is decoded; those of the standard stay far below.
    inflated_data_set : int
        Longest data set that deflated data may become (PS3.5 A.5).
    inflation_ratio : int
        How many times as long as what was received (count) deflated data may become, if that is more than 64 MiB.
    instance_uid : int
        Longest SOP Instance UID (characters) of a request, in either direction, though PS3.5 9.1 allows 64: some
        devices make longer ones, and their objects have no other name.
    operations : int
        Most operations (count) kept outstanding in each direction, whatever window was negotiated (PS3.7 D.3.3.3).
    """

    associate_length: int = field(default=1 << 20, validator=ge(256))
    fixed_length: int = field(default=64, validator=ge(4))
    receive_buffer: int = field(default=1 << 20, validator=ge(1 << 10))
    send_pdu_length: int = field(default=1 << 17, validator=[ge(SMALLEST_MAXIMUM_LENGTH), le((1 << 32) - 1)])
    send_queue: int = field(default=1 << 21, validator=ge(1))
    command_set: int = field(default=1 << 16, validator=ge(256))
    data_set: int = field(default=1 << 30, validator=ge(0))
    data_set_elements: int = field(default=1 << 21, validator=ge(1))
    data_set_depth: int = field(default=32, validator=[ge(0), le(100)])
    inflated_data_set: int = field(default=1 << 29, validator=ge(0))
    inflation_ratio: int = field(default=100, validator=ge(1))
    instance_uid: int = field(default=1024, validator=[ge(64), le(0xFFFE)])
    operations: int = field(default=64, validator=[ge(1), le(0xFFFF)])


@frozen(kw_only=True)
class Tolerance:
    """Habits of real devices that break the letter of the standard and are accepted; each can be switched off.

    Parameters
    ----------
    early_pdus : bool
        P-DATA-TF and A-RELEASE-RQ that arrive before the association request was answered wait for the answer instead
        of being an unexpected PDU (Table 9-10, Evt10 and Evt12 in Sta3).
    padded_uids : bool
        Trailing NUL or space after a UID inside an item is dropped (PS3.8 Annex F allows none).
    even_context_ids : bool
        A proposed presentation context with an even or zero ID is answered with result 1 (user rejection) instead of
        being a parameter error of the whole A-ASSOCIATE-RQ (PS3.8 9.3.2.2).
    missing_transfer_syntax : bool
        A context result other than acceptance may leave out its transfer syntax sub-item (PS3.8 9.3.3.2).
    blank_ae_titles : bool
        An A-ASSOCIATE-RQ may carry AE titles of 16 spaces (PS3.8 9.3.2).
    missing_sub_items : bool
        The User Information item may lack the maximum length, which is then unlimited (PS3.8 D.1), and the
        implementation class UID (PS3.7 D.3.3.2).
    repeated_sub_items : bool
        Several sub-items of one kind may name the same SOP class: the first counts (PS3.7 D.3.3.4, D.3.3.5).
    faulty_answers : bool
        An A-ASSOCIATE-AC may leave out presentation contexts, which are then rejected, and say what does not answer the
        A-ASSOCIATE-RQ, which is then not heard (PS3.8 9.3.3, PS3.7 D.3.3).
    missing_roles : bool
        A requestor may propose no roles for a presentation context on which the acceptor does not want it to be the
        SCU: some devices request a C-GET so, and do not propose to be the SCP for what they want to get (PS3.4 C.5.3).
        The context is accepted, instead of being answered with result 1 (user rejection).
    long_fixed_pdus : bool
        A-ASSOCIATE-RJ, A-RELEASE-RQ/-RP and A-ABORT may be longer than 4 bytes; the rest is skipped.
    late_data : bool
        P-DATA-TF that arrives behind an A-RELEASE-RQ is dropped, and the release goes on, instead of being an
        unexpected PDU (Table 9-10, Evt10 in Sta8 to Sta12).
    foreign_elements : bool
        A command set may have elements of other groups than 0000 (PS3.7 6.3.1): they are kept aside.
    ill_formed_fields : bool
        A command set may lack fields, and fields may have a length that they cannot have, if it can be told all the
        same what is meant: Priority is then Medium, the SOP class of a C-STORE, C-FIND, C-GET, C-MOVE and C-ECHO that
        of the presentation context, and of two numbers the first counts. A request that lacks anything else is
        answered with 0212H (Mistyped argument), and costs no more than that.
    other_contexts : bool
        A response without a data set may come on any accepted presentation context of the abstract syntax of the one
        that the request went out on.
    other_vr_encoding : bool
        A data set may have VRs in a presentation context for implicit VR, or none in one for explicit VR (PS3.5 A.1,
        A.2): it is read as what it is.
    """

    early_pdus: bool = True
    padded_uids: bool = True
    even_context_ids: bool = True
    missing_transfer_syntax: bool = True
    blank_ae_titles: bool = True
    missing_sub_items: bool = True
    repeated_sub_items: bool = True
    faulty_answers: bool = True
    missing_roles: bool = True
    long_fixed_pdus: bool = True
    late_data: bool = True
    foreign_elements: bool = True
    ill_formed_fields: bool = True
    other_contexts: bool = True
    other_vr_encoding: bool = True


DEFAULT_LIMITS = Limits()
DEFAULT_TOLERANCE = Tolerance()
