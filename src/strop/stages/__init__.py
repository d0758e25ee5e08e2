"""The kinds of stages that a recipe can have. A new one is a new file in this package, or one under ``plugins``."""
