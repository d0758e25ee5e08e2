"""The tree of known beginnings against a search through all of them."""

import random

from strop.model.segments import PAGE
from strop.rollout.prefix_cache import PrefixCache


def common(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def test_the_longest_known_beginning_is_found():
    draw = random.Random(0)
    cache = PrefixCache(10_000, lambda pages: None, lambda source, target: None)
    known = []
    for _ in range(400):
        base = draw.choice(known)[: draw.randrange(2 * PAGE)] if known else []
        tokens = [*base, *(draw.randrange(3) for _ in range(draw.randrange(1, PAGE)))]
        pages, alike = cache.match(tokens)
        assert alike == max((common(tokens, one) for one in known), default=0)
        assert len(pages) == -(-alike // PAGE)
        pages += cache.take(-(-len(tokens) // PAGE) - len(pages))
        cache.insert(tokens, pages, ready=True)
        cache.release(pages)
        known.append(tokens)


def test_what_is_given_away_is_known_no_more():
    cache = PrefixCache(4, lambda pages: None, lambda source, target: None)
    for start in range(8):
        tokens = [start, *range(10)]
        pages = cache.take(1)
        cache.insert(tokens, pages, ready=True)
        cache.release(pages)
    found = [cache.match([start, *range(10)]) for start in range(8)]
    assert [alike for _, alike in found[:4]] == [0] * 4
    assert found[7][1] == 11
    cache.forget()
    assert cache.match([7, *range(10)])[1] == 0
