"""Retrieval (PS3.4 C.4.2, C.4.3, Y, Z): C-MOVE and C-GET, and their sub-operations.

May change.
"""
