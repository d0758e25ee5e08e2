"""The load-balancing loss of a mixture of experts is the family's own."""

import copy

import pytest
import torch
from families import EXACT, assert_same_gradients, build, examples, gradients_of

from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.data.prefixes import make_group_batch
from strop.model.policy import Policy
from strop.model.precision import Compute

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
FAMILIES = ["Qwen3-MoE", "Mixtral", "gpt-oss", "Qwen2-MoE", "OLMoE"]


def own_loss(model, tokens):
    out = model(input_ids=torch.tensor([tokens]), output_router_logits=True, use_cache=False)
    assert len(out.router_logits) == 2
    return out.aux_loss


@pytest.mark.parametrize("family", FAMILIES)
def test_one_sequence_gives_the_familys_own_loss_and_gradients(family):
    model = build(*EXACT[family])
    own = copy.deepcopy(model)
    row = examples()[2]
    got = Policy(model, FLOAT32)(make_batch([row]), ("aux",))
    assert list(got) == ["aux"]
    assert got["aux"].shape == ()
    expected = own_loss(own, row.tokens)
    torch.testing.assert_close(got["aux"], expected, atol=1e-5, rtol=1e-5)
    got["aux"].backward()
    expected.backward()
    assert_same_gradients(gradients_of(model), gradients_of(own))


def by_hand(router_logits, experts, top_k):
    """Switch Transformer, eq. 4-6, over all tokens of all layers, in float64."""
    p = torch.cat([x.double() for x in router_logits]).softmax(-1)
    chosen = torch.zeros_like(p).scatter_(1, p.topk(top_k, -1).indices, 1.0)
    return experts * (chosen.mean(0) * p.mean(0)).sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_of_several_counts_every_token_once(family):
    model = build(*EXACT[family])
    own = copy.deepcopy(model)
    rows = examples()
    out = Policy(model, FLOAT32)(make_batch(rows), ("logprobs", "aux"))
    assert out["logprobs"].shape == (sum(len(r.tokens) - 1 for r in rows),)
    routed = [own(input_ids=torch.tensor([r.tokens]), output_router_logits=True, use_cache=False) for r in rows]
    layers = [torch.cat(parts) for parts in zip(*(r.router_logits for r in routed), strict=True)]
    expected = by_hand(layers, model.num_experts, model.num_experts_per_tok)
    torch.testing.assert_close(out["aux"].double(), expected, atol=1e-5, rtol=1e-5)


def test_a_shared_prefix_counts_once():
    model = build(*EXACT["Qwen3-MoE"])
    own = copy.deepcopy(model)
    row = examples()[2]
    aux = Policy(model, FLOAT32)(make_group_batch([[row, row, row]]), ("aux",))["aux"]
    out = own(input_ids=torch.tensor([row.tokens]), output_router_logits=True, use_cache=False)
    layers = [torch.cat([x, x[-1:], x[-1:]]) for x in out.router_logits]  # the last token is each example's own
    torch.testing.assert_close(aux.double(), by_hand(layers, 4, 2), atol=1e-5, rtol=1e-5)


def test_checkpointed_layers_give_the_same_loss_and_gradients():
    model = build(*EXACT["Qwen3-MoE"])
    policy = Policy(model, FLOAT32).train()
    batch = make_batch(examples())

    def run():
        policy.zero_grad()
        out = policy(batch, ("logprobs", "aux"))
        (out["aux"] + out["logprobs"].mean()).backward()
        return out["aux"], {name: g.clone() for name, g in gradients_of(model).items()}

    aux, gradients = run()
    model.activation_checkpointing_enable({"use_reentrant": False})
    again, gradients_again = run()
    torch.testing.assert_close(again, aux)
    assert_same_gradients(gradients_again, gradients)


def test_a_model_without_routers_is_refused(tiny_model):
    with pytest.raises(InputError, match="LlamaForCausalLM has no load-balancing loss"):
        Policy(tiny_model, FLOAT32)(make_batch(examples()), ("aux",))
