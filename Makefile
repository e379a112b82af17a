# The two commands a newcomer needs: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check format bench clean

help: ## list what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## create .venv with the project and its pinned dependencies

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); sys.exit(not ok and f"dlops needs Python 3.11 to 3.13; $(PYTHON) is {sys.version.split()[0]}. Name another: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check --constraint constraints.txt torch --editable '.[dev]'
	@touch $(READY)

demo: $(READY) ## ingest the embedded sample, fine-tune a model on it, show where to look
	$(BIN)/dlops ingest
	$(BIN)/dlops finetune
	@echo
	@echo "Both runs are recorded in mlflow.db. Look at them: $(BIN)/dlops ui"
	@echo "What ran, and how it ended:                        $(BIN)/dlops status"
	@echo "Your own data, a CSV with texts and labels:        $(BIN)/dlops ingest source=reviews.csv"
	@echo "A model on it, and what else can be set:           $(BIN)/dlops finetune dataset=reviews; $(BIN)/dlops finetune --help"

test: check ## run the checks and every test that is not slow
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadgroup

test-all: check ## run every test, the slow ones too
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(READY) ## ruff, format, mypy --strict, README against --help
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/check_readme.py

format: $(READY) ## let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure, and write benchmarks/*.md
	@missed=0; for part in run pipelines finetune tune explain serve load; do $(BIN)/python -m benchmarks.$$part || missed=1; done; exit $$missed

clean: ## remove what make made (not your runs)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
