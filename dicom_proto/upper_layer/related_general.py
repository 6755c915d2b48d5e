"""Which storage SOP classes are specializations of which general ones (PS3.4 Table B.3-3, 2020).

Stable.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["RELATED_GENERAL_SOP_CLASSES"]

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_ENHANCED, _COMPREHENSIVE, _COMPREHENSIVE_3D, _EXTENSIBLE = "88.22", "88.33", "88.34", "88.35"
_ANY_SR: Final = (_ENHANCED, _COMPREHENSIVE, _COMPREHENSIVE_3D, _EXTENSIBLE)

_TABLE: Final[dict[str, tuple[str, ...]]] = {
    "9.1.1": ("9.1.2",),  # 12-lead ECG: General ECG
    "1.2": ("1.1",),  # Digital Mammography X-Ray, for presentation: Digital X-Ray
    "1.2.1": ("1.1.1",),  # for processing
    "1.3": ("1.1",),  # Digital Intra-Oral X-Ray, for presentation: Digital X-Ray
    "1.3.1": ("1.1.1",),  # for processing
    "88.11": _ANY_SR,  # Basic Text SR
    _ENHANCED: (_COMPREHENSIVE, _COMPREHENSIVE_3D, _EXTENSIBLE),
    _COMPREHENSIVE: (_COMPREHENSIVE_3D, _EXTENSIBLE),
    _COMPREHENSIVE_3D: (_EXTENSIBLE,),
    "88.40": _ANY_SR,  # Procedure Log
    "88.72": _ANY_SR,  # Simplified Adult Echo SR
    "88.67": _ANY_SR,  # X-Ray Radiation Dose SR
    "88.68": _ANY_SR,  # Radiopharmaceutical Radiation Dose SR
    "88.73": _ANY_SR,  # Patient Radiation Dose SR
    "88.71": _ANY_SR,  # Acquisition Context SR
    "78.6": (_ENHANCED,),  # Spectacle Prescription Report
    "79.1": (_ENHANCED,),  # Macular Grid Thickness and Volume Report
    "2.1": ("2.2",),  # Enhanced CT: Legacy Converted Enhanced CT
    "4.1": ("4.4",),  # Enhanced MR: Legacy Converted Enhanced MR
    "130": ("128.1",),  # Enhanced PET: Legacy Converted Enhanced PET
}

RELATED_GENERAL_SOP_CLASSES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {_STORAGE + uid: tuple(_STORAGE + general for general in related) for uid, related in _TABLE.items()}
)
"""Related general SOP class UIDs, by SOP class UID."""
