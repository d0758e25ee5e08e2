"""What `strop` says of itself: without a verb, and below its help."""

FIRST_STEPS = """\
strop makes a better model out of a model and your conversations (or a task with a grader), and measures both.

first steps:
  strop demo                                 measure a real model, fine-tune it, measure it again: 10 to 25 minutes
  strop run reverse                          reinforcement learning from nothing, in 2 to 4 minutes
  strop chat smollm2-135m                    talk to a model

with data of your own, say my.jsonl with {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", …}]}:
  strop inspect my.jsonl --model MODEL       what the model will see, and which tokens are trained
  strop doctor my.jsonl --model MODEL        what is wrong with it
  strop sft MODEL --data my.jsonl            train
  strop eval MODEL --tasks gsm8k:limit=200   measure

MODEL: a Hugging Face folder, a run folder, a hub id, a .gguf file or smollm2-135m.
All verbs: strop --help; of one: strop VERB --help.
"""
EXAMPLES = """\
examples:
  strop demo                                        measure a model, fine-tune it, measure it again
  strop run code_basics model=./my-model            a recipe: of a file, or a built-in one by its name
  strop inspect my.jsonl --model smollm2-135m       what would be trained, token by token
  strop doctor my.yaml                              what is wrong with data and settings
  strop chat runs/code_basics                       talk to the result
  strop eval smollm2-135m --tasks gsm8k:limit=100   measure models on benchmarks
"""
