"""LoRA: low-rank adapters beside frozen weights, by peft.

peft puts its layers into the model where the adapted modules were; the model itself stays the same object of the same
class. So whoever uses the model (`Policy`, the engines) needs to know nothing of this file.

Shapes: r rank, O outputs and I inputs of an adapted matrix; V vocabulary, D width.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.trainable_tokens import TrainableTokensLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper
from torch import nn
from transformers import PreTrainedModel

from strop.common.errors import InputError
from strop.model.four_bit import unpack
from strop.model.preflight import embedding_name, head_name, named, refuse_tied, tied_names, too_small
from strop.model.settings import ALL_LINEAR, LoraSettings


class Adapters:
    """The adapters of one model. ``network`` is the model itself, adapters inside.

    At the start they change nothing. Only they, the copies in ``modules_to_save`` and the rows of single tokens are
    trainable: a frozen weight gets no gradient, and nothing is differentiated below the first adapter.
    """

    def __init__(self, wrapped: PeftModel, tokens: int = 0):
        self._wrapped = wrapped
        self._tokens = tokens

    @property
    def network(self) -> PreTrainedModel:
        return self._wrapped.get_base_model()

    @property
    def trained(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)

    def __str__(self) -> str:
        whole = sum(p.numel() for p in self.network.parameters())
        rows = f" (among them the rows of {self._tokens} tokens)" if self._tokens else ""
        return f"{self.trained:,} parameters are trained{rows} beside {whole - self.trained:,} frozen ones"

    def save(self, folder: str | Path) -> None:
        """Write the adapters alone in peft's own format, for ``PeftModel.from_pretrained``."""
        # What is saved beside adapters is what was trained: of an embedding that has grown, the trained rows.
        self._wrapped.save_pretrained(str(folder), save_embedding_layers=False)

    def merge(self, base: PreTrainedModel | None = None) -> PreTrainedModel:
        """Put the adapters into the weights, for good: the plain model in float32.

        A small update added to a bfloat16 weight would mostly vanish. ``base``: the same model before the adapters,
        where its own weights hold more digits than those that were frozen beside them; it gives them up.
        """
        if base is not None:
            _put_back(self.network, base)
        unpack(self.network)
        for layer in self.network.modules():
            if isinstance(layer, LoraLayer | TrainableTokensLayer):
                layer.float()
            if isinstance(layer, LoraLayer):
                layer.merge()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that all is merged already: so it should
            network = self._wrapped.merge_and_unload()
        for parameter in network.parameters():  # not the buffers: rotary frequencies are float32 as they are
            if parameter.is_floating_point():
                parameter.data = parameter.data.float()
        return network.requires_grad_(False)


def _put_back(network: PreTrainedModel, base: PreTrainedModel) -> None:
    """Give the frozen parameters of ``network`` the values and the format of ``base``'s, and its place."""
    own = dict(base.named_parameters(remove_duplicate=False))
    network.to(base.device)
    for name, parameter in network.named_parameters():
        plain = re.sub(r"\.(base_layer|original_module|token_adapter)(?=\.)", "", name)
        if not parameter.requires_grad and plain in own:
            parameter.data = own[plain].data


def add_lora(
    model: PreTrainedModel, settings: LoraSettings, seed: int = 0, token_ids: Collection[int] = ()
) -> Adapters:
    """Freeze ``model`` and put adapters into it, in the dtype that it is held in.

    The adapters' start depends on ``seed`` alone; the global random state stays as it is. ``token_ids``: tokens whose
    rows of the embedding and of the head are trained as they are (low-rank adapters cannot tell rows apart that are
    the same); of matrices that are adapted or trained whole they are learnt anyway.

    Raises InputError for targets that fit no module, or that cannot be merged back exactly.
    """
    targets = ALL_LINEAR if settings.targets == [ALL_LINEAR] else list(settings.targets)
    tied = tied_names(model)
    refuse_tied(settings, tied)
    head = head_name(model)
    if named(head, settings.targets) and (settings.dropout or settings.dora):
        field, value = ("dropout", 0) if settings.dropout else ("dora", "false")
        raise InputError(f"lora.{field}: not possible with the head ({head}) among lora.targets; set it to {value}.")
    rows, whole = _token_rows(model, settings, sorted(set(token_ids)), tied)
    saved = [n for n, _ in model.named_modules() if named(n, settings.modules_to_save) or n in whole]
    config = LoraConfig(
        task_type="SEQ_CLS" if model.get_output_embeddings() is None else "CAUSAL_LM",  # peft trains `score` whole then
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        exclude_modules=too_small(model) if targets == ALL_LINEAR else None,
        # Whole names: peft takes "norm" for the end of every name, input_layernorm's too.
        modules_to_save=saved or None,
        trainable_token_indices=rows or None,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        ensure_weight_tying=any(name in saved for name in tied),
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
    return Adapters(wrapped, len(set(token_ids)))


def _token_rows(
    model: PreTrainedModel, settings: LoraSettings, ids: list[int], tied: tuple[str, ...]
) -> tuple[dict[str, list[int]], list[str]]:
    """Where the rows of tokens are trained: the ids by module, and the modules that are trained whole for it.

    Tied matrices are one: peft trains the rows of the first. Its rows know no bias, so a head with one is copied.
    """
    if not ids:
        return {}, []
    head = head_name(model)
    biased = getattr(model.get_output_embeddings(), "bias", None) is not None
    if tied:
        if any(named(name, settings.modules_to_save) for name in tied):
            return {}, []
        return ({}, list(tied)) if biased else ({embedding_name(model): ids}, [])
    learnt = [*settings.targets, *settings.modules_to_save]
    places = [name for name in (embedding_name(model), head) if not named(name, learnt)]
    whole = [head] if biased and head in places else []
    return {name: ids for name in places if name not in whole}, whole


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
