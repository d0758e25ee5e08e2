"""LoRA: what is trained, what is frozen, what comes out when it is merged."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.data.source import PackedSource
from strop.model.four_bit import quantization
from strop.model.head_weight import head_weight
from strop.model.lora import adapters_off, add_lora
from strop.model.names import load_model
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.settings import LoraSettings
from strop.objectives.sft import CrossEntropy
from strop.train.checkpoint import checkpoints
from strop.train.loop import train
from strop.train.settings import TrainSettings
from strop.train.weights import Weights

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
BFLOAT16 = Compute(torch.device("cpu"), torch.bfloat16)
TOKENS = torch.arange(3, 20)[None]
KINDS = {
    "plain": {},
    "one target": {"targets": "q_proj", "r": 3},
    "rslora": {"rslora": True, "r": 4},
    "dora": {"dora": True},
    "embedding trained whole": {"modules_to_save": "embed_tokens"},
    "dropout": {"dropout": 0.5},
}


def trainable(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def move(model, scale=0.05):
    """Put the adapters where training might."""
    generator = torch.Generator().manual_seed(1)
    for parameter in trainable(model).values():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


def rows(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [
        Example(torch.randint(3, 97, (n,), generator=generator).tolist(), [0.0] * 2 + [1.0] * (n - 2), f"{i}", (), ())
        for i, n in enumerate(lengths)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_change_nothing_at_first_and_merge_into_what_they_are(kind, make_model):
    model = make_model()
    before = model(TOKENS).logits
    adapters = add_lora(model, LoraSettings(**KINDS[kind]))
    torch.testing.assert_close(model(TOKENS).logits, before, atol=1e-5, rtol=0)
    move(model)
    adapted = model(TOKENS).logits
    assert (adapted - before).abs().max() > 0.1
    with adapters_off(model):
        assert torch.equal(model(TOKENS).logits, before)
    assert torch.equal(model(TOKENS).logits, adapted)
    merged = adapters.merge()
    assert type(merged) is type(make_model())
    assert merged.state_dict().keys() == make_model().state_dict().keys()
    torch.testing.assert_close(merged(TOKENS).logits, adapted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rslora", [False, True])
def test_gradients_follow_from_those_of_the_whole_matrix(rslora, make_model):
    """With W + s B A in its place: dA = s Bᵀ dW and dB = s dW Aᵀ, in float64 (Hu et al. 2021, section 4.1)."""
    model = make_model().double()
    add_lora(model, LoraSettings(r=4, alpha=6, rslora=rslora))
    move(model)
    model(TOKENS, labels=TOKENS).loss.backward()
    scale = 6 / 4 ** (0.5 if rslora else 1)
    dense = make_model().double()
    layers = {name: (m.lora_A["default"].weight, m.lora_B["default"].weight) for name, m in adapted_layers(model)}
    for name, (a, b) in layers.items():
        dense.get_submodule(name).weight.data += scale * (b @ a).detach()
    dense(TOKENS, labels=TOKENS).loss.backward()
    assert len(layers) == 14
    for name, (a, b) in layers.items():
        whole = dense.get_submodule(name).weight.grad
        torch.testing.assert_close(a.grad, scale * b.T @ whole, atol=1e-7, rtol=1e-5)
        torch.testing.assert_close(b.grad, scale * whole @ a.T, atol=1e-7, rtol=1e-5)


def adapted_layers(model):
    return [(name, m) for name, m in model.named_modules() if hasattr(m, "lora_A")]


def test_an_untied_head_may_be_adapted_and_its_effective_matrix_is_known(make_model):
    model = make_model(tie_word_embeddings=False)
    assert head_weight(model.get_output_embeddings()) is model.lm_head.weight
    adapters = add_lora(model, LoraSettings(targets=["lm_head", "q_proj"], r=3, rslora=True))
    move(model)
    hidden = torch.randn(5, 32)
    head = model.get_output_embeddings()
    weight = head_weight(head)
    torch.testing.assert_close(hidden @ weight.T, head(hidden), atol=1e-5, rtol=1e-5)
    (hidden @ weight.T).sum().backward()
    assert all(p.grad is not None for name, p in trainable(model).items() if "lm_head" in name)
    with adapters_off(model):
        assert head_weight(model.get_output_embeddings()) is head.base_layer.weight
    adapted = model(TOKENS).logits
    torch.testing.assert_close(adapters.merge()(TOKENS).logits, adapted, atol=1e-4, rtol=1e-4)


def test_a_head_trained_whole_gives_its_copy(make_model):
    model = make_model()
    add_lora(model, LoraSettings(modules_to_save=["lm_head"]))
    move(model)
    head = model.get_output_embeddings()
    hidden = torch.randn(5, 32)
    assert torch.equal(head(hidden), torch.nn.functional.linear(hidden, head_weight(head)))
    assert head_weight(head).requires_grad


def test_log_probabilities_with_an_adapted_head_are_the_models_own(make_model):
    model = make_model(tie_word_embeddings=False)
    add_lora(model, LoraSettings(targets=["lm_head"], r=3))
    policy = Policy(model, FLOAT32)
    move(model)
    (row,) = rows(12)
    got = policy(make_batch([row]))["logprobs"]
    own = make_model(tie_word_embeddings=False)
    own.load_state_dict({k.replace(".base_layer", ""): v for k, v in model.state_dict().items() if "lora_" not in k})
    own.lm_head.weight.data = head_weight(model.lm_head).detach()
    logprobs = own(torch.tensor([row.tokens])).logits[0].log_softmax(-1)
    expected = torch.stack([logprobs[i - 1, row.tokens[i]] for i in range(2, 12)])
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    got.sum().backward()
    assert model.lm_head.lora_B["default"].weight.grad.abs().max() > 0


def test_a_tied_head_is_refused_by_name(make_model):
    with pytest.raises(InputError, match=r"lm_head shares its matrix with model\.embed_tokens"):
        add_lora(make_model(), LoraSettings(targets=["lm_head"]))


def test_dropout_on_the_head_is_refused(make_model):
    with pytest.raises(InputError, match=r"lora\.dropout"):
        add_lora(make_model(tie_word_embeddings=False), LoraSettings(targets=["lm_head"], dropout=0.1))


def test_the_start_depends_on_the_seed_alone(make_model):
    drawn = []
    for global_seed, seed in ((0, 5), (1, 5), (0, 6)):
        model = make_model()
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        add_lora(model, LoraSettings(), seed)
        assert torch.equal(torch.get_rng_state(), state)
        drawn.append(torch.cat([p.flatten() for p in trainable(model).values()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_frozen_part_computes_no_weight_gradient(make_model):
    model = make_model()
    policy = Policy(model, FLOAT32)
    batch = make_batch(rows(9, 7))
    add_lora(model, LoraSettings(targets=["layers.1.mlp.down_proj"]))
    seen = []
    first = model.model.layers[0].register_full_backward_hook(lambda *_: seen.append("below"))
    hook = (
        model.model.layers[1]
        .mlp.down_proj.lora_B["default"]
        .register_full_backward_hook(lambda *_: seen.append("adapter"))
    )
    policy(batch)["logprobs"].sum().backward()
    assert seen == ["adapter"]
    first.remove()
    hook.remove()
    frozen = [p for p in model.parameters() if not p.requires_grad]
    assert len(frozen) == 2 * 9 + 2
    assert all(p.grad is None for p in frozen)
    assert all(p.grad is not None for p in trainable(model).values())


def test_nothing_is_differentiated_below_the_first_adapter(make_model):
    model = make_model()
    add_lora(model, LoraSettings(targets=["layers.1.self_attn.q_proj"]))
    hidden = {}
    for i, layer in enumerate(model.model.layers):
        layer.register_forward_hook(lambda _, __, out, i=i: hidden.update({i: out}))
    model(TOKENS)
    assert not hidden[0].requires_grad
    assert hidden[1].requires_grad


def test_the_reference_is_the_model_that_training_began_with(make_model):
    batch = make_batch(rows(9, 4, 17))
    expected = Policy(make_model(), FLOAT32)(batch)["logprobs"]
    model = make_model()
    adapters = add_lora(model, LoraSettings(modules_to_save=["lm_head"], dropout=0.3))
    policy = Policy(adapters.network, FLOAT32)
    move(model)
    names = set(trainable(model))
    policy.train()
    with torch.no_grad(), policy.reference():
        assert torch.equal(policy(batch)["logprobs"], expected)
    assert set(trainable(model)) == names
    policy.eval()
    assert (policy(batch)["logprobs"] - expected).abs().max() > 0.01


def test_a_full_run_has_no_reference_inside(tiny_model):
    with pytest.raises(ValueError, match="no adapters"), Policy(tiny_model, FLOAT32).reference():
        pass


def test_adapters_are_saved_in_pefts_format(tmp_path, make_model):
    model = make_model()
    adapters = add_lora(model, LoraSettings(dora=True, modules_to_save=["embed_tokens"]))
    move(model)
    adapters.save(tmp_path)
    again = PeftModel.from_pretrained(make_model(), tmp_path)
    assert torch.equal(again(TOKENS).logits, model(TOKENS).logits)


def test_a_bfloat16_base_is_merged_in_float32(tmp_path, make_model):
    """An update of a thousandth of the weights would vanish in bfloat16; in float32 it stays, and rotary stays."""
    model = make_model().to(torch.bfloat16)
    model.model.rotary_emb.inv_freq = make_model().model.rotary_emb.inv_freq
    before = {name: w.float() for name, w in model.state_dict().items()}
    adapters = add_lora(model, LoraSettings())
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    move(model, 1e-3)
    layer = model.model.layers[0].mlp.up_proj
    delta = 2 * layer.lora_B["default"].weight.float() @ layer.lora_A["default"].weight.float()
    merged = adapters.merge()
    assert {p.dtype for p in merged.parameters()} == {torch.float32}
    weight = merged.model.layers[0].mlp.up_proj.weight
    torch.testing.assert_close(weight, before["model.layers.0.mlp.up_proj.weight"] + delta, atol=1e-8, rtol=0)
    assert torch.equal(merged.model.embed_tokens.weight, before["model.embed_tokens.weight"])
    merged.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(again(TOKENS).logits, merged(TOKENS).logits)


def test_a_base_in_four_bits_is_merged_into_its_unpacked_values(tmp_path, make_model, monkeypatch):
    """On a CPU, which bitsandbytes can compute on slowly; CUDA goes the same way."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    # It would pack weights anew in another layout of its own, in which they can no longer be unpacked.
    monkeypatch.setattr(
        bitsandbytes.nn.Linear4bit,
        "support_avx512bf16_for_cpu",
        property(lambda _: False, lambda *_: None),
        raising=False,
    )
    make_model(hidden_size=64, intermediate_size=128).save_pretrained(tmp_path / "base")
    model = load_model(tmp_path / "base", torch.float32, "cpu", quantization(torch.float32))
    adapters = add_lora(model, LoraSettings(quantize="4bit", targets=["q_proj", "up_proj"]))
    move(model)
    adapted = model(TOKENS).logits
    adapted.sum().backward()
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    merged = adapters.merge()
    torch.testing.assert_close(merged(TOKENS).logits, adapted, atol=1e-3, rtol=1e-3)
    merged.save_pretrained(tmp_path / "merged")
    assert "quantization_config" not in (tmp_path / "merged/config.json").read_text()
    again = load_model(tmp_path / "merged")
    assert torch.equal(again(TOKENS).logits, merged(TOKENS).logits)


# A constant rate: a run that is cut short by max_steps then takes the same steps as the whole one.
SETTINGS = TrainSettings(
    epochs=2,
    global_batch_size=4,
    micro_batch_tokens=40,
    learning_rate=0.01,
    warmup_ratio=0.0,
    min_lr_ratio=1.0,
    checkpoint_every=1,
)


def run(make_model, folder, steps=None, compute=FLOAT32):
    model = make_model().to(compute.dtype)
    policy = Policy(add_lora(model, LoraSettings(r=4, dropout=0.2), seed=3).network, compute)
    source = PackedSource(rows(9, 12, 7, 15, 20, 8, 11, 13), global_batch_size=4, micro_batch_tokens=40, epochs=2)
    weights = Weights(policy, SETTINGS)
    train(weights, source, CrossEntropy("token_mean"), SETTINGS.model_copy(update={"max_steps": steps}), folder)
    with weights.whole():
        return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_training_moves_adapters_only_and_goes_on_bit_for_bit(tmp_path, make_model):
    whole = run(make_model, tmp_path / "whole")
    run(make_model, tmp_path / "cut", steps=2)
    resumed = run(make_model, tmp_path / "cut")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    start = make_model().state_dict()
    for name, value in whole.items():
        if "lora_" in name:
            assert value.abs().max() > 0
        else:
            assert torch.equal(value, start[name.replace(".base_layer", "")])
    saved = load_file(checkpoints(tmp_path / "whole" / "checkpoints")[-1] / "model.safetensors")
    assert len(saved) == 28
    assert all("lora_" in name for name in saved)


def test_adapters_of_a_bfloat16_base_have_float32_masters(tmp_path, make_model):
    whole = run(make_model, tmp_path / "whole", compute=BFLOAT16)
    run(make_model, tmp_path / "cut", steps=2, compute=BFLOAT16)
    resumed = run(make_model, tmp_path / "cut", compute=BFLOAT16)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert {value.dtype for name, value in whole.items() if "lora_" not in name} == {torch.bfloat16}
    saved = load_file(checkpoints(tmp_path / "whole" / "checkpoints")[-1] / "model.safetensors")
    for name, value in saved.items():
        master = whole[name.removeprefix("model.")]
        assert master.dtype == torch.float32
        assert not torch.equal(master, master.bfloat16().float())
        torch.testing.assert_close(value.float(), master, rtol=2**-8, atol=0)  # the other half is the optimiser's


def test_a_checkpoint_of_other_adapters_is_refused(tmp_path, make_model):
    run(make_model, tmp_path, steps=1)
    model = make_model()
    policy = Policy(add_lora(model, LoraSettings(targets=["q_proj"], r=4)).network, FLOAT32)
    source = PackedSource(rows(9, 12, 7, 15), global_batch_size=4, micro_batch_tokens=40)
    with pytest.raises(InputError, match="what this run trains"):
        train(Weights(policy, SETTINGS), source, CrossEntropy("token_mean"), SETTINGS, tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"targets": []}, "targets is empty"),
        ({"targets": ["all-linear", "q_proj"]}, "not both"),
        ({"targets": ["lm_head"], "modules_to_save": ["lm_head"]}, "choose one"),
        ({"quantize": "4bit", "dora": True}, "4-bit"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LoraSettings(**settings)
