"""A run's folder: who may write into it, what its stages depend on, and how a stage takes the place of another."""
