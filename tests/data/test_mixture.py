"""What an epoch is made of, in which order, and that both follow from the seed, the epoch and the position alone."""

from collections import Counter
from fractions import Fraction
from itertools import chain

import numpy as np
import pytest

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.counter import permutation, uniform, words
from strop.data.mixture import InMemory, Mixture, deal
from strop.data.settings import DataSettings, MixtureSettings


def store(count, start=0):
    return InMemory([Example([start + i], [1.0], f"row {start + i}", (), ()) for i in range(count)])


def mixture(sizes, *, seed=0, mix="concatenate", total=None, **each):
    """Parts of these sizes; examples are numbered through. ``each``: a setting of the parts, one value for each."""
    parts = [
        DataSettings(path=f"{number}.jsonl", **{name: values[number] for name, values in each.items()})
        for number in range(len(sizes))
    ]
    settings = MixtureSettings(parts=parts, mix=mix, total=total)
    starts = np.cumsum([0, *sizes])
    return Mixture([store(n, s) for n, s in zip(sizes, starts, strict=False)], settings, seed)


class Drawn(InMemory):
    """A store whose passes take turns: all examples, the even ones, none but the first."""

    passes = 3

    def of_pass(self, number):
        return [np.arange(len(self)), np.arange(0, len(self), 2), np.arange(1)][number % 3]


def test_any_stretch_of_random_words_is_had_without_those_before_it():
    whole = words("name", 50)
    assert (words("name", 8, at=20) == whole[20:28]).all()
    assert len(np.unique(whole)) == 200
    assert not (words("other", 50) == whole).any()
    assert ((uniform(whole) >= 0) & (uniform(whole) < 1)).all()
    assert 0.4 < uniform(words("name", 5000)).mean() < 0.6


def test_random_words_are_pinned():
    # Philox4x64-10 as numpy has it; a change here would change every run's order.
    assert words("strop", 1)[0].tolist() == PINNED_WORDS
    assert permutation("strop", 8).tolist() == PINNED_PERMUTATION


PINNED_WORDS = [10332628680303288258, 2188779634744301968, 4911354076543876910, 16460272271382214529]
PINNED_PERMUTATION = [4, 1, 2, 6, 7, 0, 5, 3]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 1000])
def test_a_permutation_has_everything_once(count):
    assert sorted(permutation("a", count).tolist()) == list(range(count))


def slow_deal(count, weights):
    dealt = [0] * len(weights)
    for _ in range(count):
        best = min(range(len(weights)), key=lambda p: ((dealt[p] + Fraction(1, 2)) / weights[p], p))
        dealt[best] += 1
    return dealt


@pytest.mark.parametrize(
    "weights", [[1], [1, 1], [3, 1, 1], [Fraction(97, 100), Fraction(3, 100)], [7, 5, 3, 2, 1, 1, Fraction(1, 10)]]
)
def test_dealing_is_exact_and_never_takes_back(weights):
    weights = [Fraction(w) for w in weights]
    before = [0] * len(weights)
    for count in range(150):
        dealt = deal(count, weights)
        assert dealt == slow_deal(count, weights)
        assert all(now >= then for now, then in zip(dealt, before, strict=True))
        before = dealt
    assert deal(10**12, [Fraction(1), Fraction(3)]) == [25 * 10**10, 75 * 10**10]


def test_an_epoch_has_every_example_once_in_an_order_of_its_own():
    m = mixture([7, 5])
    orders = [m.order(e).tolist() for e in range(4)]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert mixture([7, 5], seed=1).order(0).tolist() != orders[0]


def test_a_part_taken_twice_and_a_half():
    m = mixture([4, 3], epochs=[2.5, 1])
    for epoch in range(4):
        seen = Counter(m.order(epoch).tolist())
        assert sorted(seen[i] for i in range(4)) == [2, 2, 3, 3]
        assert [seen[i] for i in (4, 5, 6)] == [1, 1, 1]
        assert m.length(epoch) == 13
    thrice = [{i for i, n in Counter(m.contents(e).tolist()).items() if n == 3} for e in range(4)]
    assert thrice[0] | thrice[1] == {0, 1, 2, 3}  # the second epoch begins with the other half
    assert thrice[0].isdisjoint(thrice[1])


def test_fractions_of_a_part_are_other_ones_until_all_came():
    m = mixture([10], epochs=[0.25])
    chosen = [m.contents(e).tolist() for e in range(8)]
    assert [len(c) for c in chosen] == [3, 2, 3, 2, 3, 2, 3, 2]  # a quarter of ten, rounded where it ends
    assert sorted(chain(*chosen[:4])) == list(range(10))
    assert sorted(chain(*chosen[4:])) == list(range(10))
    assert chosen[:4] != chosen[4:]
    assert chosen != [mixture([10], epochs=[0.25], seed=5).contents(e).tolist() for e in range(8)]


def test_shares_by_weight_are_exact():
    m = mixture([50, 4, 9], mix="weights", total=10, weight=[3, 1, 1])
    for epoch in range(6):
        parts = np.searchsorted([50, 54], m.order(epoch), side="right")
        assert np.bincount(parts).tolist() == [6, 2, 2]
    # A share of less than one example in an epoch comes in one of several epochs.
    m = mixture([50, 4], mix="weights", total=10, weight=[0.97, 0.03])
    counts = [int((m.order(e) >= 50).sum()) for e in range(100)]
    assert sum(counts) == 30
    assert set(counts) == {0, 1}
    assert all(m.length(e) == len(m.order(e)) == 10 for e in range(20))


def test_under_weights_nothing_comes_again_before_all_of_its_part_came():
    m = mixture([7, 4, 30], mix="weights", total=11, weight=[2, 1, 1])
    trained = np.concatenate([m.order(e) for e in range(40)])
    for first, count in ((0, 7), (7, 4), (11, 30)):
        walk = trained[(trained >= first) & (trained < first + count)]
        passes = [walk[at : at + count].tolist() for at in range(0, len(walk) - count + 1, count)]
        assert len(passes) >= 3
        assert all(sorted(p) == list(range(first, first + count)) for p in passes)
        assert len({tuple(p) for p in passes}) > 1


def test_the_default_total_is_all_examples():
    m = mixture([7, 5], mix="weights", weight=[1, 3])
    assert m.length(0) == 12
    assert np.bincount(m.order(0) >= 7).tolist() == [3, 9]


@pytest.mark.parametrize(
    "make",
    [
        lambda: mixture([5, 8], epochs=[1.5, 1]),
        lambda: mixture([5, 8], mix="weights", weight=[1.5, 1], total=6),
        lambda: Mixture([Drawn([Example([i], [1.0], "", (), ()) for i in range(5)])]),
    ],
)
def test_an_epoch_does_not_depend_on_those_looked_at_before(make):
    m = make()
    in_turn = [m.order(e).tolist() for e in range(7)]
    assert [make().order(e).tolist() for e in reversed(range(7))] == in_turn[::-1]
    assert [m.length(e) for e in range(7)] == [len(order) for order in in_turn]


def test_passes_of_different_examples_take_turns():
    m = Mixture([Drawn([Example([i], [1.0], "", (), ()) for i in range(5)])])
    assert [sorted(m.order(e).tolist()) for e in range(4)] == [[0, 1, 2, 3, 4], [0, 2, 4], [0], [0, 1, 2, 3, 4]]
    parts = [DataSettings(path="a.jsonl")]
    m = Mixture(
        [Drawn([Example([i], [1.0], "", (), ()) for i in range(5)])],
        MixtureSettings(parts=parts, mix="weights", total=6),
    )
    trained = np.concatenate([m.order(e) for e in range(3)]).tolist()
    assert [sorted(trained[a:b]) for a, b in ((0, 5), (5, 8), (8, 9), (9, 14))] == [
        [0, 1, 2, 3, 4],
        [0, 2, 4],
        [0],
        [0, 1, 2, 3, 4],
    ]


def test_a_mixture_finds_examples_across_its_parts():
    m = mixture([2, 0, 3])
    assert [m[i].place for i in range(5)] == [f"row {i}" for i in range(5)]
    assert len(m) == 5


def test_what_cannot_be_mixed_is_said():
    with pytest.raises(InputError, match=r"1\.jsonl: no example is left of it"):
        mixture([2, 0], mix="weights")
    with pytest.raises(InputError, match="no example to train on"):
        mixture([0])
    with pytest.raises(InputError, match="not even one example"):
        mixture([3], epochs=[0.1])


def test_the_fingerprint_is_of_the_data_and_of_the_mix():
    same = mixture([3, 4]).fingerprint
    assert Mixture([store(3), store(4, 3)]).fingerprint == same  # nothing said is the same as the defaults said
    others = [
        mixture([4, 3]),
        mixture([3, 4], epochs=[1, 2]),
        mixture([3, 4], mix="weights"),
        mixture([3, 4], mix="weights", total=3),
        mixture([3, 4], mix="weights", weight=[2, 1]),
        Mixture([store(3), InMemory([Example([i], [0.5], "", (), ()) for i in range(3, 7)])]),
    ]
    assert len({same, *(m.fingerprint for m in others)}) == 7


def test_the_lengths_of_an_epoch_are_of_its_examples():
    m = mixture([3, 4], epochs=[2.0, 0.5], seed=1)
    for epoch in range(3):
        assert list(m.lengths(epoch)) == [len(m[i].tokens) for i in m.contents(epoch)]
