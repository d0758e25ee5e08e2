"""A run that was stopped, and its newest checkpoint as a model to talk to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strop.common.errors import InputError
from strop.model.generation import read_json_object
from strop.train.checkpoint import RECORD, checkpoints, is_checkpoint, trained_tensors

if TYPE_CHECKING:
    from strop.rollout.loaded import Loaded


@dataclass(frozen=True)
class Stopped:
    """A stage's newest checkpoint and what stands in its ``checkpoint.json``."""

    checkpoint: Path
    record: dict[str, Any]

    @property
    def where(self) -> str:
        return f"step {self.record.get('step', '?')} of {self.record.get('steps', '?')}"

    @property
    def config(self) -> Path | None:
        """The recipe that the stage was run with."""
        file = self.checkpoint.parents[1] / "config.yaml"
        return file if file.is_file() else None


def stopped_run(path: Path) -> Stopped | None:
    """What is to be talked to where ``path`` is a checkpoint, or a run or stage that has no finished model yet.

    Raises:
        InputError: there are checkpoints, but they do not say what they belong to.
    """
    if not path.is_dir() or (path / "config.json").is_file() or (path / "model" / "config.json").is_file():
        return None
    if is_checkpoint(path):
        return _read(path)
    stages = [path, path.parent] if path.name == "checkpoints" else [path, *sorted(path.glob("*/"))]
    found = [found[-1] for stage in stages if (found := checkpoints(stage / "checkpoints"))]
    if not found:
        return None
    newest = max(found, key=lambda checkpoint: checkpoint.stat().st_mtime_ns)
    models = [config.stat().st_mtime_ns for config in path.glob("*/model/config.json")]
    if (newest.parents[1] / "model" / "config.json").is_file() or max(models, default=0) > newest.stat().st_mtime_ns:
        return None
    return _read(newest)


def restore(stopped: Stopped) -> Loaded:
    """The model with the weights of the checkpoint, made as its stage made it.

    Raises:
        InputError: its base is gone, or the checkpoint does not fit it.
    """
    import torch

    from strop.chat import ChatSettings
    from strop.model.names import resolve
    from strop.model.precision import best_compute
    from strop.model.settings import LoraSettings
    from strop.rollout.loaded import load

    record = stopped.record
    base, lora, place = str(record["base"]), record.get("lora"), record.get("base_folder")
    loaded = load(
        Path(place) if place and (Path(place) / "config.json").is_file() else resolve(base),
        ChatSettings.model_validate(record.get("chat") or {}),
        best_compute(),
        name=base,
        to_train=True,
        lora=LoraSettings.model_validate(lora) if lora else None,
    )
    own = dict(loaded.policy.named_parameters())
    saved = trained_tensors(stopped.checkpoint)
    wrong = [name for name, value in saved.items() if name not in own or own[name].shape != value.shape]
    if wrong:
        raise InputError(f"{stopped.checkpoint}: {wrong[0]} does not fit {base}; go on with the run instead.")
    with torch.no_grad():
        for name, value in saved.items():
            own[name].copy_(value)
        for parameter in loaded.policy.parameters():  # not the buffers: rotary frequencies need their float32
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(loaded.policy.compute.dtype)
    return loaded


def _read(checkpoint: Path) -> Stopped:
    if not (checkpoint / RECORD).is_file():
        raise InputError(
            f"{checkpoint}: this checkpoint does not say which model it belongs to; run the same `strop run` command "
            "again, which goes on from it, and talk to the finished model."
        )
    return Stopped(checkpoint, read_json_object(checkpoint / RECORD))
