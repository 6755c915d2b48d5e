"""Data sets to bytes and back (PS3.5, PS3.10): the one place that knows pydicom's readers and writers.

May change.
"""
