"""Settings of the conversion from conversations to tokens."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Waiver = Literal[
    "text_differs",
    "ids_differ",
    "lost_origin",
    "empty_turn",
    "cut_turn",
    "missing_stop",
    "foreign_trained",
    "trained_fraction",
]


class ChatSettings(BaseModel):
    """How conversations become tokens and loss weights."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    template: str | None = Field(
        None,
        description="Used instead of the tokenizer's own: chatml, llama3, minimind, nanochat, a .jinja file, or its "
        "text.",
    )
    template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Extra variables for the template, e.g. {enable_thinking: false}."
    )
    environment: dict[str, Any] | str | None = Field(
        None, description="What `strop chat` lends the models: inline, tools, or settings as of a stage of kind rl."
    )
    stop_tokens: list[str] = Field(
        default_factory=list, description="Tokens that end a turn, besides the tokenizer's and the model's own."
    )
    train_on: Literal["assistant", "last", "all"] = Field(
        "assistant",
        description="Every assistant turn, the last one, or all text as in pretraining; tool results never.",
    )
    train_reasoning: bool = Field(
        True, description="Whether an assistant's reasoning_content is trained; thinking inside content is content."
    )
    train_tool_calls: bool = Field(True, description="Whether an assistant's tool calls are trained.")
    train_python: bool = Field(True, description="Whether an assistant's python parts are trained.")
    token_weights: dict[str, float] = Field(
        default_factory=dict,
        description="Regular expressions over assistant text, and the factor on the loss of the tokens they match.",
    )
    use_weights: bool = Field(
        True,
        description="Whether the weights of messages and token_weights count; otherwise what is trained weighs 1, and "
        "what a message's weight of 0 leaves out stays out.",
    )
    control_tokens: Literal["text", "keep", "error"] = Field(
        "text", description="What the string of an added token becomes in a message's text: ordinary text, by default."
    )
    assistant_may_write: list[str] = Field(
        default_factory=list,
        description="Added tokens that an assistant's own text may contain as tokens, e.g. <think>.",
    )
    ordinary_tokens: list[str] = Field(
        default_factory=list, description="Added tokens that control nothing (e.g. <table>) and may stand in any text."
    )
    max_length: int | None = Field(None, gt=0, description="Longest example in tokens; none by default.")
    too_long: Literal["error", "drop", "truncate", "split_turns"] = Field(
        "error",
        description="What to do with a longer one. truncate cuts the end off, stop token included; split_turns makes "
        "several of whole exchanges, each after the system prompt.",
    )
    drift: Literal["allow", "split", "error"] = Field(
        "allow",
        description="What to do where inference would feed another prompt than training. split makes one example of "
        "every assistant turn, exactly as it is served.",
    )
    trained_fraction: tuple[float, float] = Field(
        (0.0, 1.0), description="Least and greatest share of trained tokens in an example, both excluded."
    )
    waive: list[Waiver] = Field(
        default_factory=list, description="Checks whose violations are counted instead of stopping the run."
    )
    audit_every: int = Field(
        1000, ge=0, description="Compare the ids of every n-th conversation with the tokenizer's own call; 0: never."
    )

    def unweighted(self) -> "ChatSettings":
        """The same mask with every trained token weighing 1: what a loss is measured with, whatever the recipe weighs.

        ``token_weights`` are left out, factors of 0 among them; a message of weight 0 or ``train: false`` stays out.
        """
        return self.model_copy(update={"token_weights": {}, "use_weights": False})

    @field_validator("token_weights")
    @classmethod
    def _patterns(cls, patterns: dict[str, float]) -> dict[str, float]:
        for pattern, factor in patterns.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
            if not (factor == 0 or 1e-6 <= factor <= 1e6):  # weights are float32 in a batch, and these multiply
                raise ValueError(f"the weight of {pattern!r} is {factor}; it must be 0, or from 1e-06 to 1e+06")
        return patterns

    @model_validator(mode="after")
    def _no_prompts_in_plain_text(self) -> "ChatSettings":
        if self.train_on == "all" and self.drift == "split":
            raise ValueError(
                "drift: split makes one example of every assistant turn, and train_on: all would train the rest of the "
                "text in each of them; use train_on: assistant, or drift: allow"
            )
        return self
