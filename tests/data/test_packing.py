"""Rows of bounded length: every example once, few rows, and full ones."""

import random
import statistics

import pytest

from strop.common.errors import InputError
from strop.data.packing import pack


def lengths_like_chat(count, seed=0):
    """Log-normal around 200 tokens between 60 and 570, as GSM8K's conversations are."""
    generator = random.Random(seed)
    return [min(570, max(60, round(generator.lognormvariate(5.3, 0.4)))) for _ in range(count)]


@pytest.mark.parametrize("row_tokens", [570, 1024, 2048, 4096])
@pytest.mark.parametrize("count", [0, 1, 2, 17, 400])
def test_every_example_once_and_no_row_too_long(count, row_tokens):
    lengths = lengths_like_chat(count)
    rows = pack(lengths, row_tokens)
    assert sorted(i for row in rows for i in row) == list(range(count))
    assert all(row == sorted(row) for row in rows)
    assert all(sum(lengths[i] for i in row) <= row_tokens for row in rows)


@pytest.mark.parametrize("row_tokens", [1024, 2048, 4096])
def test_a_data_set_fills_its_rows_to_99_percent(row_tokens):
    lengths = lengths_like_chat(7000)
    rows = pack(lengths, row_tokens)
    assert sum(lengths) / (len(rows) * row_tokens) > 0.99


def test_random_lengths_need_few_more_rows_than_the_fewest_possible():
    """The bound of best-fit decreasing (Johnson 1973), 11/9 of the fewest plus one, against a lower bound."""
    ratios = []
    for seed in range(60):
        generator = random.Random(seed)
        lengths = [generator.randint(1, 100) for _ in range(generator.randint(1, 80))]
        fewest = max(-(-sum(lengths) // 100), sum(n > 50 for n in lengths))
        ratios.append(len(pack(lengths, 100)) / fewest)
        assert len(pack(lengths, 100)) <= 11 / 9 * fewest + 1
    assert statistics.mean(ratios) < 1.05


def test_rows_that_can_be_filled_to_the_last_token_are():
    assert [len(row) for row in pack([50, 50, 30, 70, 20, 80, 100], 100)] == [1, 2, 2, 2]
    assert len(pack([40, 35, 25] * 10, 100)) == 10


def test_the_order_does_not_depend_on_anything_but_the_lengths():
    lengths = lengths_like_chat(300)
    assert pack(lengths, 2048) == pack(tuple(lengths), 2048)


def test_an_example_longer_than_a_row_is_refused():
    with pytest.raises(InputError, match="raise micro_batch_tokens to at least 12"):
        pack([3, 12], 11)
