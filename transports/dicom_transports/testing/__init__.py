"""For those who test DICOM networking, their own or anybody's: what needs sockets, files and processes.

May change. ``python -m dicom_transports.testing`` lists its commands. What needs none of that is in
:mod:`dicom_proto.testing`.
"""
