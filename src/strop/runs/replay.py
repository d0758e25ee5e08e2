"""The recipe of a run that was made before, from the run's folder; its paths mean what they meant. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from strop.common.errors import InputError
from strop.config.recipe import Recipe, load_recipe
from strop.runs.provenance import FILE, read_provenance

CONFIG = "config.yaml"


def recipe_at(path: Path, overrides: Sequence[str], say: Callable[[str], None]) -> Recipe:
    """The recipe in a file; of a run folder, or a ``config.yaml`` in one, that of the run.

    A run's paths are relative to the directory in which it was made, as overrides then are too, so this process goes
    there; but ``folder=`` means what it means here, and a run that was moved or copied is that of the folder named.
    Raises InputError where that directory, or the run, is not there, and as `load_recipe`.
    """
    here = Path.cwd()
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise InputError(f"{path} is a folder without {CONFIG}; give a recipe (YAML), or the folder of a run.")
        path = path / CONFIG
    if path.name != CONFIG:
        return load_recipe(path, overrides)
    path = Path(os.path.abspath(path))
    for folder in (path.parent, path.parent.parent):  # a stage has one too
        if directory := read_provenance(folder).get("directory"):
            break
    else:
        return load_recipe(path, overrides)
    if not Path(directory).is_dir():
        raise InputError(
            f"{folder} was made in {directory}, which is not there, and {folder / FILE} says so; copy {path} to where "
            "its data are, under another name, and run that."
        )
    if Path(directory) != here:
        say(f"in {directory}, where {folder.name} was made:")
        os.chdir(directory)
    recipe = load_recipe(path, overrides)
    named = {override.partition("=")[0] for override in overrides}
    if "folder" in named and Path.cwd() != here:
        return recipe.model_copy(update={"folder": here / recipe.run_folder})
    if named & {"folder", "name"} or recipe.run_folder.resolve() == folder.resolve():
        return recipe
    return recipe.model_copy(update={"folder": folder})
