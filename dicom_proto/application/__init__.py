"""One application entity: what it offers and accepts, its associations' lives, and each verb that users call.

May change.
"""
