"""What answers a model between its turns; works without torch."""
