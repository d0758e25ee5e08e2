"""Settings of the conversion from conversations to tokens."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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

    model_config = ConfigDict(extra="forbid")

    chat_template: str | None = Field(
        None, description="Jinja text, or the path of a .jinja file, to use instead of the tokenizer's own template."
    )
    template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Extra variables for the template, e.g. {enable_thinking: false}."
    )
    stop_tokens: list[str] = Field(
        default_factory=list, description="Tokens that end a turn, besides the tokenizer's and the model's own."
    )
    control_strings: Literal["encode_as_text", "reject", "keep"] = Field(
        "encode_as_text", description="What to do where a message's text contains the string of an added token."
    )
    assistant_may_write: list[str] = Field(
        default_factory=list,
        description="Added tokens that an assistant's own text may contain as tokens, e.g. <think>.",
    )
    ordinary_tokens: list[str] = Field(
        default_factory=list, description="Added tokens that control nothing (e.g. <table>) and may stand in any text."
    )
    max_length: int | None = Field(None, gt=0, description="Longest example in tokens; none by default.")
    on_too_long: Literal["error", "drop", "truncate"] = Field(
        "error", description="What to do with a longer one; truncating cuts the end off, stop token included."
    )
    drift: Literal["report", "error"] = Field(
        "report", description="Whether a turn trained after a prompt that inference would not feed stops the run."
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
