"""transformers (and peft) as one of the programs that are asked what an export answers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from strop.common.errors import InputError
from strop.exporting.agreement import TIE, Reference
from strop.model.load import quiet_transformers
from strop.model.tokenizer import tokenizer_in


class Transformers:
    """``model`` in float32, with its ``tokenizer``."""

    name, tie = "transformers", TIE

    def __init__(self, model: Any, tokenizer: Any, wanted: Reference):
        self._model, self._tokenizer, self._wanted = model, tokenizer, wanted

    def prompt(self, text: str) -> list[int]:
        if self._tokenizer.chat_template is None:
            return list(self._tokenizer(text)["input_ids"])
        rendered = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            tokenize=False,
            add_generation_prompt=True,
            **self._wanted.variables,
        )
        return list(self._tokenizer(rendered, add_special_tokens=False)["input_ids"])

    @torch.inference_mode()
    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        from transformers import GenerationConfig

        ids, stop = torch.tensor([list(prompt)]), sorted(self._wanted.stop)
        settings = GenerationConfig(do_sample=False, max_new_tokens=count, eos_token_id=stop or None,
                                    pad_token_id=stop[0] if stop else 0)  # fmt: skip
        self._model.generation_config = GenerationConfig()  # what a call leaves open is filled from it
        out = self._model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        return out[0, len(prompt) :].tolist()

    @torch.inference_mode()
    def gap(self, ids: Sequence[int], ours: int, theirs: int) -> float:
        logits = self._model(input_ids=torch.tensor([list(ids)])).logits[0, -1]
        return abs(float(logits[ours] - logits[theirs]))

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids))


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
