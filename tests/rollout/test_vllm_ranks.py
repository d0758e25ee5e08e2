"""Several ranks, each with rows of the model, whose answers vLLM servers give: what one process does."""

import os
from datetime import timedelta

import pytest
import torch.distributed as dist
from processes import as_ranks
from serving import Serving
from test_vllm_training import recipe, rows_of, run

from strop.model.names import load_model

COMPARED = ("loss", "grad_norm", "reward", "tokens", "mismatch", "mismatch_kl")


def a_rank(rank, size, here, *given):
    os.environ.update(LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(size))
    store = f"file://{here / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size, timeout=timedelta(seconds=300))
    run(trained(here, *given))
    dist.destroy_process_group()


def trained(here, model, url, parallel):
    one = recipe(here, model, url, steps=3)
    return one.model_copy(update={"compute": one.compute.model_copy(update={"parallel": parallel})})


@pytest.mark.parametrize("tied", [pytest.param(False, marks=pytest.mark.slow), True])
def test_two_ranks_with_rows_of_the_model_do_what_one_process_does(make_model_folder, tmp_path, tied):
    texts = ["What is one and two?"]
    model = make_model_folder(texts, tie_word_embeddings=tied)
    started = make_model_folder(texts, tie_word_embeddings=False)  # other weights: those of now are loaded
    found = {}
    for parallel in ("replicate", "shard"):
        server = Serving(started)
        try:
            if parallel == "replicate":
                run(trained(tmp_path, model, server.url, parallel))
            else:
                as_ranks(a_rank, 2, 2, tmp_path, model, server.url, parallel)
        finally:
            server.shutdown()
            server.server_close()
        found[parallel] = rows_of(tmp_path)
        for name, tensor in load_model(tmp_path / "run/rl/model").state_dict().items():
            assert tensor.shape == server.loaded[-1][name].shape
        (tmp_path / "run").rename(tmp_path / parallel)
    one, several = found.values()
    assert [row["step"] for row in several] == [row["step"] for row in one] == [1, 2, 3]
    for a, b in zip(one, several, strict=True):
        assert a["grad_norm"] > 0
        for name in COMPARED:
            assert b[name] == pytest.approx(a[name], rel=1e-3, abs=1e-4), name
