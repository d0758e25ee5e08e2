"""In which number format a model is held, by what it is loaded for."""

import torch

from strop.chat import ChatSettings
from strop.model.precision import Compute
from strop.model.settings import LoraSettings
from strop.rollout.loaded import load

BF16 = Compute(torch.device("cpu"), torch.bfloat16)


def formats(loaded):
    return {p.dtype for p in loaded.policy.parameters()}


def test_what_is_not_trained_is_held_as_it_is_multiplied(model_folder):
    """Measuring and sampling take the kernels of that format, with half the memory of float32."""
    assert formats(load(model_folder, ChatSettings(), BF16)) == {torch.bfloat16}


def test_what_is_trained_and_what_scores_is_held_in_float32(model_folder):
    assert formats(load(model_folder, ChatSettings(), BF16, to_train=True)) == {torch.float32}
    assert formats(load(model_folder, ChatSettings(), BF16, scores=True)) == {torch.float32}
    adapted = load(model_folder, ChatSettings(), BF16, to_train=True, lora=LoraSettings(r=2))
    frozen = {p.dtype for p in adapted.policy.parameters() if not p.requires_grad}
    assert frozen == {torch.bfloat16}
