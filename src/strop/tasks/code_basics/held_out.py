"""The families that are never trained on.

They were chosen by hand. Every kind of problem is represented; each needs only skills that some train family shows
(the same kind of input, the same kind of loop or built-in), and none asks for what a train family asks for in other
words.
"""

HELD_OUT: tuple[str, ...] = (
    # arithmetic and decisions
    "boxes_needed",
    "collatz_steps",
    "triangle_kind",
    "tiered_price",
    # integers
    "digital_root",
    "perfect_square",
    "meet_again",
    # lists, prefixes, pairs
    "place_of_extreme",
    "above_average",
    "new_records",
    "longest_streak",
    "round_winner",
    # order
    "second_best",
    "median",
    "missing_number",
    "spend_budget",
    # strings and text
    "palindrome",
    "squeeze",
    "anagram",
    "acronym",
    # grids, commands, world
    "best_row",
    "full_lines",
    "account",
    "bus_load",
    "time_between",
)
