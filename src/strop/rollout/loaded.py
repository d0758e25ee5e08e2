"""A model with all that goes with it: tokenizer, encoder, stop tokens, chat settings, adapters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from strop.chat import ChatEncoder, ChatSettings, fit_tokenizer
from strop.chat.saved import chat_of, save_chat
from strop.common.console import working
from strop.common.folders import whole_folder
from strop.model import adapter
from strop.model.base import Base
from strop.model.four_bit import quantization
from strop.model.lora import Adapters, add_lora
from strop.model.merged import plain_weights
from strop.model.names import load_generation_config, load_model, load_tokenizer, save_model, stop_token_ids
from strop.model.new_tokens import fit_embeddings, stop_at
from strop.model.own_head import with_own_head
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.model.settings import LoraSettings
from strop.model.vocabulary import (
    check_tokens,
    matrices_of,
    template_token_ids,
    token_ids,
    untrained_fault,
    untrained_rows,
)


@dataclass
class Loaded:
    """Fitted to the chat template of the settings, so that what is saved serves as it trained.

    ``base``: the model as it was found. ``dtype``: what was asked for, if anything.
    """

    policy: Policy
    tokenizer: Any
    encoder: ChatEncoder
    chat: ChatSettings
    base: Base
    dtype: str | None = None
    adapters: Adapters | None = None
    lora: LoraSettings | None = None

    @property
    def stop_ids(self) -> frozenset[int]:
        return self.encoder.stop_ids

    def save(self, folder: Path, system: str | None = None) -> None:
        """Write ``folder/model``, adapters merged into it, and these alone to ``folder/adapter`` in peft's format.

        The policy is afterwards what it was, also in the middle of a training; with adapters, which are merged for
        good, it is the end. ``system``: the instructions that every conversation of the training began with, where
        there are such.
        """
        with self.policy.plain() as network:
            self._save(network, folder, system)

    def _save(self, network: Any, folder: Path, system: str | None) -> None:
        merged = None
        if self.adapters is not None:
            assert self.lora is not None  # which they were made by
            n_bytes = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
            with whole_folder(folder / "adapter", n_bytes, replace=True) as scratch:
                self.adapters.save(scratch)
                adapter.describe(scratch, self.base, self.tokenizer, self.lora)
                save_chat(scratch, self.chat, system, self.dtype)
            merged = adapter.note_merged(folder / "adapter")
            own = None if self.lora.quantize else self.base.whole(self.policy.compute.dtype)
            network = self.adapters.merge(base=own)

        def beside(scratch: Path) -> None:
            save_chat(scratch, self.chat, system, self.dtype)
            if merged is not None:
                merged(scratch)

        save_model(network, self.tokenizer, folder / "model", beside)

    def save_plain(self, folder: Path) -> None:
        """Write the model as it is now to ``folder``, adapters added to copies of the weights and the head as a matrix
        of its own (`strop.model.own_head`); the policy goes on.

        Raises InputError for adapters that cannot be added.
        """
        state = plain_weights(self.policy.model)
        with self.policy.plain() as network, with_own_head(network, state) as written:
            save_model(network, self.tokenizer, folder, state=written)


def load(
    model: Path,
    chat: ChatSettings,
    compute: Compute,
    *,
    name: str | None = None,
    dtype: str = "auto",
    to_train: bool = False,
    lora: LoraSettings | None = None,
    seed: int = 0,
    scores: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Loaded:
    """The model in the folder ``model``, which the user called ``name``.

    ``to_train``: it is to be trained, all of it or with the adapters of ``lora`` (drawn with ``seed``). ``scores``: as
    a model that scores sequences, with a new score layer where it has none.
    Raises InputError where model, tokenizer and template do not go together.
    """
    tokenizer = load_tokenizer(model)
    chat, notes = chat_of(chat, model, tokenizer)
    known = frozenset(tokenizer.get_vocab().values())
    new = fit_tokenizer(tokenizer, chat.template)
    new_ids = dict(zip(new, tokenizer.convert_tokens_to_ids(new), strict=True))
    encoder = ChatEncoder(tokenizer, chat, stop_token_ids(tokenizer, load_generation_config(model)))
    # Frozen weights are only ever multiplied, so they are held in the format of products; what scores keeps its own.
    packed = quantization(compute.dtype) if lora and lora.quantize else None
    read = partial(load_model, model, scores=scores)
    if lora or not (to_train or scores):
        read = partial(read, dtype=compute.dtype, device=compute.device, quantization=packed)
    with working(f"{name or model}: loading"):
        network = read()
    if new:
        grown = fit_embeddings(network, known, new_ids.values())
        notes.append(
            f"template {chat.template}: {len(new)} tokens are new to the model ({', '.join(new)}); "
            f"they start at the mean of the others, in {len(new) - grown} unused rows and {grown} added ones"
        )
    stop_at(network, encoder.stop_ids)
    rows = network.get_input_embeddings().weight.shape[0]
    base = Base(name or str(model), model, rows, known, new_ids)
    control = {*encoder.stop_ids, *template_token_ids(tokenizer)}
    notes += [note] if (note := check_tokens(tokenizer, rows, control, base.name)) else []
    adapters = None
    if to_train:
        trained = token_ids(tokenizer, lora.train_tokens) if lora else frozenset()
        faults = untrained_rows(matrices_of(network), control - set(new_ids.values()))
        faults = {i: why for i, why in faults.items() if i not in trained}
        notes += [str(fault)] if (fault := untrained_fault(tokenizer, faults, lora is not None)) else []
        adapters = add_lora(network, lora, seed, {*new_ids.values(), *trained}) if lora else None
        notes += [f"lora: {adapters}"] if adapters else []
    for line in notes:
        say(line)
    policy = Policy(network, compute)
    policy.token_name = lambda index: f"{index} {tokenizer.convert_ids_to_tokens(index)!r}"
    return Loaded(policy, tokenizer, encoder, chat, base, None if dtype == "auto" else dtype, adapters, lora)
