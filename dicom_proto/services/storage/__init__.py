"""Storage (PS3.4 Annex B): one object, its pieces, many over one association, many over several.

May change.
"""
