"""``pynetdicom.pdu``: the seven PDUs, to ask what ``event.pdu`` is."""

from functools import partial
from typing import Any, Final

from dicom_proto.upper_layer import pdu as ours
from dicom_transports.compat.pynetdicom._instances import class_of

_RECORDS: Final = {
    "A_ASSOCIATE_RQ": ours.AAssociateRQ,
    "A_ASSOCIATE_AC": ours.AAssociateAC,
    "A_ASSOCIATE_RJ": ours.AAssociateRJ,
    "P_DATA_TF": ours.PDataTF,
    "A_RELEASE_RQ": ours.AReleaseRQ,
    "A_RELEASE_RP": ours.AReleaseRP,
    "A_ABORT_RQ": ours.AAbort,
}
__all__ = list(_RECORDS)


def _is_record(record: type, instance: Any) -> bool:
    return isinstance(instance, record)


for _name, _record in _RECORDS.items():
    globals()[_name] = class_of(_name, __name__, partial(_is_record, _record))
