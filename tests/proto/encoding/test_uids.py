"""UIDs that name objects, in the data sets that this side makes."""

import pytest
from pydicom.dataset import Dataset

from dicom_proto.encoding.datasets import encode
from dicom_proto.encoding.uids import add_uids
from dicom_proto.errors import InvalidNameError


def test_irregular_uids_are_carried_as_they_are() -> None:
    """PS3.5 9.1 binds who makes a UID; pynetdicom#88, horos#83. A warning would be an error here."""
    dataset = Dataset()
    add_uids(dataset, "ReferencedSOPInstanceUID", "LOCALIZER1.2.3")
    add_uids(dataset, "FailedSOPInstanceUIDList", ["1.02", "1.3"])
    assert dataset.ReferencedSOPInstanceUID == "LOCALIZER1.2.3"
    assert dataset.FailedSOPInstanceUIDList == ["1.02", "1.3"]
    assert b"1.02\\1.3" in encode(dataset, "1.2.840.10008.1.2")


def test_what_names_nothing_is_not_carried() -> None:
    for wrong in ("", "1.2\\3", ["1.2", "1\n2"]):
        with pytest.raises(InvalidNameError):
            add_uids(Dataset(), "FailedSOPInstanceUIDList", wrong)
