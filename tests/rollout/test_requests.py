"""Requests: groups, seeds and names, what ends an answer, memory that ends, and what is computed only once."""

import pytest
import torch

from strop.common.errors import InputError
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.rollout.engine import Request, SamplingParams
from strop.rollout.torch_engine import TorchEngine

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
STOP = frozenset({2})
SAMPLED = SamplingParams(max_tokens=40, temperature=1.0, seed=3)


def prompt(length, seed=0):
    return torch.randint(6, 97, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def decode(ids):
    """Ids 6 to 96 are letters."""
    return "".join(chr(ord("A") + i % 26) for i in ids)


@pytest.fixture(scope="module")
def policy(make_model):
    return Policy(make_model(), FLOAT32)


@pytest.fixture
def engine(policy):
    return TorchEngine(policy, STOP, decode=decode)


def computed_tokens(engine, call):
    """How many tokens the model computes in a call, without the one that measures the cache."""
    counts = []
    hook = engine.policy.register_forward_pre_hook(lambda _, given: counts.append(len(given[0].tokens)))
    try:
        call()
    finally:
        hook.remove()
    return sum(counts)


def test_what_an_answer_draws_depends_on_seed_name_and_sample_alone(policy, engine):
    """Neither the others, their order, the rows at a time nor memory that ends changes a token of it."""
    asked = [Request(prompt(n, n), SAMPLED, 3, f"r{n}") for n in (5, 70, 130, 20)]
    together = engine.generate(asked)
    assert {r.sample for r in together} == {0, 1, 2}
    assert len({r.tokens for r in together}) == len(together)
    alone = [r for one in asked for r in TorchEngine(policy, STOP).generate([one])]
    backwards = engine.generate(asked[::-1])
    backwards = [r for i in range(4) for r in backwards[(3 - i) * 3 : (4 - i) * 3]]
    page = 64 * 2 * (2 * 8 * 2) * 4 / 1e9  # layers x heads x width x both, in float32
    tight = TorchEngine(policy, STOP, max_rows=5, cache_gb=6 * page).generate(asked)
    for other in (alone, backwards, tight):
        assert [(r.tokens, r.finish_reason, r.sample) for r in other] == [
            (r.tokens, r.finish_reason, r.sample) for r in together
        ]
        for a, b in zip(other, together, strict=True):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
    named = engine.generate([Request(prompt(5, 5), SAMPLED, 3, "other")])
    assert not {r.tokens for r in named} & {r.tokens for r in together}


def test_rows_that_have_to_wait_for_memory_go_on_with_the_same_tokens(policy):
    asked = [
        Request(prompt(50, i), SamplingParams(max_tokens=60, temperature=1.0, ignore_eos=True), 2) for i in range(3)
    ]
    page = 64 * 2 * (2 * 8 * 2) * 4 / 1e9
    tight = TorchEngine(policy, STOP, cache_gb=5 * page)
    put_back = []
    roomy = TorchEngine(policy, STOP).generate(asked)
    tight.generate([prompt(5)], SamplingParams(max_tokens=1))
    scheduler = tight._scheduler
    original = scheduler._put_back
    scheduler._put_back = lambda branch: (put_back.append(branch), original(branch))
    assert [r.tokens for r in tight.generate(asked)] == [r.tokens for r in roomy]
    assert put_back
    assert scheduler.cache.pages <= 5


def test_a_groups_prompt_is_computed_once(engine):
    greedy = SamplingParams(max_tokens=1)
    assert computed_tokens(engine, lambda: engine.generate([Request(prompt(100), greedy, 8)])) - 1 == 100


def test_a_known_beginning_is_not_computed_again(engine):
    """Of prompts of one call, of a later call, and of a prompt with its answer; to the token, not to the page."""
    greedy, common = SamplingParams(max_tokens=1), prompt(150)
    asked = [[*common, *prompt(10, i)] for i in (1, 2, 3)]
    count = computed_tokens(engine, lambda: engine.generate(asked, greedy)) - 1
    assert count == 160 + 2 * (160 - 128)  # whole pages of the first are shared while they are computed
    later = [[*common, *prompt(10, i)] for i in (4, 5)]
    assert computed_tokens(engine, lambda: engine.generate(later, greedy)) == 2 * 10
    [answer] = engine.generate([common], SamplingParams(max_tokens=60, ignore_eos=True))
    more = [*common, *answer.tokens, *prompt(4, 9)]  # 150 + 60 + 4; the last token was never computed
    assert computed_tokens(engine, lambda: engine.generate([more], greedy)) == 214 - 209


def test_a_known_beginning_changes_nothing(policy, engine):
    common, greedy = prompt(150), SamplingParams(max_tokens=20)
    asked = [[*common, *prompt(10, i)] for i in range(3)]
    expected = [TorchEngine(policy, STOP).generate([one], greedy)[0].tokens for one in asked]
    for _ in range(2):
        assert [r.tokens for r in engine.generate(asked, greedy)] == expected


def test_beginnings_are_forgotten_with_the_weights(make_model):
    policy = Policy(make_model(), FLOAT32)
    engine, greedy = TorchEngine(policy, STOP), SamplingParams(max_tokens=1)

    def again():
        return computed_tokens(engine, lambda: engine.generate([prompt(100)], greedy))

    assert again() == 101
    assert again() == 1
    with torch.no_grad():
        policy.model.lm_head.weight.mul_(1.5)  # torch's operations are noticed
    assert again() == 101
    engine.sync()
    assert again() == 101
    assert again() == 1


def test_old_beginnings_give_way(policy):
    """A small cache serves ever new prompts and keeps the one that is used all the time."""
    page, greedy, common = 64 * 2 * (2 * 8 * 2) * 4 / 1e9, SamplingParams(max_tokens=1), prompt(128)
    engine = TorchEngine(policy, STOP, cache_gb=24 * page)
    engine.generate([common], greedy)
    for i in range(1, 30):
        engine.generate([prompt(100, i)], greedy)
        assert computed_tokens(engine, lambda: engine.generate([[*common, 7]], greedy)) == 1
    assert engine._scheduler.cache.pages <= 24


def test_a_long_prompt_is_computed_in_pieces_beside_what_decodes(engine, monkeypatch):
    steps, lens, answers = [], (300, 200, 150), (2, 40, 3)
    engine = TorchEngine(engine.policy, STOP, max_rows=2)
    asked = [
        Request(prompt(n, n), SamplingParams(max_tokens=m, ignore_eos=True)) for n, m in zip(lens, answers, strict=True)
    ]
    hook = engine.policy.register_forward_pre_hook(
        lambda _, given: steps.append(getattr(given[0].layout, "counts", ()))
    )
    monkeypatch.setattr("strop.rollout.scheduler.STEP_TOKENS", 65)
    monkeypatch.setattr("strop.rollout.scheduler.PREFILL_TOKENS", 100)
    got = engine.generate(asked)
    hook.remove()
    assert max(map(sum, steps)) <= 100
    assert (1, 64) in steps  # a decoding row beside a piece of the prompt
    assert [r.tokens for r in got] == [TorchEngine(engine.policy, STOP).generate([one])[0].tokens for one in asked]


def test_stop_strings_are_found_across_tokens_and_ids_are_kept_as_sampled(engine):
    [free] = engine.generate([Request(prompt(9), SamplingParams(max_tokens=40, ignore_eos=True))])
    text = decode(free.tokens)
    stop = text[10:13]
    place = text.find(stop)
    [got] = engine.generate([Request(prompt(9), SamplingParams(max_tokens=40, ignore_eos=True, stop=(stop, "never")))])
    assert (got.finish_reason, got.text_end) == ("stop", place)
    assert got.tokens == free.tokens[: place + 3]
    assert free.text_end is None


def test_what_ends_an_answer(engine):
    [free] = engine.generate([Request(prompt(9), SamplingParams(max_tokens=12, ignore_eos=True))])
    assert (free.finish_reason, len(free.tokens)) == ("length", 12)
    third = free.tokens[2]
    params = SamplingParams(max_tokens=12, ignore_eos=True, stop_token_ids=(third,))
    [got] = engine.generate([Request(prompt(9), params)])
    assert got.finish_reason == "stop"
    assert got.tokens == free.tokens[: free.tokens.index(third) + 1]
    assert len(got.logprobs) == len(got.tokens)  # the stop token has its own


def test_allowed_tokens_alone_are_drawn(engine):
    params = SamplingParams(max_tokens=30, temperature=1.0, allowed_token_ids=(7, 8, 9), logprobs=2)
    [got] = engine.generate([Request(prompt(9), params)])
    assert set(got.tokens) <= {7, 8, 9}
    assert all(a > b for a, b in zip(got.logprobs, got.plain_logprobs, strict=True))
    assert [len(top) for top in got.top_logprobs] == [2] * len(got.tokens)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Request([5], group_size=0), "group_size is 0"),
        (lambda: [Request([])], "no tokens"),
        (lambda: [Request([5] * 512)], "window holds 512"),
        (lambda: [Request([5, 97])], "token 97"),
        (lambda: [Request([5, -1])], "count from 0"),
        (lambda: [Request([5], name="a"), Request([6], name="a")], "called 'a'"),
        (lambda: SamplingParams(stop=("",)), "none of them empty"),
        (lambda: SamplingParams(stop="text"), "list of strings"),
        (lambda: SamplingParams(allowed_token_ids=()), "no token could be drawn"),
        (lambda: [Request([5], SamplingParams(allowed_token_ids=(99,)))], "token 99"),
        (lambda: [Request([5], SamplingParams(allowed_token_ids=(-1,)))], "token -1, and ids count from 0"),
        (lambda: [Request([5], SamplingParams(seed=1), name="a"), *[Request([6], name="b")] * 2], "called 'b'"),
        (lambda: SamplingParams(top_k=-1), "top_k >= 0"),
        (lambda: SamplingParams(temperature=float("nan")), "temperature >= 0"),
    ],
)
def test_bad_input_is_one_sentence(engine, make, message):
    with pytest.raises(InputError, match=message) as caught:
        engine.generate(make())
    assert "\n" not in str(caught.value)


def test_stop_strings_need_text(policy):
    with pytest.raises(InputError, match=r"decode=tokenizer\.decode"):
        TorchEngine(policy, STOP).generate([Request([5], SamplingParams(stop=("x",)))])


def test_a_cache_too_small_for_one_row_says_how_much_it_takes(policy):
    engine = TorchEngine(policy, STOP, cache_gb=1e-5)
    with pytest.raises(InputError, match=r"300 tokens with its prompt needs 8\.2e-05; raise cache_gb"):
        engine.generate([Request(prompt(100), SamplingParams(max_tokens=200))])


def test_numbers_that_are_none_name_request_and_token(make_model):
    policy = Policy(make_model(), FLOAT32)
    engine = TorchEngine(policy, STOP)
    [first] = engine.generate([Request([5, 6], SamplingParams(max_tokens=2, ignore_eos=True), name="mine")])
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[first.tokens[0]] = float("nan")
    engine.sync()
    with pytest.raises(InputError, match=r"request mine, token [12] of its answer"):
        engine.generate([Request([5, 6], SamplingParams(max_tokens=2, ignore_eos=True), name="mine")])
