"""One page for every verb, made from the parser and the settings' own descriptions: `make reference`.

What a page says is what the program reads: names, defaults and descriptions of the pydantic models behind recipes.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

os.environ["COLUMNS"] = "100"  # of the help texts, whatever the terminal

from strop.cli import STAGE_VERBS, _parser
from strop.config.recipe import Recipe
from strop.objectives.policy_settings import PRESETS
from strop.objectives.preference_settings import METHODS
from strop.stages.base import STAGES

HEAD = "<!-- made by `python bench/reference.py docs/verbs`; do not write here -->\n"
PAPERS = """{head}
# Papers

Paper → setting. Each formula is tested against a plain loop in float64.

## Learning from rewards (`strop grpo`, `strop ppo`, `kind: rl`)

| paper | setting | what it is |
|---|---|---|
{rewards}

A preset is a row of settings (`strop.objectives.policy_settings`); any of them may be set otherwise beside it. The KL
divergence's estimates k1, k2, k3: Schulman 2020, `objective.kl_estimator`. A steered coefficient: Ziegler et al. 2019,
`objective.kl_target`. Dual clip: Ye et al. 2020, `objective.dual_clip`. Generalised advantages: Schulman et al. 2015,
arXiv:1506.02438, `objective.gae_lambda`.

## Preferences (`strop dpo`, `kind: preference`)

| paper | setting | loss |
|---|---|---|
{pairs}

Reward models: Bradley and Terry 1952, with a margin as in Touvron et al. 2023 (Llama 2), arXiv:2307.09288: `strop rm`.

## Training

| paper | setting |
|---|---|
| Hu et al. 2021, LoRA, arXiv:2106.09685 | `lora: {{r: 16}}` |
| Kalajdzievski 2023, rank-stabilised LoRA, arXiv:2312.03732 | `lora.rslora=true` |
| Liu et al. 2024, DoRA, arXiv:2402.09353 | `lora.dora=true` |
| Dettmers et al. 2023, QLoRA, arXiv:2305.14314 | `lora.quantize=4bit` |
| Jordan et al. 2024, Muon; Liu et al. 2025, Muon is scalable | `train.optimizer=muon`, `train.muon_scale` |
| Shazeer and Stern 2018, Adafactor, arXiv:1804.04235 | `train.optimizer=adafactor` |
| Dettmers et al. 2021, 8-bit optimisers, arXiv:2110.02861 | `train.optimizer=adamw_8bit` |
| Jain et al. 2023, NEFTune, arXiv:2310.05914 | `train.neftune_alpha` |
| Micikevicius et al. 2018, mixed precision, arXiv:1710.03740 | always: float32 masters beside bfloat16 weights |
| Ren et al. 2021, ZeRO-Offload, arXiv:2101.06840 | `train.offload_optimizer=true` |

## Measuring

| paper | where |
|---|---|
| Chen et al. 2021, pass@k, arXiv:2107.03374 | `evals.NAME.samples`, `k` |
| Wilson 1927; Bonett and Price 2012 | intervals of rates, and of a rate's change on the same items |
| McNemar 1947; Holm 1979 | `strop compare` |
"""
SKIPPED = {"stages", "evals", "gates"}  # have pages of their own


def main() -> None:
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (target / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Every page by its file name."""
    verbs = next(one for one in _parser()._actions if hasattr(one, "choices") and one.choices).choices
    made = {f"{verb}.md": page(verb, parser) for verb, parser in verbs.items()}
    rows = "\n".join(f"- [`strop {verb}`]({verb}.md)" for verb in verbs)
    made["../papers.md"] = papers()
    made["README.md"] = f"{HEAD}\n# Verbs\n\nOne page each, from the program itself.\n\n{rows}\n"
    return made


def papers() -> str:
    """Paper → setting, of everything that has a name in a table; the rest below."""
    rewards = [f"| {one.paper} | `objective.preset={name}` | {one.differs} |" for name, one in PRESETS.items()]
    pairs = [f"| {one.paper} | `objective.type={name}` | {_cell(one.formula)} |" for name, one in METHODS.items()]
    return PAPERS.format(head=HEAD, rewards="\n".join(rewards), pairs="\n".join(pairs))


def page(verb: str, parser: Any) -> str:
    parts = [HEAD, f"# strop {verb}", f"```\n{parser.format_help().strip()}\n```"]
    if verb in STAGE_VERBS:
        kind = STAGES[STAGE_VERBS[verb][0]]
        parts += [f"## Settings\n\n{_first(kind)}\n", table(kind)]
        parts += ["Settings of the recipe around it, such as `chat.max_length=1024`: [`strop run`](run.md)."]
    if verb == "run":
        parts += ["## What a recipe says", table(Recipe)]
        for name, kind in STAGES.items():
            parts += [f"## stages.NAME, `kind: {name}`\n\n{_first(kind)}\n", table(kind)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def table(model: type[BaseModel]) -> str:
    """A row for every setting, those of sections below them with their section's name before a dot."""
    rows = [f"| `{name}` | {default} | {about} |" for name, default, about in settings(model)]
    return "\n".join(["| setting | default | |", "|---|---|---|", *rows])


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        shown = prefix + (field.alias or name)
        if name == "kind" or (model is Recipe and name in SKIPPED):
            continue
        about = _cell(" ".join(filter(None, (field.description or "", _choices(field.annotation)))))
        sections = list(_sections(field.annotation))
        yield shown, "" if sections and _default(field) not in ("`null`",) else _default(field), about
        if len(sections) == 1:  # of several kinds each has a page of its own
            yield from settings(sections[0], f"{shown}.")


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a setting may be, where it is a section."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation.model_fields:
            yield annotation
    elif get_origin(annotation) in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from _sections(one)
    elif get_origin(annotation) is Annotated:
        yield from _sections(get_args(annotation)[0])


def _choices(annotation: Any) -> str:
    """The words that a setting may be, where it is one of several."""
    if get_origin(annotation) is Literal:
        words = get_args(annotation)
        return "" if len(words) < 2 else "One of " + ", ".join(f"`{word}`" for word in words) + "."
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return next(filter(None, map(_choices, get_args(annotation))), "")
    return ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    words = {id(None): "null", id(True): "true", id(False): "false"}
    number = isinstance(value, float)
    return _cell(f"`{words.get(id(value), f'{value:g}' if number else value)}`")


def _first(kind: type) -> str:
    return " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
