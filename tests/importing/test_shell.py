"""Scripts that ``strop import`` reads: what the shell would put in, and what only a run would tell."""

import pytest

from strop.common.errors import InputError
from strop.importing.reading import read_foreign


@pytest.fixture
def given(tmp_path):
    def read(text):
        (tmp_path / "run.sh").write_text(text)
        found = read_foreign(tmp_path / "run.sh")
        assert len(found) == 1
        return found[0].given

    return read


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ("n=$((1024 * 2))", 2048),
        ("k=3\nn=$(( (k + 1) * k ))", 12),
        ("k=3\nm=$((k * 2))\nn=$((${k} + $m))", 9),
        ("n=$((7 / 2))", 3),
        ("n=$((-7 / 2))", -3),
        ("n=$((-7 % 4))", -3),
        ("n=$((2 ** 10))", 1024),
        ("export n=5", 5),
        ("n=${k:-4}", 4),
        ("k=6\nn=${k:-4}", 6),
        ('k=7\nn=${m:-"${k}"}', 7),
        ("n=1; n=2", 2),
        ("if true; then n=8; fi", 8),
        ("n=a\nn+=b", "ab"),
    ],
)
def test_a_variable(given, script, value):
    assert given(f"{script}\npython -m x a.b=$n") == {"a.b": value}


@pytest.mark.parametrize("script", ["n=$((k * 2))", "n=$(date +%s --utc)", "n=`date +%s`", "n=$((2 ** 99))", "n=$k"])
def test_what_only_a_run_would_tell_stays_as_it_is(given, script):
    assert str(given(f"{script}\npython -m x a.b=$n c=1")["a.b"]).startswith("$")


def test_the_environment(given, monkeypatch):
    monkeypatch.setenv("HOME", "/home/one")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    script = "python x.py --a $HOME/data --b \"['$HOME/x', '${HOME}/y']\" --c $SOME_TOKEN"
    assert given(script) == {"a": "/home/one/data", "b": ["/home/one/x", "/home/one/y"], "c": "$SOME_TOKEN"}


def test_a_variable_that_nobody_sets_is_told_inside_a_list_too(convert):
    script = """python -m verl.trainer.main_ppo data.train_files="['$NOWHERE/a.parquet', 'train.parquet']" \\
        actor_rollout_ref.model.path=a/b actor_rollout_ref.rollout.n=4 algorithm.adv_estimator=grpo"""
    done = convert("run.sh", script, "stages.ppo.data=[{path: train.parquet}]")
    assert done.code == 0, done.err
    assert "shell variable" in done.unmapped["data.train_files"]


def test_arrays(given):
    script = """\
N=5  # it's a comment
DATA=(
    data.files=$N   # isn't one (a setting)
    data.name="a b)"
    # data.out=1
    data.size=$((N * 2))
)
MORE=("${DATA[@]}" x.y=1)
MORE+=(x.z=2)
python3 -m verl.trainer.main_ppo \\
    "${MORE[@]}" last.one=3 "$@" 2>&1 | tee log.txt
"""
    found = given(script)
    assert found == {"data.files": 5, "data.name": "a b)", "data.size": 10, "x.y": 1, "x.z": 2, "last.one": 3}


def test_an_array_without_an_end_is_named(given):
    with pytest.raises(InputError, match=r"the list of A=\( has no end"):
        given("A=(\n  b.c=1\npython x.py")


def test_settings_in_one_variable_and_other_commands(given):
    script = """\
pip install --upgrade trl
ARGS="--a 1 --b two"
cd there && python x.py $ARGS --c "one
two" > log.txt
"""
    assert given(script) == {"a": 1, "b": "two", "c": "one two"}


SFT = "--model_name_or_path a/b --assistant_only_loss"


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("python sft.py --a 1 --dataset_name chat.json", {"a": 1, "dataset_name": "chat.json"}),
        ("python sft.py --deepspeed ds.json --a 1", {"deepspeed": "ds.json", "a": 1}),
        ("python sft.py --files one.json two.json", {"files": ["one.json", "two.json"]}),
        ("accelerate launch --config_file zero.yaml sft.py --a 1", {"a": 1}),
        ("trl sft --config own.yaml --data chat.json", {"b": 2, "data": "chat.json"}),
        ("llamafactory-cli train own.yaml --deepspeed ds.json", {"b": 2, "deepspeed": "ds.json"}),
        ("llamafactory-cli train own.yaml b=3", {"b": 3}),
        ("axolotl train own.yaml --deepspeed ds.json", {"b": 2, "deepspeed": "ds.json"}),
        ("axolotl train --deepspeed ds.json own.yaml", {"b": 2, "deepspeed": "ds.json"}),
        ("accelerate launch -m axolotl.cli.train own.yaml", {"b": 2}),
    ],
)
def test_only_a_word_that_stands_for_itself_is_the_programs_configuration(given, tmp_path, command, wanted):
    (tmp_path / "own.yaml").write_text("b: 2")
    for name in ("chat.json", "ds.json", "one.json", "zero.yaml"):  # not to be read
        (tmp_path / name).write_text('{"zero_optimization": {"stage": 3}}')
    assert given(command) == wanted


def test_a_file_of_data_and_one_of_deepspeed_are_no_configurations(convert, tmp_path):
    (tmp_path / "chat.jsonl").rename(tmp_path / "chat.json")
    done = convert("run.sh", f"python trl/scripts/sft.py {SFT} --dataset_name chat.json --deepspeed zero.json")
    assert done.code == 0, done.err
    assert done.stage["data"] == [{"path": "chat.json"}]
    assert "spread over devices" in done.unmapped["deepspeed"]
