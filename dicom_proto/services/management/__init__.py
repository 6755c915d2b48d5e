"""Managing instances (PS3.4 F, H, J and others): DIMSE-N, performed procedure steps, storage commitment.

May change.
"""
