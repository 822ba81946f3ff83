# Vafa's commands. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first interpreter that is new enough and can make a virtual environment (Debian ships the
# latter apart, as python3-venv). Say PYTHON=/path/to/python to choose another.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$name" && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Two stamps, because a demo needs neither linters nor load tools. Each is as new as what it was made from.
RUN_STAMP := .venv/.installed-to-run
ALL_STAMP := .venv/.installed-to-develop
# One test process a core; the tests that need Ray share one of them.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# The extra for card readers, where what it compiles with is there: libpcsclite-dev, a compiler, Python's headers.
CARDS = $(shell test -e /usr/include/PCSC/winscard.h && command -v cc >/dev/null && "$(PYTHON)" -c \
	'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
	&& echo ,cards)
# Arguments handed on to the program that a target runs: make demo ARGS='--json figures.json'
ARGS ?=

.PHONY: help
help: ## Lists these commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(ALL_STAMP) ## Installs everything into .venv: the node, the benches, the development tools.

.PHONY: demo
demo: $(RUN_STAMP) ## Starts a node and simulated tills that shop at it, and shows what happened.
	$(BIN)/vafa demo $(ARGS)

.PHONY: test
test: lint ## Installs what is needed, checks the code and runs all tests.
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -p no:randomly -m 'not soak' $(ARGS)

.PHONY: soak
soak: $(ALL_STAMP) ## Runs the tests that kill and restart whole nodes, and all tests in a shuffled order.
	$(BIN)/python -m pytest tests/e2e -m soak
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m 'not soak' $(ARGS)

.PHONY: lint
lint: $(ALL_STAMP) ## Style, types, the import floors, the protos.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/buf lint
# What main promises, clients rely on. In a checkout whose main has no protos, or none at all
# (the first commit, a checkout of one other branch), there is nothing to compare with.
	@if [ -d .git ] && git rev-parse --quiet --verify main:buf.yaml >/dev/null; then \
		echo "$(BIN)/buf breaking --against .git#branch=main"; \
		$(BIN)/buf breaking --against '.git#branch=main'; \
	else echo "buf breaking: no main branch to compare with, left out"; fi

.PHONY: format
format: $(ALL_STAMP) ## Formats the code and sorts its imports.
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: proto
proto: $(ALL_STAMP) ## Generates the Python code of the protos, to be committed with them.
	$(BIN)/buf format --write
	$(BIN)/python -m node.proto.generate

.PHONY: load
load: $(ALL_STAMP) ## Loads a node over mTLS with Locust and says pass or fail.
	$(BIN)/python -m bench.load_run $(ARGS)

.PHONY: constraints
constraints: ## Resolves all dependencies anew and writes the versions to constraints.txt.
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip --disable-pip-version-check install --quiet '.[dev,bench,print$(CARDS)]'
	{ echo '# What make install takes; written by make constraints. The ranges are in pyproject.toml.'; \
		build/constraints/bin/python -m pip freeze --exclude vafa; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf build/constraints

.PHONY: clean
clean: ## Removes .venv and everything that tools left behind.
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then echo "Vafa needs Python 3.11 or newer with its venv module. On Debian or Ubuntu:" \
		"apt-get install python3 python3-venv. Then run make again." >&2; exit 1; fi
	@echo "Making .venv with $$($(PYTHON) --version)."
	$(PYTHON) -m venv .venv

$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the node into .venv: 500 MB of disk; a running node takes about 1 GB of memory. Nothing is compiled, it takes a minute or two."
	$(PIP) install --editable . --constraint constraints.txt
	@touch $@

# It installs the node too; its stamp then serves both.
$(ALL_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the node and all tools into .venv: 800 MB of disk, and 3 GB of memory to run the tests. Nothing is compiled, it takes a minute or two."
	$(PIP) install --editable '.[dev,bench,print$(CARDS)]' --constraint constraints.txt
	@touch $(RUN_STAMP) $@
