"""For tests, the project's own and those of its users: associations in memory, with simulated time.

Stable: :class:`~dicom_proto.testing.network.Network`. Pure as the rest of the core: no I/O, no clock, no entropy.
"""
