"""Every template in trl's wheel, tried and compared, as the Markdown page docs/templates.md.

    python bench/templates.py [FILE]      (make templates-table writes docs/templates.md)

What is tried, how the true spans are known and how trl's masks are had is in tests/chat/published.py; the tests there
assert what is printed here.
"""

import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "chat"))

import published
from published import CONVERSATIONS, cell, outcome

INTRO = """# Published chat templates

Made by `make templates-table` ({versions}); `tests/chat/test_published_templates.py` and
`tests/chat/test_template_twins.py` assert every cell and every line.

The wheel of trl holds the chat templates of many published models, as their authors ship them. Each is given {kinds}
kinds of conversation, and with both values of `enable_thinking` where it reads that: {cases} cases in all, of which
{accepted} are accepted. The wheel has no tokenizers, so each template gets a small byte-level BPE that has the
template's control tokens as added tokens; its bos, eos and stop tokens are written down in `tests/chat/published.py`.

- **identical**: the text is, character for character, that of transformers' `apply_chat_template`: {identical} of
  {accepted} accepted cases, and the same {refused} are refused by both.
- **spans**: what is trained is exactly the assistant turns, from the end of the generation prompt to the stop token.
  Two oracles that know nothing of strop say what is right: a regular expression for each template, written by hand,
  and, where the text begins with transformers' own generation prompt, the end of that prompt.

Messages are handed over in the shape that a template wants (found by trying: see `src/strop/chat/shape.py`): parts
instead of a string for Idefics, SmolVLM and LLaVA, the arguments of calls as JSON text for DeepSeek.

## Templates × conversations

| cell | meaning |
|---|---|
| ✓ | identical text, and the true spans |
| ✓ d | the same, with *drift*: inference would feed another prompt than the text before some turn |
| – | the template refuses the conversation (strop says why, and so does transformers) |
| name | identical text, but the proof stops the run with that check |

`empty_turn`: the template prints nothing of a turn (it knows no tool calls). `cut_turn`: it prints a part of the turn
after the tool's result, where the model could not have written it. `missing_stop`: nothing follows the last turn that
would stop the model; GLM's stop token is the header of the turn after it. (trl's `glm4moe_training.jinja` writes that
header after the last turn too; as `chat.template` it passes.)

What no cell shows: what a template does not print, or not whole, is a warning (`dropped_…`, see `docs/inspect.md`): of
several calls in one turn gpt-oss' template prints the first only, for one.
"""

SPLIT = """
`drift: split` makes one example of every turn, whose ids up to the turn are those that inference feeds. It cannot help
where a turn begins otherwise than its own prompt ends (DeepSeek and Nemotron, whose prompts open `<think>` and whose
turns do not go on from there; reasoning in a turn that `enable_thinking: false` had no room for) or where gpt-oss drops
the thoughts of a call because of the answer that is to be trained. These conversations are refused, and listed as
`STILL_DRIFTS` in the tests.

## Differences from trl's masks

For {twins} of these templates trl has a twin, patched by hand with `{{% generation %}}` marks. Strop makes its mask for
the twin's text too, paying no heed to the marks, and both masks are compared token by token. {same} twins have no
difference. *trl*: trained by trl only; *strop*: trained by strop only. (`…`: words of a message.)

| templates | difference | text | reason |
|---|---|---|---|
"""


def page() -> str:
    every = [outcome(*case) for case in published.cases()]
    accepted = [o for o in every if o.expected is not None]
    numbers = {
        "versions": ", ".join(f"{package} {version(package)}" for package in ("trl", "transformers")),
        "kinds": len(CONVERSATIONS),
        "cases": len(every),
        "accepted": len(accepted),
        "identical": sum(o.identical for o in accepted),
        "refused": sum(o.identical for o in every if o.expected is None),
    }
    cells = {name: [cell(name, kind) for kind in CONVERSATIONS] for name in published.names()}
    lines = ["| template | " + " | ".join(CONVERSATIONS) + " |", "|---" * (len(CONVERSATIONS) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(row) + " |" for name, row in cells.items()]
    count = Counter(value for row in cells.values() for value in row)
    lines += ["", f"Cells: {', '.join(f'{number} {value}' for value, number in count.most_common())}.", ""]
    groups: dict[str, list[str]] = {}
    same = 0
    for name in published.twins():
        found = published.differences(name)
        same += not found
        for difference in found:
            groups.setdefault(difference, []).append(name)
    split = SPLIT.format(twins=len(published.twins()), same=same)
    rows = [_row(difference, names) for difference, names in sorted(groups.items(), key=lambda item: item[0])]
    return INTRO.format(**numbers) + "\n" + "\n".join(lines) + split + "\n".join(rows) + "\n"


def _row(difference: str, names: list[str]) -> str:
    who, _, text = difference.partition(" '")
    shown = f"`{text[:-1].replace('|', chr(92) + '|')}`" if text else ""
    return f"| {', '.join(names)} | {who} | {shown} | {published.reason(difference)} |"


if __name__ == "__main__":
    text = page()
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    else:
        print(text, end="")
