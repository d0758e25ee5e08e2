"""What trl trains in its hand-patched twins of published templates, and strop does not, or the other way round.

`published.differences` finds them, `published.REASONS` says why each kind is as it is. The table was reviewed by hand;
a difference that is not in it fails the test.
"""

import published
import pytest

_NEWLINE = "trl: after the stop '\\n'"
_THINK, _NO_THOUGHTS = "trl: header '<think>\\n'", "trl: header '<think>\\n\\n</think>\\n\\n'"
_REWRITTEN = {"other text", _NEWLINE, _THINK, _NO_THOUGHTS}
_NEMOTRON_TWIN = {_NEWLINE, _THINK, "trl: header '<think>'", "trl: header '<think></think>'"}
_PHI = {_NEWLINE, "trl: after the stop '\\n<|endoftext|>'", "trl: elsewhere '<|end|>\\n'"}
_UTTERANCE = {_NEWLINE, "trl: elsewhere ' <end_of_utterance>\\n'"}
_IM_END = {_NEWLINE, "trl: elsewhere '<|im_end|>\\n'"}
_GEMMA_TWIN = {_NEWLINE, "trl: elsewhere '<end_of_turn>\\n'"}
_DEEPSEEK_TWIN = {"trl: header '<｜Assistant｜>'", "trl: header '<｜tool▁outputs▁end｜>'"}

DIFFERENCES = {
    "cohere": set(),
    "cohere2": {"trl: elsewhere '<|END_RESPONSE|><|END_OF_TURN_TOKEN|>'"},
    "deepseek_r1_distill": {*_DEEPSEEK_TWIN, "trl: elsewhere '<｜Assistant｜><｜end▁of▁sentence｜>'"},
    "deepseekv3": _DEEPSEEK_TWIN,
    "diffusion_gemma": {
        _NEWLINE,
        "strop: bytes '🙂'",
        "strop: inside '<|tool_response>'",
        "strop: inside '<|turn>model\\n'",
        "trl: elsewhere '…'",
    },
    "gemma": _GEMMA_TWIN,
    "gemma3": _GEMMA_TWIN,
    "glm4moe": {"other text", "trl: header '\\n<think>'", "trl: header '\\n<think></think>'"},
    "gptoss": {"trl: header '<|start|>assistant'"},
    "idefics3": _UTTERANCE,
    "lfm2": _IM_END,
    "lfm2_v2": {_NEWLINE},
    "llama3": {"trl: elsewhere '<|eot_id|>'"},
    "llava_next": set(),
    "muse_glimmer": {"trl: header '<|start|>assistant'"},
    "nemotron_3_5_lightning": _NEMOTRON_TWIN,
    "nemotron_3_nano": _NEMOTRON_TWIN,
    "nemotron_3_super": _NEMOTRON_TWIN,
    "nemotron_3_ultra": _NEMOTRON_TWIN,
    "phi3": _PHI,
    "phi3_5": _PHI,
    "qwen2_5": {_NEWLINE, "trl: header '\\n'"},
    "qwen2_5_vl": _IM_END,
    "qwen3": _REWRITTEN,
    "qwen3_5_nothink": _REWRITTEN,
    "qwen3_5_think": _REWRITTEN,
    "qwen3_6": _REWRITTEN,
    "qwen3_8": _REWRITTEN - {"other text"},
    "qwen3_instruct_2507": {_NEWLINE},
    "qwen3_vl": {_NEWLINE},
    "smolvlm": _UTTERANCE,
}


def test_every_twin_is_compared():
    assert set(published.twins()) == set(DIFFERENCES)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_from_trl_are_the_reviewed_ones(name):
    found = published.differences(name)
    assert set(found) == DIFFERENCES[name]
    assert all(published.reason(difference) for difference in found)
