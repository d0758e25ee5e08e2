"""strop's engine in lm-evaluation-harness, against the harness's own model on the same texts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")

from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.models.huggingface import HFLM

from strop.common.errors import InputError
from strop.evals.lm_eval_bridge import StropLM

WINDOW = 64


@pytest.fixture(scope="module")
def models(make_model_folder):
    """Both on one tiny model in float32. strop counts the predicted token into the window, so hf gets one less."""
    folder = str(
        make_model_folder(["Say one. The sum of two numbers is a number."], 400, max_position_embeddings=WINDOW)
    )
    ours = StropLM(folder, dtype="float32", device="cpu")
    theirs = HFLM(folder, dtype="float32", device="cpu", batch_size=3, max_length=ours.max_length)
    return ours, theirs


def asked(kind, *arguments):
    return [Instance(kind, {}, one, i) for i, one in enumerate(arguments)]


def test_it_is_registered_by_name():
    assert get_model("strop") is StropLM


def test_log_likelihoods_are_those_of_the_harness(models):
    pairs = [
        ("The sum of two", " numbers"),
        ("The sum of two", " words is long"),
        ("The sum of two ", "numbers"),  # the space goes to the continuation
        ("", "Say one."),
        ("The sum of two numbers is a number. " * 9, " Say one."),  # longer than the window
        ("Say one.", "<|end|>"),
    ]
    ours, theirs = (model.loglikelihood(asked("loglikelihood", *pairs), disable_tqdm=True) for model in models)
    for (a, a_greedy), (b, b_greedy) in zip(ours, theirs, strict=True):
        assert (a, a_greedy) == (pytest.approx(b, abs=1e-3), b_greedy)


def test_whole_texts_are_those_of_the_harness_in_windows_too(models):
    texts = [("Say one.",), ("The sum of two numbers is a number. " * 8,), ("x" * 150,)]
    ours, theirs = (
        model.loglikelihood_rolling(asked("loglikelihood_rolling", *texts), disable_tqdm=True) for model in models
    )
    assert ours == pytest.approx(theirs, abs=1e-3)
    assert len(models[0].tok_encode(texts[2][0])) > 2 * WINDOW


@pytest.mark.parametrize("until", [[], ["e"], ["zz", "is"]])
def test_greedy_answers_are_those_of_the_harness(models, until):
    settings = {"until": until, "max_gen_toks": 24, "do_sample": False}
    prompts = [(text, settings) for text in ("Say one.", "The sum of", "number is ")]
    ours, theirs = (model.generate_until(asked("generate_until", *prompts), disable_tqdm=True) for model in models)
    assert ours == theirs
    assert not any(stop in text for stop in until for text in ours)


def test_drawn_answers_differ_by_sample_and_repeat_by_seed(models):
    settings = {"until": [], "max_gen_toks": 12, "do_sample": True, "temperature": 1.5}
    requests = asked("generate_until", *[("Say one.", settings)] * 4)
    first, second = (models[0].generate_until(requests) for _ in range(2))
    assert first == second
    assert len(set(first)) > 1


def test_what_strop_does_not_have_is_refused(models):
    for settings, said in (
        ({"num_beams": 4}, "strop has no num_beams"),
        ({"max_gen_toks": WINDOW}, "no prompt would fit"),
    ):
        with pytest.raises(InputError, match=said):
            models[0].generate_until(asked("generate_until", ("x", {"until": [], **settings})))
    with pytest.raises(InputError, match="loglikelihood_rolling"):
        models[0].loglikelihood(asked("loglikelihood", ("x", "y" * 400)), disable_tqdm=True)


QUESTIONS = [{"query": f"The sum of {i} and one", "choices": [" two", " a number"], "gold": i % 2} for i in range(3)]


@pytest.mark.slow
def test_the_cross_check_of_both(models, tmp_path):
    """Through lm-eval's own evaluator, in a process of its own."""
    data = tmp_path / "questions.jsonl"
    data.write_text("".join(json.dumps(one) + "\n" for one in QUESTIONS))
    script = Path(__file__).parents[2] / "bench/lm_eval_check.py"
    command = [sys.executable, str(script), models[0].pretrained, str(data)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["differing"] == []
    assert [one["scores"] for one in found["tasks"].values()] == [6, 3, 0]
