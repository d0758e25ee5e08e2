"""Small programming problems, from standard input to standard output, generated from a seed.

A *family* is one idea ("count the numbers above a threshold"); its parameters, story, wording and tests vary with the
seed. Train and test are split by family, so a held-out problem is never a train problem in other words. See `family`
for how to add one.
"""

from strop.tasks.code_basics.family import FAMILIES, Family, Problem
from strop.tasks.code_basics.generate import TEST_FAMILIES, TRAIN_FAMILIES, generate
from strop.tasks.code_basics.task import CodeBasics

__all__ = ["FAMILIES", "TEST_FAMILIES", "TRAIN_FAMILIES", "CodeBasics", "Family", "Problem", "generate"]
