# Two commands are enough for a newcomer: `make run` and `make test`. Both set up .venv from requirements.lock first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY ?= python3
PROFILE ?= sample
BIN := .venv/bin
UV := .tools/bin/uv
# what the data commands are called with; a profile named simulated_* meets the simulated venue on its ports
DATA = $(if $(SYMBOL),--symbol $(SYMBOL)) $(if $(filter command environment,$(origin PROFILE)),--profile $(PROFILE)) $(if $(AS_OF),--as-of $(AS_OF)) $(if $(DRY_RUN),--dry-run) $(if $(FORCE),--force)
VENUE = $(if $(filter simulated_%,$(PROFILE)),$(BIN)/python -m tests.market exec --)

# nothing that is installed here reports home
export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export GX_ANALYTICS_ENABLED := false
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help setup run test test-fast lint bench answers build docs lock rebuild report quality ledger-verify sql publish \
	flow-data scan-run bars meta-ingest feature-ingest data-prep-raw data-repair recover data-audit

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(UV): requirements-bootstrap.txt
	@echo "set-up: the installer, in .tools"
	@$(PY) -m venv .tools
	@.tools/bin/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	@touch $@

.venv/.stamp: requirements.lock pyproject.toml | $(UV)
	@echo "set-up: the packages of requirements.lock, in .venv (about 2.5 GB; a minute or two the first time)"
	@test -d .venv || $(PY) -m venv .venv
	@$(UV) pip sync -q -p $(BIN)/python --compile-bytecode --require-hashes requirements.lock
	@$(UV) pip install -q -p $(BIN)/python --no-deps --no-build-isolation -e .
	@$(UV) pip check -q -p $(BIN)/python
	@touch $@

setup: .venv/.stamp ## create .venv from the lock file

run: setup ## land the embedded prices, build profile sample, publish, write its report
	@$(BIN)/python -m ingest sample
	@$(BIN)/python -m quantmill build --profile sample
	@$(BIN)/python -m quantmill report --profile sample

test: setup ## all tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: setup ## the tests that build no warehouse and open no browser
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not build and not browser"

lint: setup ## ruff, mypy and sqlfluff
	@$(BIN)/ruff check python ingest models tests benchmarks docs
	@$(BIN)/ruff format --check python ingest models tests benchmarks docs
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint --processes 2 models macros analyses tests/dbt

bench: setup ## measure, and write benchmarks/README.md: make bench [REPEATS=3]
	@$(if $(REPEATS),REPEATS=$(REPEATS)) $(BIN)/python benchmarks/measure.py

answers: setup ## write the answers in README.md and docs/questions.md anew, from the published snapshot
	@$(BIN)/python docs/answers.py

build: setup ## build a profile: make build PROFILE=sample [AS_OF=2026-01-30T01:00:00Z]
	@$(BIN)/python -m quantmill build --profile $(PROFILE) $(if $(AS_OF),--set as_of=$(AS_OF))

report: setup ## write the report of a run: make report [PROFILE=] [RUN=]
	@$(BIN)/python -m quantmill report --profile $(PROFILE) $(if $(RUN),--run $(RUN))

quality: setup ## judge the data of a profile: make quality [PROFILE=]
	@$(BIN)/python -m quantmill quality --profile $(PROFILE)

ledger-verify: setup ## verify the ledger of a run: make ledger-verify [PROFILE=] [RUN=]
	@$(BIN)/python -m quantmill ledger-verify --profile $(PROFILE) $(RUN)

sql: setup ## ask the published snapshot: make sql Q="select * from selection.runs"
	@$(BIN)/python -m quantmill sql "$(Q)"

rebuild: setup ## make the workbench again from the landing files
	@$(BIN)/python -m ingest rebuild

flow-data: setup ## the whole data cycle of a profile: make flow-data PROFILE=simulated_crypto [AS_OF=]
	@$(VENUE) $(BIN)/python -m ingest flow $(DATA)

scan-run: setup ## ask the scanners: make scan-run PROFILE= [AS_OF=] [FROM= TO=]
	@$(VENUE) $(BIN)/python -m ingest scan $(DATA) $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO))

bars: setup ## fetch the bars that are missing: make bars PROFILE= [SYMBOL=]
	@$(VENUE) $(BIN)/python -m ingest bars $(DATA)

meta-ingest: setup ## fetch what the symbols are, and their trading limits
	@$(VENUE) $(BIN)/python -m ingest metadata $(DATA)

feature-ingest: setup ## fetch the vendor's features: make feature-ingest PROFILE= [WAIVE="..."]
	@$(VENUE) $(BIN)/python -m ingest features $(DATA) $(if $(WAIVE),--waive "$(WAIVE)")

data-prep-raw: scan-run meta-ingest bars ## scan, metadata, bars

data-repair: setup ## heal what fails: make data-repair PROFILE= or SYMBOL=
	@$(VENUE) $(BIN)/python -m ingest repair $(DATA)

recover: setup ## the failures of the last cycle, slowly, then from another source
	@$(VENUE) $(BIN)/python -m ingest recover $(DATA)

data-audit: setup ## judge what is stored, no network: make data-audit PROFILE= [STRICT_HEALTH=1]
	@$(BIN)/python -m ingest audit $(DATA) $(if $(STRICT_HEALTH),--strict)

publish: setup ## build PROFILE with plain dbt, and publish
	@$(BIN)/dbt build --vars '{profile: $(PROFILE)}'

docs: setup ## the documentation of all tables as one file, target/static_index.html
	@$(BIN)/dbt docs generate --static --vars '{profile: $(PROFILE)}'

lock: | $(UV) ## write requirements.lock anew from pyproject.toml
	@$(UV) pip compile -q --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra cvxportfolio --extra nautilus --extra vectorbt --extra live --group dev pyproject.toml -o requirements.lock
