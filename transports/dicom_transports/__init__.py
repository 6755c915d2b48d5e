"""Adapters that drive :mod:`dicom_proto` over real connections; import the one for your kind of I/O.

Stable.

:mod:`dicom_transports.blocking` is for blocking sockets and threads.
"""
