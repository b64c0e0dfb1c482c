# Everything stands on `make venv`, which installs the pinned dependencies into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help venv quickstart check format test test-slow campaign record-stages config-page clean

help:  ## Say what each target does
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

venv: $(VENV)/.installed  ## Make .venv with the pinned dependencies

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	@touch $@

quickstart: venv  ## Topics of a real corpus that needs no download
	$(BIN)/topicflow run configs/quickstart.toml

check: venv  ## Lint, formatting, types, dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m deptry --no-ansi .

format: venv  ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: venv  ## The tests, under 15 minutes on two cores
	$(BIN)/pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-slow: venv  ## The tests that take minutes each
	$(BIN)/pytest -q -m slow

campaign: venv  ## Damaged files, kills of all flows, odd corpora: an hour, JSON
	$(BIN)/python -m tests.campaigns.corruptions
	$(BIN)/python -m tests.campaigns.corruptions_at_use --every 7
	$(BIN)/python -m tests.campaigns.kills --kills 200
	$(BIN)/python -m tests.campaigns.odd_corpora --scratch $$(mktemp -d)

record-stages: venv  ## Record the stages' code after bumping a version, or when results are the same
	$(BIN)/python tests/record_stage_code.py

config-page: venv  ## Make docs/configuration.md, and the drawing of imports in docs/architecture.md, from the code
	$(BIN)/python -m tests.made_pages

clean:  ## Remove .venv and caches; store and runs stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache *.egg-info build
