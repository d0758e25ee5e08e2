"""ARC: grade-school science questions, an easy and a hard part (Clark et al. 2018, arXiv:1803.05457)."""

from __future__ import annotations

from strop.tasks.base import register
from strop.tasks.multiple_choice import MultipleChoice

_SOURCE = (
    "allenai/ai2_arc (hub), or path: a file in AI2's own layout or the hub's (Clark et al. 2018, arXiv:1803.05457)"
)


@register("arc_easy")
class ArcEasy(MultipleChoice):
    """By the options' texts, without examples, as lm-evaluation-harness's ``arc_easy``."""

    hub, subset = "allenai/ai2_arc", "ARC-Easy"
    source = _SOURCE
    licence = "CC BY-SA 4.0"


@register("arc_challenge")
class ArcChallenge(ArcEasy):
    """The questions that retrieval and word statistics get wrong."""

    subset = "ARC-Challenge"
