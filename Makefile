# Everything here sets itself up: `make demo` and `make test` work on a machine that has only Python.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Pinned for what is installed and for what builds it.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

EXPERIMENTS := $(filter-out custom,$(basename $(notdir $(wildcard conf/experiment/*.yaml))))

.PHONY: help setup demo test check format bench reproduce-all report ledger pins clean

help:           ## this list
	@grep -E '^[a-z%-]+: *.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(INSTALLED)  ## .venv with regrun and every pinned package

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: setup     ## the first experiment: StableMax groks without regularization (half a minute once installed)
	$(BIN)/regrun experiment=grokking regularizer=stablemax

reproduce-%: setup  ## an experiment's arms × seeds, its verdicts and its report, such as reproduce-grokking
	$(BIN)/regrun reproduce $*

# What fails or is not reproduced does not stop the rest; the target says so at the end.
reproduce-all: setup  ## every experiment; again: only what is missing
	@undecided=; for name in $(EXPERIMENTS); do \
	    $(BIN)/regrun reproduce $$name || { [ $$? -eq 130 ] && exit 130; undecided="$$undecided $$name"; }; \
	done; $(BIN)/regrun report; \
	[ -z "$$undecided" ] || { echo "not all reproduced:$$undecided"; exit 1; }

report: setup   ## every verdict so far, at the terminal and in outputs/index.html
	$(BIN)/regrun report

ledger: setup   ## docs/papers and the README's tables, from outputs/ledger
	$(BIN)/python scripts/write_ledger.py

test: check     ## what `make check` checks, and all tests
	$(BIN)/python -m pytest -n auto --dist loadgroup

check: setup    ## ruff, mypy, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup   ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup    ## time per step, on CIFAR-10, of a neural ODE and of probes, against plain PyTorch and other solvers
	$(BIN)/python scripts/bench_step.py
	$(BIN)/python scripts/bench_solver.py
	$(BIN)/python scripts/bench_probes.py --data $${REGRUN_DATA:-data}
	$(BIN)/python scripts/bench_cifar.py --data $${REGRUN_DATA:-data}

pins: setup     ## write constraints.txt anew from what is installed
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:          ## remove the environment and caches, never records
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache build dist
