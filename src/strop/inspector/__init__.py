"""Conversations laid open: in the terminal, as one HTML page, and as JSON. What `strop inspect` runs."""

from strop.inspector.run import Request, inspect

__all__ = ["Request", "inspect"]
