"""Preflight: what is wrong with the data and the settings of a training, before it costs anything."""

from strop.doctor.examine import EXIT_CODE, Examination, ModelFacts, examine
from strop.doctor.findings import Finding
from strop.doctor.fix import clean, write_fixed
from strop.doctor.overlap import EvalItem
from strop.doctor.quick import check_examples
from strop.doctor.rows import DataSet, read_set

__all__ = [
    "EXIT_CODE",
    "DataSet",
    "EvalItem",
    "Examination",
    "Finding",
    "ModelFacts",
    "check_examples",
    "clean",
    "examine",
    "read_set",
    "write_fixed",
]
