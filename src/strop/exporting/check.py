"""Whether an exported model answers as strop's own engine does: greedy answers in float32, token by token."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer
from strop.chat.saved import chat_of
from strop.common.console import working
from strop.common.errors import InputError
from strop.model.generation import read_generation_config
from strop.model.load import load_folder, quiet_transformers
from strop.model.names import stop_token_ids
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.tokenizer import tokenizer_in
from strop.rollout.engine import SamplingParams
from strop.rollout.torch_engine import TorchEngine

PROMPTS = (
    "Hello, who are you?",
    "What is 12 + 30?",
    "Write a Python function that returns the larger of two numbers.",
    "Name three colours, one on each line.",
)
TOKENS = 32
"""Of each answer."""
TIE = 1e-3
"""Two logits that are nearer than this are one to float32: where the answers part there, nothing is wrong."""


@dataclass(frozen=True)
class Agreement:
    """``same`` of ``prompts`` answers are the same, and ``ties`` part where two tokens are as good as equal;
    ``difference``: the first that is neither, in words."""

    prompts: int
    same: int
    ties: int
    difference: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"prompts": self.prompts, "same": self.same, "ties": self.ties, "difference": self.difference}


def agreement(
    source: Path, model: Any, tokenizer: Any, *, rounded: torch.dtype | None = None, matrices_only: bool = False
) -> Agreement:
    """Ask ``model`` (of transformers, float32, with its ``tokenizer``) and strop's engine on the folder ``source`` the
    same questions. ``rounded``: the format that the weights were rounded to on the way (``matrices_only``: not those
    of one dimension), so that strop's are rounded too.

    Raises InputError where the model is none that strop's engine computes.
    """
    network = load_folder(source, torch.float32)
    if rounded is not None:
        with torch.no_grad():
            for weight in network.parameters():
                if weight.dim() > 1 or not matrices_only:
                    weight.copy_(weight.to(rounded))
    own = tokenizer_in(source)
    chat, _ = chat_of(ChatSettings(), source, own)
    fit_tokenizer(own, chat.template)
    stop = stop_token_ids(own, read_generation_config(source))
    encoder = ChatEncoder(own, chat, stop)
    engine = TorchEngine(Policy(network, Compute(torch.device("cpu"), torch.float32)), encoder.stop_ids)
    same = ties = 0
    with working("check: prompts", len(PROMPTS)) as work:
        for text in work.through(PROMPTS):
            wanted, given = _ids(encoder, own, text), _rendered(tokenizer, text, chat.template_kwargs)
            if wanted != given:
                at = _parting(wanted, given)
                shown = (
                    f"strop {own.decode(wanted[at : at + 5])!r}, the export {tokenizer.decode(given[at : at + 5])!r}"
                )
                return Agreement(len(PROMPTS), same, ties, f"{text!r}: the prompt differs at token {at}: {shown}")
            [rollout] = engine.generate([wanted], SamplingParams(max_tokens=TOKENS))
            ours, theirs = list(rollout.tokens), _greedy(model, wanted, sorted(encoder.stop_ids))
            if ours == theirs:
                same += 1
                continue
            at = _parting(ours, theirs)
            gap = _gap(model, [*wanted, *ours[:at]], ours[at : at + 1], theirs[at : at + 1])
            if gap is not None and gap < TIE:
                ties += 1
                continue
            shown = f"strop {own.decode(ours[at : at + 5])!r}, the export {tokenizer.decode(theirs[at : at + 5])!r}"
            far = "" if gap is None else f" (to the export their logits are {gap:.3g} apart)"
            return Agreement(len(PROMPTS), same, ties, f"{text!r}: the answers part at token {at}: {shown}{far}")
    return Agreement(len(PROMPTS), same, ties)


def _parting(one: Sequence[int], other: Sequence[int]) -> int:
    """Where two lists begin to differ."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def loaded(folder: Path) -> tuple[Any, Any]:
    """(model in float32, tokenizer), as anybody loads them. Raises InputError where transformers cannot."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True), tokenizer
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{folder}: transformers does not load what was exported ({first}).") from error


def adapted(folder: Path, base: Path, rows: int | None) -> tuple[Any, Any]:
    """The same of adapters on their ``base``, which is given ``rows`` of its embedding first, as the card says."""
    from peft import PeftModel

    model, _ = loaded(base)
    if rows is not None and rows != model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(rows, mean_resizing=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's, of names in transformers that will change
        return PeftModel.from_pretrained(model, str(folder), autocast_adapter_dtype=False).eval(), tokenizer_in(folder)


def _ids(encoder: ChatEncoder, tokenizer: Any, text: str) -> list[int]:
    if encoder.tokenizer.chat_template is None and encoder.settings.template is None:
        return list(tokenizer(text)["input_ids"])
    return list(encoder.prompt([{"role": "user", "content": text}]))


def _rendered(tokenizer: Any, text: str, variables: dict[str, Any]) -> list[int]:
    """As whoever serves the export makes them."""
    if tokenizer.chat_template is None:
        return list(tokenizer(text)["input_ids"])
    messages = [{"role": "user", "content": text}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **variables)
    return list(tokenizer(rendered, add_special_tokens=False)["input_ids"])


@torch.inference_mode()
def _greedy(model: Any, prompt: Sequence[int], stop: Sequence[int]) -> list[int]:
    from transformers import GenerationConfig

    ids = torch.tensor([list(prompt)])
    settings = GenerationConfig(do_sample=False, max_new_tokens=TOKENS, eos_token_id=list(stop) or None,
                                pad_token_id=stop[0] if stop else 0)  # fmt: skip
    model.generation_config = GenerationConfig()  # what a call leaves open is filled from it
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return out[0, len(prompt) :].tolist()


@torch.inference_mode()
def _gap(model: Any, ids: Sequence[int], ours: Sequence[int], theirs: Sequence[int]) -> float | None:
    """How far the two tokens' logits are apart after ``ids``; None where one of the answers ended."""
    if not ours or not theirs:
        return None
    logits = model(input_ids=torch.tensor([list(ids)])).logits[0, -1]
    return abs(float(logits[ours[0]] - logits[theirs[0]]))
