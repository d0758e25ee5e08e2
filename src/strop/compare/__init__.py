"""Models side by side on the same items: paired tests, what flipped, gates, blind judging."""

from strop.compare.command import Request, compare

__all__ = ["Request", "compare"]
