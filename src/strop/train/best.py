"""The weights with which a metric was best, kept beside the checkpoints until they become the stage's model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from strop.common.errors import InputError
from strop.common.folders import whole_folder
from strop.train.checkpoint import best_step, checkpoints
from strop.train.evaluations import Wanted
from strop.train.optim import tensor_bytes
from strop.train.weights import Weights

FILE = "model.safetensors"


class Best:
    """``folder/best/step-NNNNNN`` holds the trained tensors of the best step so far, in float32; of equals the first.

    What is known of it stands in the run's totals under ``best`` (``metric``, ``step``, ``value``, and ``last``, the
    newest value), so it goes with the checkpoints: a run that goes on finds the file that its checkpoint speaks of, the
    newest or an earlier one.
    """

    def __init__(self, wanted: Wanted, weights: Weights, folder: Path):
        self.wanted, self._weights, self._folder = wanted, weights, folder / "best"
        self._checkpoints = folder / "checkpoints"

    def look(self, step: int, row: Mapping[str, Any], totals: dict[str, Any], write: bool) -> None:
        """Keep the weights of now where ``row`` has the best value so far. ``write``: on the first rank."""
        value = row.get(self.wanted.key)
        if value is None:
            return
        known = totals.get("best")
        if known is not None and self.wanted.better * (value - known["value"]) <= 0:
            totals["best"] = {**known, "last": value, "last_step": step}
            return
        whole = {name: tensor.cpu() for name, tensor in self._weights.wholes() if write}  # which all ranks take part in
        if write:
            with whole_folder(self._place(step), tensor_bytes([whole]), replace=True) as scratch:
                save_file({name: tensor.contiguous() for name, tensor in whole.items()}, str(scratch / FILE))
            self._drop_all_but(step)
        found = {"metric": self.wanted.name, "better": self.wanted.better, "step": step, "value": value}
        totals["best"] = {**found, "last": value, "last_step": step}

    def checkpointed(self, totals: Mapping[str, Any]) -> None:
        """A checkpoint with these totals is there: what neither it nor another one speaks of goes."""
        self._drop_all_but(totals["best"]["step"] if "best" in totals else None)

    def put_back(self, totals: Mapping[str, Any]) -> None:
        """Give the weights the values of the best step. Raises InputError where its file is gone."""
        file = self._place(totals["best"]["step"]) / FILE
        if not file.is_file():
            raise InputError(
                f"{file} is gone, which holds the best weights of the run: do the stage again with --fresh."
            )
        with safe_open(file, "pt") as saved:
            self._weights.take(saved.get_tensor)

    def _place(self, step: int) -> Path:
        return self._folder / f"step-{step:06d}"

    def _drop_all_but(self, step: int | None) -> None:
        """But that of ``step`` too, what a checkpoint speaks of that the run may go back to."""
        spoken = [best_step(checkpoint) for checkpoint in checkpoints(self._checkpoints)]
        kept = {self._place(one) for one in (step, *spoken) if one is not None}
        for place in self._folder.glob("step-*"):
            if place not in kept:
                shutil.rmtree(place)
