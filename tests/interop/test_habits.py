"""What real peers do that surprises, and how we answer: the table of docs/interop.md is shown to be true here.

A peer is started once for all tests, and has three studies of two patients. One adapter is enough: all have one core.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    generate_uid,
)

from dicom_proto.encoding.datasets import decode
from dicom_proto.errors import NoContextError
from dicom_proto.offers.items import AsynchronousOperationsWindowNegotiation, UserIdentityNegotiation
from dicom_proto.sop_class import (
    BasicFilmBox,
    BasicFilmSession,
    ModalityPerformedProcedureStep,
    Printer,
    PrinterInstance,
    SecondaryCaptureImageStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)
from dicom_proto.upper_layer.failures import AssociationAborted
from dicom_transports._files.reading import read_object
from dicom_transports.blocking import AE, Association, build_role, evt
from tests.contract.adapters import make_ae
from tests.interop import peers
from tests.interop.archive import HOST, MODELS, query, requestor
from tests.interop.images import CT, image, path_of, stored_in
from tests.interop.printer import META, reference
from tests.interop.storage import Happened

SCRIPT = Path(__file__).with_name("pydcm_peer.py")
Address = tuple[str, int]
FIND, GET, MOVE = MODELS["-S"]
STORAGE = SecondaryCaptureImageStorage
I, E, B, D = (  # noqa: E741 - as docs/interop.md calls them
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
SUCCESS, PENDING, CANCELLED = 0x0000, 0xFF00, 0xFE00
ROLE = build_role(STORAGE, scu_role=True, scp_role=True)


def instance(study: str, **values: Any) -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = STORAGE, f"{study}.1.1"
    made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.1"
    for keyword, value in values.items():
        setattr(made, keyword, value)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = I
    return made


JANE = instance("1.2.3.1", PatientID="P1", PatientName="Doe^Jane", StudyTime="101500", Modality="MR")
AGAIN = instance("1.2.3.2", PatientID="P1", PatientName="Doe^Jane", StudyTime="110000", Modality="CT")
TARO = instance(
    "1.2.3.3",
    SpecificCharacterSet=["", "ISO 2022 IR 87"],
    PatientID="P2",
    PatientName="Yamada^Tarou=山田^太郎",
    StudyTime="120000",
    Modality="MR",
)
STARTERS: dict[str, Callable[[Path], peers.PeerContext]] = {
    "STORESCP": lambda directory: peers.storescp(directory, "+xa"),
    "QRSCP": peers.dcmqrscp,
    "WLMSCP": peers.wlmscpfs,
    "ORTHANC": lambda directory: peers.orthanc(directory, settings={"LimitFindResults": 2}),
    "PYNETDICOM": lambda directory: peers.pynetdicom_storescp(directory, ae_title="PYNETDICOM"),
    "DCMJS": peers.dcmjs_storage,
    "TINY_PACS": lambda directory: peers.tiny_pacs(directory, devices={"SUT": peers.free_port()}),
    "PIXELMED": peers.pixelmed,
    "PYDCM": peers.pydcm,
}
ARCHIVES = {"QRSCP", "ORTHANC", "TINY_PACS"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Address]]:
    """Where a peer is; it is started when it is first asked for."""
    started: dict[str, Address] = {}
    with ExitStack() as stack:

        def find(name: str) -> Address:
            if name not in started:
                peer = stack.enter_context(STARTERS[name](tmp_path_factory.mktemp(name)))
                started[name] = peer.address
                if name in ARCHIVES:
                    with dialled(peer.address, name) as association:
                        for one in (JANE, AGAIN, TARO):
                            assert association.send_c_store(one).Status == SUCCESS
            return started[name]

        yield find


@contextmanager
def dialled(
    address: Address, title: str, *uids: str, roles: bool = True, handlers: Any = (), **settings: Any
) -> Iterator[Association]:
    """An association for queries and retrieval, and for storage in both directions."""
    ae = requestor(FIND, GET, MOVE, *uids, storage=False)
    ae.add_requested_context(STORAGE, I)
    for name, value in settings.items():
        setattr(ae, name, value)
    bound = handlers or [(evt.EVT_C_STORE, lambda _: SUCCESS)]
    items = [ROLE] if roles else []
    with ae.associate(*address, ae_title=title, ext_neg=items, evt_handlers=bound) as association:
        yield association


def statuses(results: Any) -> list[int]:
    return [status.Status for status, _ in results]


# --- negotiation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "offered", "accepted"),
    [
        ("STORESCP", [I, E], E),
        ("STORESCP", [I, B], B),
        ("QRSCP", [I, E], E),
        ("ORTHANC", [I, E], E),
        ("ORTHANC", [I, B], I),
        ("ORTHANC", [D, E], E),
        ("ORTHANC", [D], D),
        ("PYNETDICOM", [E, I], I),
        ("DCMJS", [I, E], I),
        ("TINY_PACS", [I, E], I),
        ("TINY_PACS", [E, I], E),
        ("PIXELMED", [I, E], E),
        ("PIXELMED", [I], I),
        ("PIXELMED", [D], None),
    ],
)
def test_choice_of_transfer_syntax(address: Any, title: str, offered: list[str], accepted: str | None) -> None:
    ae = make_ae("SUT")
    ae.add_requested_context(STORAGE, offered)
    ae.add_requested_context(Verification, I)
    with associate(ae, address(title), ae_title=title) as association:
        chosen = {context.abstract_syntax: context.transfer_syntax[0] for context in association.accepted_contexts}
    assert chosen.get(STORAGE) == accepted


def associate(ae: AE, address: Address, **options: Any) -> Association:
    host, port = address
    return ae.associate(host, port, **options)


def alone(address: Address, title: str, uid: str) -> Association:
    """What comes of a request for one SOP class."""
    ae = make_ae("SUT")
    ae.add_requested_context(uid)
    association = ae.associate(*address, ae_title=title)
    assert not association.is_established
    return association


@pytest.mark.parametrize("title", ["STORESCP", "QRSCP", "PIXELMED", "PYDCM"])
def test_accepted_without_a_usable_context(address: Any, title: str) -> None:
    """We abort it, since nothing could be done with it."""
    association = alone(address(title), title, "1.2.3.4")
    assert association.is_aborted
    assert [context.result for context in association.rejected_contexts] == [3]


def test_worklist_scp_rejects_what_it_does_not_know(address: Any) -> None:
    association = alone(address("WLMSCP"), "WLMSCP", STORAGE)
    assert association.is_rejected


def test_dcmrecv_rejects_without_a_profile() -> None:
    port = peers.free_port()
    command = [peers.require("dcmrecv"), "--ignore", str(port)]
    with peers.serve(command, port) as scp:
        association = alone(scp.address, "DCMRECV", STORAGE)
        assert association.is_rejected


@pytest.mark.parametrize(
    ("title", "is_taken"), [("storescp", True), ("orthanc", True), ("qrscp", False), ("tiny_pacs", False)]
)
def test_called_title_in_lower_case(address: Any, title: str, is_taken: bool) -> None:
    ae = make_ae("SUT")
    ae.add_requested_context(Verification)
    association = associate(ae, address(title.upper()), ae_title=title)
    assert (association.is_established, association.is_rejected) == (is_taken, not is_taken)
    if is_taken:
        association.release()


@pytest.mark.parametrize(
    ("title", "window"),
    [("STORESCP", 1), ("QRSCP", 1), ("ORTHANC", 1), ("PYNETDICOM", 1), ("DCMJS", 8), ("TINY_PACS", 8), ("PYDCM", 8)],
)
def test_identity_and_window(address: Any, title: str, window: int) -> None:
    """A response to the identity was asked for: none is given, and the association is used all the same."""
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field, identity.positive_response_requested = 1, b"me", True
    items: list[Any] = [identity, AsynchronousOperationsWindowNegotiation(8, 8)]
    ae = make_ae("SUT")
    ae.add_requested_context(Verification)
    with associate(ae, address(title), ae_title=title, ext_neg=items) as association:
        agreement = association.peer.connection.agreement
        assert agreement is not None
        assert (agreement.identity_response, agreement.requestor_window, agreement.acceptor_window) == (
            None,
            window,
            window,
        )
        assert association.send_c_echo().Status == SUCCESS


def test_tiny_pacs_gives_our_name_for_its_own(address: Any) -> None:
    with dialled(address("TINY_PACS"), "TINY_PACS") as association:
        theirs, ours = association.acceptor, association.requestor
        assert theirs.implementation_class_uid == ours.implementation_class_uid
        assert theirs.implementation_version_name == ours.implementation_version_name


def test_pydcm_sets_no_limit_to_pdus(address: Any) -> None:
    """Ours are of a bounded length all the same."""
    with dialled(address("PYDCM"), "PYDCM") as association:
        assert (association.acceptor.maximum_length, association.acceptor.implementation_version_name) == (0, None)


# --- storage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "answer"), [("ORTHANC", SUCCESS), ("QRSCP", SUCCESS), ("TINY_PACS", 0xA700)])
def test_instance_that_is_stored_already(address: Any, title: str, answer: int) -> None:
    """Orthanc says Success and keeps the first, dcmqrscp the second; tiny-pacs refuses the second."""
    stored: list[str] = []

    def store(event: Any) -> int:
        stored.append(str(event.dataset.PatientName))
        return SUCCESS

    first = instance("1.2.3.4", PatientID="P3", PatientName="Wrong^Name", StudyTime="130000", Modality="MR")
    second = instance("1.2.3.4", PatientID="P3", PatientName="Right^Name", StudyTime="130000", Modality="MR")
    with dialled(address(title), title, handlers=[(evt.EVT_C_STORE, store)]) as association:
        assert association.send_c_store(first).Status == SUCCESS
        assert association.send_c_store(second).Status == answer
        *_, (status, _) = association.send_c_get(query("STUDY", StudyInstanceUID="1.2.3.4"), GET)
        assert status.Status == SUCCESS
    assert stored == [{"ORTHANC": "Wrong^Name", "QRSCP": "Right^Name", "TINY_PACS": "Wrong^Name"}[title]]


def test_storescp_encodes_anew(tmp_path: Path) -> None:
    """Without +B the trailing padding is lost."""
    original = image(CT)
    with peers.storescp(tmp_path, "+xa") as scp:
        ae = make_ae("SUT")
        ae.add_requested_context(original.meta.sop_class_uid, original.meta.transfer_syntax)
        with ae.associate(*scp.address, ae_title="STORESCP") as association:
            assert association.send_c_store(path_of(CT)).Status == SUCCESS
        scp.process.end()
    (stored,) = map(read_object, tmp_path.iterdir())
    sent, kept = (decode(one.data_set, one.meta.transfer_syntax) for one in (original, stored))
    assert [element.keyword for element in sent if element.tag not in kept] == ["DataSetTrailingPadding"]


# --- queries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "status"), [("QRSCP", 0xA900), ("ORTHANC", 0xC000)])
def test_query_without_level(address: Any, title: str, status: int) -> None:
    wanted = Dataset()
    wanted.PatientID = "P1"
    with dialled(address(title), title) as association:
        assert statuses(association.send_c_find(wanted, FIND)) == [status]


@pytest.mark.parametrize(("title", "expected"), [("QRSCP", [0xC000]), ("ORTHANC", [PENDING, PENDING, SUCCESS])])
def test_series_without_their_study(address: Any, title: str, expected: list[int]) -> None:
    with dialled(address(title), title) as association:
        results = association.send_c_find(query("SERIES", SeriesInstanceUID="1.2.3.1.1\\1.2.3.2.1"), FIND)
        assert statuses(results) == expected


@pytest.mark.parametrize(("title", "expected"), [("QRSCP", [0xC000]), ("ORTHANC", [PENDING, SUCCESS])])
def test_patient_level_in_study_root(address: Any, title: str, expected: list[int]) -> None:
    with dialled(address(title), title) as association:
        assert statuses(association.send_c_find(query("PATIENT", PatientID="P1"), FIND)) == expected


@pytest.mark.parametrize(
    ("title", "keys", "count"),
    [
        pytest.param("QRSCP", {"PatientName": "doe*"}, 0, id="dcmqrscp heeds case"),
        pytest.param("ORTHANC", {"PatientName": "doe*"}, 1, id="Orthanc ignores case"),
        pytest.param("QRSCP", {"ModalitiesInStudy": "XA"}, 1, id="dcmqrscp ignores Modalities in Study"),
        pytest.param("ORTHANC", {"ModalitiesInStudy": "XA"}, 0, id="Orthanc heeds Modalities in Study"),
        pytest.param("QRSCP", {"StudyTime": "1015"}, 1, id="dcmqrscp compares times"),
        pytest.param("ORTHANC", {"StudyTime": "1015"}, 0, id="Orthanc compares the text of times"),
        pytest.param("ORTHANC", {"StudyTime": "1000-1030"}, 1, id="Orthanc compares ranges of times"),
    ],
)
def test_matching(address: Any, title: str, keys: dict[str, str], count: int) -> None:
    with dialled(address(title), title) as association:
        results = association.send_c_find(query("STUDY", StudyInstanceUID="1.2.3.1", **keys), FIND)
        assert statuses(results) == [PENDING] * count + [SUCCESS]


def test_orthanc_ends_a_long_answer_as_if_cancelled(address: Any) -> None:
    with dialled(address("ORTHANC"), "ORTHANC") as association:
        results = association.send_c_find(query("STUDY", StudyInstanceUID=""), FIND)
        assert statuses(results) == [PENDING, PENDING, CANCELLED]


@pytest.mark.parametrize(
    ("title", "stated", "name"),
    [
        ("QRSCP", ["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("ORTHANC", "ISO_IR 100", "Yamada^Tarou=^"),
    ],
)
def test_character_set_of_answers(address: Any, title: str, stated: str | list[str], name: str) -> None:
    """Orthanc answers in one set whatever was stored, and leaves out what that lacks."""
    with dialled(address(title), title) as association:
        (_, found), _ = association.send_c_find(query("STUDY", StudyInstanceUID="1.2.3.3", PatientName=""), FIND)
    assert found is not None
    assert (found.SpecificCharacterSet, found.PatientName) == (stated, name)


def test_tiny_pacs_misspells_its_character_set(address: Any) -> None:
    """ISO-IR 6 is no defined term; it is read as the default repertoire."""
    with dialled(address("TINY_PACS"), "TINY_PACS") as association:
        (_, found), _ = association.send_c_find(query("STUDY", StudyInstanceUID="1.2.3.1", PatientName=""), FIND)
    assert found is not None
    assert (found.SpecificCharacterSet, found.PatientName) == ("ISO-IR 6", "Doe^Jane")


@pytest.mark.filterwarnings("ignore:Incorrect value for Specific Character Set")
def test_tiny_pacs_repeats_the_last_match(address: Any) -> None:
    with dialled(address("TINY_PACS"), "TINY_PACS") as association:
        *found, (status, _) = association.send_c_find(query("STUDY", StudyInstanceUID=""), FIND)
    assert status.Status == SUCCESS
    # Now and then the first leaves in time.
    assert len({one.StudyInstanceUID for _, one in found if one}) < len(found) >= 3


# --- retrieval --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "status"), [("QRSCP", SUCCESS), ("ORTHANC", 0xC000), ("TINY_PACS", SUCCESS)])
def test_study_that_is_not_there(address: Any, title: str, status: int) -> None:
    with dialled(address(title), title) as association:
        ((last, _),) = association.send_c_get(query("STUDY", StudyInstanceUID="1.2.3.99"), GET)
        assert (last.Status, last.NumberOfCompletedSuboperations) == (status, 0)


@pytest.mark.parametrize(("title", "status"), [("QRSCP", 0xA801), ("ORTHANC", 0xC000)])
def test_destination_that_is_not_known(address: Any, title: str, status: int) -> None:
    with dialled(address(title), title) as association:
        results = association.send_c_move(query("STUDY", StudyInstanceUID="1.2.3.1"), "NOBODY", MOVE)
        assert statuses(results) == [status]
        assert association.send_c_echo().Status == SUCCESS


def test_tiny_pacs_drops_a_move_to_nobody(address: Any) -> None:
    with (
        pytest.raises(AssociationAborted, match="loss of the transport connection"),
        dialled(address("TINY_PACS"), "TINY_PACS") as association,
    ):
        list(association.send_c_move(query("STUDY", StudyInstanceUID="1.2.3.1"), "NOBODY", MOVE))


@pytest.mark.parametrize(
    ("title", "status", "completed"), [("QRSCP", 0xA702, 0), ("ORTHANC", SUCCESS, 1), ("TINY_PACS", SUCCESS, 1)]
)
def test_get_without_roles(address: Any, title: str, status: int, completed: int) -> None:
    """Who grants the role unasked sends: we take what comes on a context that we have proposed."""
    with dialled(address(title), title, roles=False) as association:
        *_, (last, _) = association.send_c_get(query("STUDY", StudyInstanceUID="1.2.3.1"), GET)
    assert (last.Status, last.NumberOfCompletedSuboperations) == (status, completed)


@contextmanager
def no_storage(address: Address, title: str) -> Iterator[Association]:
    ae = requestor(GET, storage=False)
    with ae.associate(*address, ae_title=title) as association:
        yield association


def test_dcmqrscp_lists_what_it_could_not_send(address: Any) -> None:
    with no_storage(address("QRSCP"), "QRSCP") as association:
        *_, (last, failed) = association.send_c_get(query("STUDY", StudyInstanceUID="1.2.3.1"), GET)
        assert association.send_c_echo().Status == SUCCESS
    assert last.NumberOfFailedSuboperations == 1
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == "1.2.3.1.1.1"


def test_orthanc_lists_what_it_could_not_send_in_the_command(address: Any) -> None:
    with no_storage(address("ORTHANC"), "ORTHANC") as association:
        *_, (last, failed) = association.send_c_get(query("STUDY", StudyInstanceUID="1.2.3.1"), GET)
        assert association.send_c_echo().Status == SUCCESS
    assert (last.Status, last.NumberOfFailedSuboperations) == (0xC000, 1)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == "1.2.3.1.1.1"


def test_tiny_pacs_looks_for_an_empty_patient_id(address: Any) -> None:
    """A key of no length matches nothing in a retrieval: name the unique keys alone, as PS3.4 C.4.3.1.3 says."""
    with dialled(address("TINY_PACS"), "TINY_PACS") as association:
        completed = []
        for keys in ({}, {"PatientID": ""}):
            *_, (last, _) = association.send_c_get(query("STUDY", StudyInstanceUID="1.2.3.1", **keys), GET)
            completed.append((last.Status, last.NumberOfCompletedSuboperations))
    assert completed == [(SUCCESS, 1), (SUCCESS, 0)]


def test_orthanc_decompresses_for_a_retrieval(address: Any, tmp_path: Path) -> None:
    """Where only Implicit VR Little Endian is offered; the instance keeps its UID."""
    original = image("SC_rgb_jpeg_dcmtk.dcm")

    def store(event: Any) -> int:
        (tmp_path / "got.dcm").write_bytes(event.encoded_dataset())
        return SUCCESS

    ae = make_ae("SUT")
    ae.add_requested_context(STORAGE, JPEGBaseline8Bit)
    with associate(ae, address("ORTHANC"), ae_title="ORTHANC") as association:
        assert association.send_c_store(original.path).Status == SUCCESS
    wanted = query("STUDY", StudyInstanceUID=dcmread(original.path, stop_before_pixels=True).StudyInstanceUID)
    with dialled(address("ORTHANC"), "ORTHANC", handlers=[(evt.EVT_C_STORE, store)]) as association:
        *_, (last, _) = association.send_c_get(wanted, GET)
        assert last.Status == SUCCESS
    ((uid, (_, syntax, data)),) = stored_in(tmp_path).items()
    assert (uid, syntax) == (original.meta.sop_instance_uid, I)
    assert len(data) > len(original.data_set)


# --- N-services -------------------------------------------------------------------------------------------------------


def commitment(*references: Dataset) -> Dataset:
    asked = Dataset()
    asked.TransactionUID = generate_uid()
    asked.ReferencedSOPSequence = list(references)
    return asked


def test_tiny_pacs_commits_and_never_reports(address: Any) -> None:
    """It answers Success; then the association is gone, and none of its own is requested."""
    happened = Happened()
    with dialled(address("TINY_PACS"), "TINY_PACS", StorageCommitmentPushModel) as association:
        association.bind(evt.EVT_ABORTED, happened)
        asked = commitment(reference(STORAGE, "1.2.3.1.1.1"))
        status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        assert status.Status == SUCCESS
        happened.wait("ABORTED")


@pytest.mark.parametrize(("title", "status"), [("PYNETDICOM", None), ("DCMJS", 0x0110)])
def test_service_that_is_not_there(address: Any, title: str, status: int | None) -> None:
    """dcmjs-dimse accepts any SOP class, and its base class fails every N-service."""
    ae = make_ae("SUT")
    for uid in Verification, ModalityPerformedProcedureStep:
        ae.add_requested_context(uid)
    with associate(ae, address(title), ae_title=title) as association:
        if status is None:
            with pytest.raises(NoContextError):
                association.send_n_create(query("STUDY"), ModalityPerformedProcedureStep, "1.2.3")
        else:
            answer, _ = association.send_n_create(query("STUDY"), ModalityPerformedProcedureStep, "1.2.3")
            assert answer.Status == status


def test_dcmprscp_and_the_order_of_a_film(tmp_path: Path) -> None:
    """A film box without its session, a second session, a print of nothing, an attribute that it does not have."""
    more: dict[str, Any] = {"meta_uid": META}
    box = Dataset()
    box.ImageDisplayFormat = r"STANDARD\1,1"
    box.ReferencedFilmSessionSequence = [reference(BasicFilmSession, "1.2.3")]
    with (
        peers.dcmprscp(tmp_path) as scp,
        requestor(META, storage=False).associate(*scp.address, ae_title="PRINTER") as association,
    ):
        answers = [
            association.send_n_create(box, BasicFilmBox, "1.2.4", **more),
            association.send_n_create(None, BasicFilmSession, "1.2.3", **more),
            association.send_n_create(None, BasicFilmSession, "1.2.5", **more),
            association.send_n_action(None, 1, BasicFilmSession, "1.2.3", **more),
            association.send_n_get([(0x0010, 0x0010)], Printer, PrinterInstance, **more),
        ]
    assert [status.Status for status, _ in answers] == [0x0117, SUCCESS, 0x0111, 0xC600, 0x0105]


def test_pydcm_sends_implicit_vr_whatever_was_accepted(tmp_path: Path) -> None:
    """It proposes both and encodes for one: we read what the bytes are."""
    seen: list[tuple[str, str]] = []

    def create(event: Any) -> tuple[int, None]:
        seen.append((event.context.transfer_syntax, event.attribute_list.get("PatientID", "-")))
        return SUCCESS, None

    ae = make_ae("SCP")
    ae.add_supported_context(ModalityPerformedProcedureStep, E)
    with ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_N_CREATE, create)]) as server:
        words = [peers.require_python_peer("pydcm"), SCRIPT, "scu", "step", *server.address, tmp_path]
        finished = peers.execute([str(word) for word in words]).check()
    assert finished.output == "started 0 1.2.3\n"
    assert seen == [(E, "7")]


# --- programs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "options", "returncode"),
    [
        ("echoscu", ["{host}", "{port}"], 0),
        ("findscu", ["-S", "-k", "QueryRetrieveLevel=STUDY", "{host}", "{port}"], 0),
        ("getscu", ["-S", "-k", "QueryRetrieveLevel=STUDY", "{host}", "{port}"], 0),
        ("movescu", ["-S", "-aem", "X", "-k", "QueryRetrieveLevel=STUDY", "{host}", "{port}"], 69),
        ("storescu", ["-R", "{host}", "{port}", str(path_of(CT))], 167),
        ("dcmsend", ["{host}", "{port}", str(path_of(CT))], 0),
    ],
)
def test_exit_status_after_a_failure(program: str, options: list[str], returncode: int) -> None:
    """Four of six programs of DCMTK end as if all had gone well: read what they say."""
    ae = make_ae("SCP")
    for uid in Verification, FIND, GET, MOVE, image(CT).meta.sop_class_uid:
        ae.add_supported_context(uid, [E, I])

    def refuse(_: Any) -> int:
        return 0xA700

    def refuse_all(_: Any) -> Iterator[Any]:
        yield 0xA700, None

    handlers: list[Any] = [
        *((kind, refuse) for kind in (evt.EVT_C_ECHO, evt.EVT_C_STORE)),
        (evt.EVT_C_FIND, refuse_all),
    ]
    with ae.start_server((HOST, 0), block=False, evt_handlers=handlers) as server:
        host, port = server.address
        finished = peers.run(program, "-v", *(option.format(host=host, port=port) for option in options))
    assert finished.returncode == returncode
