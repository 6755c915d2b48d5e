"""What can be asked for at each level of the query/retrieve information models (PS3.4 C.6), as data.

Internal.
"""

from enum import IntEnum
from typing import Final

from attrs import frozen
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

__all__ = ["COLUMNS", "COMPUTED", "KEYS", "SEQUENCES", "UNIQUE", "Key", "Level"]


class Level(IntEnum):
    """A Query/Retrieve Level (0008,0052), the highest first."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    IMAGE = 3


@frozen
class Key:
    """An attribute of a level.

    Parameters
    ----------
    keyword : str
        What PS3.6 calls it.
    level : Level
        Of which entity it is.
    tag : int
        Its tag.
    vr : str
        Its VR.
    is_multiple : bool
        Whether it may have several values.
    """

    keyword: str
    level: Level
    tag: int
    vr: str
    is_multiple: bool

    @classmethod
    def of(cls, keyword: str, level: Level) -> "Key":
        """Return an attribute by its keyword."""
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise ValueError(f"{keyword} is no keyword")
        return cls(keyword, level, tag, dictionary_VR(tag), dictionary_VM(tag) != "1")


UNIQUE: Final = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""The unique key of each level."""

# PS3.4 C.6.1.1.2 to C.6.1.1.5, and what else is often asked for, at the level of the module that has it (PS3.3).
_STORED: Final = {
    Level.PATIENT: """
        PatientName PatientID IssuerOfPatientID TypeOfPatientID PatientBirthDate PatientBirthTime PatientSex
        OtherPatientIDs OtherPatientNames EthnicGroup PatientComments PatientSpeciesDescription PatientBreedDescription
        ResponsiblePerson
        """,
    Level.STUDY: """
        StudyInstanceUID StudyDate StudyTime AccessionNumber StudyID ReferringPhysicianName StudyDescription
        NameOfPhysiciansReadingStudy PhysiciansOfRecord AdmittingDiagnosesDescription PatientAge PatientSize
        PatientWeight Occupation AdditionalPatientHistory OtherStudyNumbers RequestingPhysician RequestingService
        AdmissionID StudyStatusID StudyPriorityID RequestedProcedureDescription
        """,
    Level.SERIES: """
        SeriesInstanceUID Modality SeriesNumber SeriesDate SeriesTime SeriesDescription BodyPartExamined Laterality
        ProtocolName PatientPosition PerformingPhysicianName OperatorsName PerformedProcedureStepID
        PerformedProcedureStepStartDate PerformedProcedureStepStartTime PerformedProcedureStepDescription
        InstitutionName InstitutionalDepartmentName StationName Manufacturer ManufacturerModelName DeviceSerialNumber
        FrameOfReferenceUID SynchronizationFrameOfReferenceUID
        """,
    Level.IMAGE: """
        SOPInstanceUID SOPClassUID InstanceNumber RelatedGeneralSOPClassUID ContainerIdentifier InstanceCreationDate
        InstanceCreationTime AcquisitionNumber AcquisitionDate AcquisitionTime AcquisitionDateTime ContentDate
        ContentTime ContentLabel ContentDescription ImageType ImageComments NumberOfFrames Rows Columns BitsAllocated
        CompletionFlag VerificationFlag PresentationCreationDate PresentationCreationTime
        """,
}
_SEQUENCES: Final = {
    Level.PATIENT: "ReferencedPatientSequence OtherPatientIDsSequence IssuerOfPatientIDQualifiersSequence",
    Level.STUDY: """
        AnatomicRegionsInStudyCodeSequence ProcedureCodeSequence ReferencedStudySequence IssuerOfAccessionNumberSequence
        ReferringPhysicianIdentificationSequence AdmittingDiagnosesCodeSequence ReasonForPerformedProcedureCodeSequence
        """,
    Level.SERIES: """
        RequestAttributesSequence ReferencedPerformedProcedureStepSequence PerformedProtocolCodeSequence
        SeriesDescriptionCodeSequence AnatomicRegionSequence
        """,
    Level.IMAGE: """
        ConceptNameCodeSequence ContentTemplateSequence SpecimenDescriptionSequence ReferencedSeriesSequence
        ReferencedRequestSequence VerifyingObserverSequence AlternateRepresentationSequence
        """,
}
_COMPUTED: Final = {
    Level.PATIENT: "NumberOfPatientRelatedStudies NumberOfPatientRelatedSeries NumberOfPatientRelatedInstances",
    Level.STUDY: """
        ModalitiesInStudy SOPClassesInStudy NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances
        """,
    Level.SERIES: "NumberOfSeriesRelatedInstances",
    Level.IMAGE: "AvailableTransferSyntaxUID",
}


def _keys(table: dict[Level, str]) -> dict[Level, tuple[Key, ...]]:
    return {level: tuple(Key.of(keyword, level) for keyword in words.split()) for level, words in table.items()}


COLUMNS: Final = _keys(_STORED)
"""The attributes of each level that have one or several values, which the index has as text."""

SEQUENCES: Final = _keys(_SEQUENCES)
"""The sequences of each level, which the index has encoded."""

COMPUTED: Final = _keys(_COMPUTED)
"""What follows from other entities (PS3.4 C.3.4), or is known of a file."""

KEYS: Final = {key.tag: key for table in (COLUMNS, SEQUENCES, COMPUTED) for level in Level for key in table[level]}
"""All of them, by tag."""
