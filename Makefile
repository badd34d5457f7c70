# Two commands are enough for a newcomer: `make run` and `make test`. Both set up .venv from requirements.lock first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY ?= python3
PROFILE ?= sample
UV := .tools/bin/uv
BIN := .venv/bin

export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export GX_ANALYTICS_ENABLED := false
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help setup run test lint bench docs lock rebuild report ledger-verify sql publish clean-build

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(UV): requirements-bootstrap.txt
	@echo "set-up: the installer (.tools)"
	@$(PY) -m venv .tools
	@.tools/bin/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	@touch $@

.venv/.stamp: requirements.lock pyproject.toml | $(UV)
	@echo "set-up: .venv from requirements.lock (a minute or two the first time)"
	@test -d .venv || $(PY) -m venv .venv
	@$(UV) pip sync -q -p $(BIN)/python --compile-bytecode --require-hashes requirements.lock
	@$(UV) pip install -q -p $(BIN)/python --no-deps --no-build-isolation -e .
	@$(UV) pip check -q -p $(BIN)/python
	@touch $@

setup: .venv/.stamp ## create .venv from the lock file

lock: | $(UV) ## write requirements.lock anew from pyproject.toml
	$(UV) pip compile -q --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra cvxportfolio --extra nautilus --extra vectorbt --extra live --group dev pyproject.toml -o requirements.lock
