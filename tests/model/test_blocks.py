"""Compiled blocks and recomputed activations: the same numbers, and no compilation for every new length."""

import gc

import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor import config as inductor_config
from transformers import GPT2Config, GPT2LMHeadModel

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.model import accelerate, blocks
from strop.model.blocks import compiled_blocks, decoder_blocks, recompute_activations, worth_compiling
from strop.model.lora import add_lora
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.settings import LoraSettings

FLOAT32 = Compute(torch.device("cpu"), torch.float32)


def batch(*lengths):
    generator = torch.Generator().manual_seed(sum(lengths))
    drawn = [torch.randint(3, 97, (n,), generator=generator).tolist() for n in lengths]
    return make_batch([Example(tokens, [0.0] + [1.0] * (len(tokens) - 1), "", (), ()) for tokens in drawn])


BATCHES = [batch(9, 5), batch(20), batch(7, 7, 7), batch(31, 2), batch(11, 12, 13)]


def outcome(policy, rows):
    """Log-probabilities and all gradients, flat."""
    policy.zero_grad()
    logprobs = policy(rows)["logprobs"]
    logprobs.sum().backward()
    return logprobs.detach(), torch.cat([p.grad.flatten() for p in policy.parameters() if p.requires_grad])


def close(got, expected):
    torch.testing.assert_close(got[0], expected[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got[1], expected[1], atol=1e-4 * expected[1].abs().max().item(), rtol=1e-4)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("lora", [False, True])
def test_recomputed_activations_give_the_same_gradients_bit_for_bit(every, lora, make_model):
    model = make_model(num_hidden_layers=3)
    if lora:
        add_lora(model, LoraSettings())
    policy = Policy(model, FLOAT32).train()
    plain = [outcome(policy, rows) for rows in BATCHES]
    calls = []
    for block in decoder_blocks(model):
        block.mlp.gate_proj.register_forward_hook(lambda *_, b=block: calls.append(b))
    recompute_activations(model, every)
    for rows, expected in zip(BATCHES, plain, strict=True):
        got = outcome(policy, rows)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    again = {b: calls.count(b) for b in decoder_blocks(model)}
    assert list(again.values()) == [len(BATCHES) * (2 if i % every == 0 else 1) for i in range(3)]


@pytest.mark.parametrize("checkpointed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_five_lengths_share_their_graphs(checkpointed, make_model):
    """Traced and differentiated by the compiler, its code generation left out: that takes most of its time."""
    model = make_model(num_hidden_layers=6)
    policy = Policy(model, FLOAT32).train()
    expected = [outcome(policy, rows) for rows in BATCHES]
    if checkpointed:
        recompute_activations(model, 2)
    torch._dynamo.reset()
    counters.clear()
    with compiled_blocks(model, backend="aot_eager"):
        close(outcome(policy, BATCHES[0]), expected[0])
        first = counters["stats"]["unique_graphs"]
        assert 2 <= first <= 2 * 2  # two to the first block, and two that the others share
        for rows, values in zip(BATCHES[1:], expected[1:], strict=True):
            close(outcome(policy, rows), values)
        assert counters["stats"]["unique_graphs"] == first
    assert outcome(policy, BATCHES[1])[0].equal(expected[1][0])
    assert counters["stats"]["unique_graphs"] == first  # and it is over


@pytest.mark.slow
def test_kernels_called_by_address_are_not_traced(make_model):
    """Where the processor has kernels for norms and gated units a compiler would trace past them."""
    model = make_model(initializer_range=0.05).to(torch.bfloat16)
    policy = Policy(model, Compute(torch.device("cpu"), torch.bfloat16)).train()
    expected = [outcome(policy, rows) for rows in BATCHES]
    forwards = [m.forward for m in model.modules()]
    torch._dynamo.reset()
    counters.clear()
    with compiled_blocks(model, backend="aot_eager"):
        for rows, (logprobs, gradients) in zip(BATCHES, expected, strict=True):
            got = outcome(policy, rows)
            torch.testing.assert_close(got[0], logprobs, atol=0.02, rtol=0)
            distance = (got[1] - gradients).float().norm() / gradients.float().norm()
            assert distance < 0.03
    assert counters["stats"]["unique_graphs"] <= 4
    assert [m.forward for m in model.modules()] == forwards


@pytest.mark.slow
def test_generated_code_gives_the_same_numbers(make_model):
    model = make_model()
    add_lora(model, LoraSettings())
    policy = Policy(model, FLOAT32).train()
    expected = [outcome(policy, rows) for rows in BATCHES]
    torch._dynamo.reset()
    with compiled_blocks(model):
        for rows, (logprobs, gradients) in zip(BATCHES, expected, strict=True):
            got = outcome(policy, rows)
            assert torch.allclose(got[0], logprobs, rtol=1e-4, atol=1e-4)
            assert torch.allclose(got[1], gradients, rtol=1e-4, atol=1e-4 * gradients.abs().max().item())


def test_the_parameters_keep_their_names(make_model):
    model = make_model()
    names = list(model.state_dict())
    with compiled_blocks(model, backend="eager"):
        assert list(model.state_dict()) == names


def test_another_family(make_model):
    model = GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=32, n_layer=3, n_head=4, attn_pdrop=0.0)).eval()
    assert len(decoder_blocks(model)) == 3


def test_a_model_without_blocks_is_refused(make_model):
    model = make_model(num_hidden_layers=0)
    with pytest.raises(InputError, match=r"train\.compile"), compiled_blocks(model):
        pass


def test_auto_compiles_on_cuda_alone_and_where_that_works(monkeypatch):
    cpu, cuda, said = torch.device("cpu"), torch.device("cuda"), []
    monkeypatch.setattr(blocks, "compiler_fault", lambda device: "")
    assert [worth_compiling("auto", d, said.append) for d in (cpu, cuda)] == [False, True]
    assert [worth_compiling(v, cpu) for v in (True, False)] == [True, False]
    assert not said
    monkeypatch.setattr(blocks, "compiler_fault", lambda device: "no C compiler")
    assert not worth_compiling("auto", cuda, said.append)
    assert worth_compiling(True, cuda)  # who insists is told by the compiler itself
    assert said == [
        "blocks are not compiled, which makes training slower: torch.compile does not work here (no C compiler)."
    ]


def test_a_machine_without_a_compiler_is_noticed():
    torch._dynamo.reset()
    with inductor_config.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}):
        assert "no-such-compiler" in blocks.compiler_fault.__wrapped__(torch.device("cpu"))


@pytest.mark.skipif(not accelerate.available(), reason="no kernels on this machine")
@pytest.mark.parametrize("every", [1, 2])
def test_recomputed_blocks_keep_nothing_that_is_as_wide_as_their_inside(every, make_model):
    """Neither does what makes a gated unit's product again: it keeps gate and up where its block is not recomputed."""
    model = make_model(num_hidden_layers=2, intermediate_size=96).bfloat16().train()
    accelerate.install(model, Compute(torch.device("cpu"), torch.bfloat16))
    recompute_activations(model, every)
    loss = model(input_ids=torch.arange(40)[None] % 97, use_cache=False).logits.float().square().mean()
    gc.collect()
    tensors = [o for o in gc.get_objects() if type(o) is torch.Tensor and o.dtype == torch.bfloat16]
    alive = sum(x.shape == (1, 40, 96) for x in tensors)
    assert loss.requires_grad
    assert alive == (0 if every == 1 else 2)  # gate and up of the block that is not recomputed
