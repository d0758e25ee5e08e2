"""Public faults of preference training and reward models, a row of them each: `test_f24_…` is row 24."""

import json
import math

import pytest
import torch
from preference_runs import PAIRS, TEXTS, WORDS, metrics_of, runner
from tokenizers import processors
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from strop.chat import ChatSettings
from strop.data.encoding import Encoding
from strop.data.prepare import prepare
from strop.data.settings import MixtureSettings
from strop.model.names import load_model, load_tokenizer, save_model, stop_token_ids
from strop.model.precision import Compute
from strop.rollout.reward_model import load_reward_model
from strop.train import loop

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
LORA = "lora={r: 4, targets: [all-linear]}"


@pytest.fixture(scope="session")
def folder(make_model_folder):
    return make_model_folder(TEXTS, 330)


@pytest.fixture
def run(tmp_path, folder, capsys, monkeypatch):
    return runner(tmp_path, folder, capsys, monkeypatch)


def prepared(tmp_path, folder, rows, content="pairs", **chat):
    """Groups, and what is said of what was left out."""
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = load_tokenizer(folder)
    settings = MixtureSettings(parts=[{"path": str(tmp_path / "pairs.jsonl")}], on_bad_row="skip", workers=0)
    encoding = Encoding(tokenizer, ChatSettings(**chat), stop_token_ids(tokenizer, None), 512, 512)
    data = prepare(settings, {}, encoding, tmp_path / "prepared", content=content)
    return data.first_epoch(0), [*data.report.unusual, *data.notes(tmp_path)], data.report


@pytest.mark.parametrize("sft", [(), (LORA,)], ids=["sft", "sft with lora"])
@pytest.mark.parametrize("dpo", [(), (LORA,)], ids=["dpo", "dpo with lora"])
def test_f24_after_sft_the_reference_is_the_model_that_sft_left(run, folder, sft, dpo):
    rows = [{"prompt": row["prompt"], "completion": row["rejected"]} for row in PAIRS]
    taught = run("sft", rows, *sft, name="taught")
    assert taught.code == 0, taught.err
    before, after = (load_model(one).get_input_embeddings().weight for one in (folder, taught.stage / "model"))
    assert bool(sft) or not torch.equal(before, after)
    models = [taught.stage.parent, *([taught.stage / "adapter"] if sft else [])]
    for i, model in enumerate(models):
        done = run("dpo", PAIRS, *dpo, "train.epochs=2", "eval_data.fraction=0.25", name=f"dpo{i}", model=model)
        assert done.code == 0, done.err
        rows = metrics_of(done.stage)
        assert rows[0]["eval_loss"] == pytest.approx(math.log(2), abs=1e-5)
        assert rows[0]["eval_reward_margin"] == pytest.approx(0, abs=1e-5)
        losses = [row["loss"] for row in rows if "loss" in row]
        assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
        assert max(losses[-1], rows[-1]["eval_loss"]) < 0.69  # the policy moves, and the reference does not


def test_f26_f30_of_a_pair_that_is_cut_both_sides_keep_the_prompt_and_some_answer(tmp_path, folder):
    limit = 60
    rows = [
        {"prompt": "p" * 20, "chosen": "good " * 40, "rejected": "bad"},
        {"prompt": "p" * 20, "chosen": "good", "rejected": "bad " * 40},
        {"prompt": "p" * 20, "chosen": "good " * 40, "rejected": "bad " * 40},
        {"prompt": "p" * 200, "chosen": "good", "rejected": "bad"},  # nothing of either answer is left
        {"prompt": "p" * 20, "chosen": "x" * 200 + "good", "rejected": "x" * 200 + "bad"},  # what differs is cut off
        {"prompt": "p" * 20, "chosen": "good", "rejected": ""},
    ]
    groups, said, report = prepared(tmp_path, folder, rows, max_length=limit, too_long="truncate")
    assert [group.place.rpartition(":")[2] for group in groups] == ["1", "2", "3"]
    whole = [group.examples for group in prepared(tmp_path, folder, rows[:3])[0]]
    for group, uncut in zip(groups, whole, strict=True):
        begins = {int(example.loss_weights.nonzero()[0][0]) for example in (*group.examples, *uncut)}
        assert len(begins) == 1  # the prompt is whole on both sides
        begin = begins.pop()
        assert group.shared >= begin
        for example, before in zip(group.examples, uncut, strict=True):
            assert begin < len(example.tokens) <= limit
            assert example.tokens.tolist() == before.tokens[:limit].tolist()
    said = "\n".join(said)
    assert "bad rows skipped: 2" in said
    assert "pairs.jsonl:5: the chosen and the rejected answer are the same after it was cut to chat.max_length" in said
    assert report.left_out(limit), "the pair without an answer is counted"


def test_f30_every_pair_that_is_left_out_is_counted_and_the_first_of_its_kind_shown(run):
    equal = [{"prompt": "q", "chosen": "x" * 200 + end, "rejected": "x" * 200 + "c"} for end in "ab"]
    chat = ("chat.max_length=60", "chat.too_long=truncate")
    refused = run("dpo", [*PAIRS, *equal], *chat, name="refused")
    assert refused.code == 2
    assert "rows.jsonl:41" in refused.err
    skipped = run("dpo", [*PAIRS, *equal], *chat, "data.on_bad_row=skip", name="skipped")
    kept = run("dpo", PAIRS, *chat, name="kept")
    assert (skipped.code, kept.code) == (0, 0), skipped.err
    assert "bad rows skipped: 2; the first: rows.jsonl:41: the chosen and the rejected" in skipped.out
    one, other = ((done.stage / "model/model.safetensors").read_bytes() for done in (skipped, kept))
    assert one == other  # they had no part in it


def test_f27_a_reference_that_is_computed_before_changes_neither_order_nor_rows(run, monkeypatch):
    real, seen = loop.optimizer_step, []

    def noted(weights, objective, batches, *args):
        seen.append([batch.tokens.tolist() for batch in batches])
        return real(weights, objective, batches, *args)

    monkeypatch.setattr(loop, "optimizer_step", noted)
    orders = []
    for name, more in {"stored": (), "beside": (LORA,), "none": ("objective.type=simpo",)}.items():
        seen.clear()
        done = run("dpo", PAIRS, *more, name=name)
        assert done.code == 0, done.err
        assert ("computed once" in done.out) == (name == "stored")
        orders.append(list(seen))
    assert orders[0] == orders[1] == orders[2]
    assert len(orders[0]) == 15
    assert orders[0][0] != orders[0][5]  # the second epoch has another order


def test_f27_the_stored_numbers_come_back_beside_the_tokens_that_they_are_of(run, folder, monkeypatch):
    real, seen = loop.optimizer_step, []

    def noted(weights, objective, batches, *args):
        seen.extend(batches)
        return real(weights, objective, batches, *args)

    monkeypatch.setattr(loop, "optimizer_step", noted)
    assert run("dpo", PAIRS).code == 0
    model, checked = load_model(folder), 0
    for batch in seen:
        own = batch.tokens.split(list(batch.seq_lens))
        for i, parent in enumerate(batch.parent):
            trained = batch.seq_index == i
            if not trained.any():
                continue
            with torch.no_grad():
                logprobs = model(torch.cat([own[parent], own[i]])[None]).logits[0].log_softmax(-1)
            expected = logprobs[batch.positions[batch.trained_index[trained]], batch.labels[trained]]
            torch.testing.assert_close(batch.streams["ref_logprobs"][trained], expected, atol=1e-4, rtol=1e-4)
            checked += 1
    assert checked == 2 * 3 * len(PAIRS)


def with_bos(folder, place):
    """The model with a tokenizer whose first token is put there by itself and by its template, which ends with eos."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    bpe = tokenizer.backend_tokenizer
    bpe.post_processor = processors.TemplateProcessing(single="<|start|> $A", special_tokens=[("<|start|>", 0)])
    template = "{{ bos_token }}" + tokenizer.chat_template.replace("<|end|>\n", "<|end|>")
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|start|>", eos_token="<|end|>", pad_token="<|end|>", chat_template=template
    )
    save_model(load_model(folder), made, place)
    return place


@pytest.mark.parametrize("bos", [False, True], ids=["no bos", "bos"])
def test_f28_f29_a_score_is_that_of_its_conversation_however_it_is_served(run, tmp_path, folder, monkeypatch, bos):
    """``<|end|>`` ends texts, stands inside of them, and is the padding token that the model came with."""
    model = with_bos(folder, tmp_path / "bos") if bos else folder
    real, trained_on = loop.optimizer_step, set()

    def noted(weights, objective, batches, *args):
        for batch in batches:
            own = batch.tokens.split(list(batch.seq_lens))
            for i, parent in enumerate(batch.parent):
                if batch.sequence_streams["preferred"][i]:
                    trained_on.add((*(own[parent].tolist() if parent >= 0 else ()), *own[i].tolist()))
        return real(weights, objective, batches, *args)

    monkeypatch.setattr(loop, "optimizer_step", noted)
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes."}]
    rows = [{**row, "prompt": [*turns[: 2 * (i % 2)], {"role": "user", "content": row["prompt"]}]}
            for i, row in enumerate(PAIRS)]  # fmt: skip
    done = run("rm", rows, model=model)
    assert done.code == 0, done.err
    conversations = [
        [*row["prompt"], {"role": "assistant", "content": row[side]}] for row in rows for side in ("chosen", "rejected")
    ]
    tokenizer = AutoTokenizer.from_pretrained(done.stage / "model")
    served = AutoModelForSequenceClassification.from_pretrained(done.stage / "model", dtype=torch.float32).eval()
    ids = [tokenizer.apply_chat_template(one, return_dict=False) for one in conversations]
    assert {tuple(one) for one in ids} == trained_on  # f29: ids of training are ids of serving
    assert {sum(token == tokenizer.eos_token_id for token in one) for one in ids} == {2, 4}  # inner ones too
    assert all((one[-1] == tokenizer.eos_token_id) == bos for one in ids)
    if bos:
        assert all(one[:2] == [0, 0] for one in ids)  # the template's, and the first turn's own mark: no third one
    with torch.no_grad():
        alone = [served(torch.tensor([one])).logits[0, 0].item() for one in ids]
    ours = load_reward_model(done.stage, FLOAT32)
    asked, said = [one[:-1] for one in conversations], [one[-1]["content"] for one in conversations]
    assert ours(asked, said) == pytest.approx(alone, abs=1e-4)
    assert [ours([a], [b])[0] for a, b in zip(asked[:3], said[:3], strict=True)] == pytest.approx(alone[:3], abs=1e-4)
    for side in ("left", "right"):
        for part in (ids, ids[:3], ids[-1:]):
            padded = tokenizer.pad({"input_ids": part}, padding_side=side, return_tensors="pt")
            with torch.no_grad():
                scores = served(**padded).logits[:, 0].tolist()
            assert scores == pytest.approx([alone[ids.index(one)] for one in part], abs=1e-4)
    assert len({round(score, 4) for score in alone}) > 20  # f29: with pad = eos all would be equal


def test_f28_words_after_the_end_of_a_text_count(run):
    """The score is read at the last token, not at the first that ends a turn."""
    assert run("rm", PAIRS, "train.epochs=1").code == 0
    score = load_reward_model("runs/run/rm", FLOAT32)
    turn = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    one, other = score([[*turn, {"role": "user", "content": word}] for word in WORDS[:2]], ["same", "same"])
    assert one != pytest.approx(other, abs=1e-6)
