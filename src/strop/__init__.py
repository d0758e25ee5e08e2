"""Post-training for language models that people can trust."""

__version__ = "0.1.0"
