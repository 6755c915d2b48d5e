"""How far pynetdicom's own tests pass with what stands in for it: ``python -m tests.compat.measure``."""
