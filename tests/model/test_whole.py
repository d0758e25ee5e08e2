"""Files of a model that are missing, cut off or of something else: which one, and what to do, in one sentence."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from strop.cli import main
from strop.common.errors import InputError
from strop.model.names import load_model, load_tokenizer, resolve

WEIGHTS = "model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n"


def split(folder, written=(1, 2)):
    """The weights in two files and an index, of which those in ``written`` are there."""
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    place = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(sorted(weights))}
    for number in written:
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({n: w for n, w in weights.items() if place[n] == file}, folder / file, metadata={"format": "pt"})
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))


def cut(folder, size):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:size])


def configured(folder, **settings):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


def as_pickle(folder):
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"junk")


def index_of_nothing(folder):
    (folder / WEIGHTS).unlink()
    (folder / f"{WEIGHTS}.index.json").write_text("{}")


FAULTS = {
    "a missing shard": (
        lambda folder: split(folder, [1]),
        "1 of the 2 files of its weights is not there (the first is",
    ),
    "cut off": (lambda folder: cut(folder, 5000), "model.safetensors: is cut off, or its header is damaged"),
    "empty": (lambda folder: cut(folder, 0), "model.safetensors: is empty; download or save the model again"),
    "a pointer": (lambda folder: (folder / WEIGHTS).write_text(POINTER), "a pointer of Git LFS and not the weights"),
    "none": (lambda folder: (folder / WEIGHTS).unlink(), "holds no weights (no model.safetensors, no model.safe"),
    "an empty index": (index_of_nothing, "model.safetensors.index.json: names no weights"),
}
IN_LOADING = {
    "no pickle": (as_pickle, "its .bin files hold no weights"),
    "fewer layers": (lambda folder: configured(folder, num_hidden_layers=1), "hold layers that config.json does not"),
    "a wrong config": (lambda folder: configured(folder, num_attention_heads=5), "32) is not a multiple of the number"),
    "own code": (
        lambda folder: configured(folder, model_type="x", auto_map={"AutoConfig": "a.B"}),
        "Its own code (auto_map) is not run",
    ),
}


@pytest.fixture
def copy(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "copy")


@pytest.mark.parametrize("fault", [*FAULTS, *IN_LOADING])
def test_weights(copy, fault):
    break_it, said = {**FAULTS, **IN_LOADING}[fault]
    break_it(copy)
    with pytest.raises(InputError) as raised:
        load_model(copy)
    assert said in str(raised.value)
    assert str(raised.value).startswith(str(copy))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_export_hands_no_broken_model_on(copy, tmp_path, capsys, fault):
    break_it, said = FAULTS[fault]
    break_it(copy)
    assert main(["export", str(copy), "--to", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_whole_shards_load_and_so_do_layers_that_predict_further_tokens(copy):
    split(copy)
    configured(copy, num_hidden_layers=1, num_nextn_predict_layers=1)
    assert len(load_model(copy).model.layers) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", b"{", "tokenizer.json is not JSON"),
        ("tokenizer.json", b"", "tokenizer.json is not JSON"),
        ("tokenizer_config.json", b"nope", "tokenizer_config.json is not JSON"),
        ("chat_template.jinja", b"\xff\xfe", "chat_template.jinja is not UTF-8"),
    ],
)
def test_the_tokenizers_files(copy, name, content, said):
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=f"the tokenizer does not load: {said}"):
        load_tokenizer(copy)


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_not_where_one_is(copy, monkeypatch, name):
    monkeypatch.chdir(copy)
    with pytest.raises(InputError, match="the model's name is empty"):
        resolve(name)
