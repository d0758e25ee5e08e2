"""LoRA: low-rank adapters beside frozen weights, by peft.

peft puts its layers into the model where the adapted modules were; the model itself stays the same object of the same
class. So whoever uses the model (`Policy`, the engines) needs to know nothing of this file.

Shapes: r rank, O outputs and I inputs of an adapted matrix; V vocabulary, D width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper
from torch import nn
from transformers import PreTrainedModel

from strop.errors import InputError
from strop.model.four_bit import unpack
from strop.model.preflight import head_name, named, refuse_tied, tied_names, too_small
from strop.model.settings import ALL_LINEAR, LoraSettings

ADAPTER = "default"
"""peft's name for a model's only adapter."""


class Adapters:
    """The adapters of one model. ``network`` is the model itself, adapters inside.

    At the start they change nothing. Only they, and the copies in ``modules_to_save``, are trainable: a frozen
    weight gets no gradient, and nothing is differentiated below the first adapter.
    """

    def __init__(self, wrapped: PeftModel):
        self._wrapped = wrapped

    @property
    def network(self) -> PreTrainedModel:
        return self._wrapped.get_base_model()

    @property
    def trained(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)

    def __str__(self) -> str:
        whole = sum(p.numel() for p in self.network.parameters())
        return f"{self.trained:,} parameters are trained beside {whole - self.trained:,} frozen ones"

    def save(self, folder: str | Path) -> None:
        """Write the adapters alone in peft's own format, for ``PeftModel.from_pretrained``."""
        # What is saved beside adapters is what was trained: rows of an embedding are not, even where it has grown.
        self._wrapped.save_pretrained(str(folder), save_embedding_layers=False)

    def merge(self, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
        """Put the adapters into the weights, for good: the plain model, its weights in ``dtype``.

        Every merged matrix is summed in float32 and rounded once, if at all (a small update added to a bfloat16
        weight would mostly vanish).
        """
        unpack(self.network)
        for layer in self.network.modules():
            if isinstance(layer, LoraLayer):
                layer.float()
                layer.merge()
                layer.get_base_layer().to(dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that all is merged already: so it should
            network = self._wrapped.merge_and_unload()
        for parameter in network.parameters():  # not network.to(dtype), which rounds rotary frequencies too
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)
        return network.requires_grad_(False)


def add_lora(model: PreTrainedModel, settings: LoraSettings, seed: int = 0) -> Adapters:
    """Freeze ``model`` and put adapters into it, in the dtype that it is held in.

    The adapters' start depends on ``seed`` alone; the global random state stays as it is.

    Raises:
        InputError: targets that fit no module, or that cannot be merged back exactly.
    """
    targets = ALL_LINEAR if settings.targets == [ALL_LINEAR] else list(settings.targets)
    tied = tied_names(model)
    refuse_tied(settings, tied)
    head = head_name(model)
    if named(head, settings.targets) and (settings.dropout or settings.dora):
        field, value = ("dropout", 0) if settings.dropout else ("dora", "false")
        raise InputError(f"lora.{field}: not possible with the head ({head}) among lora.targets; set it to {value}.")
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        exclude_modules=too_small(model) if targets == ALL_LINEAR else None,
        # Whole names: peft takes "norm" for the end of every name, input_layernorm's too.
        modules_to_save=[n for n, _ in model.named_modules() if named(n, settings.modules_to_save)] or None,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        ensure_weight_tying=any(named(name, settings.modules_to_save) for name in tied),
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft warns of tied weights that merging would part; refused above
        torch.manual_seed(seed)
        try:
            wrapped = get_peft_model(model, config, autocast_adapter_dtype=False)
        except (ValueError, TypeError) as error:
            first = str(error).splitlines()[0].rstrip(".")
            raise InputError(
                f"lora: peft refuses these settings for {type(model).__name__}: {first}; change that setting, or name "
                "other modules in lora.targets."
            ) from error
    if settings.quantize:
        for parameter in model.parameters():
            if parameter.requires_grad:  # peft makes them in float32 beside packed weights
                parameter.data = parameter.data.to(model.dtype)
    model.train(model.training)  # the adapters too: new layers are born in training mode, with their dropout on
    return Adapters(wrapped)


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Inside, ``model`` is the model without its adapters, at no extra memory. Raises ValueError if it has none."""
    layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer | AuxiliaryTrainingWrapper)]
    if not layers:
        raise ValueError("the model has no adapters that could be switched off.")
    trained = [p for p in model.parameters() if p.requires_grad]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        for parameter in trained:  # switching off freezes too
            parameter.requires_grad_(True)
