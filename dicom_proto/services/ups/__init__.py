"""Unified Procedure Steps (PS3.4 Annex CC): requests, states, and the store of an SCP.

May change.
"""
