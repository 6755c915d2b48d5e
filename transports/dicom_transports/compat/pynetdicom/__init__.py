"""Programs written for pynetdicom 3, run unchanged: importing this puts it under that package's module names.

Stable.

From then on ``import pynetdicom`` gets this package in this process, whether pynetdicom is installed or not; its own
applications and tests, which are no modules of the library, are those of the installed one. docs/compat.md says what is
covered. ``python -m dicom_transports.compat.pynetdicom PROGRAM.py ...`` runs a program so.
"""

from dicom_proto.offers.contexts import *  # noqa: F403
from dicom_proto.offers.contexts import build_context, build_role
from dicom_proto.offers.implementation import (
    PYNETDICOM_IMPLEMENTATION_UID,
    PYNETDICOM_IMPLEMENTATION_VERSION,
    PYNETDICOM_UID_PREFIX,
)
from dicom_transports.compat.pynetdicom import events as evt
from dicom_transports.compat.pynetdicom._globals import ALL_TRANSFER_SYNTAXES, DEFAULT_TRANSFER_SYNTAXES
from dicom_transports.compat.pynetdicom._logging import debug_logger
from dicom_transports.compat.pynetdicom._stand_in import stand_in
from dicom_transports.compat.pynetdicom._version import __version__
from dicom_transports.compat.pynetdicom.ae import AE
from dicom_transports.compat.pynetdicom.association import Association
from dicom_transports.compat.pynetdicom.sop_class import register_uid

__all__ = [
    "AE",
    "ALL_TRANSFER_SYNTAXES",
    "DEFAULT_TRANSFER_SYNTAXES",
    "PYNETDICOM_IMPLEMENTATION_UID",
    "PYNETDICOM_IMPLEMENTATION_VERSION",
    "PYNETDICOM_UID_PREFIX",
    "Association",
    "__version__",
    "build_context",
    "build_role",
    "debug_logger",
    "evt",
    "register_uid",
]
__all__ += [name for name in globals() if name.endswith("PresentationContexts")]

stand_in(__name__)
