# Every command sets up what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check
DEMO := recipes/tweets/full.yaml
# In the order of their names: the short ones, which come last, leave neither worker without work.
WORKERS := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help

help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(INSTALLED) ## Make .venv and install everything into it

$(INSTALLED): pyproject.toml constraints.txt $(wildcard infra/pins/*.txt)
	$(PYTHON) -m venv .venv
	$(INSTALL) --require-hashes --no-deps --requirement infra/pins/build.txt
	$(INSTALL) --require-hashes --no-deps --no-build-isolation --requirement infra/pins/dev.txt
	$(INSTALL) --constraint constraints.txt torch
	$(INSTALL) --no-deps --no-build-isolation --editable .
	$(BIN)/pip check
	@touch $@

demo: setup ## Fine-tune, judge and promote a tweet classifier, then ask it something
	$(BIN)/tunegate run $(DEMO)
	$(BIN)/tunegate models
	$(BIN)/tunegate predict tweet-sentiment@champion "I love this"

check: setup ## Formatting, lint, types and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup ## The tests that every change must pass
	$(BIN)/pytest $(WORKERS)

test-unit: setup ## Those of them that need no server and no training
	$(BIN)/pytest $(WORKERS) -m unit

test-all: setup ## All tests, the slow ones too
	$(BIN)/pytest $(WORKERS) -m ''

up: setup ## Start the local stack until Ctrl-C: object store, Prefect server with UI, worker, deployments
	$(BIN)/tunegate up

down: setup ## Stop it, and the embedded object store; data stay
	$(BIN)/tunegate down

pins: setup ## Pin what pyproject.toml allows, with hashes (UPGRADE="wandb ..." or UPGRADE=--all: the newest)
	PATH=$(BIN):$$PATH $(BIN)/python infra/pins/update.py $(UPGRADE)

bench: setup ## What the recipes' numbers come from
	$(BIN)/python -m benchmarks.retrains $(DEMO) --seeds 5

.PHONY: help setup demo check test test-unit test-all up down pins bench
