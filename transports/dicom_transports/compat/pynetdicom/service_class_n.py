"""``pynetdicom.service_class_n``: the same service classes, those with DIMSE-N services among them."""

from dicom_transports.compat.pynetdicom import service_class
from dicom_transports.compat.pynetdicom.service_class import *  # noqa: F403

__all__ = list(service_class.__all__)
