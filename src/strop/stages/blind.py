"""A page on which a person judges two evaluations' answers without knowing whose they are, as a stage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from strop.stages.base import Context, Stage, StageResult, register

if TYPE_CHECKING:
    from strop.config.recipe import Recipe

PAGE = "pairs.html"


@register("blind")
class BlindStage(Stage):
    """``pairs.html`` with the key beside it; votes are read by `strop compare --votes`."""

    kind: Literal["blind"]
    of: tuple[str, str] = Field(description="The two evaluations: earlier stages, e.g. [baseline, after_sft].")
    task: str | None = Field(None, description="Whose answers; by default those of the first task that has any.")
    count: int = Field(50, ge=1, description="How many pairs.")
    seed_of_pairs: int = Field(0, ge=0, description="Draws the pairs, and who stands left.")
    if_stopped: ClassVar[str] = "it is written again by the same command"

    def check(self, recipe: Recipe) -> None:
        earlier = list(recipe.stages)[: next(i for i, one in enumerate(recipe.stages.values()) if one is self)]
        for name in self.of:
            if name not in earlier:
                raise ValueError(f"of: {name!r} is no earlier stage ({', '.join(earlier) or 'there is none'}).")
        if self.of[0] == self.of[1]:
            raise ValueError(f"of: {self.of[0]} would be compared with itself; name two stages.")

    def reads(self) -> Iterator[str]:
        yield from self.of

    def run(self, context: Context) -> StageResult:
        import shlex

        from strop.compare.blind import choose, write_blind
        from strop.compare.comparison import compare_sides
        from strop.report.sides import read_side

        folders = [context.recipe.run_folder / name for name in self.of]
        [comparison] = compare_sides(read_side(folders[0]), [read_side(folders[1])])
        chosen = choose(comparison, self.task, self.count, self.seed_of_pairs)
        page = context.folder / PAGE
        key = write_blind(page, chosen, comparison, self.seed_of_pairs)
        votes = page.with_name(f"{page.stem}.votes.jsonl")
        context.say(f"page: {page} ({len(chosen.pairs):,} pairs of {chosen.task}); its key {key} is not for who judges")
        both = " ".join(shlex.quote(str(folder)) for folder in folders)
        context.say(f"when votes are saved beside it: strop compare {both} --votes {shlex.quote(str(votes))}")
        return StageResult(facts={"blind pairs": f"{len(chosen.pairs):,} of {chosen.task}, in {page}"})
