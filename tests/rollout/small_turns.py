"""A template with tools and a tokenizer of bytes, an engine that says what it is told, and environments for tests."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from strop.chat import ChatEncoder
from strop.environments.base import Start
from strop.rollout.engine import Rollout
from strop.rollout.turns import Player

CONTROLS = ["<|user|>", "<|tool|>", "<|assistant|>", "<|end|>"]
TEMPLATE = """\
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
<|assistant|>{{- '<think>' + m.reasoning_content + '</think>' if m.reasoning_content and (keeps or loop.last) -}}
{{- m.content or '' -}}
{%- for call in m.tool_calls or [] -%}
<call>{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}</call>
{%- endfor -%}
<|end|>{{- '\n' -}}
{%- else -%}
{{- '<|' + m.role + '|>' + m.content + '<|end|>\n' -}}
{%- endif -%}
{%- endfor -%}
{{- '<|assistant|>' if add_generation_prompt -}}"""


def make_tokenizer(words=(), template=TEMPLATE):
    """Bytes, the control tokens, and each of ``words`` as one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", chat_template=template)
    made.add_tokens(CONTROLS, special_tokens=True)
    made.add_tokens(list(words))
    return made


def make_encoder(keeps=True, words=(), template=TEMPLATE):
    template = template.replace("keeps", "true" if keeps else "false")
    return ChatEncoder(make_tokenizer(words, template))


def call(name="calculator", **arguments):
    import json

    return f'<call>{{"name": "{name}", "arguments": {json.dumps(arguments)}}}</call>'


class Scripted:
    """Says the next of the ``texts`` of a sample at each of its turns; one without ``<|end|>`` is cut off. ``asked``:
    the requests of every call."""

    window = 4096

    def __init__(self, encoder, *texts):
        self.encoder, self.stop_ids = encoder, encoder.stop_ids
        self.texts, self.asked = [list(one) for one in texts], []

    def ids(self, text):
        return self.encoder.tokenizer.encode(text, add_special_tokens=False)

    def generate(self, requests, params=None, on_token=None, on_finished=None):
        self.asked.append(requests)
        found = []
        for request in requests:
            for sample in range(request.group_size):
                which = sample if len(self.asked) == 1 else int(request.name.split("\0")[1])
                found.append(self._said(request, self.texts[which], sample, on_token, len(found)))
        return found

    def _said(self, request, texts, sample, on_token, index):
        ids = self.ids(texts.pop(0))[: request.params.max_tokens]
        reason, said = "length", []
        for i, token in enumerate(ids):
            said.append(token)
            if token in self.stop_ids:
                reason = "stop"
                break
            if on_token and on_token(index, token):
                reason = "cancelled"
                texts[:0] = [self.encoder.tokenizer.decode(ids[i + 1 :])]
                break
        logs = tuple(-0.5 - i / 100 for i in range(len(said)))
        return Rollout(tuple(request.prompt), tuple(said), logs, reason, logs, sample=sample)


def start(text="?", **more):
    return Start("p", [{"role": "user", "content": text}], **more)


def play(environment, texts, *, encoder=None, max_tokens=500, longest=None, text="?"):
    """One episode for each list of texts; the player, the engine, the episodes."""
    from strop.rollout.engine import SamplingParams

    encoder = encoder or make_encoder()
    environment.check(encoder)
    player, engine = Player(encoder, environment, longest), Scripted(encoder, *texts)
    try:
        opening = player.opening("p", start(text))
        episodes = player.play(engine, [opening], SamplingParams(max_tokens, 1.0), len(texts))
    finally:
        player.close()
    return player, engine, episodes
