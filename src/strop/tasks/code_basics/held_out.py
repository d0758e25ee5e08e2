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
    "enough_money",
    "word_occurs",
    "group_ticket",
    "to_small_unit",
    "mean_of_three",
    "product_of_list",
    "even_or_odd_list",
    "countdown",
    "replace_element",
    "money_back",
    "word_price",
    "join_two",
    "last_name_first",
    "drop_word",
    "transpose",
    "change_each",
    "set_operation",
    "sort_numbers",
    "nearest_value",
    "full_lines",
    "count_rises",
    "longest_streak",
    "every_kth",
    "distance_travelled",
    "run_lengths",
    "greet_all",
    "reorder_words",
    "time_between",
    "weekday_after",
)
