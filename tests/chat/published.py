"""The published templates in trl's wheel, a tokenizer and the true turns for each, and the conversations to try.

The wheel's code is never imported: only ``trl/chat_templates/*.jinja`` is read. It has no tokenizers, so each template
gets a byte-level BPE with its own control tokens as added tokens: every string in the template's text that looks like
one (`CONTROL`), and the tokens named in `TEMPLATES`, which the text does not tell (``bos``, ``eos``, stop tokens).
"""

import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from strop.chat import ChatEncoder, ChatSettings, Inspection, parse_conversation
from strop.chat.shape import Shape, shaped
from strop.common.errors import InputError

CONTROL = re.compile(
    r"<\|[^<>|\s]+\|?>"  # <|im_end|>, and the opening half of gemma4's pairs: <|turn>
    r"|<[^<>|\s]+\|>"  # its closing half: <turn|>
    r"|<｜[^<>｜\s]+｜>"  # deepseek's, with full-width bars
    r"|<\w+_of_\w+>"  # <end_of_turn>
    r"|</?s>|\[/?INST\]|\[gMASK\]|<sop>|<image>"
    r"|</?(?:think|tool_call|tool_response|arg_key|arg_value)>"
)
OWN = re.compile(r"(?:answer|reason|arg)_")  # the words of assistant turns in `CONVERSATIONS`


TEXT = Shape()


@dataclass(frozen=True)
class Facts:
    """What a person knows of a template and its text does not say.

    ``turn`` is the oracle: a regular expression whose group 1 is what an assistant turn has to learn, found in the text
    by its header and its stop token, which is sound here because no message holds either. ``turn_nothink``: the same
    with ``enable_thinking: false``, where it differs.
    """

    eos: str
    turn: str
    stops: tuple[str, ...] = ()
    bos: str | None = None
    turn_nothink: str | None = None
    thinks: bool = True
    """What ``enable_thinking`` is when it is not given."""
    shape: Shape = TEXT
    """How someone who has read the template hands it messages; ``call_shape``: in conversations with tool calls."""
    call_shape: Shape | None = None
    special: tuple[frozenset[str], bool, str] | None = None
    """Conversations and a value of ``enable_thinking`` in which the turns are found by another expression."""

    def turns(self, text: str, kind: str, kwargs: dict[str, Any]) -> list[tuple[int, int]]:
        """The characters of every turn, by the oracle, but for turns of which the template prints nothing."""
        thinking = kwargs.get("enable_thinking", self.thinks)
        pattern = self.turn if thinking else self.turn_nothink or self.turn
        if self.special and kind in self.special[0] and thinking == self.special[1]:
            pattern = self.special[2]
        return [match.span(1) for match in re.finditer(pattern, text, re.DOTALL) if OWN.search(match[1])]


def _after(header: str, stop: str) -> str:
    """What stands between a header (an expression) and a stop token (a string), the latter included."""
    return f"{header}(.*?{re.escape(stop)})"


_IM = re.escape("<|im_start|>assistant\n")
_CHATML = _after(_IM, "<|im_end|>")
# Asked not to think, and with a turn that does all the same, the prompt and the turn begin alike: "<think>\n".
_CLOSED = _after(_IM + "(?:<think>\n\n</think>\n\n|<think>\n)?", "<|im_end|>")
_OPENED = _after(_IM + "(?:<think>\n)?", "<|im_end|>")
_QWEN = Facts("<|im_end|>", _CHATML)
_QWEN35 = Facts("<|im_end|>", _OPENED, turn_nothink=_CLOSED)
_LLAMA3 = Facts(
    "<|eot_id|>",
    _after(re.escape("<|start_header_id|>assistant<|end_header_id|>\n\n"), "<|eot_id|>"),
    ("<|eom_id|>",),
    "<|begin_of_text|>",
)
_LFM2 = Facts("<|im_end|>", _CHATML, bos="<|startoftext|>")
_PHI3 = Facts("<|endoftext|>", _after(re.escape("<|assistant|>\n"), "<|end|>"), ("<|end|>",), "<s>")
_GEMMA = Facts("<eos>", _after("<start_of_turn>model\n", "<end_of_turn>"), ("<end_of_turn>",), "<bos>")
_TEXT_ARGUMENTS = Shape(arguments="text", missing="empty")
_PARTS = Shape(content="parts")
_DEEPSEEK = Facts(
    "<｜end▁of▁sentence｜>",
    _after("(?:<｜Assistant｜>(?:<think>\n)?|<｜tool▁outputs▁end｜>)", "<｜end▁of▁sentence｜>"),
    bos="<｜begin▁of▁sentence｜>",
)
# After a tool's result the same turn goes on, without a header.
_GEMMA4 = Facts(
    "<eos>",
    r"(?:<\|turn>model\n|<tool_response\|>(?!<\|tool_response>))(?:<\|turn>model\n)?(.*?(?:<turn\|>|<\|tool_response>))",
    ("<turn|>", "<|tool_response>"),
    "<bos>",
)
_NEMOTRON = Facts(
    "<|im_end|>",
    _after(_IM + "(?:<think>\n?)?", "<|im_end|>"),
    bos="<s>",
    turn_nothink=_after(_IM + "(?:<think>(?:</think>)?)?", "<|im_end|>"),
)
_END_OF_TURN = "<|END_OF_TURN_TOKEN|>"
_CHATBOT = re.escape("<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>")

TEMPLATES: dict[str, Facts] = {
    "cohere": Facts(_END_OF_TURN, _after(_CHATBOT, _END_OF_TURN), bos="<BOS_TOKEN>"),
    "cohere2": Facts(_END_OF_TURN, _after(_CHATBOT + re.escape("<|START_RESPONSE|>"), _END_OF_TURN), bos="<BOS_TOKEN>"),
    "deepseek_r1_distill": _DEEPSEEK,
    "deepseekv3": replace(_DEEPSEEK, call_shape=_TEXT_ARGUMENTS),
    # After a tool's result its prompt has no header and yet its turns do, so writing that is left to the model.
    "diffusion_gemma": replace(
        _GEMMA4,
        thinks=False,
        special=(
            frozenset({"tool", "tools"}),
            False,
            r"(?:(?<!<tool_response\|>)<\|turn>model\n|<tool_response\|>(?!<\|tool_response>))"
            r"(.*?(?:<turn\|>|<\|tool_response>))",
        ),
    ),
    "gemma": _GEMMA,
    "gemma3": _GEMMA,
    "gemma4": _GEMMA4,
    "gemma4_v2": _GEMMA4,
    "gemma4_v3": _GEMMA4,
    "gemma4_v4": _GEMMA4,
    "gemma4_v5": _GEMMA4,
    "glm4moe": Facts(
        "<|endoftext|>",
        r"<\|assistant\|>(.*?(?:<\|user\|>|<\|observation\|>|\Z))",
        ("<|user|>", "<|observation|>"),
        turn_nothink=r"<\|assistant\|>(?:\n<think>(?:</think>)?)?(.*?(?:<\|user\|>|<\|observation\|>|\Z))",
    ),
    "gptoss": Facts(
        "<|return|>",
        r"<\|start\|>assistant((?:<\|channel\|>analysis.*?<\|end\|><\|start\|>assistant)?"
        r".*?(?:<\|return\|>|<\|call\|>|<\|end\|>))",
        ("<|call|>",),
        "<|startoftext|>",
    ),
    "idefics3": Facts(
        "<|end_of_text|>", _after("Assistant:", "<end_of_utterance>"), ("<end_of_utterance>",), shape=_PARTS
    ),
    "lfm2": _LFM2,
    "lfm2_2_5": _LFM2,
    "lfm2_2_5_v2": _LFM2,
    "lfm2_2_5_vl": _LFM2,
    "lfm2_v2": _LFM2,
    "llama3": _LLAMA3,
    "llama3_1": _LLAMA3,
    "llama3_2": _LLAMA3,
    "llava_next": Facts("</s>", _after(r"\[/INST\]", "</s>"), bos="<s>", shape=_PARTS),
    "muse_glimmer": Facts("<|eot|>", _after(re.escape("<|start|>assistant"), "<|eot|>"), bos="<|begin_of_text|>"),
    "nemotron_3_5_lightning": _NEMOTRON,
    "nemotron_3_nano": _NEMOTRON,
    "nemotron_3_super": _NEMOTRON,
    "nemotron_3_ultra": _NEMOTRON,
    "phi3": _PHI3,
    "phi3_5": _PHI3,
    "qwen2_5": _QWEN,
    "qwen2_5_vl": _QWEN,
    "qwen3": Facts("<|im_end|>", _CHATML, turn_nothink=_CLOSED),
    "qwen3_5_nothink": Facts("<|im_end|>", _OPENED, turn_nothink=_CLOSED, thinks=False),
    "qwen3_5_think": _QWEN35,
    "qwen3_6": _QWEN35,
    "qwen3_8": _QWEN35,
    "qwen3_instruct_2507": _QWEN,
    "qwen3_vl": _QWEN,
    "smolvlm": Facts(
        "<end_of_utterance>", _after("Assistant:", "<end_of_utterance>"), bos="<|im_start|>", shape=_PARTS
    ),
}


def folder() -> Path:
    """Where trl's templates lie; nothing of trl is imported."""
    spec = importlib.util.find_spec("trl")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("trl is not installed; run `make setup` (or pip install --no-deps trl)")
    return Path(spec.submodule_search_locations[0]) / "chat_templates"


@cache
def source(name: str) -> str:
    return (folder() / f"{name}.jinja").read_text(encoding="utf-8")


def names() -> list[str]:
    """Every published template in the wheel; trl's own patched twins are not among them."""
    found = (path.name.removesuffix(".jinja") for path in folder().glob("*.jinja"))
    return sorted(name for name in found if not name.endswith("_training"))


def twins() -> list[str]:
    """The templates of which trl has a twin with ``{% generation %}`` marks."""
    return [name for name in names() if (folder() / f"{name}_training.jinja").exists()]


def variables(name: str) -> list[dict[str, Any]]:
    """The settings of ``template_kwargs`` to try: none, and both values of ``enable_thinking`` where it is read."""
    values = (True, False) if "enable_thinking" in source(name) else ()
    return [{}, *({"enable_thinking": value} for value in values)]


@cache
def _alphabet() -> str:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(["\n\nassistant\n\nuser\n\nmodel\nthe answer to the question"] * 3, trainer)
    return backend.to_str()


@cache
def tokenizer(name: str, template: str | None = None) -> PreTrainedTokenizerFast:
    """A throw-away tokenizer with the control tokens of template ``name``; ``template``: another text in its place."""
    facts = TEMPLATES[name]
    literals = re.sub(r"{#.*?#}", "", source(name), flags=re.DOTALL)
    added = {*CONTROL.findall(literals), facts.eos, *facts.stops, *([facts.bos] if facts.bos else [])}
    backend = Tokenizer.from_str(_alphabet())
    backend.add_tokens(sorted(added))
    made = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=facts.bos, eos_token=facts.eos)
    made.chat_template = template or source(name)
    return made


# -- conversations; every word of theirs names the field that it stands in, and no template has any of them

ARGUMENTS = {"place": "arg_Zürich", "options": {"days": [1, 2.5], "deep": {"note": 'arg_"quoted"\n漢字', "on": True}}}


def _call(number: int, arguments: dict) -> dict:
    return {"id": f"call_{number}00", "type": "function", "function": {"name": "look_up", "arguments": arguments}}


def _say(role: str, content: str | None, **more: Any) -> dict:
    return {"role": role, "content": content, **more}


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "tools_description",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "tools_place"},
                    "options": {"type": "object", "description": "tools_options", "properties": {}},
                },
                "required": ["place"],
            },
        },
    }
]

_MULTI = [
    _say("user", "user_1 asks é"),
    _say("assistant", "answer_1 is\ntwo lines"),
    _say("user", "user_2"),
    _say("assistant", "answer_2 漢字 🙂"),
]


def _with_reasoning(messages: list[dict]) -> list[dict]:
    answers = iter("12345")
    return [
        {**m, "reasoning_content": f"reason_{next(answers)} thinks"} if m["role"] == "assistant" else m
        for m in messages
    ]


def _tool_turns(content: str | None, calls: int) -> list[dict]:
    made = [_call(1, ARGUMENTS), _call(2, {"place": "arg_2"})][:calls]
    results = [
        _say("tool", f'{{"result": "tool_{i}"}}', tool_call_id=c["id"], name="look_up") for i, c in enumerate(made)
    ]
    return [
        _say("user", "user_1 asks"),
        _say("assistant", content, tool_calls=made),
        *results,
        _say("assistant", "answer_2"),
        _say("user", "user_2"),
        _say("assistant", "answer_3"),
    ]


CONVERSATIONS: dict[str, dict[str, Any]] = {
    "single": {"messages": _MULTI[:2]},
    "multi": {"messages": _MULTI},
    "system": {"messages": [_say("system", "system_text"), *_MULTI]},
    "thinking": {"messages": _with_reasoning(_MULTI)},
    "tool": {"messages": _tool_turns(None, 1), "tools": TOOLS},
    "tool, content": {"messages": _tool_turns("answer_1 calls", 1), "tools": TOOLS},
    "tools": {"messages": [_say("system", "system_text"), *_tool_turns("", 2)], "tools": TOOLS},
    "tools, thinking": {"messages": _with_reasoning(_tool_turns(None, 2)), "tools": TOOLS},
    "call last": {"messages": _tool_turns(None, 1)[:2], "tools": TOOLS},
}


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(template, conversation, template_kwargs), every combination that there is."""
    for name in names():
        for kind in CONVERSATIONS:
            for kwargs in variables(name):
                yield name, kind, kwargs


# -- what comes of them


def rows(name: str, kind: str, twin: bool = False) -> list[dict[str, Any]]:
    """The messages as a careful user of transformers hands them to its ``apply_chat_template``."""
    facts, messages = TEMPLATES[name], CONVERSATIONS[kind]["messages"]
    calls = any(message.get("tool_calls") for message in messages)
    shape = facts.call_shape if calls and facts.call_shape else facts.shape
    if twin:  # trl's twins print an object as JSON where the template itself wants the JSON text
        shape = shape._replace(arguments="object")
    return shaped([{key: value for key, value in m.items() if value is not None} for m in messages], shape)


@cache
def _encoder(name: str, twin: bool, settings: str) -> ChatEncoder:
    made = tokenizer(name, source(f"{name}_training") if twin else None)
    options = {"audit_every": 1, "stop_tokens": list(TEMPLATES[name].stops), **json.loads(settings)}
    return ChatEncoder(made, ChatSettings(**options))


def encoder(name: str, kwargs: dict[str, Any], twin: bool = False, **settings: Any) -> ChatEncoder:
    """The template's encoder, which audits every conversation; ``settings`` beside its stop tokens."""
    return _encoder(name, twin, json.dumps({"template_kwargs": kwargs, **settings}, sort_keys=True))


def library_text(name: str, kind: str, kwargs: dict[str, Any], twin: bool = False) -> str | None:
    """transformers' own rendering; None where the template refuses the conversation."""
    made = tokenizer(name, source(f"{name}_training") if twin else None)
    tools = CONVERSATIONS[kind].get("tools")
    try:
        return made.apply_chat_template(rows(name, kind, twin), tools=tools, tokenize=False, **kwargs)
    except (TemplateError, TypeError):
        return None


@dataclass(frozen=True)
class Outcome:
    """One conversation in one template: ``expected`` is transformers' text, ``inspection`` None where strop refuses."""

    expected: str | None
    inspection: Inspection | None
    turns: list[tuple[int, int]] = field(default_factory=list)
    """The oracle's."""

    @property
    def identical(self) -> bool:
        return self.expected == (self.inspection.text if self.inspection else None)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The characters of the turns that strop found and that are not reported as broken."""
        broken = {w.message for w in self.inspection.warnings if w.kind in PROOF}
        return [(t.start, t.end) for t in self.inspection.example.turns if t.message not in broken]

    def found(self, *kinds: str) -> tuple[str, ...]:
        return tuple(sorted({w.kind for w in self.inspection.warnings if w.kind in kinds}))


PROOF = ("text_differs", "ids_differ", "lost_origin", "foreign_trained", "empty_turn", "missing_stop", "cut_turn")
"""The checks that stop a run."""


@cache
def _outcome(name: str, kind: str, kwargs: str) -> Outcome:
    settings = json.loads(kwargs)
    expected = library_text(name, kind, settings)
    try:
        [inspection] = encoder(name, settings).inspect(parse_conversation(CONVERSATIONS[kind], f"{name}, {kind}"))
    except InputError:
        return Outcome(expected, None)
    return Outcome(expected, inspection, TEMPLATES[name].turns(inspection.text, kind, settings))


def outcome(name: str, kind: str, kwargs: dict[str, Any]) -> Outcome:
    return _outcome(name, kind, json.dumps(kwargs))


def cell(name: str, kind: str) -> str:
    """What docs/templates.md says of one conversation in one template."""
    found = [outcome(name, kind, kwargs) for kwargs in variables(name)]
    if any(not o.identical for o in found):
        return "**text differs**"
    if any(o.inspection is None for o in found):
        return "–"
    broken = sorted({check for o in found for check in o.found(*PROOF)})
    if broken:
        return ", ".join(broken)
    if any(o.spans != o.turns for o in found):
        return "**spans differ**"
    return "✓ d" if any(o.found("drift") for o in found) else "✓"


# -- against trl's patched twins


def differences(name: str) -> dict[str, set[str]]:
    """What trl trains in its twin of a template and strop does not, or the other way round: ``{difference: kinds}``.

    Both see the twin's text and the same tokens: trl's mask is transformers' ``assistant_masks`` of the twin, from its
    ``{% generation %}`` marks, and strop's is made as ever, which pays no heed to them.
    """
    found: dict[str, set[str]] = {}
    for kind in CONVERSATIONS:
        for kwargs in variables(name):
            expected = library_text(name, kind, kwargs, twin=True)
            if expected is None:
                continue
            if outcome(name, kind, kwargs).expected != expected:
                found.setdefault("other text", set()).add(kind)
            for difference in _mask_differences(name, kind, kwargs):
                found.setdefault(difference, set()).add(kind)
    return found


def _mask_differences(name: str, kind: str, kwargs: dict[str, Any]) -> Iterator[str]:
    row = CONVERSATIONS[kind]
    [ours] = encoder(name, kwargs, twin=True).inspect(parse_conversation(row, f"{name}, {kind}"))
    theirs = tokenizer(name, source(f"{name}_training")).apply_chat_template(
        rows(name, kind, twin=True),
        tools=row.get("tools"),
        return_dict=True,
        return_assistant_tokens_mask=True,
        **kwargs,
    )
    if theirs["input_ids"] != ours.example.tokens:
        raise AssertionError(f"{name}, {kind}: other tokens")
    pairs = zip(theirs["assistant_masks"], ours.example.loss_weights, strict=True)
    at = 0
    for (theirs_trains, ours_trains), group in groupby((bool(mask), weight > 0) for mask, weight in pairs):
        first, at = at, at + sum(1 for _ in group)
        if theirs_trains != ours_trains:
            text = ours.text[ours.starts[first] : ours.ends[at - 1]]
            yield f"{'trl' if theirs_trains else 'strop'}: {_where(ours, first, at, text)} {_WORDS.sub('…', text)!r}"


_WORDS = re.compile(r"(?:answer|reason)_\d[^<\n]*")


def _where(inspection: Inspection, first: int, last: int, text: str) -> str:
    turns = [turn for turn in inspection.example.turns if turn.first < turn.last]
    if any(turn.first == last for turn in turns):
        return "header"
    if any(turn.last == first for turn in turns):
        return "after the stop"
    if any(turn.first <= first and last <= turn.last for turn in turns):
        return "bytes" if text.strip() and not text.isascii() and len(text) == 1 else "inside"
    return "elsewhere"


REASONS = {
    "trl: header": "it is part of the generation prompt, so inference feeds it and the model never writes it",
    "trl: after the stop": "it follows the stop token, where generation has ended, so the model never writes it",
    "trl: elsewhere": (
        "the template prints nothing of the turn, or part of it in another place; strop reports the turn (empty_turn, "
        "cut_turn) and trl trains what is left of it"
    ),
    "strop: inside": "the model has to write it: the stop token before a tool runs, or a header that no prompt has",
    "strop: bytes": (
        "a marked stretch that ends in a character of several tokens: transformers finds the first of them only, "
        "and the others are left out of its mask"
    ),
    "other text": "the twin renders another text than the published template, so it trains on what is not served",
}


def reason(difference: str) -> str:
    return next(text for start, text in REASONS.items() if difference.startswith(start))
