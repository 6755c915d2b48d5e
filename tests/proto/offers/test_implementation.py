"""This implementation under pynetdicom's names."""

from pydicom.uid import generate_uid

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.offers.implementation import (
    PYNETDICOM_IMPLEMENTATION_UID,
    PYNETDICOM_IMPLEMENTATION_VERSION,
    PYNETDICOM_UID_PREFIX,
)


def test_it_is_what_an_application_entity_states() -> None:
    entity = ApplicationEntity("TEST")
    assert entity.implementation_class_uid == PYNETDICOM_IMPLEMENTATION_UID
    assert entity.implementation_version_name == PYNETDICOM_IMPLEMENTATION_VERSION
    assert PYNETDICOM_IMPLEMENTATION_UID.is_valid


def test_uids_can_be_made_below_it() -> None:
    made = {generate_uid(prefix=PYNETDICOM_UID_PREFIX) for _ in range(8)}
    assert len(made) == 8
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in made)
