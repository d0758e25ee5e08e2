"""Chat templates for tokenizers that have none: four published formats by name, and the tokens that each needs.

The control tokens of a format have to be single ids, or text could imitate them and the stop token could not stop
anything. ``markers`` are wanted as single ids too, because parsers of reasoning and tool calls look for their ids, but
they are not "special": decoding an answer must keep them.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from strop.common.errors import InputError

_MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A published chat format.

    ``stop`` is the control token that ends an answer. ``inserted`` are those that whoever runs the model's programs
    puts in: the model never generates them, so they are not trained.
    """

    name: str
    control_tokens: tuple[str, ...]
    stop: str
    markers: tuple[str, ...] = ()
    inserted: tuple[str, ...] = ()

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.control_tokens + self.markers

    @property
    def text(self) -> str:
        """The template in Jinja."""
        return files("strop.chat").joinpath(f"templates/{self.name}.jinja").read_text(encoding="utf-8")

    def ids(self, tokenizer: Any) -> dict[str, int]:
        """The id of every control token and marker. Raises InputError when the tokenizer lacks one of them, or makes it
        of several; `fit_tokenizer` mends that."""
        added = {token.content: index for index, token in tokenizer.added_tokens_decoder.items()}
        missing = [token for token in self.tokens if token not in added]
        if missing:
            raise InputError(
                f"the tokenizer lacks {', '.join(missing)}, which the template {self.name} needs as single tokens; "
                "a recipe's stages add them, or call strop.chat.fit_tokenizer first"
            )
        return {token: added[token] for token in self.tokens}


_LLAMA3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_PAIRS = ("user", "assistant", "python", "output")
_NANOCHAT = ("<|bos|>", *(f"<|{name}_{edge}|>" for name in _PAIRS for edge in ("start", "end")))
_FORMATS = (
    BuiltIn("chatml", ("<|im_start|>", "<|im_end|>"), "<|im_end|>", _MARKERS),
    BuiltIn("llama3", _LLAMA3, "<|eot_id|>"),
    BuiltIn("minimind", ("<|im_start|>", "<|im_end|>"), "<|im_end|>", _MARKERS),
    BuiltIn("nanochat", _NANOCHAT, "<|assistant_end|>", inserted=("<|output_start|>", "<|output_end|>")),
)
BUILT_IN: Mapping[str, BuiltIn] = MappingProxyType({built_in.name: built_in for built_in in _FORMATS})


def template_text(setting: str | None) -> str | None:
    """The Jinja text that ``chat.template`` means: a built-in name, a file, or the text itself. Raises InputError where
    the file cannot be read, or the setting is none of these."""
    if setting is None or "{%" in setting or "{{" in setting:
        return setting
    if setting in BUILT_IN:
        return BUILT_IN[setting].text
    if not setting.endswith((".jinja", ".jinja2")) and not _is_file(setting):
        near = difflib.get_close_matches(setting.lower(), BUILT_IN, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(
            f"chat.template: {setting[:60]!r} is no template{hint}; give {', '.join(BUILT_IN)}, "
            "the path of a .jinja file, or the text of a template"
        )
    try:
        return Path(setting).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read the chat template {setting}: {error.strerror}; correct chat.template") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the chat template {setting} is not UTF-8 text; correct chat.template") from error


def fit_tokenizer(tokenizer: Any, setting: str | None) -> list[str]:
    """Give the tokenizer the template of the settings and, for a built-in one, the tokens that it needs.

    The template becomes the tokenizer's own, so that saving the tokenizer saves what was trained with. Tokens that the
    vocabulary has keep their ids; one that it has as ordinary text becomes an added token. The format's stop token
    becomes the tokenizer's ``eos_token`` only where there is none.

    Args:
        tokenizer: a transformers fast tokenizer; it is changed.
        setting: ``ChatSettings.template``; None changes nothing.

    Returns:
        The tokens that are new to the vocabulary, in the order of their ids: the model needs rows for them.
    """
    text = template_text(setting)
    if text is None:
        return []
    tokenizer.chat_template = text
    built_in = BUILT_IN.get(setting or "")
    if built_in is None:
        return []
    from tokenizers import AddedToken  # only here: the rest of the package gets by with the tokenizer it is given

    known = tokenizer.get_vocab()
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    for names, special in ((built_in.control_tokens, True), (built_in.markers, False)):
        wanted = [AddedToken(name, special=special, normalized=False) for name in names if name not in added]
        tokenizer.add_tokens(wanted, special_tokens=special)
    if tokenizer.eos_token is None:
        tokenizer.eos_token = built_in.stop
    return [name for name in built_in.tokens if name not in known]


def _is_file(name: str) -> bool:
    try:
        return Path(name).expanduser().is_file()
    except (OSError, RuntimeError):  # too long for a name; "~nobody"
        return False
