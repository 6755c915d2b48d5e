"""The package: what an embedder starts from, each name loaded when it is first asked for."""

import pytest

import dicom_proto


def test_the_package_loads_what_is_asked_for() -> None:
    for name in dicom_proto.__all__:
        vars(dicom_proto).pop(name, None)
        assert getattr(dicom_proto, name) is getattr(dicom_proto, name)
    assert dicom_proto.evt.__name__ == "dicom_proto.handlers.evt"
    assert set(dicom_proto.__all__) | {"__version__"} <= set(dir(dicom_proto))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dicom_proto.nothing
