"""The tables of the first version."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_PATIENT = """
    PatientName PatientID IssuerOfPatientID TypeOfPatientID PatientBirthDate PatientBirthTime PatientSex OtherPatientIDs
    OtherPatientNames EthnicGroup PatientComments PatientSpeciesDescription PatientBreedDescription ResponsiblePerson
    """
_STUDY = """
    StudyDate StudyTime AccessionNumber StudyID ReferringPhysicianName StudyDescription NameOfPhysiciansReadingStudy
    PhysiciansOfRecord AdmittingDiagnosesDescription PatientAge PatientSize PatientWeight Occupation
    AdditionalPatientHistory OtherStudyNumbers RequestingPhysician RequestingService AdmissionID StudyStatusID
    StudyPriorityID RequestedProcedureDescription
    """
_SERIES = """
    Modality SeriesNumber SeriesDate SeriesTime SeriesDescription BodyPartExamined Laterality ProtocolName
    PatientPosition PerformingPhysicianName OperatorsName PerformedProcedureStepID PerformedProcedureStepStartDate
    PerformedProcedureStepStartTime PerformedProcedureStepDescription InstitutionName InstitutionalDepartmentName
    StationName Manufacturer ManufacturerModelName DeviceSerialNumber FrameOfReferenceUID
    SynchronizationFrameOfReferenceUID
    """
_INSTANCE = """
    SOPClassUID InstanceNumber RelatedGeneralSOPClassUID ContainerIdentifier InstanceCreationDate InstanceCreationTime
    AcquisitionNumber AcquisitionDate AcquisitionTime AcquisitionDateTime ContentDate ContentTime ContentLabel
    ContentDescription ImageType ImageComments NumberOfFrames Rows Columns BitsAllocated CompletionFlag
    VerificationFlag PresentationCreationDate PresentationCreationTime
    """


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _own() -> sa.Column[int]:
    return sa.Column("id", _number(), primary_key=True, autoincrement=True)


def _above(name: str, table: str) -> sa.Column[int]:
    return sa.Column(name, _number(), sa.ForeignKey(f"{table}.id"), nullable=False, index=True)


def _texts(words: str) -> list[sa.Column[str]]:
    return [sa.Column(word, sa.Text()) for word in words.split()]


def _uid(keyword: str) -> sa.Column[str]:
    return sa.Column(keyword, sa.Text(), nullable=False, unique=True)


def _sequences() -> sa.Column[bytes]:
    return sa.Column("sequences", sa.LargeBinary())


def _create(name: str, *columns: sa.Column[Any]) -> None:
    op.create_table(name, *columns, sqlite_autoincrement=True)  # a number of a row is never that of another one


def upgrade() -> None:
    """Make the tables."""
    identity = sa.Column("identity", sa.Text(), nullable=False, unique=True)
    folded = sa.Column("folded_name", sa.Text())
    _create("patients", _own(), identity, folded, *_texts(_PATIENT), _sequences())
    _create("studies", _own(), _above("patient", "patients"), _uid("StudyInstanceUID"), *_texts(_STUDY), _sequences())
    _create("series", _own(), _above("study", "studies"), _uid("SeriesInstanceUID"), *_texts(_SERIES), _sequences())
    _create(
        "instances",
        _own(),
        _above("series", "series"),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("transfer_syntax", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("modified", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("calling_ae_title", sa.Text(), nullable=False),
        sa.Column("is_leaving", sa.Integer(), nullable=False, server_default="0"),
        _uid("SOPInstanceUID"),
        *_texts(_INSTANCE),
        _sequences(),
    )
    for table, keyword in (
        ("patients", "PatientID"),
        ("studies", "StudyDate"),
        ("studies", "AccessionNumber"),
        ("series", "Modality"),
    ):
        op.create_index(f"ix_{table}_{keyword}", table, [keyword])
