"""Data sets of axolotl: what of each of them a part of strop's data has, and what it has not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from strop.chat.conversation import REASONING_NAMES
from strop.common.errors import InputError
from strop.importing import _sources
from strop.importing.draft import Draft, names

# `type` of a data set -> strop's format; what comes after a dot in it is a way of reading the columns.
_FORMATS = {"alpaca": "alpaca", "chat_template": "auto", "sharegpt": "sharegpt", "completion": "text"}
_FIELDS = {"field_instruction": "instruction", "field_input": "input", "field_output": "output",
           "field_system": "system", "field_prompt": "prompt", "field_chosen": "chosen", "field_rejected": "rejected",
           "field_completion": "completion", "field_label": "label"}  # fmt: skip
# Ways of reading the columns of pairs by the names that strop knows too, in a template of axolotl's own.
_PAIRED = names("default argilla argilla_chat icr intel prompt_pairs ultra")
_PLACE = names("path type split name data_files revision")
_COLUMNS = names(
    "field field_messages field_tools field_chosen field_rejected field_thinking message_property_mappings "
    "message_field_role message_field_content roles_to_train train_on_eos chat_template"
)
_USUAL: dict[str, tuple[Any, ...]] = {
    "roles_to_train": (None, ["assistant"], ["gpt"], ["assistant", "gpt"], ["gpt", "assistant"]),
    "train_on_eos": (None, "turn"),
    "chat_template": (None, "tokenizer_default", "jinja"),
    "field_thinking": (None, *REASONING_NAMES),
}
_OTHERWISE = {
    "roles_to_train": "the assistant's turns are trained (chat.train_on)",
    "train_on_eos": "the stop token of every trained turn is trained",
    "chat_template": "a recipe has one template for all data (chat.template)",
    "field_thinking": f"a message's thoughts are read as {', '.join(REASONING_NAMES)}; rename it",
}
"""Why strop has nothing for other values than those of `_USUAL`."""
_UNREAD = {
    "trust_remote_code": "code from the hub is not run",
    "text_column": "is of a pretraining_dataset; the text of a part is its `columns: {text: …}`",
}

Leave = Callable[[str, str], None]


def data(draft: Draft, stage: str) -> None:
    column = "pretraining_dataset" if stage == "pretrain" else "datasets"
    draft.known |= {"datasets", "pretraining_dataset"}
    given = draft.get(column)
    given = _listed(draft, column, given or [])
    parts = [part for n, one in enumerate(given) for part in _parts(draft, one, f"{column}.{n}", stage)]
    if parts:
        draft.put("data", parts, column)
    if tests := draft.get("test_datasets"):
        held = [part for n, one in enumerate(_listed(draft, "test_datasets", tests))
                for part in _parts(draft, one, f"test_datasets.{n}", stage)]  # fmt: skip
        draft.put("eval_data", held, "test_datasets")
    size = draft.number("val_set_size") or 0
    if 0 < size < 1 and stage != "grpo":
        draft.put("eval_data", {"fraction": size}, "val_set_size")
    elif size and stage == "grpo":
        draft.leave("val_set_size", "evaluations are tasks: evals: {NAME: {task: answers, path: FILE, grader: number}}")
    elif size:
        draft.leave("val_set_size", "a share is held out, not a number: eval_data={fraction: 0.1}")
    draft.needless("val_set_size", "nothing is held out")


def _listed(draft: Draft, name: str, given: Any) -> list[Any]:
    given = [given] if isinstance(given, str | Mapping) else given
    if not isinstance(given, list):
        raise draft.wrong(name, f"expected a list of data sets, found {given!r:.60}; correct it.")
    return given


def _parts(draft: Draft, one: Any, at: str, stage: str) -> list[dict[str, Any]]:
    """A data set; where its files are named, each of them is a part."""
    one = {"path": one} if isinstance(one, str) else one
    if not isinstance(one, Mapping) or not one.get("path"):
        raise InputError(f"{draft.source}: {at}: has no path; name the file or data set.")

    def leave(key: str, reason: str) -> None:
        value = one["message_property_mappings"][key.partition(".")[2]] if "." in key else one[key]
        draft.unmapped.append({"setting": f"{at}.{key}", "value": value, "reason": reason})

    columns: dict[str, str] = {}
    found: dict[str, Any] = {}
    read = _PLACE
    if stage == "pretrain":
        found, columns = {"format": "text"}, {"text": one["text_column"]} if one.get("text_column") else {}
        read |= {"text_column"}
    elif stage == "grpo":
        if one.get("type") is not None:
            leave("type", "a function of another program makes the prompts; name the columns with `prompt` and `truth`")
    else:
        found, columns = _type(draft, one.get("type"), at, stage, leave)
        columns |= _columns(one, leave)
        read |= _COLUMNS
    _unread(draft, one, at, read, leave)
    return _places(one, leave, columns, found)


def _type(draft: Draft, kind: Any, at: str, stage: str, leave: Leave) -> tuple[dict[str, Any], dict[str, str]]:
    """Format and columns that ``type`` says."""
    if isinstance(kind, Mapping):
        columns = {_FIELDS[key]: value for key, value in kind.items() if key in _FIELDS and value}
        rest = {key: value for key, value in kind.items() if key not in _FIELDS and value is not None}
        if rest:
            leave("type", f"prompts are put by the model's chat template, so {', '.join(rest)} is not used")
        return {}, columns
    if not isinstance(kind, str):
        return {}, {}
    name = kind.partition(".")[0].partition(":")[0]
    if stage == "sft" and name in _FORMATS:
        if name == "alpaca":
            draft.note(f"{at}: their text of Alpaca's prompts is not used; instruction and input are the user's "
                       "turn in the model's own chat template.")  # fmt: skip
        return ({"format": _FORMATS[name]} if _FORMATS[name] != "auto" else {}), {}
    if stage != "sft" and kind.rpartition(".")[2] in _PAIRED:
        reason = "rows are known by their columns, and prompts are put by the model's own chat template"
        draft.not_needed.append({"setting": f"{at}.type", "value": kind, "reason": reason})
    else:
        leave("type", "rows are known by their columns; map them with `columns` where they are not")
    return {}, {}


def _columns(one: Mapping[str, Any], leave: Leave) -> dict[str, str]:
    """What columns and fields of messages are called."""
    columns = {own: one[key] for key, own in (("field_chosen", "chosen"), ("field_rejected", "rejected"))
               if one.get(key) not in (None, own)}  # fmt: skip
    if one.get("field"):
        columns["text"] = one["field"]
    if one.get("field_messages") not in (None, "messages", "conversations"):
        columns["messages"] = one["field_messages"]
    if one.get("field_tools") not in (None, "tools"):
        columns["tools"] = one["field_tools"]
    mappings = dict(one.get("message_property_mappings") or {})
    fields = (("message_field_role", "role"), ("message_field_content", "content"))
    called = mappings | {own: one[key] for key, own in fields if key in one}
    if {called.get("role", "role"), called.get("content", "content")} not in ({"role", "content"}, {"from", "value"}):
        key = "message_property_mappings" if "message_property_mappings" in one else "message_field_role"
        leave(key, "strop reads role and content, or from and value, of a message")
    for own, name in mappings.items():
        known = REASONING_NAMES if own in REASONING_NAMES else (own,)
        if own not in ("role", "content") and name not in known:
            leave(f"message_property_mappings.{own}", f"a message's {own} is read as {', '.join(known)}; rename it")
    for key, usual in _USUAL.items():
        if one.get(key) not in usual:
            leave(key, _OTHERWISE[key])
    return columns


def _unread(draft: Draft, one: Mapping[str, Any], at: str, read: frozenset[str], leave: Leave) -> None:
    """Every key that a part has nothing for."""
    for key in one:
        if key in read:
            continue
        if key == "ds_type" or one[key] is None or one[key] is False:
            reason = "files are known by their names" if key == "ds_type" else "off, as here"
            draft.not_needed.append({"setting": f"{at}.{key}", "value": one[key], "reason": reason})
        elif key in _COLUMNS:
            leave(key, "rows of text have none" if "text_column" in read else "name the columns with `prompt` and "
                  "`truth` of a part")  # fmt: skip
        else:
            leave(key, _UNREAD.get(key, "is no setting of a part of strop's data"))


def _places(
    one: Mapping[str, Any], leave: Leave, columns: dict[str, str], found: dict[str, Any]
) -> list[dict[str, Any]]:
    """The parts: the data set, or each of its files."""
    files, split = one.get("data_files"), str(one.get("split") or "train")
    listed = _sources.named_files(str(one["path"]), files, split) if files else None
    if files and listed is None:
        leave("data_files", "name the files' folder, or each file as a part")
    elif isinstance(files, Mapping) and len(files) > 1:
        leave("data_files", f"those of {split.partition('[')[0]} are the parts, the others are not read")
    if listed and "[" in split and len(listed) > 1:
        leave("split", "it is a slice of all files together there, and of each here")
    if listed and one.get("name"):
        leave("name", "is of a data set on the hub; files have no configurations")
    split = split if split != "train" and (not listed or "[" in split) else ""
    parts = [_sources.part(place, subset=None if listed else one.get("name"), split=split, columns=columns, **found)
             for place in listed or [str(one["path"])]]  # fmt: skip
    if one.get("revision") and all("hub" in part for part in parts):
        parts = [part | {"revision": str(one["revision"])} for part in parts]
    elif one.get("revision"):
        leave("revision", "is of a data set on the hub; files have none")
    return parts
