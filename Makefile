# Every command sets up what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
DEMO := recipes/tweets/full.yaml

.DEFAULT_GOAL := help

help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(INSTALLED) ## Make .venv and install everything into it

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[local,dev]'
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
	$(BIN)/pytest --numprocesses 2 --dist loadfile

test-all: setup ## All tests, the slow ones too
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m ''

up: setup ## Start a Prefect server with its UI until Ctrl-C; runs use it with PREFECT_API_URL=http://127.0.0.1:4200/api
	@mkdir -p .tunegate/prefect
	PREFECT_HOME=$(CURDIR)/.tunegate/prefect PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 $(BIN)/prefect server start

down: setup ## Stop the embedded services; data stay
	$(BIN)/tunegate down

bench: setup ## What the recipes' numbers come from
	$(BIN)/python -m benchmarks.retrains $(DEMO) --seeds 5

.PHONY: help setup demo check test test-all up down bench
