"""``pynetdicom.dimse_messages``: the 23 messages, to ask what ``event.message`` is."""

from functools import partial
from typing import Any

from dicom_proto.dimse.messages import MESSAGES
from dicom_proto.handlers.event import MessageView
from dicom_transports.compat.pynetdicom._instances import class_of

__all__ = ["DIMSEMessage"]


def _is_message(name: str, instance: Any) -> bool:
    return isinstance(instance, MessageView) and name in {"", instance.msg_type}


DIMSEMessage = class_of("DIMSEMessage", __name__, partial(_is_message, ""))
for _kind in MESSAGES.values():
    _name = _kind.name.replace("-", "_")
    globals()[_name] = class_of(_name, __name__, partial(_is_message, _kind.name))
    __all__.append(_name)
