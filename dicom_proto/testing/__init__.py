"""For tests and fuzzers, the project's own and those of its users: of this code and of anybody's.

May change. :class:`~dicom_proto.testing.network.Network` is stable. Pure as the rest of the core: no I/O, no clock,
no entropy. Only strategies need Hypothesis, which the extra ``testing`` brings.
"""
