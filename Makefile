# Two commands: `make demo` and `make test`. Each sets up what it needs, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

# Photos and true alphas that tests and benches use where they are present (tests/material.py).
export NUKKI_TEST_MATERIAL ?= $(abspath ../shared)
# Processes that share the tests which may run side by side; the others follow one by one.
TEST_PROCESSES ?= 2

.PHONY: help demo test test-quick coverage install up check format docs clean chaos chaos-short
.PHONY: fuzz hostile bench bench-quick bench-codecs bench-decoding bench-quality bench-sam

help:
	@echo "make demo           set up the small stack, cut a sample photo four ways, stop"
	@echo "make up             run the service until Ctrl-C (http://127.0.0.1:8000)"
	@echo "make test           set up everything and run every test"
	@echo "make test-quick     unit and API tests only: three minutes"
	@echo "make coverage       every test, with the lines that none of them runs"
	@echo "make check          ruff, mypy --strict, workflow and compose schemas, hadolint"
	@echo "make chaos          20 minutes of faults under load; nothing may be lost"
	@echo "make chaos-short    each kind of fault once: three minutes, part of make test"
	@echo "make hostile        what an adversary tried, at full length"
	@echo "make fuzz           20,000 mutated image files through the header parsers"
	@echo "make bench          compare the service with its bounds on this machine: ten minutes"
	@echo "make bench-quick    the same with smaller counts: four minutes"
	@echo "make bench-codecs, bench-decoding, bench-quality, bench-sam  one part alone"
	@echo "make docs           regenerate the generated parts of README and docs"

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

# Both passes run even where the first fails; the status is the worse one.
test: $(VENV)/.dev
	@status=0; \
	$(BIN)/python -m pytest $(PYTEST) $(PARALLEL) -m "not serial" || status=1; \
	$(BIN)/python -m pytest $(PYTEST) $(SERIAL) -m serial || status=1; \
	exit $$status

# Whole files go to a process, so that a file's stack is started once; the longest files first.
# pytest merges overlapping paths and sorts them, so each folder is named.
PARALLEL = -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder \
	tests/integration tests/hostile tests/unit tests/api tests/chaos tests/fuzz tests/gpu

test-quick: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile -m "not serial and not slow" tests/unit tests/api

# Apart from `make test`, which tracing would slow down.
coverage: $(VENV)/.dev
	rm -f .coverage
	$(MAKE) test PARALLEL="$(PARALLEL) --cov --cov-report=" SERIAL="--cov --cov-append"

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose/compose*.yaml
	$(BIN)/hadolint compose/*.Dockerfile

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

chaos-short: $(VENV)/.dev
	$(BIN)/python -m pytest -s tests/chaos

# What an adversary tried, at full length; make test runs each for seconds.
hostile: $(VENV)/.dev
	NUKKI_HOSTILE_LONG=1 $(BIN)/python -m pytest -s tests/hostile

chaos: $(VENV)/.dev
	mkdir -p bench-results
	$(BIN)/python -m tests.chaos --minutes 20 --seed 1 --json bench-results/chaos.json

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --files 20000

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench

bench-quick: $(VENV)/.dev
	$(BIN)/python -m tests.bench --quick

bench-codecs: $(VENV)/.dev
	mkdir -p bench-results
	$(BIN)/python -m tests.bench.codecs --json bench-results/codecs.json

bench-decoding: $(VENV)/.dev
	mkdir -p bench-results
	$(BIN)/python -m tests.bench.decoding --json bench-results/decoding.json

bench-quality: $(VENV)/.dev
	mkdir -p bench-results
	$(BIN)/python -m tests.bench.quality --json bench-results/quality.json

bench-sam: $(VENV)/.dev
	mkdir -p bench-results
	$(BIN)/python -m tests.bench.sam --json bench-results/sam.json

docs: $(VENV)/.dev
	$(BIN)/python -m tests.readme --write

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache demo-results bench-results fuzz-artifacts
