"""What a service program is, and what it runs on: effects, the engine, operations invoked and performed.

May change.
"""
