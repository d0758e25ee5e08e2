"""A checkpoint that is not as it was written is named and passed over; a foreign one is refused and left as it is."""

import json
import shutil

import pytest
import torch
from small_runs import SETTINGS, deterministic_rows, run

from strop.common.errors import InputError
from strop.train.checkpoint import checkpoints, newest_whole
from strop.train.manifest import Damaged, check_whole, versions, write_manifest


@pytest.fixture(scope="module")
def kept(make_model, tmp_path_factory):
    """The folder of a run with checkpoints of steps 3, 6, 9 and 12, and its weights at the end."""
    folder = tmp_path_factory.mktemp("kept")
    model = make_model()
    run(model, folder, SETTINGS.model_copy(update={"keep_last": 4}))
    return folder, model


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


HARM = {
    "a file cut short": lambda folder: truncate(folder / "optimizer.pt"),
    "a bit of the weights": lambda folder: flip(folder / "model.safetensors"),
    "a bit of the state": lambda folder: flip(folder / "state.pt"),
    "a missing file": lambda folder: (folder / "model.safetensors").unlink(),
    "a missing manifest": lambda folder: (folder / "manifest.json").unlink(),
    "an unreadable manifest": lambda folder: truncate(folder / "manifest.json") or flip(folder / "manifest.json"),
    "half a manifest": lambda folder: (folder / "manifest.json").write_text('{"format": 2'),
    "an empty folder": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_checkpoint_is_named_and_the_one_before_gone_on_from(harm, kept, make_model, tmp_path, capsys):
    whole, model = kept
    shutil.copytree(whole, tmp_path / "cut")
    folder = tmp_path / "cut/checkpoints"
    for step in (9, 12):
        HARM[harm](folder / f"step-{step:06d}") if step == 12 else shutil.rmtree(folder / f"step-{step:06d}")
    resumed = make_model(seed=7)
    run(resumed, tmp_path / "cut", SETTINGS)
    said = capsys.readouterr().out
    assert "step-000012" in said
    assert "This checkpoint is damaged and passed over." in said
    assert "going on from step 6 of 12" in said
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), resumed.parameters(), strict=True))
    assert deterministic_rows(tmp_path / "cut") == deterministic_rows(whole)
    assert [path.name for path in checkpoints(folder)] == ["step-000012"]
    assert (folder / "step-000012.damaged").is_dir()


def test_where_all_are_damaged_nothing_is_begun_anew_in_silence(kept, make_model, tmp_path):
    shutil.copytree(kept[0] / "checkpoints/step-000003", tmp_path / "checkpoints/step-000003")
    flip(tmp_path / "checkpoints/step-000003/model.safetensors")
    with pytest.raises(InputError, match=r"every checkpoint is damaged \(step-000003\).*--fresh"):
        run(make_model(), tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"checkpoint.json": '{"step": 5}', "state.pt": ""}, "is a checkpoint of an earlier strop, without manifest"),
        ({"trainer_state.json": "{}"}, "no checkpoint of strop: it looks like transformers' Trainer"),
        ({"notes.txt": "x"}, "is no checkpoint of strop. Name one"),
        ({"manifest.json": '{"format": 3, "files": {}}'}, "of format 3, and this strop reads 2"),
    ],
)
def test_a_foreign_or_older_checkpoint_is_refused_and_stays(files, said, make_model, tmp_path):
    place = tmp_path / "checkpoints/step-000005"
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_text(content)
    with pytest.raises(InputError, match=said):
        run(make_model(), tmp_path)
    assert {path.name: path.read_text() for path in place.iterdir()} == files
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_the_manifest_names_every_file_and_what_wrote_it(kept):
    place = checkpoints(kept[0] / "checkpoints")[-1]
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["files"].keys() == {path.name for path in place.iterdir()} - {"manifest.json"}
    assert manifest["versions"] == versions()
    check_whole(place)
    assert newest_whole(place.parent, print) == place
    assert newest_whole(place.parent, print, up_to=8).name == "step-000006"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda shard: shard.unlink(), "is missing"),
        (truncate, "has 999 bytes instead of 1,000"),
        (flip, r"its content is not what was written \(sha256\)"),
    ],
)
def test_shards_are_in_the_manifest_too(harm, said, kept, tmp_path):
    place = tmp_path / "step-000003"
    shutil.copytree(kept[0] / "checkpoints/step-000003", place)
    (place / "manifest.json").unlink()
    (place / "shards").mkdir()
    for rank in range(2):
        (place / f"shards/__{rank}_0.distcp").write_bytes(bytes([rank]) * 1000)
    write_manifest(place)
    check_whole(place)
    harm(place / "shards/__1_0.distcp")
    with pytest.raises(Damaged, match=f"shards/__1_0.distcp: {said}"):
        check_whole(place)
