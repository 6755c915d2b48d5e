"""The names that travel in DICOM messages: those of objects that exist, and those that this side makes."""

import pytest

import dicom_proto
from dicom_proto.errors import InvalidNameError
from dicom_proto.names import check_instance_uid, check_uid, is_instance_uid, is_valid_uid
from tests.proto.rows import for_each


@for_each("uid", ["1.2.3", "1.2.03.4", "LOCALIZER1.2.3", "an object", "../../x", ".", "1" * 0xFFFE])
def test_what_can_name_an_object(uid: str) -> None:
    """PS3.5 9.1 binds who makes a UID, not who passes the object on: pynetdicom#88, horos#83."""
    assert is_instance_uid(uid)
    assert check_instance_uid(uid) == uid


@for_each("uid", ["", " 1.2", "1.2 ", "1\\2", "1\n2", "1.2\0", "1.é", "1" * 0xFFFF, 12, None, b"1.2"])
def test_what_cannot(uid: object) -> None:
    assert not is_instance_uid(uid)
    with pytest.raises(InvalidNameError) as caught:
        check_instance_uid(uid)  # type: ignore[arg-type]
    assert "1.2" not in str(caught.value)


def test_who_makes_a_uid_is_bound() -> None:
    for uid in ("1.02", "LOCALIZER1.2.3", "1" * 65):
        assert not is_valid_uid(uid)
        with pytest.raises(InvalidNameError):
            check_uid(uid)


def test_the_package_loads_what_is_asked_for() -> None:
    for name in dicom_proto.__all__:
        vars(dicom_proto).pop(name, None)
        assert getattr(dicom_proto, name) is getattr(dicom_proto, name)
    assert dicom_proto.evt.__name__ == "dicom_proto.handlers.evt"
    assert set(dicom_proto.__all__) | {"__version__"} <= set(dir(dicom_proto))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dicom_proto.nothing
