"""The fixtures of the contract suite."""

from tests.contract.conftest import adapter

__all__ = ["adapter"]
