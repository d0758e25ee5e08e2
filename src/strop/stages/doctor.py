"""The whole examination of what later stages train on, as a stage: what `strop doctor` says, kept beside the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from strop.common.errors import InputError
from strop.common.files import write_json
from strop.stages.base import Context, Stage, StageResult, register

if TYPE_CHECKING:
    from strop.config.recipe import Recipe

FOUND = "findings.json"


@register("doctor")
class DoctorStage(Stage):
    """Every check of `strop doctor` on the data of one stage; all that was found goes to ``findings.json``."""

    kind: Literal["doctor"]
    of: str = Field(description="The stage whose data are looked at, e.g. sft.")
    stop_at: Literal["error", "never"] = Field("error", description="Whether an error among the findings ends the run.")

    def check(self, recipe: Recipe) -> None:
        if self.of not in recipe.stages:
            raise ValueError(f"of: {self.of!r} is no stage of this recipe ({', '.join(recipe.stages)}).")
        stage = recipe.stages[self.of]
        if stage.examined() is None:
            raise ValueError(f"of: stage {self.of} trains on no conversations, so there is nothing to look at.")
        if makers := list(stage.reads()):
            raise ValueError(
                f"of: stage {self.of} trains on rows that {makers[0]} makes, which are looked at when it begins; name "
                "a stage that trains on files or tasks."
            )

    def inputs(self, recipe: Recipe) -> dict[str, Any]:
        return {"looked_at": recipe.stages[self.of].inputs(recipe)}

    def local_data(self, recipe: Recipe) -> Iterator[Path]:
        yield from recipe.stages[self.of].local_data(recipe)

    def run(self, context: Context) -> StageResult:
        from strop.doctor.examine import examine
        from strop.doctor.show import show

        recipe = context.recipe
        examined = recipe.stages[self.of].examined()
        assert examined is not None  # see check
        found = examine(recipe, examined, context.console, settings_given=True, whole=False)
        show(found, context.console)
        write_json(context.folder / FOUND, found.to_dict())
        if found.exit_code and self.stop_at == "error":
            raise InputError(
                f"{context.name}: the data of stage {self.of} have errors, listed above and in "
                f"{context.folder / FOUND}; mend them, or set stages.{context.name}.stop_at=never."
            )
        levels = [finding.level for finding in found.findings]
        said = {level: levels.count(level) for level in dict.fromkeys(levels)}
        return StageResult(
            facts={"looked at": f"the data of stage {self.of}", **{f"{level}s": n for level, n in said.items()}}
        )
