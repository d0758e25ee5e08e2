"""Settings of how a model is made, and adapted for training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

ALL_LINEAR = "all-linear"


class LoraSettings(BaseModel):
    """Low-rank adapters beside frozen weights (LoRA, Hu et al. 2021, arXiv:2106.09685)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    r: int = Field(16, ge=1, description="Rank of the adapters.")
    alpha: float = Field(32.0, gt=0, description="Adapters are scaled by alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of an adapter's inputs that is dropped in training.")
    targets: list[str] = Field([ALL_LINEAR], description="Modules with adapters: all-linear, or names (q_proj …).")
    modules_to_save: list[str] = Field([], description="Modules that are trained whole, as copies.")
    train_tokens: list[str] = Field(
        [], description="Tokens whose rows of embedding and head are trained, besides those that the template adds."
    )
    rslora: bool = Field(False, description="Scale by alpha / sqrt(r) (arXiv:2312.03732).")
    dora: bool = Field(False, description="Train magnitudes and directions apart (arXiv:2402.09353).")
    quantize: Literal["4bit"] | None = Field(
        None, description="4bit: the frozen weights packed (arXiv:2305.14314); CUDA."
    )

    @field_validator("targets", "modules_to_save", "train_tokens", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> LoraSettings:
        if not self.targets:
            raise ValueError("targets is empty; name modules, or all-linear, or leave lora out.")
        if ALL_LINEAR in self.targets and len(self.targets) > 1:
            raise ValueError("targets is either all-linear or names of modules, not both.")
        if both := set(self.targets) & set(self.modules_to_save):
            raise ValueError(f"{sorted(both)[0]} is in targets and in modules_to_save; choose one.")
        if self.quantize and self.dora:
            raise ValueError("dora is not offered on a 4-bit base; leave one of dora and quantize out.")
        return self


class NewModel(BaseModel):
    """A model without trained weights, to be pretrained."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    new: dict[str, Any] = Field(
        description="A transformers configuration: model_type (llama, qwen3 …) or architectures "
        "(LlamaForSequenceClassification), hidden_size, num_hidden_layers …; the rest is the family's own."
    )
    tokenizer: str | None = Field(
        None,
        description="Its tokenizer: a folder, a tokenizer.json, a model that has it, or characters (bytes and the "
        "tokens of a chat); by default bytes, until a stage of kind tokenizer has trained another.",
    )
    seed: int = Field(0, ge=0, lt=2**64, description="Decides the weights that it starts from.")

    def __str__(self) -> str:
        family = self.new.get("model_type") or self.new["architectures"]
        return f"a new {family if isinstance(family, str) else family[0]}"

    @model_validator(mode="after")
    def _named(self) -> NewModel:
        if not (self.new.get("model_type") or self.new.get("architectures")):
            raise ValueError("new: name the family, such as model_type: llama, or architectures: [LlamaForCausalLM].")
        return self
