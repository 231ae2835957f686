# Everything happens in .venv, which each target makes or refreshes by itself.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUNS   ?= runs

.DEFAULT_GOAL := help
.PHONY: help install demo test soak check format bench clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## llmctl and what it needs, into .venv
	@echo "llmctl is at $(BIN)/llmctl; 'source $(BIN)/activate' puts it on your PATH"

demo: install  ## a small model learns built-in stories and tells one; a small BERT reads reviews and judges them
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh recipes/demo.sh "$(RUNS)"

test: $(VENV)/.developed  ## the tests (LLMCTL_REAL_DATA=FOLDER adds those on real data)
	$(BIN)/python -m pytest -n 2 --dist worksteal

soak: $(VENV)/.developed  ## what takes longer than a minute each: kills, signals, failing disks, hostile files; a large corpus; quality
	$(BIN)/python -m benchmarks soak large_corpus streaming quality

check: $(VENV)/.developed  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.developed  ## mend what format and lint can mend by themselves
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.developed  ## every claim of speed and memory, measured here, into benchmarks/results.md
	$(BIN)/python -m benchmarks

clean:  ## remove .venv and caches; runs are yours and stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "llmctl needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed requirements-offline.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-offline.txt
	@touch $@
