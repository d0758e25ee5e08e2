"""A throw-away model for tests: two layers, grouped heads, made in memory."""

import json
import shutil

from strop.model.memory import spin_shortly

spin_shortly()  # before torch is loaded, here and in the workers that inherit the environment

import pytest  # noqa: E402
import torch  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: E402

from strop.common.folders import cache_folder  # noqa: E402
from strop.model.names import save_model  # noqa: E402
from strop.tasks.code_basics import generate  # noqa: E402

VOCABULARY = 97


def make_tiny_model(seed: int = 0, **overrides) -> LlamaForCausalLM:
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "initializer_range": 0.3,  # large enough that attention matters and differences show
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**{**settings, **overrides})).eval()


@pytest.fixture
def tiny_model():
    return make_tiny_model()


@pytest.fixture(scope="session")
def make_model():
    """The function itself, for tests that want other settings."""
    return make_tiny_model


TEMPLATE = (
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def make_model_folder(tmp_path_factory, make_model):
    """A function that saves a tiny model and a byte-level tokenizer with a chat template, trained on ``texts``."""

    def make(texts, tokens=300, **settings):
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=tokens,
            special_tokens=["<|start|>", "<|end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        bpe.train_from_iterator(texts, trainer)
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", chat_template=TEMPLATE)
        model = make_model(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=1, pad_token_id=1, **settings)
        folder = tmp_path_factory.mktemp("models") / "tiny"
        save_model(model, tokenizer, folder)
        return folder

    return make


@pytest.fixture(scope="session")
def make_brief(tmp_path_factory):
    """A function that copies a model's folder so that it often ends its turns, whatever it learnt by chance: the tokens
    ``ids`` do so, too."""

    def make(folder, ids):
        brief = shutil.copytree(folder, tmp_path_factory.mktemp("models") / "brief")
        told = json.loads((brief / "generation_config.json").read_text())
        told["eos_token_id"] = [1, *ids]
        (brief / "generation_config.json").write_text(json.dumps(told))
        return brief

    return make


@pytest.fixture(scope="session")
def empty_cache(tmp_path_factory):
    """A function that makes a cache folder for STROP_CACHE with nothing in it but the kernels, which take a compiler
    ten seconds: a process that begins in it does not build them again."""
    kernels = cache_folder() / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)

    def make():
        folder = tmp_path_factory.mktemp("cache")
        (folder / "kernels").symlink_to(kernels.resolve(), target_is_directory=True)
        return folder

    return make


@pytest.fixture(scope="session")
def model_folder(make_model_folder):
    """One that knows the words of small programs, with a long window."""
    texts = [r.prompt + r.response for r in generate("train", 60, 0)]
    return make_model_folder(texts, 600, max_position_embeddings=2048)


@pytest.fixture
def heard(monkeypatch):
    """What long work would have said at its end: title -> (done, total), of work that people are told of."""
    from strop.common.console import Steady

    said, leave = {}, Steady.__exit__

    def leave_and_tell(self, *error):
        if not self._console.quiet:
            state = self.state()
            said[state["title"]] = state["done"], state["total"]
        return leave(self, *error)

    monkeypatch.setattr(Steady, "__exit__", leave_and_tell)
    return said
