# midwatch: `make demo` shows it at work, `make test` proves it. Both need only make, python3 (3.11 or newer) and a
# package index; everything else goes into .venv from lock files with hashes.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(shell command -v uv 2>/dev/null)
JOBS ?= 2
SEED ?= 1
OUT ?= docs/results/gym-seed-$(SEED)

.PHONY: help venv demo test lint format types layers unit score clean

help:  ## what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 20

venv: $(READY)  ## everything installed, from the lock files

# uv where it is there, else venv and pip. The package itself is installed in place, without looking at the index again.
$(READY): requirements.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "midwatch needs Python 3.11 or newer; say which: make PYTHON=/path/to/python3.11 venv" >&2; exit 1; }
ifneq ($(UV),)
	test -x $(BIN)/python || $(UV) venv --quiet --python "$$(command -v $(PYTHON))" $(VENV)
	VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip install --quiet --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip install --quiet --require-hashes -r requirements-build.lock
	VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip install --quiet --no-deps --no-build-isolation -e .
else
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $@

demo: $(READY)  ## a fleet of real services breaks, and midwatch finds out why and fixes it
	$(BIN)/midwatch demo

test: lint types layers unit  ## everything that CI checks

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## rewrite the files as ruff wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)  ## mypy --strict
	$(BIN)/mypy

layers: $(READY)  ## import-linter: who may import whom
	$(BIN)/lint-imports

unit: $(READY)  ## pytest, in JOBS processes
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

score: $(READY)  ## every fault of the gym on one seed, into OUT: make score SEED=7
	$(BIN)/midwatch gym score --seed $(SEED) --out $(OUT)

clean:  ## remove what make and the tools made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
