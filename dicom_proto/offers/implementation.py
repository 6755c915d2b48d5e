"""This implementation (PS3.7 D.3.3.2) under the names that pynetdicom has for its own.

Stable.
"""

from typing import Final

from pydicom.uid import UID

from dicom_proto.names import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

__all__ = ["PYNETDICOM_IMPLEMENTATION_UID", "PYNETDICOM_IMPLEMENTATION_VERSION", "PYNETDICOM_UID_PREFIX"]

PYNETDICOM_IMPLEMENTATION_UID: Final = UID(IMPLEMENTATION_CLASS_UID)
"""What an AE states as its implementation class UID by default."""

PYNETDICOM_IMPLEMENTATION_VERSION: Final = IMPLEMENTATION_VERSION_NAME
"""What an AE states as its implementation version name by default."""

PYNETDICOM_UID_PREFIX: Final = f"{IMPLEMENTATION_CLASS_UID}."
"""A root for UIDs of one's own: a UID that is derived from a UUID may have others below it."""
