"""How many examples a test needs, beside others."""

from hypothesis import settings

__all__ = ["PER_CLASS", "times"]


def times(factor: float) -> settings:
    """So many times as many examples as the profile asks for."""
    return settings(max_examples=max(1, round(factor * settings().max_examples)))


PER_CLASS = times(0.3)
"""For a test of each of the 23 classes of messages, which have most in common."""
