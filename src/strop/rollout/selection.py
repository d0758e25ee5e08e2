"""Which graded answers become rows to train on: rejection sampling, best of n, pairs, labelled rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from strop.rollout.prompts import Prompt
from strop.rollout.trajectory import Trajectory

_ROUNDING = 1e-9
"""Of a reward that is a sum of weighted scores."""
Keep = Literal["best", "passing", "all"]
Layout = Literal["conversations", "pairs", "labelled"]
PART = "part "
"""What the counts of a reward's part begin with."""
COUNTED = "environment "
"""And those of what an environment counts."""


@dataclass(frozen=True)
class Selection:
    """What is kept of the answers to a prompt, and the layout of its rows.

    Never kept: answers without a reward, empty ones, those that repeat the text (with an environment: all turns) of an
    earlier one, those of which no turn can be trained, and, but for ``keep`` all, those that were cut off. Of the
    others

    - ``conversations`` holds the ``best`` (the highest reward, of equals the first), those that are ``passing``
      (reward at least ``threshold``), or ``all``;
    - ``pairs`` sets each of the same answers against the worst (the lowest reward, of equals the first), where it is
      better by more than 0 and at least ``min_margin``, and does not begin with all turns of that;
    - ``labelled`` holds the ``best`` and the worst, or ``all``, each labelled by whether it passes.

    ``most``: rows of a prompt; the first ones, in the order in which answers were drawn. ``tools``: JSON schemas, for
    every row.
    """

    keep: Keep = "best"
    layout: Layout = "conversations"
    threshold: float = 1.0
    min_margin: float = 0.0
    most: int | None = None
    tools: Sequence[dict[str, Any]] = ()

    def passes(self, one: Trajectory) -> bool:
        return one.reward is not None and one.reward >= self.threshold - _ROUNDING

    def chosen(self, group: Sequence[Trajectory]) -> list[Trajectory]:
        """Of answers that may be kept, all with rewards: those that ``keep`` asks for, in order."""
        if self.keep == "best":
            return [max(group, key=_reward)] if group else []  # max and min take the first of equals
        return [one for one in group if self.keep == "all" or self.passes(one)]

    def pairs(self, group: Sequence[Trajectory]) -> list[tuple[Trajectory, Trajectory]]:
        """Chosen and rejected answers."""
        if not group:
            return []
        worst = min(group, key=_reward)
        apart = ((one, _reward(one) - _reward(worst)) for one in self.chosen(group))
        return [(one, worst) for one, margin in apart if margin > 0 and margin >= self.min_margin]

    def rows(self, prompt: Prompt, group: Sequence[Trajectory], told: Tally) -> list[dict[str, Any]]:
        """The rows of a prompt; ``told`` counts them and what was left out."""
        usable = told.usable(group, self)
        if self.layout == "pairs":
            pairs = self.pairs(usable)
            rows = [_pair(prompt, *pair) for pair in pairs if not _begins(*pair)]
            told.counts["pairs left out: the chosen answer begins with the rejected one"] += len(pairs) - len(rows)
            if usable and len({one.reward for one in usable}) == 1:
                told.counts["prompts without a pair: one reward"] += 1
            elif usable and not rows:
                told.counts["prompts without a pair: too small a margin, or none passes"] += 1
        elif self.layout == "labelled":
            labelled = usable
            if self.keep == "best" and usable:
                ends = {id(max(usable, key=_reward)), id(min(usable, key=_reward))}
                labelled = [one for one in usable if id(one) in ends]
            rows = [{**_row(prompt, one), "label": self.passes(one)} for one in labelled]
        else:
            rows = [_row(prompt, one) for one in self.chosen(usable)]
        tools = self.tools or prompt.tools
        kept = [{**row, "tools": list(tools)} for row in rows[: self.most]] if tools else rows[: self.most]
        told.count_parts([one.parts for one in group if one.reward is not None], [r.get("parts", {}) for r in kept])
        told.counts["rows over most_per_prompt"] += len(rows) - len(kept)
        told.counts["prompts without a row"] += not kept
        told.counts["rows"] += len(kept)
        if self.layout == "labelled":
            told.counts["wanted rows"] += sum(row["label"] for row in kept)
        return kept


class Counts(dict[str, float]):
    """By name; 0 for one that is not there."""

    def __missing__(self, name: str) -> float:
        return 0


@dataclass
class Tally:
    """What became of prompts and answers; an answer that was left out is counted once, under the first reason."""

    counts: Counts = field(default_factory=Counts)  # and sums of scores
    failures: Counter[str] = field(default_factory=Counter)  # by the part's name
    first_failure: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "counts": dict(self.counts), "failures": dict(self.failures)}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Tally:
        return cls(Counts(told["counts"]), Counter(told["failures"]), told["first_failure"])

    def usable(self, group: Sequence[Trajectory], selection: Selection) -> list[Trajectory]:
        """The answers that may be kept at all, in order."""
        counts = self.counts
        counts["prompts"] += 1
        counts["answers"] += len(group)
        counts["tokens"] += sum(one.length for one in group)
        counts["passing"] += sum(map(selection.passes, group))
        counts["prompts with a passing answer"] += any(map(selection.passes, group))
        counts["cut off"] += sum(one.truncated for one in group)
        for name, count in (pair for one in group for pair in one.counts.items()):
            counts[f"{COUNTED}{name}"] += count
        return list(self._whole(group, selection.keep == "all"))

    def count_parts(self, answers: Sequence[dict[str, float]], rows: Sequence[dict[str, float]]) -> None:
        """Count the parts of the reward: of a prompt's answers, and of the rows that were made of them."""
        for whose, several in (("answers", answers), ("rows", rows)):
            for name, score in (pair for parts in several for pair in parts.items()):
                self.counts[f"{PART}{name}: {whose}"] += 1
                self.counts[f"{PART}{name}: sum of {whose}"] += score

    def part_means(self) -> dict[str, str]:
        """By the name of a part: its mean over all answers, and over the rows: what choosing by the reward brings."""
        found = {}
        for key in [key for key in self.counts if key.startswith(PART) and key.endswith(": sum of rows")]:
            name = key.removesuffix(": sum of rows")
            answers, rows = (
                self.counts[f"{name}: sum of {w}"] / self.counts[f"{name}: {w}"] for w in ("answers", "rows")
            )
            found[f"mean of {name.removeprefix(PART)}"] = f"{answers:.3f} of all answers, {rows:.3f} of the rows"
        return found

    def counted(self) -> dict[str, str]:
        """What an environment counted, an answer in the mean; nothing where there was none."""
        names = [name for name in self.counts if name.startswith(COUNTED)]
        means = [f"{self.counts[n] / self.counts['answers']:.2f} {n.removeprefix(COUNTED)}" for n in names]
        return {"an answer in the mean": ", ".join(means)} if means else {}

    def _whole(self, group: Sequence[Trajectory], cut_off_too: bool) -> Iterator[Trajectory]:
        seen: set[str] = set()
        for one in group:
            if one.reward is None:
                self.counts["without a reward"] += 1
                self.failures.update(one.failures.keys())
                name, why = next(iter(one.failures.items()))
                self.first_failure = self.first_failure or f"rewards.{name}: {one.place}: {why}"
            elif one.truncated and not cut_off_too:
                self.counts["left out: cut off"] += 1
            elif not one.text.strip() or any(map(_is_empty, one.said)):
                self.counts["left out: empty"] += 1
            elif not any(_is_trained(message) for message in _said(one)):
                self.counts["left out: no call that can be read"] += 1
            elif (whole := json.dumps(_said(one))) in seen:
                self.counts["left out: duplicate"] += 1
            else:
                seen.add(whole)
                yield one


def _is_trained(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant" and message.get("train", True)


def _is_empty(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant" and not any(map(message.get, ("content", "reasoning_content", "tool_calls")))


def _reward(one: Trajectory) -> float:
    assert one.reward is not None  # or it is not usable
    return one.reward


def _begins(better: Trajectory, worse: Trajectory) -> bool:
    """Whether the better answer has all turns of the worse one, so that nothing speaks against those."""
    return bool(worse.said) and better.said[: len(worse.said)] == worse.said


def _said(one: Trajectory) -> list[dict[str, Any]]:
    return list(one.said) or [{"role": "assistant", "content": one.text}]


def _about(one: Trajectory) -> dict[str, Any]:
    about = {"reward": one.reward, "parts": one.parts, "sample": one.sample, "finish_reason": one.finish_reason}
    return {**about, "counts": one.counts} if one.counts else about


def _row(prompt: Prompt, one: Trajectory) -> dict[str, Any]:
    """A prompt and its completion, so that no earlier turn of the assistant is trained."""
    return {"prompt": prompt.messages, "completion": _said(one), **_about(one), "origin": prompt.name}


def _pair(prompt: Prompt, better: Trajectory, worse: Trajectory) -> dict[str, Any]:
    return {
        "prompt": prompt.messages,
        "chosen": _said(better),
        "rejected": _said(worse),
        "margin": _reward(better) - _reward(worse),
        "about_chosen": _about(better),
        "about_rejected": _about(worse),
        "origin": prompt.name,
    }
