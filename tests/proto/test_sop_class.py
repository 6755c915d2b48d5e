"""SOP classes: the tables against a copy of the facts, access by keyword, and private ones."""

import ast
import csv
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.uid import UID

from dicom_proto import sop_class
from dicom_proto.errors import InvalidNameError, LocalProtocolError
from dicom_proto.service_class import SERVICE_CLASS_UIDS
from dicom_proto.sop_class import (
    ALL_TRANSFER_SYNTAXES,
    DEFAULT_TRANSFER_SYNTAXES,
    BasicColorPrintManagementMeta,
    BasicGrayscalePrintManagementMeta,
    CTImageStorage,
    DisplaySystem,
    DisplaySystemInstance,
    ModalityWorklistInformationFind,
    ModalityWorklistInformationModelFind,
    PatientRootQueryRetrieveInformationModelFind,
    Printer,
    ServiceClass,
    SOPClass,
    StorageCommitmentPushModelInstance,
    UnifiedProcedureStepPush,
    Verification,
    dimse_services,
    meta_members,
    register_uid,
    service_class_of,
    sop_classes,
    uid_to_sop_class,
)
from tests.proto.rows import for_each

Row = dict[str, str]


def read(name: str) -> list[Row]:
    with (Path(__file__).parent / "data" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


ROWS, WELL_KNOWN = read("service_classes.csv"), read("well_known_uids.csv")
VARIANTS = {  # names of the facts that are no service class of their own
    "Storage (non-DICOM-committee)": ServiceClass.STORAGE,
    "Real-Time Communication (PS3.22)": ServiceClass.REAL_TIME_COMMUNICATION,
}


def service_class(row: Row) -> ServiceClass:
    name = row["service_class"]
    return VARIANTS.get(name) or ServiceClass(re.sub(r" \(retired.*\)", "", name))


def test_every_sop_class_of_the_facts_has_its_names() -> None:
    for row in ROWS:
        uid = uid_to_sop_class(row["uid"])
        assert (uid, uid.name) == (row["uid"], row["name"])
        assert uid.keyword == (row["keyword"] or row["pynetdicom_keyword"])
        for name in {row["keyword"], row["pynetdicom_keyword"]} - {""}:
            assert getattr(sop_class, name) == uid
            assert isinstance(getattr(sop_class, name), SOPClass)
        # PS3.4 H.4.7 retires this one, PS3.6 Table A-1 does not
        assert uid.is_retired == (row["retired"] == "yes") or uid.keyword == "VOILUTBox"


def test_every_sop_class_of_the_facts_has_its_service_class() -> None:
    current = {service: sop_classes(service) for service in ServiceClass}
    everything = {service: sop_classes(service, retired=True) for service in ServiceClass}
    for row in ROWS:
        uid, service = uid_to_sop_class(row["uid"]), service_class(row)
        assert uid.service_class is service_class_of(row["uid"]) is service, row
        assert (uid in current[service]) == (not uid.is_retired), row
        assert uid in everything[service], row
    assert {uid for uids in everything.values() for uid in uids} == {row["uid"] for row in ROWS}


def test_every_sop_class_of_the_facts_has_its_dimse_services() -> None:
    for row in ROWS:
        text = row["dimse_services"].replace("C-STORE sub-operations", "")
        if text:
            assert set(dimse_services(row["uid"])) == set(re.findall(r"[CN]-[A-Z-]+[A-Z]", text)), row


def test_every_well_known_uid_of_the_facts() -> None:
    for row in WELL_KNOWN:
        if row["type"] == "Well-known SOP Instance":
            assert getattr(sop_class, row["keyword"]) == row["uid"]
            assert service_class_of(row["uid"]) is None
        elif row["type"] == "Service Class" and row["retired"] == "no":
            assert row["uid"] in SERVICE_CLASS_UIDS.values()
        elif row["type"] == "Transfer Syntax":
            big_endian, real_time = row["keyword"] == "ExplicitVRBigEndian", row["keyword"].startswith("SMPTE")
            usable = big_endian or (row["retired"] == "no" and not real_time)
            assert (row["uid"] in ALL_TRANSFER_SYNTAXES) == usable


def test_names_for_type_checkers_are_those_there_are() -> None:
    declared = {
        node.target.id: ast.unparse(node.annotation)
        for node in ast.parse(Path(sop_class.__file__).with_name("_sop_class_names.pyi").read_text("utf-8")).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for name, annotation in declared.items():
        assert type(getattr(sop_class, name)).__name__ == annotation
    facts = {row[column] for row in ROWS for column in ("keyword", "pynetdicom_keyword")}
    facts |= {row["keyword"] for row in WELL_KNOWN if row["type"] == "Well-known SOP Instance"}
    assert facts - {""} <= declared.keys()


def test_star_import_brings_the_sop_classes() -> None:
    names: dict[str, object] = {}
    exec("from dicom_proto.sop_class import *", names)
    assert names["CTImageStorage"] is CTImageStorage
    assert names["DisplaySystemInstance"] == "1.2.840.10008.5.1.1.40.1"


def test_attributes_by_keyword() -> None:
    assert Verification == "1.2.840.10008.1.1"
    assert Verification.service_class is ServiceClass.VERIFICATION
    assert PatientRootQueryRetrieveInformationModelFind.service_class is ServiceClass.QUERY_RETRIEVE
    assert DisplaySystem.service_class is ServiceClass.DISPLAY_SYSTEM_MANAGEMENT
    assert DisplaySystemInstance == "1.2.840.10008.5.1.1.40.1"
    assert StorageCommitmentPushModelInstance.name == "Storage Commitment Push Model SOP Instance"
    assert ModalityWorklistInformationFind is ModalityWorklistInformationModelFind
    assert not hasattr(sop_class, "NoSuchStorage")


def test_a_sop_class_is_a_uid() -> None:
    assert isinstance(CTImageStorage, UID)
    assert hash(CTImageStorage) == hash("1.2.840.10008.5.1.4.1.1.2")
    assert not CTImageStorage.is_private
    copy = pickle.loads(pickle.dumps(CTImageStorage))
    assert (type(copy), copy.name) == (SOPClass, "CT Image Storage")


def test_an_unknown_uid_has_no_service_class() -> None:
    unknown = uid_to_sop_class("1.2.3.4")
    assert (unknown, unknown.name, unknown.keyword) == ("1.2.3.4", "1.2.3.4", "")
    assert unknown.service_class is None
    assert dimse_services(unknown) == ()
    assert meta_members(unknown) == ()
    assert uid_to_sop_class("what a peer sent").service_class is None


def test_sop_classes_are_in_the_order_of_their_uids() -> None:
    storage = sop_classes(ServiceClass.STORAGE)
    assert storage[:2] == ("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1")
    assert storage.index(CTImageStorage) < storage.index(uid_to_sop_class("1.2.840.10008.5.1.4.1.1.11.1"))


def test_meta_sop_classes() -> None:
    assert [member.keyword for member in meta_members(BasicGrayscalePrintManagementMeta)] == [
        "BasicFilmSession",
        "BasicFilmBox",
        "BasicGrayscaleImageBox",
        "Printer",
    ]
    assert Printer in meta_members(BasicColorPrintManagementMeta)
    assert meta_members(Printer) == ()
    assert dimse_services(BasicColorPrintManagementMeta) == ()


def test_transfer_syntaxes() -> None:
    assert [uid.keyword for uid in DEFAULT_TRANSFER_SYNTAXES] == [
        "ImplicitVRLittleEndian",
        "ExplicitVRLittleEndian",
        "DeflatedExplicitVRLittleEndian",
        "ExplicitVRBigEndian",
    ]
    assert ALL_TRANSFER_SYNTAXES[:4] == DEFAULT_TRANSFER_SYNTAXES
    assert len(set(ALL_TRANSFER_SYNTAXES)) == len(ALL_TRANSFER_SYNTAXES)
    assert "1.2.840.10008.1.2.4.110" in ALL_TRANSFER_SYNTAXES


@pytest.mark.usefixtures("registrations_undone")
def test_register_a_private_sop_class() -> None:
    mine = register_uid("1.2.3.4", "MyStorage", ServiceClass.STORAGE)
    assert (mine, mine.name, mine.keyword) == ("1.2.3.4", "MyStorage", "MyStorage")
    assert mine.service_class is service_class_of("1.2.3.4") is ServiceClass.STORAGE
    assert mine == sop_class.MyStorage  # type: ignore[attr-defined]
    assert mine in sop_classes(ServiceClass.STORAGE)
    assert vars(sop_class)["_STORAGE_CLASSES"]["MyStorage"] == mine
    assert dimse_services(mine) == ("C-STORE",)
    assert register_uid("1.2.3.4", "MyStorage", ServiceClass.STORAGE) == mine
    query = register_uid("1.2.3.5", "MyFind", ServiceClass.QUERY_RETRIEVE, "C-FIND")
    assert dimse_services(query) == ("C-FIND",)


@for_each(
    ("uid", "keyword", "dimse_service", "message"),
    [
        ("1.2.03", "Mine", "", "not a UID"),
        ("1.2.3.6", "not a name", "", "'not a name' cannot be the keyword"),
        ("1.2.3.6", "class", "", "'class' cannot be the keyword"),
        ("1.2.3.6", "_mine", "", "'_mine' cannot be the keyword"),
        ("1.2.3.6", "CTImageStorage", "", "CTImageStorage is already the name of something else"),
        ("1.2.3.6", "register_uid", "", "already the name"),
        ("1.2.840.10008.5.1.4.1.1.2", "Mine", "", "already known differently, as CT Image Storage"),
        ("1.2.3.6", "Mine", "C-FIND", "Storage has no 'C-FIND', only C-STORE"),
    ],
)
def test_a_private_sop_class_that_cannot_be(uid: str, keyword: str, dimse_service: str, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        register_uid(uid, keyword, ServiceClass.STORAGE, dimse_service)
    assert service_class_of("1.2.3.6") is None
    assert not hasattr(sop_class, "Mine")


def test_a_private_sop_class_needs_a_service_class() -> None:
    with pytest.raises(LocalProtocolError, match="'storage' is not a ServiceClass"):
        register_uid("1.2.3.6", "Mine", "storage")  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="only nothing"):
        register_uid("1.2.3.6", "Mine", ServiceClass.REAL_TIME_COMMUNICATION, "C-STORE")
    with pytest.raises(InvalidNameError):
        register_uid("", "Mine", ServiceClass.STORAGE)


@pytest.mark.usefixtures("registrations_undone")
def test_the_groups_of_sop_classes_under_their_other_names() -> None:
    storage, retrieve = (vars(sop_class)[name] for name in ("_STORAGE_CLASSES", "_QR_CLASSES"))
    assert storage["CTImageStorage"] == sop_class.CTImageStorage
    assert len(storage) > 150
    assert {"PatientStudyOnlyQueryRetrieveInformationModelGet", "RepositoryQuery"} <= retrieve.keys()
    assert vars(sop_class)["_VERIFICATION_CLASSES"] == {"Verification": "1.2.840.10008.1.1"}
    assert isinstance(storage["CTImageStorage"], sop_class.SOPClass)


def test_unified_procedure_step() -> None:
    assert UnifiedProcedureStepPush.service_class is ServiceClass.UNIFIED_PROCEDURE_STEP
    assert dimse_services(UnifiedProcedureStepPush) == ("N-CREATE", "N-ACTION", "N-GET")


def test_the_protocol_needs_no_pydicom() -> None:
    code = "import sys, dicom_proto.status, dicom_proto.service_class; assert 'pydicom' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(sop_class.__file__).parents[1])
