"""What users bind to events: the kinds (``EVT_...``), what a handler gets, sinks, and the registry of them.

May change.
"""
