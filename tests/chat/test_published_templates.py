"""Every template in trl's wheel: the text is transformers' own, the spans are the true ones, and trl's twins compared.

See `published.py` for what is tried and how the true spans are known. Every table here was reviewed by hand; a change
in any template, or in strop, that is not in them fails a test.
"""

from pathlib import Path

import published
import pytest
from published import CONVERSATIONS, PROOF, TEMPLATES, Facts, outcome

from strop.chat import parse_conversation
from strop.common.errors import InputError

TOOLS = frozenset({"tool", "tool, content", "tools", "tools, thinking", "call last"})
NO_CONTENT = frozenset({"tool", "tools, thinking", "call last"})
SEVERAL = frozenset({"tools", "tools, thinking"})
EVERY = frozenset(CONVERSATIONS)

REFUSED = {
    # turns must alternate, or content must be there, or no more than one call
    "cohere": TOOLS,
    "cohere2": TOOLS - {"call last"},
    "deepseek_r1_distill": NO_CONTENT,
    "gemma": (TOOLS | {"system"}) - {"call last"},
    "gemma3": TOOLS - {"call last"},
    "idefics3": NO_CONTENT,
    "lfm2": NO_CONTENT,
    "llama3_1": SEVERAL,
    "llama3_2": SEVERAL,
    "llava_next": TOOLS,
    "phi3": NO_CONTENT,
    "phi3_5": NO_CONTENT,
    "smolvlm": NO_CONTENT,
}

REPORTED = {
    # templates without tool calls, given a turn that is nothing else
    "cohere2": {"empty_turn": {"call last"}},
    "deepseek_r1_distill": {"empty_turn": {"tools"}},
    "gemma": {"empty_turn": {"call last"}},
    "gemma3": {"empty_turn": {"call last"}},
    "idefics3": {"empty_turn": {"tools"}},
    "lfm2": {"empty_turn": {"tools"}},
    "llama3": {"empty_turn": TOOLS - {"tool, content"}},
    "phi3": {"empty_turn": {"tools"}},
    "phi3_5": {"empty_turn": {"tools"}},
    "qwen2_5_vl": {"empty_turn": TOOLS - {"tool, content"}},
    "smolvlm": {"empty_turn": {"tools"}},
    # content that is printed after the tool's result
    "diffusion_gemma": {"cut_turn": {"tool, content"}},
    "gemma4": {"cut_turn": {"tool, content"}},
    "gemma4_v3": {"cut_turn": {"tool, content"}},
    "gemma4_v4": {"cut_turn": {"tool, content"}},
    "gemma4_v5": {"cut_turn": {"tool, content"}},
    # the stop token is the next turn's header, and the last turn has none after it
    "glm4moe": {"missing_stop": EVERY},
}


def cases(name: str, kinds=EVERY):
    return [(kind, kwargs) for kind in CONVERSATIONS if kind in kinds for kwargs in published.variables(name)]


def test_the_facts_are_about_the_templates_that_there_are():
    assert set(published.names()) == set(TEMPLATES)
    assert len(published.twins()) == 31


@pytest.mark.parametrize("name", TEMPLATES)
def test_text_is_the_library_s_and_refused_where_it_refuses(name):
    for kind, kwargs in cases(name):
        found = outcome(name, kind, kwargs)
        assert found.identical, (kind, kwargs)
        assert (found.expected is None) == (kind in REFUSED.get(name, ())), (kind, kwargs)


@pytest.mark.parametrize("name", TEMPLATES)
def test_trained_spans_are_the_true_ones(name):
    for kind, kwargs in cases(name, EVERY - REFUSED.get(name, frozenset())):
        found = outcome(name, kind, kwargs)
        text, reported = found.inspection.text, found.found(*PROOF)
        assert reported == tuple(c for c, kinds in REPORTED.get(name, {}).items() if kind in kinds), (kind, kwargs)
        if not {"cut_turn", "missing_stop"} & set(reported):
            assert found.spans == found.turns, (kind, kwargs)
            assert all(text[:end].endswith(tuple(stops(name))) for _, end in found.spans), (kind, kwargs)
        # character for character: what is trained, and nothing else
        trained = "".join(s.text for s in found.inspection.segments if s.trained)
        turns = [turn for turn in found.inspection.example.turns if turn.first < turn.last]
        assert trained == "".join(text[turn.start : turn.end] for turn in turns), (kind, kwargs)
        assert not any(word in trained for word in ("user_", "system_", "tool_0", "tool_1", "tools_")), (kind, kwargs)


def stops(name: str) -> set[str]:
    facts: Facts = TEMPLATES[name]
    # gpt-oss closes all but the last turn with <|end|>, where the model itself would write <|return|>
    return {facts.eos, *facts.stops, *(["<|end|>"] if name == "gptoss" else [])}


@pytest.mark.parametrize("name", TEMPLATES)
def test_where_the_prompt_is_a_beginning_of_the_text_the_turn_starts_at_its_end(name):
    # The second oracle needs no knowledge of the template: transformers' own generation prompt.
    for kind, kwargs in cases(name, EVERY - REFUSED.get(name, frozenset())):
        inspection, messages = outcome(name, kind, kwargs).inspection, published.rows(name, kind)
        tools = CONVERSATIONS[kind].get("tools")
        for turn in inspection.example.turns:
            if turn.drifted or turn.first >= turn.last:
                continue
            prompt = published.tokenizer(name).apply_chat_template(
                messages[: turn.message], tools=tools, add_generation_prompt=True, tokenize=False, **kwargs
            )
            assert inspection.text[: turn.start] == prompt, (kind, kwargs, turn.message)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_prompt_for_inference_is_the_library_s(name):
    for kind, kwargs in cases(name, EVERY - REFUSED.get(name, frozenset())):
        encoder, messages = published.encoder(name, kwargs), CONVERSATIONS[kind]["messages"]
        tools, handed = CONVERSATIONS[kind].get("tools"), published.rows(name, kind)
        for index, message in enumerate(messages):
            if message["role"] == "assistant":
                expected = published.tokenizer(name).apply_chat_template(
                    handed[:index], tools=tools, add_generation_prompt=True, return_dict=False, **kwargs
                )
                assert encoder.prompt(messages[:index], tools) == expected, (kind, kwargs, index)


THINKING = frozenset({"thinking", "tools, thinking"})
CONTRADICTED = {False: THINKING}  # reasoning in a turn whose prompt says that there is none
_NO_REASONING = EVERY - THINKING
_NEMOTRON = {
    None: _NO_REASONING,
    True: _NO_REASONING,
    **CONTRADICTED,
}  # the prompt has <think>\n, the turn <think></think>
STILL_DRIFTS = {
    "deepseek_r1_distill": {None: EVERY},  # the prompt opens <think>, which no turn has
    "deepseekv3": {None: EVERY},
    "diffusion_gemma": {True: {"tool", "tools", "tools, thinking"}},  # after a tool's result the prompt opens thoughts
    "gemma4_v5": {True: {"tool", "tools"}},
    "gptoss": {None: {"tool, content", "tools, thinking"}},  # a final answer drops the thoughts of the calls before it
    "nemotron_3_5_lightning": _NEMOTRON,
    "nemotron_3_nano": _NEMOTRON,
    "nemotron_3_super": _NEMOTRON,
    "nemotron_3_ultra": _NEMOTRON,
    "qwen3": CONTRADICTED,
    "qwen3_5_nothink": {None: THINKING, **CONTRADICTED},
    "qwen3_5_think": CONTRADICTED,
    "qwen3_6": CONTRADICTED,
    "qwen3_8": CONTRADICTED,
}
"""Where a turn differs from the end of its own prompt (or gpt-oss rewrites what is before it): no split helps."""


@pytest.mark.parametrize("name", TEMPLATES)
def test_split_gives_each_turn_as_it_is_served(name):
    for kind, kwargs in cases(name, EVERY - REFUSED.get(name, frozenset())):
        if outcome(name, kind, kwargs).found(*PROOF):
            continue
        row, encoder = CONVERSATIONS[kind], published.encoder(name, kwargs, drift="split")
        conversation = parse_conversation(row, "x")
        if kind in STILL_DRIFTS.get(name, {}).get(kwargs.get("enable_thinking"), ()):
            with pytest.raises(InputError, match="no split of the conversation makes them equal"):
                encoder.encode(conversation)
            continue
        seen = []
        for example in encoder.encode(conversation):
            for turn in example.turns:
                prompt = encoder.prompt(row["messages"][: turn.message], row.get("tools"))
                assert example.tokens[: turn.first] == prompt, (kind, kwargs, turn.message)
                assert all(example.loss_weights[turn.first : turn.last])
                seen.append(turn.message)
        assert seen == [i for i, message in enumerate(row["messages"]) if message["role"] == "assistant"]


def test_split_of_a_template_that_drops_earlier_thinking():
    row = CONVERSATIONS["thinking"]
    encoder = published.encoder("qwen3", {}, drift="split")
    rewritten = parse_conversation({"messages": row["messages"]}, "x")
    texts = ["".join(piece for piece, _ in example.pieces) for example in encoder.encode(rewritten)]
    asked = "<|im_start|>user\nuser_1 asks é<|im_end|>\n<|im_start|>assistant\n"
    assert texts == [
        f"{asked}<think>\nreason_1 thinks\n</think>\n\nanswer_1 is\ntwo lines<|im_end|>\n",
        f"{asked}answer_1 is\ntwo lines<|im_end|>\n<|im_start|>user\nuser_2<|im_end|>\n<|im_start|>assistant\n"
        "<think>\nreason_2 thinks\n</think>\n\nanswer_2 漢字 🙂<|im_end|>\n",
    ]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_table_in_the_docs_is_what_is_found(name):
    page = (Path(__file__).parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
    cells = " | ".join(published.cell(name, kind) for kind in CONVERSATIONS)
    assert f"| {name} | {cells} |" in page.splitlines(), "run make templates-table, and look at what changed"


# -- some spelled out: ⟦…⟧ is trained

_CALL = (
    '{"place": "arg_Zürich", "options": {"days": [1, 2.5], "deep": {"note": "arg_\\"quoted\\"\\n漢字", "on": true}}}'
)
_OPTIONS = '{"days": [1, 2.5], "deep": {"note": "arg_\\"quoted\\"\\n漢字", "on": true}}'
_RESULT = '{"result": "tool_0"}'
SPELLED = [
    (
        "qwen2_5",
        "tool",
        f'<|im_end|>\n<|im_start|>assistant\n⟦<tool_call>\n{{"name": "look_up", "arguments": {_CALL}}}\n</tool_call>'
        f"<|im_end|>⟧\n<|im_start|>user\n<tool_response>\n{_RESULT}\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n⟦answer_2<|im_end|>⟧\n"
        "<|im_start|>user\nuser_2<|im_end|>\n<|im_start|>assistant\n⟦answer_3<|im_end|>⟧\n",
    ),
    (
        "qwen3",
        "thinking",
        "<|im_start|>user\nuser_1 asks é<|im_end|>\n<|im_start|>assistant\n⟦answer_1 is\ntwo lines<|im_end|>⟧\n"
        "<|im_start|>user\nuser_2<|im_end|>\n<|im_start|>assistant\n"
        "⟦<think>\nreason_2 thinks\n</think>\n\nanswer_2 漢字 🙂<|im_end|>⟧\n",
    ),
    (
        "llama3",
        "system",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nsystem_text<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nuser_1 asks é<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦answer_1 is\ntwo lines<|eot_id|>⟧"
        "<|start_header_id|>user<|end_header_id|>\n\nuser_2<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦answer_2 漢字 🙂<|eot_id|>⟧",
    ),
    (
        "gemma3",
        "system",
        "<bos><start_of_turn>user\nsystem_text\n\nuser_1 asks é<end_of_turn>\n"
        "<start_of_turn>model\n⟦answer_1 is\ntwo lines<end_of_turn>⟧\n"
        "<start_of_turn>user\nuser_2<end_of_turn>\n<start_of_turn>model\n⟦answer_2 漢字 🙂<end_of_turn>⟧\n",
    ),
    (
        "gemma4_v5",
        "tool",
        '<|turn>model\n⟦<|tool_call>call:look_up{options:{days:[1,2.5],deep:{note:<|"|>arg_"quoted"\n漢字<|"|>,on:true}},'
        'place:<|"|>arg_Zürich<|"|>}<tool_call|><|tool_response>⟧response:look_up{value:<|"|>'
        f'{_RESULT}<|"|>}}<tool_response|>⟦answer_2<turn|>⟧\n'
        "<|turn>user\nuser_2<turn|>\n<|turn>model\n⟦answer_3<turn|>⟧\n",
    ),
    (
        "deepseekv3",
        "tool",
        "<｜User｜>user_1 asks<｜Assistant｜>⟦<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
        f"<｜tool▁sep｜>look_up\n```json\n{_CALL}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>⟧"
        f"<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>{_RESULT}<｜tool▁output▁end｜><｜tool▁outputs▁end｜>"
        "⟦answer_2<｜end▁of▁sentence｜>⟧<｜User｜>user_2<｜Assistant｜>⟦answer_3<｜end▁of▁sentence｜>⟧",
    ),
    (
        "gptoss",
        "thinking",
        "<|start|>user<|message|>user_1 asks é<|end|>"
        "<|start|>assistant⟦<|channel|>final<|message|>answer_1 is\ntwo lines<|end|>⟧"
        "<|start|>user<|message|>user_2<|end|><|start|>assistant⟦<|channel|>analysis<|message|>reason_2 thinks<|end|>"
        "<|start|>assistant<|channel|>final<|message|>answer_2 漢字 🙂<|return|>⟧",
    ),
    (
        "gptoss",
        "tool",
        "asks<|end|><|start|>assistant⟦ to=functions.look_up<|channel|>commentary json<|message|>"
        f"{_CALL}<|call|>⟧<|start|>functions.look_up to=assistant<|channel|>commentary<|message|>"
        '"{\\"result\\": \\"tool_0\\"}"<|end|><|start|>assistant⟦<|channel|>final<|message|>answer_2<|end|>⟧'
        "<|start|>user<|message|>user_2<|end|><|start|>assistant⟦<|channel|>final<|message|>answer_3<|return|>⟧",
    ),
    (
        "glm4moe",
        "tool",
        "<|user|>\nuser_1 asks<|assistant|>⟦\n<think></think>\n<tool_call>look_up\n<arg_key>place</arg_key>\n"
        f"<arg_value>arg_Zürich</arg_value>\n<arg_key>options</arg_key>\n<arg_value>{_OPTIONS}</arg_value>\n"
        f"</tool_call><|observation|>⟧\n<tool_response>\n{_RESULT}\n</tool_response>"
        "<|assistant|>⟦\n<think></think>\nanswer_2<|user|>⟧\nuser_2<|assistant|>⟦\n<think></think>\nanswer_3⟧",
    ),
    (
        "phi3",
        "multi",
        "<|user|>\nuser_1 asks é<|end|>\n<|assistant|>\n⟦answer_1 is\ntwo lines<|end|>⟧\n"
        "<|user|>\nuser_2<|end|>\n<|assistant|>\n⟦answer_2 漢字 🙂<|end|>⟧\n<|endoftext|>",
    ),
    (
        "cohere2",
        "single",
        "<|USER_TOKEN|>user_1 asks é<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
        "<|START_RESPONSE|>⟦answer_1 is\ntwo lines<|END_RESPONSE|><|END_OF_TURN_TOKEN|>⟧",
    ),
    ("llava_next", "single", "[INST] user_1 asks é [/INST]⟦ answer_1 is\ntwo lines</s>⟧ "),
]


@pytest.mark.parametrize(("name", "kind", "end"), SPELLED, ids=lambda value: value if len(value) < 12 else "")
def test_spelled_out(name, kind, end):
    example = outcome(name, kind, {}).inspection.example
    text = "".join(f"⟦{piece}⟧" if weight else piece for piece, weight in example.pieces)
    assert text[-len(end) :] == end
