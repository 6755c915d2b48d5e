import sys
from importlib import import_module

import pytest
from hypothesis import strategies


def test_strategies_come_from_hypothesis():
    assert import_module("dicom_proto.testing._hypothesis").st is strategies


def test_without_hypothesis_an_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("dicom_proto.testing.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    for name in ("strategies", "message_strategies"):
        with pytest.raises(ImportError, match=r'pip install "dicom-proto\[testing\]"'):
            import_module(f"dicom_proto.testing.{name}")
    for name in ("pair", "samples", "mutators", "network"):
        import_module(f"dicom_proto.testing.{name}")
