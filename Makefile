# Everything here sets itself up: `make demo` and `make test` work on a machine that has only Python.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Pinned for what is installed and for what builds it.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

.PHONY: help setup demo test check format bench pins clean

help:           ## this list
	@grep -E '^[a-z-]+: *.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(INSTALLED)  ## .venv with regrun and every pinned package

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: setup     ## the first experiment: StableMax groks without regularization (half a minute once installed)
	$(BIN)/regrun experiment=grokking regularizer=stablemax

test: check     ## ruff, mypy and all tests
	$(BIN)/python -m pytest -n auto

check: setup    ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup   ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup    ## time per step against a plain PyTorch loop
	$(BIN)/python scripts/bench_step.py

pins: setup     ## write constraints.txt anew from what is installed
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:          ## remove the environment and caches, never records
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache build dist
