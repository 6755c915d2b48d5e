"""``pynetdicom.dimse_primitives``: the DIMSE services, to ask what ``event.request`` or ``event.message`` is of."""

from functools import partial
from typing import Any, Final

from dicom_proto.dimse.messages import MESSAGES
from dicom_proto.handlers.event import MessageView
from dicom_transports.compat.pynetdicom._instances import class_of

__all__ = ["DIMSEPrimitive"]


def _is_of(service: str, instance: Any) -> bool:
    return isinstance(instance, MessageView) and instance.msg_type.rpartition("-")[0].startswith(service)


_SERVICES: Final = sorted({kind.name.rpartition("-")[0] for kind in MESSAGES.values()})
DIMSEPrimitive = class_of("DIMSEPrimitive", __name__, partial(_is_of, ""))
for _service in _SERVICES:
    _name = _service.replace("-", "_")
    globals()[_name] = class_of(_name, __name__, partial(_is_of, _service))
    __all__.append(_name)
