"""``pynetdicom.sop_class``: SOP classes whose service class is one of ``pynetdicom.service_class``."""

from functools import cache
from typing import Any, Final

from pydicom.config import IGNORE
from pydicom.uid import UID

from dicom_proto import sop_class as ours
from dicom_proto.service_class import SERVICE_CLASS_UIDS
from dicom_transports.compat.pynetdicom.service_class import SERVICE_CLASSES, ServiceClass

__all__ = ["SOPClass", "register_uid", "uid_to_service_class", "uid_to_sop_class"]


def uid_to_service_class(uid: str) -> type[ServiceClass]:
    """Return the service class of a SOP class, or that has such a UID; the base class of all if there is none."""
    return SERVICE_CLASSES.get(_OF_UIDS.get(uid) or ours.service_class_of(uid), ServiceClass)


_OF_UIDS: Final = {uid: member for member, uid in SERVICE_CLASS_UIDS.items()}


class SOPClass(ours.SOPClass):
    """A SOP class as pynetdicom has it."""

    @property
    def service_class(self) -> Any:
        """Its service class."""
        return uid_to_service_class(self)


@cache
def _sop_class(uid: str) -> SOPClass:
    return SOPClass(uid, IGNORE)


def uid_to_sop_class(uid: str) -> SOPClass:
    """Return a UID as a SOP class, the same object each time."""
    return _sop_class(str(uid))


def register_uid(uid: str, keyword: str, service_class: Any, dimse_msg_type: str = "") -> SOPClass:
    """Add a private SOP class."""
    if not (isinstance(service_class, type) and issubclass(service_class, ServiceClass)):
        raise TypeError(f"{service_class!r} is not a service class of pynetdicom.service_class")
    ours.register_uid(uid, keyword, service_class.member, dimse_msg_type)
    for name, group in vars(ours).items():
        if name.endswith("_CLASSES") and keyword in group:
            globals()[name][keyword] = uid_to_sop_class(uid)
    globals()[keyword] = uid_to_sop_class(uid)
    return uid_to_sop_class(uid)


globals().update(
    (name, uid_to_sop_class(value) if isinstance(value, ours.SOPClass) else value)
    for name, value in vars(ours).items()
    if isinstance(value, UID)
)
globals().update(
    (name, {keyword: uid_to_sop_class(uid) for keyword, uid in value.items()})
    for name, value in vars(ours).items()
    if name.endswith("_CLASSES")
)
_SERVICE_CLASSES: Final = {uid: SERVICE_CLASSES[member] for uid, member in _OF_UIDS.items()}


def __getattr__(name: str) -> SOPClass:
    """Return what pynetdicom 1 called ``VerificationSOPClass``, and others like that."""
    today = name.removesuffix("SOPClass").replace("Colour", "Color")
    if today == name or today not in globals():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: SOPClass = globals()[today]
    return found
