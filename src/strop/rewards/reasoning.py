"""What a model thought before it answered is not its answer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from .fences import place_blocks
from .syntax import syntax_error

# Opening and closing marks, as DeepSeek and Qwen, Claude-like prompts, Seed, Mistral, Kimi and Cohere write them.
_CLOSES = {f"<{tag}>": f"</{tag}>" for tag in ("think", "thinking", "thought", "reasoning", "scratchpad", "seed:think")}
_CLOSES |= {"[think]": "[/think]", "◁think▷": "◁/think▷", "<|start_thinking|>": "<|end_thinking|>"}
_TAG = re.compile("|".join(map(re.escape, (*_CLOSES, *_CLOSES.values()))), re.IGNORECASE)
# Harmony's channels.
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<]*<\|message\|>")
_CHANNEL = re.compile(r"<\|channel\|>\s*(?:analysis|commentary)\b")
_CHANNEL_BEGINS = re.compile(r"<\|channel\|>\s*(analysis|commentary|final)\b")
_MESSAGE_END = re.compile(r"<\|(?:end|return|call|start)\|>")


def without_reasoning(answer: str) -> str:
    """The answer without what stands between ``<think>`` and ``</think>`` or the like.

    A closing tag without an opening one ends reasoning that the prompt began; an opening one without a closing one
    begins reasoning that was cut off. An opening tag counts at the beginning of a line, a closing one anywhere but in
    quotes and backticks, and neither in a block that is valid Python: there it is text of a program. Of Harmony's
    channels the final one is the answer.
    """
    answer = _final_channel(answer)
    if not _TAG.search(answer):
        return answer
    programs = [
        (start, end)
        for start, end, block in place_blocks(answer)
        if _TAG.search(block.code) and (block.python or not block.language) and syntax_error(block.code) is None
    ]
    if not programs and syntax_error(answer.strip("\n")) is None:
        return answer
    kept, since, expected = [], 0, None
    for tag in _TAG.finditer(answer):
        at, name = tag.start(), tag[0].lower()
        in_program = any(start <= at < end for start, end in programs)
        if name in _CLOSES:
            if expected is None and not in_program:
                line = answer[max(answer.rfind("\n", 0, at), answer.rfind("\r", 0, at)) + 1 : at]
                if not line.strip():
                    kept.append(answer[since:at])
                    expected, since = _CLOSES[name], len(answer)
        elif not _is_quoted(answer, tag):
            if name == expected:
                expected, since = None, tag.end()
            elif expected is None and not in_program:
                kept, since = [], tag.end()
    return "".join([*kept, answer[since:]])


def _final_channel(answer: str) -> str:
    if finals := list(_FINAL.finditer(answer)):
        return _MESSAGE_END.split(answer[finals[-1].end() :], maxsplit=1)[0]
    if _CHANNEL.search(answer):
        return ""  # cut off before the answer
    if answer.lstrip().startswith("analysis") and "assistantfinal" in answer:  # its control tokens are gone
        return answer.rpartition("assistantfinal")[2]
    return answer


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    before, after = text[tag.start() - 1 : tag.start()], text[tag.end() : tag.end() + 1]
    return before == after and before in ("`", '"', "'")


def opened_by(prompt: str) -> str:
    """The mark that opens reasoning at the very end of a prompt (``<think>``), or nothing: what is generated after it
    is reasoning until it is closed."""
    tags = list(_TAG.finditer(prompt))
    return tags[-1][0] if tags and tags[-1][0].lower() in _CLOSES and not prompt[tags[-1].end() :].strip() else ""


def in_reasoning(text: str, opened: str = "") -> Callable[[int], bool]:
    """Whether a place of an answer that is still growing stands in reasoning; ``opened``: the mark that the prompt
    opened it with. Marks count as in `without_reasoning`, but nothing is known of programs yet."""
    spans: list[tuple[float, float]] = []
    since, expected = (-1.0, _CLOSES.get(opened.lower())) if opened else (0.0, None)
    for tag in _TAG.finditer(text):
        at, name = tag.start(), tag[0].lower()
        if expected is None and name in _CLOSES:
            if not text[max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1 : at].strip():
                since, expected = tag.end(), _CLOSES[name]
        elif name == expected and not _is_quoted(text, tag):
            spans.append((since, at))
            expected = None
    if expected is not None:
        spans.append((since, math.inf))
    channels = list(_CHANNEL_BEGINS.finditer(text))
    for channel, after in zip(channels, [*channels[1:], None], strict=False):
        if channel[1] != "final":
            spans.append((channel.start(), after.start() if after else math.inf))
    return lambda place: any(first <= place < last for first, last in spans)
