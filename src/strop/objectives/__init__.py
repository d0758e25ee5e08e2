"""Objectives: pure functions from per-token outputs to a loss."""
