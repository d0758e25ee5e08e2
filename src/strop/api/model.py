"""A model that is ready to speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.common.errors import InputError

if TYPE_CHECKING:
    from strop.rollout.talk.loading import LoadedChat

Messages = Sequence[Mapping[str, Any]]
MAX_ROWS = 64
"""Answers generated at once."""


def load(model: str | Path, *, int8: bool = False) -> Model:
    """A folder, run folder, hub id, .gguf file or ``smollm2-135m``; a stopped run too. ``int8``: weights in 8 bits.

    Raises InputError where there is none, or it cannot hold a conversation.
    """
    from strop.rollout.talk.loading import load_chat

    return Model(load_chat(model, int8, max_rows=MAX_ROWS))


class Model:
    """Answers as it is evaluated: by the same engine, with the chat settings that it was trained with."""

    def __init__(self, loaded: LoadedChat):
        self.name, self.engine, self.encoder = loaded.name, loaded.engine, loaded.encoder
        self.tokenizer, self.window, self.system = loaded.tokenizer, loaded.window, loaded.system

    def chat(
        self,
        messages: str | Messages,
        *,
        max_tokens: int = 512,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> str:
        """The next turn's content; ``messages``: the conversation, or the text of its first user turn."""
        given = [{"role": "user", "content": messages}] if isinstance(messages, str) else [dict(m) for m in messages]
        if self.system and not any(one.get("role") == "system" for one in given):
            given = [{"role": "system", "content": self.system}, *given]
        how = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
        [[text]] = self.generate([given], **how)  # type: ignore[arg-type]
        return self.encoder.parse(text, given).message.content or ""

    def generate(
        self,
        prompts: Sequence[str | Messages],
        *,
        samples: int = 1,
        max_tokens: int = 512,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[list[str]]:
        """``samples`` answers to each prompt, as text without the stop token, generated together. A string is gone on
        from as it stands, messages by the model's template. Raises InputError for a prompt that fills the window."""
        from strop.rollout.answers import answer_text
        from strop.rollout.engine import Request, SamplingParams

        if isinstance(prompts, str):
            raise InputError("generate takes a list of prompts; write [prompt].")
        params = SamplingParams(max_tokens, temperature, top_p, seed)
        ids = [self._ids(prompt) for prompt in prompts]
        requests = [Request(one, params, samples, str(number)) for number, one in enumerate(ids)]
        texts = [answer_text(one, self._decode, self.engine.stop_ids) for one in self.engine.generate(requests)]
        return [texts[start : start + samples] for start in range(0, len(texts), samples)]

    def _ids(self, prompt: str | Messages) -> list[int]:
        return (
            self.tokenizer.encode(prompt) if isinstance(prompt, str) else self.encoder.prompt([dict(m) for m in prompt])
        )

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
