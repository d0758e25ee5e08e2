"""The families that are never trained on.

Drawn at random once, so that neither split is the easier one by somebody's choice: of every topic a sixth of its
families, at least one (``random.Random(0).sample`` over the sorted names, topic by topic in alphabetical order). The
result is written down here, so a family added later joins the training split and moves nothing.
"""

HELD_OUT: tuple[str, ...] = (
    "share_equally",
    "sum_of_multiples",
    "all_input",
    "first_single",
    "tally",
    "who_wins",
    "reverse_number",
    "perfect_number",
    "simplify_fraction",
    "line_sums",
    "list_total",
    "most_frequent",
    "ranking",
    "merge_lists",
    "find_cell",
    "running_total",
    "best_segment",
    "keep_if",
    "ways_to_climb",
    "digits_in_text",
    "split_fields",
    "word_lengths",
    "point_distance",
    "quadrant",
)
