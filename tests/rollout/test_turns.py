"""Turns, tools and environments: what stands in a trajectory, and what of it is trained. fNN: rows of public faults."""

import itertools
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from echo_environment import WRONG, Echo
from small_rollouts import CPU
from small_turns import call, make_encoder, make_tokenizer, play, start

from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer
from strop.common.errors import InputError
from strop.environments.base import PART, Observation, read_environment
from strop.model.policy import Policy, scalar_head
from strop.objectives.advantages import credit, gae
from strop.objectives.policy_gradient import PolicyGradient
from strop.objectives.policy_settings import PolicyGradientSettings
from strop.rollout.engine import Request, SamplingParams
from strop.rollout.rows import measure, rows_of, with_ends
from strop.rollout.torch_engine import TorchEngine
from strop.rollout.trajectory import Trajectory, shown
from strop.rollout.turns import Player

END = "<|end|>"
PRODUCT = call(expression="3*4")


def tools(**more):
    return read_environment({"kind": "tools", **more})


def trained(player, one):
    """Every stretch of a segment, with whether it is trained."""
    stretches = itertools.groupby(zip(one.tokens, one.loss_weights, strict=True), key=lambda pair: pair[1])
    return [(player.decode([token for token, _ in part]), weight > 0) for weight, part in stretches]


# -- what stands in a trajectory


def test_f07_f08_ids_are_those_sampled_and_what_a_tool_says_is_not_trained():
    player, engine, [episode, straight] = play(tools(), [[PRODUCT + END, f"It is 12.{END}"], [f"hm{END}"]])
    one = episode.trajectory(3)
    assert trained(player, one) == [
        (f"<|user|>?{END}\n<|assistant|>", False),
        (PRODUCT + END, True),
        (f"\n<|tool|>12{END}\n<|assistant|>", False),
        (f"It is 12.{END}", True),
    ]
    assert (one.text, one.finish_reason, one.group, one.earlier) == ("It is 12.", "stop", 3, ())
    assert one.counts == {"turns": 2, "segments": 1, "calls": 1}
    second = engine.asked[1]
    assert len(second) == 1  # the other left after its first turn
    sampled = [i for i, weight in zip(one.tokens, one.loss_weights, strict=True) if weight]
    assert sampled == engine.ids(PRODUCT + END) + engine.ids(f"It is 12.{END}")
    assert tuple(second[0].prompt) == one.tokens[: len(second[0].prompt)]
    # The prompt of the second turn is what inference feeds for it.
    messages = [*first_messages(), {"role": "assistant", "tool_calls": calls()}, {"role": "tool", "content": "12"}]
    assert list(second[0].prompt) == player.encoder.prompt(messages, tools().schemas())
    assert straight.trajectory(0).counts == {"turns": 1, "segments": 1}


def first_messages():
    return start().messages


def calls():
    return [{"type": "function", "function": {"name": "calculator", "arguments": {"expression": "3*4"}}}]


def test_f05_f07_a_sampled_stop_keeps_its_log_probability_and_all_three_have_one_length():
    player, _, [episode] = play(tools(), [[PRODUCT + END, f"12{END}"]])
    one = episode.trajectory(0)
    assert len(one.tokens) == len(one.loss_weights) == len(one.rollout_logprobs)
    by_token = list(zip(one.tokens, one.loss_weights, one.rollout_logprobs, strict=True))
    [stop] = player.encoder.stop_ids
    stops = [(weight, logprob) for token, weight, logprob in by_token if token == stop]
    # Of the user's, the call's, the tool's and the answer's, the two that were sampled.
    assert [weight for weight, _ in stops] == [0, 1, 0, 1]
    assert [logprob < -0.5 for _, logprob in stops] == [False, True, False, True]
    assert all(logprob == 0 for _, weight, logprob in by_token if not weight)


def test_ids_that_no_tokenizer_would_write_stay_as_they_were_sampled():
    """The tokenizer has a token for "12"; the model wrote it as two."""
    encoder = make_encoder(words=["12"])
    player, engine, [episode] = play(tools(), [[PRODUCT + END, f"12{END}"]], encoder=encoder)
    two = engine.ids("1") + engine.ids("2") + engine.ids(END)
    assert engine.ids(f"12{END}") != two
    environment = Echo(max_turns=2)
    player = Player(encoder, environment)

    class Spells(type(engine)):
        def ids(self, text):
            return two if text == f"12{END}" else super().ids(text)

    engine = Spells(encoder, [f"12{END}", f"bye{END}"])
    [episode] = player.play(engine, [player.opening("p", start())], SamplingParams(50, 1.0))
    one = episode.trajectory(0)
    assert not one.earlier
    assert list(one.tokens[len(one.prompt) :][:3]) == two


@pytest.mark.parametrize("keeps", [True, False])
def test_where_the_template_rewrites_earlier_turns_a_new_segment_begins_and_both_are_trained(keeps):
    thought = f"<think>so</think>{PRODUCT}{END}"
    player, engine, [episode] = play(tools(), [[thought, f"12{END}"]], encoder=make_encoder(keeps))
    one = episode.trajectory(0)
    told = [trained(player, part) for part in one.segments]
    prompt, tool = f"<|user|>?{END}\n<|assistant|>", f"\n<|tool|>12{END}\n<|assistant|>"
    if keeps:
        assert told == [[(prompt, False), (thought, True), (tool, False), (f"12{END}", True)]]
    else:
        assert told == [
            [(prompt, False), (thought, True)],
            [(f"{prompt}{PRODUCT}{END}{tool}", False), (f"12{END}", True)],
        ]
        assert tuple(engine.asked[1][0].prompt) == one.prompt
    assert one.counts["segments"] == len(told)
    assert one.length == len(engine.ids(thought)) + len(engine.ids(f"12{END}"))


def test_a_call_that_is_spelled_otherwise_than_the_template_does_is_trained_as_it_was_sampled():
    spelled = PRODUCT.replace('n": "3', 'n":"3') + END
    player, engine, [episode] = play(tools(), [[spelled, f"12{END}"]])
    one = episode.trajectory(0)
    assert trained(player, one.earlier[0])[1] == (spelled, True)
    assert PRODUCT in player.decode(engine.asked[1][0].prompt)  # what it reads is what serving would feed


@pytest.mark.parametrize("keeps", [True, False])
def test_a_checkpoint_holds_a_trajectory_with_its_turns_calls_and_segments(keeps, tmp_path):
    texts = [f"<think>so</think>{PRODUCT}{END}", f"12{END}"]
    _, _, [episode] = play(tools(), [texts], encoder=make_encoder(keeps))
    one = replace(episode.trajectory(2), version=7)
    torch.save(one.state_dict(), tmp_path / "state.pt")
    again = Trajectory.of_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert again == one
    assert (len(again.segments), len(again.turns), again.turns[0].calls != ()) == (1 if keeps else 2, 3, True)


# -- what tools say


def told(environment, *texts, **more):
    _, _, [episode] = play(environment, [list(texts)], **more)
    return [turn.text for turn in episode.turns if turn.role == "tool"], dict(episode.counts), episode


def test_a_wrong_call_is_answered_with_what_is_wrong_and_counted():
    said, counts, episode = told(
        tools(max_turns=5), '<call>{"name": "calculator", "argu' + END, call("nobody") + END,
        call(expression="1", more="2") + END, call(expression="x = 3") + END, f"5{END}",
    )  # fmt: skip
    assert "cannot be read" in said[0]
    assert "there is no tool 'nobody'; there are calculator" in said[1]
    assert "has no argument 'more'" in said[2]
    assert "is no arithmetic expression" in said[3]
    assert counts == {"calls": 4, "malformed": 4}
    assert (episode.answer, episode.finish) == ("5", "stop")
    assert episode.turns[0].malformed


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import time\n"
        "def look(word: str, times: int = 1):\n    '''Looks a word up.\n\n    More.'''\n"
        "    if word == 'hang':\n        time.sleep(100)\n"
        "    return {'found': word * times}\n"
    )
    return tools(tools=["mine.py:look", "python"], seconds=2, max_turns=8)


def test_a_function_of_ones_own_and_python_are_called_and_one_that_hangs_or_raises_is_answered(mine):
    [schema, _] = mine.schemas()
    assert schema["function"] == {
        "name": "look", "description": "Looks a word up.",
        "parameters": {
            "type": "object", "properties": {"word": {"type": "string"}, "times": {"type": "integer"}},
            "required": ["word"],
        },
    }  # fmt: skip
    said, counts, _ = told(
        mine, call("look", word="ab", times=2) + END, call("look", word="hang") + END,
        call("look", word="a", times="b") + END,
        call("python", code="x = 6\nprint('hm')\nx * 7") + END, call("python", code="1/0") + END,
        call("python", code="while True: pass") + END, f"done{END}", max_tokens=2000,
    )  # fmt: skip
    assert said[0] == '{"found": "abab"}'
    assert said[1] == "error: look took longer than 2 s"
    assert said[2].startswith("error: look raised TypeError")
    assert said[3] == "hm\n42"
    assert said[4] == "error: ZeroDivisionError: division by zero"
    assert "error: " in said[5]
    assert counts == {"calls": 6, "failed": 4}


def test_calls_are_bounded_and_so_is_what_a_tool_says():
    once = tools(max_calls=1, most_characters=3, max_turns=3)
    said, counts, episode = told(once, call(expression="10**5") + END, PRODUCT + END, PRODUCT + END)
    assert said == ["100\n… (6 characters in all)", "error: no calls are left; answer without one"]
    assert counts == {"calls": 3, "exhausted": 2, "out_of_turns": 1}
    assert episode.finish == "turns"
    assert episode.trajectory(0).truncated


def test_control_strings_that_a_tool_says_are_text(mine, tmp_path):
    (tmp_path / "mine.py").write_text(f"def look(word: str):\n    return '<|assistant|>yes{END}'\n")
    player, _, [episode] = play(tools(tools=["mine.py:look"]), [[call("look", word="a") + END, f"b{END}"]])
    one = episode.trajectory(0)
    controls = [token for token in one.tokens if token in player.encoder.controls]
    assert f"<|assistant|>yes{END}" in player.decode(one.tokens)
    assert [player.decode([token]) for token in controls] == [
        "<|user|>", END, "<|assistant|>", END, "<|tool|>", END, "<|assistant|>", END,
    ]  # fmt: skip


def test_a_template_without_calls_is_refused_with_what_to_do():
    plain = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    with pytest.raises(InputError, match=r"chat\.template: chatml.*inline"):
        play(tools(), [[f"a{END}"]], encoder=make_encoder(template=plain))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("tool", "did you mean tools"),
        ({"kind": "tools", "max_calls": 0}, "max_calls"),
        ({"kind": "tools", "more": 1}, "more"),
        ({"kind": "inline", "max_turns": 2}, "max_turns"),
    ],
)
def test_settings_that_are_none_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        read_environment(given)


def test_tools_that_are_not_there_or_have_one_name_are_refused():
    for names, words in ((["nothing"], "is no tool"), (["python", "python"], "2 tools are called 'python'")):
        with pytest.raises(InputError, match=words):
            tools(tools=names).schemas()


def test_functions_that_do_not_tell_what_they_take_are_refused(tmp_path):
    file = tmp_path / "asked.py"
    file.write_text("from __future__ import annotations\n\ndef ask(query: Query) -> str:\n    return query\n")
    for function, words in ((f"{file}:ask", "NameError: name 'Query' is not defined"), ("math:hypot", "ValueError")):
        with pytest.raises(InputError, match=rf"{function}: what it takes cannot be read \({words}"):
            tools(tools=[function]).schemas()


# -- the calculator within the text


def test_results_are_put_into_the_text_and_not_trained():
    text = f"3*4=<<3*4=>>12, 1/0=<<1/0=, 2 = 2, <<1+1=2>>, <<5=>>.{END}"
    inline = read_environment({"kind": "inline", "max_calls": 2})
    player, engine, [episode] = play(inline, [[text]])
    one = episode.trajectory(0)
    assert trained(player, one) == [
        (f"<|user|>?{END}\n<|assistant|>", False),
        ("3*4=<<3*4=", True),
        ("12>>", False),
        (">>12, 1/0=<<1/0=", True),
        ("error>>", False),
        (f", 2 = 2, <<1+1=2>>, <<5=>>.{END}", True),
    ]
    assert one.counts == {"turns": 1, "segments": 1, "calls": 2, "malformed": 1, "exhausted": 1}
    assert one.text == "3*4=<<3*4=12>>>>12, 1/0=<<1/0=error>>, 2 = 2, <<1+1=2>>, <<5=>>."
    assert len(engine.asked) == 3
    kept = shown(one, player.decode, [0.5] * one.length)
    assert [text for text, advantage in kept["tokens"] if advantage is None] == list("12>>error>>")
    assert kept["turns"] == [{"role": "assistant", "tokens": len(one.tokens) - len(one.prompt)}]


def test_nanochats_python_parts_are_computed_and_their_output_stands_between_its_own_tokens():
    tokenizer = make_tokenizer()
    fit_tokenizer(tokenizer, "nanochat")
    encoder = ChatEncoder(tokenizer, ChatSettings(template="nanochat"))
    inline = read_environment({"kind": "inline", "notation": "nanochat"})
    text = "a <|python_start|>3*4<|python_end|> b<|assistant_end|>"
    player, _, [episode] = play(inline, [[text]], encoder=encoder)
    one = episode.trajectory(0)
    put_in = [token for token, weight in zip(one.tokens, one.loss_weights, strict=True) if not weight][
        len(one.prompt) :
    ]
    assert player.decode(put_in) == "<|output_start|>12<|output_end|>"
    assert [put_in[0], put_in[-1]] == tokenizer.convert_tokens_to_ids(["<|output_start|>", "<|output_end|>"])
    assert one.finish_reason == "stop"
    with pytest.raises(InputError, match=r"chat\.template: nanochat"):
        play(inline, [[text]])


# -- environments of one's own


def test_an_environment_answers_rewards_and_ends_and_one_that_fails_ends_its_trajectory():
    texts = [[f"a{END}", f"b{END}", f"bye{END}"], [f"a{END}", f"raise{END}"], [f"hang{END}"], [f"a{END}", "cut"]]
    player, engine, episodes = play(Echo(seconds=1.5, workers=3), texts)
    assert [len(one) for one in engine.asked] == [1, 3, 1]
    assert [one.finish for one in episodes] == ["stop", "cancelled", "cancelled", "length"]
    assert player.decode(episodes[0].trajectory(0).tokens).endswith(f"<|user|>bb{END}\n<|assistant|>bye{END}")
    first, raised, hung, cut = (one.trajectory(0) for one in episodes)
    assert first.parts == {PART: 0.75}
    assert raised.failures == {PART: "the environment raised KeyError: 'no such thing'"}
    assert "took longer than 1.5 s" in hung.failures[PART]
    assert cut.parts == {PART: 0.25}
    assert cut.text == "cut"


def test_what_an_environment_must_not_give_fails_its_trajectory_and_no_other():
    texts = [[f"{wrong}{END}"] for wrong in WRONG] + [[f"bye{END}"]]
    _, _, episodes = play(Echo(), texts)
    *failed, good = (one.trajectory(0) for one in episodes)
    assert good.parts == {PART: 0.25}
    assert [one.parts for one in failed] == [{}] * len(WRONG)
    words = ["a NoneType instead of an Observation", "the reward nan", "the reward 'much'", "the reward 1000"]
    words += ["None as messages", "'hello' as messages", "{'content': 'hello'}, which"]
    words += ["['user', 'hello'], which is no message", "something to insert that", "counts that"]
    words += ["something to insert that", "counts that", "a count called length, as a number of every batch is"]
    for one, word in zip(failed, words, strict=True):
        assert one.failures[PART].startswith("the environment gave ")
        assert word in one.failures[PART]


def test_an_episode_that_ends_before_a_reward_has_the_one_that_is_set_and_says_so():
    for given, expected in (({}, 0.0), ({"unrewarded": -1.0}, -1.0)):
        _, _, [cut, rewarded] = play(Echo(**given), [["cut"], [f"a{END}", "cut"]])
        one = cut.trajectory(0)
        assert one.parts == {PART: expected}
        assert one.reasons == {PART: "it ended before the environment gave a reward"}
        assert rewarded.trajectory(0).parts == {PART: 0.25}
    _, _, [plain] = play(tools(), [["cut"]])
    assert plain.trajectory(0).parts == {}


def test_tokens_and_room_are_those_of_the_whole_trajectory():
    _, engine, [episode] = play(Echo(), [[f"abc{END}", f"abc{END}"]], max_tokens=6)
    assert engine.asked[1][0].params.max_tokens == 2
    assert episode.finish == "length"
    assert episode.trajectory(0).length == 6
    _, engine, [episode] = play(Echo(), [[f"abc{END}", f"abc{END}"]], longest=18)  # a row of 18 tokens
    assert len(engine.asked) == 1
    assert episode.finish == "length"
    assert len(episode.trajectory(0).tokens) <= 18
    thought = f"<think>so</think>a{END}"
    _, _, [whole] = play(Echo(), [[thought, f"bye{END}"]], encoder=make_encoder(False))
    segments = [len(part.tokens) for part in whole.trajectory(0).segments]
    for longest, finish, count in (
        (sum(segments), "stop", 2),  # tokens of a row that holds both whole, one less, none of the second
        (sum(segments) - 1, "length", 2),
        (segments[0] + 2, "length", 1),
    ):
        _, _, [episode] = play(Echo(), [[thought, f"bye{END}"]], encoder=make_encoder(False), longest=longest)
        one = episode.trajectory(0)
        assert (one.finish_reason, len(one.segments)) == (finish, count)
        assert sum(len(part.tokens) for part in one.segments) <= longest


# -- the engine's part


def test_every_token_of_a_trajectory_is_computed_once_however_many_turns_it_has(make_model):
    encoder = make_encoder()
    policy = Policy(make_model(vocab_size=len(encoder.tokenizer), max_position_embeddings=2048), CPU)
    engine = TorchEngine(policy, encoder.stop_ids | frozenset(range(40, 256)))  # most turns end soon
    computed, step = [], engine._step

    def counted(scheduler):
        found = step(scheduler)
        computed.append(sum(part.count for part in found[1]) if found else 0)
        return found

    engine._step = counted

    class Always(Echo):
        timed: ClassVar[bool] = False

        def step(self, turn):
            return Observation([{"role": "user", "content": "and again, if you please"}])

    player = Player(encoder, Always(max_turns=3))
    opening = player.opening("p", start("what is there to be said " * 8))
    episodes = player.play(engine, [opening], SamplingParams(300, 1.0), 6)
    made = [one.trajectory(0) for one in episodes]
    assert [(one.finish_reason, one.counts["turns"], one.counts["segments"]) for one in made] == [("turns", 3, 1)] * 6
    read = len(opening.ids)
    # But for the last token of each, after which nothing is asked; what trajectories have in common may save some more.
    once = read + sum(len(one.tokens) - read - 1 for one in made)
    assert once - 12 <= sum(computed) <= once


@pytest.fixture
def trajectories():
    """A group of three: with a tool, straight, and in two segments."""
    thought = f"<think>so</think>{PRODUCT}{END}"
    texts = [[PRODUCT + END, f"12{END}"], [f"hm{END}"], [thought, f"no{END}"]]
    player, _, episodes = play(tools(), texts, encoder=make_encoder(False))
    group = [one.trajectory(0) for one in episodes]
    return player, [replace(one, sample=i) for i, one in enumerate(group)]


def in_rows(group, tokens=2000):
    number = {id(one): n for n, one in enumerate(group)}
    return rows_of([group], number, tokens)


def test_rows_hold_every_sampled_token_once_in_order_and_a_trajectory_counts_as_one_sequence(trajectories):
    _, group = trajectories
    for tokens in (2000, 260):
        rows = in_rows(group, tokens)
        assert len(rows.batches) == (1 if tokens == 2000 else 2)
        labels = torch.cat([batch.labels for batch in rows.batches])
        for n, one in enumerate(group):
            sampled = [t for part in one.segments for t, w in zip(part.tokens, part.loss_weights, strict=True) if w]
            pairs = [
                pair for part in one.segments for pair in zip(part.rollout_logprobs, part.loss_weights, strict=True)
            ]
            logs = [logprob for logprob, weight in pairs if weight]
            assert labels[rows.owner == n].tolist() == sampled
            assert rows.stream("rollout_logprobs")[rows.owner == n].tolist() == pytest.approx(logs)
        counted = sum(len(batch.seq_index.unique()) for batch in rows.batches)
        assert counted == 3


@pytest.mark.parametrize("tokens", [2000, 260])
def test_the_end_of_a_trajectory_is_the_last_token_of_its_last_segment(trajectories, tokens):
    """Where the value after it is asked for."""
    _, group = trajectories
    rows = in_rows(group, tokens)
    longer, added = with_ends(rows, torch.tensor([True, False, True]))
    assert longer.owner[added].sort().values.tolist() == [0, 2]
    assert longer.owner[~added].tolist() == rows.owner.tolist()
    sizes = [len(batch.labels) for batch in longer.batches]
    for batch, owner, here in zip(longer.batches, longer.owner.split(sizes), added.split(sizes), strict=True):
        for n, at in zip(owner[here].tolist(), batch.trained_index[here].tolist(), strict=True):
            length = len(group[n].segments[-1].tokens)
            starts = torch.tensor([0, *batch.seq_lens[:-1]]).cumsum(0)
            chain, i = [], next(i for i in range(len(starts)) if starts[i] <= at < starts[i] + batch.seq_lens[i])
            while i >= 0:
                chain = batch.tokens[starts[i] : starts[i] + batch.seq_lens[i]].tolist() + chain
                i = batch.parent[i]
            assert chain == list(group[n].segments[-1].tokens)
            assert batch.positions[at] == length - 1


@pytest.mark.parametrize("reduction", ["seq_mean", "seq_sum", "constant", "token_mean"])
@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_a_trajectory_of_two_segments_is_reduced_and_compared_as_one_answer(trajectories, ratio, reduction):
    """The same as of one segment that holds the same trained tokens, in float64."""
    _, group = trajectories
    settings = PolicyGradientSettings(preset="gspo", ratio=ratio, reduction=reduction, clip_low=0.1, clip_high=0.1)
    objective = PolicyGradient(settings, longest=50)
    [batch] = in_rows(group).batches
    rows = in_rows(group)
    generator = torch.Generator().manual_seed(0)
    count = len(batch.labels)
    new, old = (-torch.rand(count, generator=generator, dtype=torch.float64) for _ in range(2))
    own = torch.tensor([0.7, -0.3, 0.4], dtype=torch.float64)
    batch = replace(batch, weights=batch.weights.double(), streams={"advantages": own[rows.owner], "old_logprobs": old})
    logprobs = new.clone().requires_grad_()
    loss = objective.loss({"logprobs": logprobs, "entropy": torch.zeros(count)}, batch)["policy_loss"]
    loss = loss / objective.normalisers(batch)["policy_loss"]
    loss.backward()

    expected, gradient = 0.0, torch.zeros(count, dtype=torch.float64)
    lengths = [int((rows.owner == n).sum()) for n in range(3)]
    for n in range(3):
        at = [i for i in range(count) if rows.owner[i] == n]
        scales = {"seq_mean": 1 / (3 * lengths[n]), "seq_sum": 1 / 3, "constant": 1 / 150, "token_mean": 1 / count}
        scale = scales[reduction]
        mean = sum(float(new[i] - old[i]) for i in at) / len(at)
        for i in at:
            r = torch.tensor(mean if ratio == "sequence" else float(new[i] - old[i]), dtype=torch.float64).exp().item()
            a = own[n].item()
            bounded = min(max(r, 0.9), 1.1)
            expected -= scale * min(r * a, bounded * a)
            gradient[i] = -scale * r * a if r * a <= bounded * a else 0.0
    assert loss.item() == pytest.approx(expected, abs=1e-9)
    torch.testing.assert_close(logprobs.grad, gradient, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "grpo", "kl_coef": 0.0},
        {"preset": "grpo", "kl_coef": 0.1, "entropy_coef": 0.1},
        {"preset": "gspo"},
        {"preset": "cispo"},
        {"preset": "ppo", "kl_coef": 0.0},
        {"preset": "dapo", "correction": "truncate"},
        {"preset": "gspo", "correction": "mask", "correction_level": "sequence", "correction_cap": 1e9},
        {"preset": "cispo", "correction": "direct"},
    ],
    ids=lambda one: f"{one['preset']}{one.get('kl_coef', '')}{one.get('correction', '')}",
)
@pytest.mark.parametrize("one_update", [True, False])
def test_f08_f14_the_gradient_of_what_a_tool_said_is_exactly_zero_on_every_path(
    make_model, trajectories, settings, one_update
):
    """At the position before it, which would tell its probability; and what stands in its streams changes nothing."""
    player, group = trajectories
    settings = PolicyGradientSettings(**settings)
    policy = Policy(make_model(vocab_size=len(player.encoder.tokenizer), max_position_embeddings=2048), CPU)
    if settings.uses_values:
        policy.value_head = scalar_head(policy.model, 0)
    objective = PolicyGradient(settings, one_update=one_update, longest=50)

    def gradients(group):
        rows = in_rows(group)
        count = len(rows.owner)
        names = ("advantages", "ref_logprobs", "old_values", "returns")
        values = torch.linspace(-1, -0.1, count)
        old = measure(policy, rows.batches, ("logprobs",), 1.0)["logprobs"]
        [batch] = rows.with_streams({**dict.fromkeys(names, values), "old_logprobs": old})
        seen = []
        norm = policy.model.model.norm
        hook = norm.register_forward_hook(lambda _, __, out: seen.append(out))
        policy.zero_grad()
        totals = objective.normalisers(batch)
        outputs = policy(batch, objective.want, objective.linear(batch, totals))
        parts = objective.loss(outputs, batch)
        seen[0].retain_grad()
        sum(parts[name] / totals[name] for name in parts).backward()
        hook.remove()
        [hidden] = seen
        return batch, hidden.grad[0].abs().sum(-1), [p.grad.clone() for p in policy.parameters() if p.grad is not None]

    batch, at, weights = gradients(group)
    others = torch.ones(len(batch.tokens), dtype=torch.bool)
    others[batch.trained_index] = False
    assert (at[others] == 0).all()
    assert (at[batch.trained_index] > 0).any()

    def spoiled(part):
        logs = tuple(x if w else 100.0 for x, w in zip(part.rollout_logprobs, part.loss_weights, strict=True))
        return replace(part, rollout_logprobs=logs)

    again = [replace(spoiled(one), earlier=tuple(map(spoiled, one.earlier))) for one in group]
    for a, b in zip(weights, gradients(again)[2], strict=True):
        assert torch.equal(a, b)


def test_f15_gae_across_tools_and_segments_is_that_of_the_trained_subsequence(trajectories):
    _, group = trajectories
    settings = PolicyGradientSettings(preset="ppo", kl_coef=0.0, advantage_scale="none", gamma=0.9, gae_lambda=0.8)
    for tokens in (2000, 260):
        rows = in_rows(group, tokens)
        values = torch.linspace(-1, 1, len(rows.owner), dtype=torch.float64).sin()
        rewards = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
        given = credit(settings, rewards, torch.zeros(3, dtype=torch.long), rows.owner, values=values)
        for n in range(3):
            mine = values[rows.owner == n]
            alone = torch.zeros(len(mine), dtype=torch.float64)
            alone[-1] = rewards[n]
            expected, _ = gae(alone, mine, torch.zeros(len(mine), dtype=torch.long), gamma=0.9, lam=0.8)
            torch.testing.assert_close(given.advantages[rows.owner == n], expected)
            plain = [0.0] * (len(mine) + 1)
            for t in range(len(mine) - 1, -1, -1):
                after = mine[t + 1].item() if t + 1 < len(mine) else 0.0
                plain[t] = alone[t].item() + 0.9 * after - mine[t].item() + 0.9 * 0.8 * plain[t + 1]
            assert expected.tolist() == pytest.approx(plain[:-1])


def test_a_request_of_a_later_turn_has_a_name_of_its_own():
    _, engine, _ = play(Echo(), [[f"a{END}", f"b{END}", f"bye{END}"]] * 2)
    names = [request.name for requests in engine.asked for request in requests]
    assert len(names) == len(set(names)) == 5
    assert isinstance(engine.asked[1][0], Request)
