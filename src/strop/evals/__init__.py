"""Measure a model: run tasks, keep every item, give intervals."""
