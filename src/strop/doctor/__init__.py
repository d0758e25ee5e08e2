"""Preflight: what is wrong with the data and the settings of a training, before it costs anything."""

from strop.doctor.before_training import check_examples
from strop.doctor.likeness import EvalItem
from strop.doctor.rows import read_set

__all__ = ["EvalItem", "check_examples", "read_set"]
