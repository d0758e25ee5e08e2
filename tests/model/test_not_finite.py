"""NaN and infinity in hidden states, weights and logits come out of every kernel as they come out of torch."""

import math

import pytest
import torch
import torch.nn.functional as F

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.model import accelerate, head
from strop.model.attention_backends import attend_segments
from strop.model.cpu.gated_unit import silu_gate
from strop.model.finite import check_logprobs
from strop.model.logits import LogitsTransform
from strop.model.names import load_model
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.segments import Segments
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine

VALUES = [math.nan, math.inf, -math.inf]
POSITIONS, WIDTH, VOCABULARY, BAD = 12, 16, 53, 7


def agree(got, expected, tolerance):
    """The same numbers, NaN and infinities in the same places."""
    torch.testing.assert_close(got.float(), expected.float(), rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("cap", [0.0, 5.0])
@pytest.mark.parametrize("rows", [POSITIONS, 5, 1])
@pytest.mark.parametrize("place", ["hidden", "row", "entry", "bias"])
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_head(dtype, value, place, rows, cap, known, monkeypatch):
    monkeypatch.setattr(head, "CHUNK_ROWS", rows)
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", rows * VOCABULARY)
    torch.manual_seed(0)
    layer = torch.nn.Linear(WIDTH, VOCABULARY).to(dtype)
    hidden = torch.randn(POSITIONS, WIDTH).to(dtype)
    labels = torch.randint(0, VOCABULARY, (POSITIONS,))
    labels[3] = BAD  # the bad row is a label, and is none
    with torch.no_grad():
        {"hidden": hidden[3], "row": layer.weight[BAD], "entry": layer.weight[BAD, :1], "bias": layer.bias[BAD:][:1]}[
            place
        ][:] = value
    weights, transform = torch.rand(POSITIONS), LogitsTransform(cap=cap)
    results = []
    for ours in (True, False):
        layer.zero_grad()
        states = hidden.clone().requires_grad_()
        if ours:
            gradient = weights if known else None
            logprobs = head.head_statistics(states, labels, layer, transform, ["logprobs"], gradient)["logprobs"]
        else:
            logits = layer(states).float()
            logits = cap * torch.tanh(logits / cap) if cap else logits
            logprobs = logits.log_softmax(-1).gather(1, labels[:, None])[:, 0]
        (logprobs * weights).sum().backward()
        results.append([logprobs.detach(), states.grad, layer.weight.grad, layer.bias.grad])
    for got, expected in zip(*results, strict=True):
        agree(got, expected, 1e-4 if dtype == torch.float32 else 5e-2)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("which", ["q", "k", "v"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention(dtype, which, value):
    """From the bad position on nothing is finite; what cannot see it is what it was."""
    torch.manual_seed(0)
    lengths, bad = (70, 5, 40), 60
    x = {name: torch.randn(2, sum(lengths), 16).to(dtype) for name in "qkv"}
    segments = Segments(lengths, lengths)
    expected = attend_segments(**x, segments=segments, scale=0.25)
    x[which][:, bad, 3] = value
    out = attend_segments(**x, segments=segments, scale=0.25)
    assert torch.equal(out[:, 70:], expected[:, 70:])  # other sequences
    seen = out[:, bad : bad + 1] if which == "q" else out[:, bad:70]
    hurt = seen[..., 3] if which == "v" else seen  # a value is in its own column alone
    if not (which != "v" and value in (math.inf, -math.inf)):
        assert not torch.isfinite(hurt).any()
    else:  # a score of -inf hides a key, one of +inf leaves no probability
        probe = x["q"][:, bad:70].float() @ x["k"][:, bad : bad + 1].float().transpose(1, 2) if which == "k" else None
        if probe is not None:
            assert torch.isfinite(hurt[probe[..., 0] == -math.inf]).all()
            assert not torch.isfinite(hurt[probe[..., 0] == math.inf]).any()
        else:
            assert not torch.isfinite(hurt).any()


@pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
@pytest.mark.parametrize("value", VALUES)
def test_the_gated_unit(value):
    a = torch.tensor([value, 1.0, -3.0, 0.0] * 4).bfloat16().requires_grad_()
    b = torch.linspace(-2, 2, 16).bfloat16().requires_grad_()
    copies = [x.detach().clone().requires_grad_() for x in (a, b)]
    got, expected = silu_gate(a, b), F.silu(copies[0]) * copies[1]
    agree(got, expected, 2e-2)
    got.sum().backward()
    expected.sum().backward()
    finite = torch.isfinite(copies[0].grad.float())
    agree(a.grad[finite], copies[0].grad[finite], 2e-2)
    if math.isnan(value):
        assert torch.equal(torch.isnan(a.grad), torch.isnan(copies[0].grad))


@pytest.mark.parametrize("value", VALUES)
def test_weights_are_named_where_they_are_loaded(tmp_path, tiny_model, value):
    with torch.no_grad():
        tiny_model.model.layers[1].mlp.up_proj.weight[3, 4] = value
        tiny_model.model.embed_tokens.weight[17] = value
    tiny_model.save_pretrained(tmp_path)
    with pytest.raises(InputError) as error:
        load_model(tmp_path)
    assert (
        "the weights hold NaN or infinity: model.embed_tokens.weight in 1 of 97 rows, the first of them 17 (of no "
        "token), and in 1 more tensors" in str(error.value)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_neither_measured_nor_generated_from(tiny_model, dtype):
    """A vocabulary row that goes bad after the model was loaded."""
    policy = Policy(tiny_model.to(dtype), Compute(torch.device("cpu"), dtype))
    policy.token_name = lambda index: f"{index} 'x'"
    batch = make_batch([Example([1, 5, 6, 7], [0.0, 1.0, 1.0, 1.0], "a", (), ())])
    engine = TorchEngine(policy, frozenset({2}))
    with torch.no_grad():
        policy(batch)
        policy.model.lm_head.weight[40] = math.nan
        with pytest.raises(InputError, match=r"not finite \(first: token 5 'x' of sequence 0; 3 of 3\)"):
            policy(batch)
    assert policy(batch)["logprobs"].isnan().all()  # with gradients it is the loop's to say
    for temperature in (0.0, 1.0):
        with pytest.raises(InputError, match="not finite"):
            engine.generate([[1, 5]], SamplingParams(max_tokens=3, temperature=temperature))


def test_a_probability_of_nothing_is_a_number():
    batch = make_batch([Example([1, 5, 6], [0.0, 1.0, 1.0], "a", (), ())])
    check_logprobs(torch.tensor([-math.inf, -1.0]), batch)
    with pytest.raises(InputError, match="token 6 of sequence 0; 1 of 2"):
        check_logprobs(torch.tensor([-1.0, math.nan]), batch)


def test_the_proof_of_packed_rows_names_them(tiny_model):
    with torch.no_grad():
        tiny_model.lm_head.weight[40] = math.nan
    with pytest.raises(InputError, match=r"its log-probabilities are not finite: .* of 97 tokens"):
        Policy(tiny_model, Compute(torch.device("cpu"), torch.float32))
