"""Scores of continuations against the model's own logits in float64, and what is computed for them."""

import pytest
import torch

from strop.common.errors import InputError
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
CONTINUATIONS = [[[5], [9], [7]], [[8, 9, 10], [11]], [], [[12] * 70, [13, 14]]]


def prompt(length, seed=0):
    return torch.randint(6, 97, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.fixture
def engine(make_model):
    return TorchEngine(Policy(make_model(), FLOAT32), frozenset({2}))


@pytest.fixture(scope="module")
def reference(make_model):
    """Log-probabilities of every token but the first, by transformers in float64, and the likeliest tokens."""
    model = make_model().double()

    @torch.no_grad()
    def of(ids):
        logprobs = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        return logprobs.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0], logprobs.argmax(-1)

    return of


def test_scores_are_the_models_own(engine, reference):
    prompts = [prompt(n, n) for n in (3, 70, 4, 130)]
    scores = engine.score(prompts, CONTINUATIONS)
    assert [len(s) for s in scores] == [3, 2, 0, 2]
    for ids, several, found in zip(prompts, CONTINUATIONS, scores, strict=True):
        for continuation, score in zip(several, found, strict=True):
            logprobs, likeliest = reference([*ids, *continuation])
            expected = logprobs[len(ids) - 1 :]
            assert score.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
            assert score.total == pytest.approx(expected.sum().item(), abs=1e-3)
            assert score.greedy == (likeliest[len(ids) - 1 :].tolist() == continuation)


def test_what_the_model_says_by_itself_is_greedy(engine):
    [answer] = engine.generate([prompt(20)], SamplingParams(max_tokens=9, ignore_eos=True))
    [[said, other]] = engine.score([prompt(20)], [[answer.tokens, [*answer.tokens[:-1], (answer.tokens[-1] + 1) % 97]]])
    assert said.greedy
    assert not other.greedy
    assert said.logprobs == pytest.approx(answer.logprobs, abs=1e-4)


def test_a_prompt_is_computed_once_and_options_of_one_token_cost_nothing(engine):
    counts = []
    engine.policy.register_forward_pre_hook(lambda _, given: counts.append(len(given[0].tokens)))
    engine.score([prompt(100)], [[[i] for i in range(6, 16)]])
    assert sum(counts) == 1 + 100
    counts.clear()
    engine.score([prompt(200, 1)], [[[7, 8, 9], [9, 10]]])
    assert sum(counts) == 200 + 2 + 1


def test_memory_that_ends_changes_no_score(make_model, engine):
    page = 64 * 2 * (2 * 8 * 2) * 4 / 1e9
    small = TorchEngine(engine.policy, frozenset({2}), cache_gb=4 * page, max_rows=2)
    prompts = [prompt(n, n) for n in (3, 70, 4, 130)]
    for a, b in zip(small.score(prompts, CONTINUATIONS), engine.score(prompts, CONTINUATIONS), strict=True):
        assert [x for s in a for x in s.logprobs] == pytest.approx([x for s in b for x in s.logprobs], abs=1e-5)


def test_options_that_begin_alike_are_scored_whole_though_they_wait(make_model, reference):
    """An option that has to wait finds its beginning known, of another option that is done; it is measured too."""
    crowded = TorchEngine(Policy(make_model(), FLOAT32), frozenset({2}), max_rows=2)
    prompts = [prompt(n, n) for n in (20, 61, 64, 90)]
    options = [[[7, 8, 9, last] for last in range(10, 16)] for _ in prompts]
    for ids, several, found in zip(prompts, options, crowded.score(prompts, options), strict=True):
        for option, score in zip(several, found, strict=True):
            assert score.logprobs == pytest.approx(reference([*ids, *option])[0][len(ids) - 1 :].tolist(), abs=1e-4)


def test_a_continuation_that_is_put_back_is_not_measured_twice(engine, monkeypatch):
    """The step after its first piece was computed."""
    monkeypatch.setattr("strop.rollout.scheduler.PREFILL_TOKENS", 96)
    asked = [prompt(20)], [[prompt(180, 1)]]
    expected = engine.score(*asked)
    engine.sync()
    engine.score([[5]], [[[6]]])
    scheduler, back = engine._scheduler, []
    step, put_back = scheduler.step, scheduler._put_back

    def put_back_once():
        if scheduler.running and scheduler.running[0].computed > 30 and not back:
            back.append(scheduler.running[0].computed)
            put_back(scheduler.running[0])
            scheduler.prefixes.forget()  # as when others need the room: then its beginning is computed again
        return step()

    monkeypatch.setattr(scheduler, "step", put_back_once)
    [[got]] = engine.score(*asked)
    assert back
    assert got.logprobs == pytest.approx(expected[0][0].logprobs, abs=1e-4)


def test_documents_longer_than_the_window(make_model, reference):
    engine = TorchEngine(Policy(make_model(max_position_embeddings=32), FLOAT32), frozenset({2}))
    short, long, none = prompt(20), prompt(75, 1), [5]
    scores = engine.score_documents([short, long, none], context=10)
    assert [len(s) for s in scores] == [19, 74, 0]
    assert scores[0] == pytest.approx(reference(short)[0].tolist(), abs=1e-4)
    expected, begin = reference(long[:32])[0].tolist(), 32
    while begin < 75:  # every later window begins ten tokens earlier and counts only what is new
        window = long[begin - 10 : begin + 22]
        expected += reference(window)[0][9:].tolist()
        begin += 22
    assert scores[1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("prompts", "continuations", "message"),
    [
        ([[5]], [[[]]], "no tokens"),
        ([[]], [[[5]]], "no tokens"),
        ([[5] * 500], [[[5] * 13]], "500 tokens and a continuation 13"),
        ([[5]], [[[97]]], "token 97"),
    ],
)
def test_bad_input_is_one_sentence(engine, prompts, continuations, message):
    with pytest.raises(InputError, match=message):
        engine.score(prompts, continuations)


def test_numbers_that_are_none_are_not_scored(engine):
    with torch.no_grad():
        engine.policy.model.get_input_embeddings().weight[9] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        engine.score([[5, 9]], [[[6]]])
