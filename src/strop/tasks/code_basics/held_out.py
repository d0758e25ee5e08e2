"""The families that are never trained on.

Drawn at random once, so that neither split is the easier one by somebody's choice: of every topic a sixth of its
families, at least one (``random.Random(f"held out {topic}").sample`` over the topic's sorted names). The result is
written down here, so a family added later joins the training split and moves nothing.
"""

HELD_OUT: tuple[str, ...] = (
    "share_equally", "shopping_bill", "cases_lists", "first_single", "account",
    "halved_changed_numbers_sorted", "squared_changed_numbers_first", "remainder_changed_numbers_sorted",
    "minus_changed_numbers_last", "absolute_changed_numbers_first", "negated_changed_numbers_smallest",
    "squared_changed_numbers_sorted", "negated_changed_numbers_backwards", "times_changed_numbers_smallest",
    "minus_changed_numbers_largest", "times_changed_numbers_lines", "times_changed_numbers_last",
    "marked_changed_words_line", "reversed_changed_words_first", "capital_changed_words_last",
    "twice_changed_words_first", "twice_changed_words_lines", "initial_changed_words_backwards",
    "capital_changed_words_line", "twice_changed_words_together", "small_letters_lines", "small_letters_all",
    "small_letters_last", "digit_letters_first", "digit_letters_together", "chosen_letters_lines",
    "digit_letters_lines", "digit_letters_stars", "different_numbers_line", "different_numbers_sum",
    "below_numbers_sum", "different_numbers_drop", "between_numbers_smallest", "positive_numbers_backwards",
    "below_numbers_sorted", "odd_numbers_drop", "odd_numbers_all", "even_numbers_all",
    "different_numbers_last", "different_numbers_first", "positive_numbers_any", "odd_numbers_last",
    "positive_numbers_sorted", "even_numbers_line", "odd_numbers_any", "between_numbers_lines",
    "not_multiple_numbers_sorted", "multiple_numbers_line", "multiple_numbers_count",
    "different_numbers_count", "not_multiple_range_numbers_count", "holding_range_numbers_backwards",
    "multiple_range_numbers_largest", "not_multiple_range_numbers_lines", "not_multiple_range_numbers_sum",
    "ending_range_numbers_lines", "end_words_dashes", "longer_words_count", "hold_words_line",
    "longer_words_dashes", "start_words_together", "shorter_words_drop", "start_words_drop",
    "shorter_words_all", "hold_words_any", "end_words_backwards", "longer_words_lines", "who_wins",
    "digital_root", "smallest_divisor", "simplify_fraction", "enough_money", "word_occurs", "group_ticket",
    "mean_of_three", "to_small_unit", "element_at_place", "list_of_powers", "sum_of_powers",
    "replace_element", "what_remains", "repeat_string", "join_two", "words_with_separator", "longer_word",
    "line_sums", "list_total", "have_all", "spend_budget", "dot_product", "frame", "running_total",
    "best_trade", "count_if", "battery", "run_lengths", "split_fields", "reorder_words", "right_angle",
    "weekday_after",
)  # fmt: skip
