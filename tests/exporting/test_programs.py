"""``strop export --check`` asks who else is at hand: llama.cpp's server and vLLM."""

import os
from pathlib import Path

import pytest
from other_programs import script


@pytest.fixture
def built(llama_cpp):
    """llama.cpp's checkout with its server built in it."""
    pytest.importorskip("gguf")
    folder = llama_cpp()
    script(Path(folder) / "build/bin/llama-server", "llama")
    return folder


@pytest.fixture
def vllm(tmp_path):
    """A Python that has vLLM."""
    return str(script(tmp_path / "vllm/bin/python", "vllm"))


SAME = {"prompts": 4, "same": 4, "ties": 0, "difference": None}


@pytest.mark.slow
def test_llama_cpp_and_vllm_are_asked(export, trained, built, vllm):
    gguf = ("--format", "gguf", "--outtype", "f32", "--check", "--fresh")
    done = export(trained.run, *gguf, "--llama-cpp", built)
    assert done.code == 0, done.err
    assert done.account["check"] == {"transformers": SAME, "llama.cpp": SAME}
    assert "4 of 4 greedy answers of llama.cpp are those of strop's engine in float32" in done.err
    done = export(trained.run, "--check", "--vllm", vllm, to="hf")
    assert done.code == 0, done.err
    assert done.account["check"] == {"transformers": SAME, "vLLM": SAME}


def test_a_server_on_the_path_is_found(export, trained, llama_cpp, tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    gguf = ("--format", "gguf", "--outtype", "f32", "--check", "--fresh", "--llama-cpp", llama_cpp())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    done = export(trained.run, *gguf)
    assert done.code == 0, done.err
    assert list(done.account["check"]) == ["transformers"]
    assert (
        f"llama.cpp itself was not asked: no llama-server is built in {tmp_path}/llama.cpp or on the PATH" in done.err
    )
    script(tmp_path / "bin/llama-server", "llama")
    done = export(trained.run, *gguf)
    assert done.code == 0, done.err
    assert done.account["check"]["llama.cpp"] == SAME


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("prompt", "the prompt differs at token 0: strop "),
        ("answer", "the answers part at token 2: strop "),
        ("ends", "the answers part at token 2: strop "),
    ],
)
def test_llama_cpp_that_answers_otherwise_is_told(export, trained, built, monkeypatch, wrong, said):
    monkeypatch.setenv("WRONG", wrong)
    done = export(trained.run, "--format", "gguf", "--outtype", "f32", "--check", "--llama-cpp", built)
    assert done.code == 1
    assert done.account["check"]["transformers"] == SAME
    difference = done.account["check"]["llama.cpp"]["difference"]
    assert said in difference
    assert f"check: llama.cpp: {difference}" in " ".join(done.err.split())
    assert ("to llama.cpp their logits are" in difference) == (wrong == "answer")
    assert ("llama.cpp ends" in difference) == (wrong == "ends")


def test_vllm_that_makes_other_prompts_is_told(export, trained, vllm, monkeypatch):
    monkeypatch.setenv("WRONG", "prompt")
    done = export(trained.run, "--check", "--vllm", vllm)
    assert done.code == 1
    assert "the prompt differs at token 0" in done.account["check"]["vLLM"]["difference"]


def test_a_server_that_does_not_start_is_one_line(export, trained, vllm, monkeypatch):
    monkeypatch.setenv("WRONG", "starts")
    done = export(trained.run, "--check", "--vllm", vllm)
    assert done.code == 2
    assert "the vLLM server ended while it started (exit status 1)" in done.account["error"]
    assert "cannot load the model" in done.account["error"]
    assert Path(done.account["error"].partition("the end of its log, ")[2].partition(":")[0]).is_file()


def test_a_reply_of_another_kind_is_one_line(export, trained, vllm, monkeypatch):
    monkeypatch.setenv("WRONG", "reply")
    done = export(trained.run, "--check", "--vllm", vllm)
    assert done.code == 2
    assert "answered to /tokenize what strop cannot read (tokens: Field required)" in done.account["error"]


def test_one_on_the_path_that_does_not_start_is_said(export, trained, tmp_path, monkeypatch):
    script(tmp_path / "bin/python", "vllm")
    (tmp_path / "bin/vllm").symlink_to("python")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("WRONG", "starts")
    done = export(trained.run, "--check")
    assert done.code == 0, done.err
    assert done.account["check"] == {"transformers": SAME}
    assert "check: vLLM was not asked: the vLLM server ended while it started" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--vllm", "python3"), "--vllm names who answers with --check; say --check too"),
        (("--vllm", "no-such-python", "--check"), "--vllm no-such-python: there is no such program"),
        (("--vllm", "python3", "--check", "--format", "gguf"), "--vllm is for --format hf"),
    ],
)
def test_bad_input_is_one_line(export, trained, more, said):
    done = export(trained.run, *more)
    assert done.code == 2
    assert said in done.account["error"]
    assert not done.folder.exists()


@pytest.mark.slow
@pytest.mark.skipif("STROP_LLAMA_CPP" not in os.environ, reason="STROP_LLAMA_CPP names no checkout that is built")
@pytest.mark.parametrize("outtype", ["f32", "f16", "bf16"])
def test_the_real_llama_cpp(export, outtype):
    gguf = ("--format", "gguf", "--outtype", outtype, "--check", "--llama-cpp", os.environ["STROP_LLAMA_CPP"])
    done = export("smollm2-135m", *gguf)
    assert done.code == 0, done.err
    assert done.account["pre_tokenizer"] == "smollm"
    assert done.account["check"]["llama.cpp"]["difference"] is None


@pytest.mark.slow
@pytest.mark.skipif("STROP_VLLM_PYTHON" not in os.environ, reason="STROP_VLLM_PYTHON names no Python that has vLLM")
def test_the_real_vllm(export):
    done = export("smollm2-135m", "--check", "--vllm", os.environ["STROP_VLLM_PYTHON"])
    assert done.code == 0, done.err
    assert done.account["check"]["vLLM"]["difference"] is None
