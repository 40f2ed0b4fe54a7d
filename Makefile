# Two commands do everything, set-up included: `make run` and `make test`.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$p && break; done)

# uv neither reads pip's configuration nor downloads interpreters here: hand it pip's wheel folder.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help docs run test check lint types bench constraints faults lowest audit clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 22

$(VENV)/.ok: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "equiload needs Python 3.11 or newer: install it, or run make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(VENV)/bin/uv pip install --quiet --python $(PY) -c constraints.txt -e '.[dev]'
	@touch $@

run: $(VENV)/.ok ## All algorithms on the default scenario: table, results.json, CSV, figures
	$(VENV)/bin/equiload benchmark $(ARGS)

# The fast ones side by side, a worker a core of one thread each; the slow ones, which kill, sweep and
# fill disks, on their own.
test: $(VENV)/.ok ## Run the tests (ARGS='-m "not slow"' for the fast ones)
ifeq ($(strip $(ARGS)),)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(PY) -m pytest -n auto --maxprocesses 8 -m "not slow"
	$(PY) -m pytest -m slow
else
	$(PY) -m pytest $(ARGS)
endif

check: lint types test ## Everything that CI runs

lint: $(VENV)/.ok ## Style and formatting
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.ok ## Static types
	$(VENV)/bin/mypy

docs: $(VENV)/.ok ## The documentation site, strictly: docs/_build/index.html
	$(VENV)/bin/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build

bench: $(VENV)/.ok ## Benchmarks, and the tables of docs/performance.md (ARGS=--full: every size, a day)
	mkdir -p outputs
	$(PY) -m pytest -v tests/benchmarks --benchmark-only --benchmark-json=outputs/benchmarks.json $(ARGS)
	$(PY) tests/benchmarks/performance.py outputs/benchmarks.json docs/performance.md

constraints: $(VENV)/.ok ## Pin anew every version that the project is tested with
	UV_FIND_LINKS= $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
		--no-header --no-annotate --extra dev --constraint <(echo 'torch==2.13.0') pyproject.toml \
		--output-file constraints.txt
	echo "uv==$$($(VENV)/bin/uv --version | cut -d' ' -f2)" >> constraints.txt

faults: $(VENV)/.ok ## What hostile input, kills and full disks do: thousands of each, with counts
	FAULTS=10 $(PY) -m pytest -n 0 --hypothesis-show-statistics $(ARGS) tests/faults \
	  tests/experiments/test_values.py tests/experiments/test_malformed.py tests/experiments/test_claims.py \
	  tests/experiments/test_fetch.py tests/envs/data/test_hostile_tables.py tests/robust/test_tampering.py

lowest: $(VENV)/.ok ## The fast tests with the lowest declared versions, in an environment of their own
	$(PYTHON) -m venv $(VENV)/lowest
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/lowest/bin/python --resolution lowest-direct -e '.[dev]'
	NUMBA_CACHE_DIR=$(CURDIR)/$(VENV)/lowest/kernels \
	  $(VENV)/lowest/bin/python -m pytest -m "not slow" -W default::DeprecationWarning $(ARGS)

audit: $(VENV)/.ok ## Known vulnerabilities of the pinned versions; where the database answers, else an error
	$(VENV)/bin/uvx --quiet pip-audit --strict --no-deps --disable-pip --progress-spinner off -r constraints.txt

clean: ## Remove the environment and everything that runs leave behind
	rm -rf $(VENV) outputs multirun .pytest_cache .mypy_cache .ruff_cache *.egg-info build dist
