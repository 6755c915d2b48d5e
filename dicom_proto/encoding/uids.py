"""UIDs that name objects, in data sets that this side makes: as they are, with nothing said about their form.

May change.
"""

from collections.abc import Iterable

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_proto.names import check_instance_uid

__all__ = ["add_uids"]


def add_uids(dataset: Dataset, keyword: str, uids: str | Iterable[str]) -> None:
    """Add an element of VR UI, of one value or of several; pydicom would warn of irregular ones, and quote them.

    Raises
    ------
    InvalidNameError
        If one of them cannot be the name of an object, see :func:`~dicom_proto.names.is_instance_uid`.
    """
    value = check_instance_uid(uids) if isinstance(uids, str) else [check_instance_uid(uid) for uid in uids]
    dataset.add(DataElement(Tag(keyword), "UI", value, validation_mode=IGNORE))
