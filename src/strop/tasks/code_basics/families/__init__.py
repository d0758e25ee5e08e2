"""The crossed families, one module per kind of item."""

from strop.tasks.code_basics.families import crossed_letters, crossed_numbers, crossed_ranges, crossed_words

CROSSED = crossed_letters.FAMILIES | crossed_numbers.FAMILIES | crossed_ranges.FAMILIES | crossed_words.FAMILIES
"""Every crossed family by its name."""
