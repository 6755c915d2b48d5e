"""DICOM networking without I/O: bytes and time in, protocol events and bytes out.

* :mod:`dicom_proto.upper_layer`: associations (PS3.8);
* :mod:`dicom_proto.dimse`: messages on an association (PS3.7);
* :mod:`dicom_proto.encoding.datasets`: data sets, through pydicom (PS3.5, PS3.10).

The adapters that move the bytes are in :mod:`dicom_transports`.
"""

__version__ = "0.1.0"
