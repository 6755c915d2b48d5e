"""The service classes of PS3.4."""

from dicom_proto.names import is_valid_uid
from dicom_proto.service_class import SERVICE_CLASS_UIDS, ServiceClass


def test_each_has_a_name_of_its_own() -> None:
    assert len({name.casefold() for name in ServiceClass}) == len(ServiceClass.__members__)
    assert ServiceClass("Storage") is ServiceClass.STORAGE
    assert {"Storage": 1}[ServiceClass.STORAGE] == 1  # as a plain text is found, so is it


def test_two_have_a_uid() -> None:
    """PS3.6 Table A-1, by which SOP Class Common Extended Negotiation names them (PS3.7 D.3.3.6)."""
    assert SERVICE_CLASS_UIDS == {
        ServiceClass.STORAGE: "1.2.840.10008.4.2",
        ServiceClass.UNIFIED_PROCEDURE_STEP: "1.2.840.10008.5.1.4.34.6",
    }
    assert all(map(is_valid_uid, SERVICE_CLASS_UIDS.values()))
