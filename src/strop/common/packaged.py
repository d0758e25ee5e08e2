"""What comes with strop, by name: recipes, and a tokenizer of bytes that their small models read."""

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "recipes"


def built_in_recipes() -> list[str]:
    """Their names, in alphabetical order."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def recipe_file(path: Path) -> Path:
    """The file of a built-in recipe where ``path`` is its name and nothing is there; else ``path`` itself."""
    name = path.name.removesuffix(".yaml")
    built_in = path.name == str(path) and name in built_in_recipes() and not path.exists()
    return _FOLDER / f"{name}.yaml" if built_in else path


def tokenizer_folder(name: str) -> Path | None:
    """The folder of a built-in tokenizer; None where there is none of this name.

    ``characters``: every byte a token, and the four tokens of a chat.
    """
    return _FOLDER / name if (_FOLDER / name / "tokenizer.json").is_file() else None
