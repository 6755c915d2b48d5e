"""Hypothesis, or what to do without it."""

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError('strategies need Hypothesis: pip install "dicom-proto[testing]"', name="hypothesis") from error

__all__ = ["st"]
