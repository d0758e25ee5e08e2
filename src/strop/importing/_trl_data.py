"""Which data TRL's scripts read: a data set, or a mixture (``datasets``, or that of alignment-handbook and open-r1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strop.common.errors import InputError
from strop.importing import _sources
from strop.importing._transformers import NEVER
from strop.importing.draft import Draft, number

_KNOWN = {"path", "name", "split", "data_files"}
_MIXED = {"id", "config", "split", "weight", "columns"}
_USUAL = {"messages", "conversations", "prompt", "completion", "chosen", "rejected", "text", "label", "system", "tools"}


def data(draft: Draft, evaluated: str) -> list[dict[str, Any]]:
    """The parts to train on, and what is evaluated where evaluation is on."""
    if (mixture := draft.get("dataset_mixture")) is not None:
        return _mixture(draft, mixture)
    if (mixer := draft.get("dataset_mixer")) is not None:
        return _mixer(draft, mixer, evaluated)
    listed = draft.get("datasets")
    if isinstance(listed, list) and listed:
        parts = [part for n, one in enumerate(listed) for part in _parts_of(draft, one, n)]
        draft.put("data", parts, "datasets")
        _held_out(draft, draft.get("test_split_size"), "test_split_size")
        return parts
    name = draft.text("dataset_name")
    if name is None:
        return []
    subset, split = draft.text("dataset_config"), draft.text("dataset_train_split")
    parts = [_sources.part(name, subset=subset, split=split if split != "train" else None)]
    draft.put("data", parts, "dataset_name", "dataset_config", "dataset_train_split")
    if evaluated.lower() not in NEVER:
        other = draft.text("dataset_test_split")
        draft.put("eval_data", [_sources.part(name, subset=subset, split=other)], "dataset_test_split")
    draft.needless("dataset_test_split", "nothing is evaluated on it")
    return parts


def _held_out(draft: Draft, size: Any, name: str) -> None:
    """A share for evaluation, of which reinforcement learning has none."""
    if not size:
        return
    if draft.stage["kind"] == "rl":
        draft.leave(name, "evaluations are tasks: evals: {NAME: {task: answers, path: FILE, grader: number}}")
    elif number(size) < 1:
        draft.put("eval_data", {"fraction": number(size)}, name)
    else:
        draft.leave(name, "a share is held out, not a number: eval_data={fraction: 0.1}")


def _parts_of(draft: Draft, one: Any, number: int) -> list[dict[str, Any]]:
    """A data set of ``datasets``; where its files are named, each of them is a part."""
    one = one if isinstance(one, Mapping) else {"path": str(one)}
    at = f"{draft.called('datasets')}.{number}"
    if not one.get("path"):
        raise InputError(f"{draft.source}: {at}: has no path; name the file or data set.")
    name, split, files = str(one["path"]), str(one.get("split") or "train"), one.get("data_files")
    for key in set(one) - _KNOWN:
        why = "see `columns` of a part" if key == "columns" else "a part takes `count` rows, or a slice as its split"
        why = why if key in ("columns", "fraction") else "is no setting of a data set there"
        if key == "data_dir":
            why = "name the folder as the path, or as `subset` of a data set on the hub"
        _leave(draft, f"{at}.{key}", one[key], why)
    more = {"subset": one.get("name"), "split": split if split != "train" else None}
    if not files:
        return [_sources.part(name, **more)]
    if (listed := _sources.named_files(name, files, split)) is None:
        _leave(draft, f"{at}.data_files", files, "a data set on the hub is read by its `subset` and `split`, not by "
               "files: download those, and name each as a part")  # fmt: skip
        return [_sources.part(name, **more)]
    if not listed:
        raise InputError(f"{draft.source}: {at}: its data_files have none for {split}; correct them.")
    if isinstance(files, Mapping) and len(files) > 1:
        _leave(draft, f"{at}.data_files", files, f"those of {split.partition('[')[0]} are the parts, the others are "
               "not read")  # fmt: skip
    if one.get("name"):
        _leave(draft, f"{at}.name", one["name"], "is of a data set on the hub; files have no configurations")
    sliced = split if "[" in split else None
    if sliced and len(listed) > 1:
        _leave(draft, f"{at}.split", split, "it is a slice of all files together there, and of each here")
    return [_sources.part(file, split=sliced) for file in listed]


def _mixture(draft: Draft, mixture: Any) -> list[dict[str, Any]]:
    """``dataset_mixture: {datasets: [{id, config, split, columns, weight}], seed, test_split_size}``."""
    listed = mixture.get("datasets") if isinstance(mixture, Mapping) else None
    if not isinstance(listed, list) or not all(isinstance(one, Mapping) and one.get("id") for one in listed):
        raise draft.wrong("dataset_mixture", "expected datasets, a list of {id: NAME}; correct it.")
    parts = []
    for n, one in enumerate(listed):
        at = f"{draft.called('dataset_mixture')}.datasets.{n}"
        split = _share(draft, str(one.get("split") or "train"), one.get("weight"), f"{at}.weight")
        parts.append(_sources.part(str(one["id"]), subset=one.get("config"), split=split if split != "train" else None))
        for key in sorted(set(one) - _MIXED):
            _leave(draft, f"{at}.{key}", one[key], "is no setting of a data set there")
        columns = one.get("columns") or []
        if not set(columns) <= _USUAL:
            _leave(draft, f"{at}.columns", columns, "rows are known by their columns; name others in `columns` of a "
                   "part")  # fmt: skip
    draft.put("data", parts, "dataset_mixture")
    _held_out(draft, mixture.get("test_split_size"), "dataset_mixture")
    draft.needless("dataset_name", "dataset_mixture goes before it")
    return parts


def _mixer(draft: Draft, mixer: Any, evaluated: str) -> list[dict[str, Any]]:
    """``dataset_mixer: {NAME: share}`` with ``dataset_splits: [train_sft, test_sft]``."""
    if not isinstance(mixer, Mapping):
        raise draft.wrong("dataset_mixer", "expected data sets by name, each with its share; correct it.")
    splits, configs = draft.texts("dataset_splits") or ["train", "test"], draft.texts("dataset_configs")
    named: list[str | None] = list(configs) if len(configs) == len(mixer) else [None] * len(mixer)
    parts: dict[str, list[dict[str, Any]]] = {"data": [], "eval_data": []}
    for (name, share), config in zip(mixer.items(), named, strict=True):
        for split in splits:
            own = "eval_data" if "test" in split else "data"
            taken = _share(draft, split, share if own == "data" else None, f"dataset_mixer.{name}")
            parts[own].append(_sources.part(str(name), subset=config, split=taken if taken != "train" else None))
    draft.put("data", parts["data"], "dataset_mixer", "dataset_splits", "dataset_configs")
    if parts["eval_data"] and evaluated.lower() not in NEVER:
        draft.put("eval_data", parts["eval_data"], "dataset_mixer", "dataset_splits")
    return parts["data"]


def _share(draft: Draft, split: str, weight: Any, name: str) -> str:
    """The slice of a split that holds so much of it; theirs is drawn, ours is its beginning."""
    if weight is None or number(weight) == 1:
        return split
    percent = round(number(weight) * 100)
    if not 0 < number(weight) < 1 or "[" in split or not 0 < percent < 100:
        raise InputError(f"{draft.source}: {name}: expected a share above 0 and up to 1, found {weight!r:.40}; correct "
                         "it.")  # fmt: skip
    draft.note(f"{name} {number(weight):g} takes rows drawn at random; here the first {percent} % of {split}.")
    return f"{split}[:{percent}%]"


def _leave(draft: Draft, setting: str, value: Any, reason: str) -> None:
    draft.unmapped.append({"setting": setting, "value": value, "reason": reason})
