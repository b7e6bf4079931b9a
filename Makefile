# Two commands: `make demo` and `make test`. Each sets up what it needs, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test install up check format docs clean chaos chaos-short
.PHONY: bench bench-quick bench-codecs bench-quality bench-sam

help:
	@echo "make demo     set up the small stack, cut a sample photo four ways, stop"
	@echo "make up       run the service until Ctrl-C (http://127.0.0.1:8000)"
	@echo "make test     set up everything and run every test"
	@echo "make check    ruff, mypy --strict, the schemas of workflows and compose files, hadolint"
	@echo "make chaos    kill, stop, cut and fill everything for 20 minutes: nothing may be lost"
	@echo "make chaos-short     each of its faults once: three minutes, and a part of make test"
	@echo "make bench    measure the service on this machine, beside its bounds: ten minutes"
	@echo "make bench-quick     the same with smaller counts: two minutes"
	@echo "make bench-codecs, bench-quality, bench-sam     measure a part by itself"
	@echo "make docs     write the README's generated parts anew"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What the embedded default needs: no torch.
$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	touch $@

# Everything for development. torch first: sam2 is built from source against it.
$(VENV)/.dev: $(VENV)/.base
	$(PIP) "setuptools>=77" wheel
	$(PIP) torch
	SAM2_BUILD_CUDA=0 $(PIP) --no-build-isolation -e ".[sam,dev]"
	touch $@

install: $(VENV)/.dev

demo: $(VENV)/.base
	$(BIN)/nukki demo

up: $(VENV)/.base
	$(BIN)/nukki up

test: $(VENV)/.dev
	$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose/compose*.yaml
	$(BIN)/hadolint compose/*.Dockerfile

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

chaos-short: $(VENV)/.dev
	$(BIN)/python -m pytest -s tests/chaos

chaos: $(VENV)/.dev
	mkdir -p bench-results
	$(BIN)/python -m tests.chaos --minutes 20 --seed 1 --json bench-results/chaos.json

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench

bench-quick: $(VENV)/.dev
	$(BIN)/python -m tests.bench --quick

bench-codecs: $(VENV)/.dev
	mkdir -p bench-results
	$(BIN)/python tests/bench/codecs.py --json bench-results/codecs.json

# True-alpha photos for the quality bench; it says so and goes on where they are absent.
MATTES ?= ../shared/data/mattes

bench-quality: $(VENV)/.dev
	mkdir -p bench-results
	$(BIN)/python tests/bench/quality.py --data $(MATTES) --json bench-results/quality.json

bench-sam: $(VENV)/.dev
	mkdir -p bench-results
	$(BIN)/python tests/bench/sam.py --json bench-results/sam.json

docs: $(VENV)/.dev
	$(BIN)/python -m tests.readme --write

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache demo-results bench-results
