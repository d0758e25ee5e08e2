"""Models side by side on the same items: paired tests, what flipped, gates, blind judging."""
