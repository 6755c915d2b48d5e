"""The services of PS3.4: each role of each service written once, as a program that any driver can run.

May change.

Start at :mod:`dicom_proto.programs.effects`, which says what a program is.
"""
