# Every target sets up what it needs: python3 (3.11 or newer) and make are enough. `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# The Python of `make test-lowest`; CI gives the oldest that it finds.
OLDEST ?= $(PYTHON)
# Tests are rewritten by pytest, which takes a worker ten seconds: once.
export PYTHONDONTWRITEBYTECODE =
# As pip does for an installed wheel, so that imports take as long as they do for users.
COMPILE = $(BIN)/python -m compileall -q llama_bedrock agents retrievers

.DEFAULT_GOAL := help
.PHONY: help demo ui test test-slow floors test-lowest lint format types imports bench docs notebooks pictures release-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## ask questions of real documents, offline: documents, FAISS, RAG chain, Llama prompt, event stream
	@$(BIN)/python examples/demo.py

ui: $(VENV)/.ui ## open the page on the examples' documents, offline
	@$(BIN)/llama-bedrock ui examples/documents --local

test: $(VENV)/.dev ## run the tests
	$(BIN)/pytest -n auto --dist worksteal

test-slow: $(VENV)/.dev ## run the slower checks: kill -9, a million generations, Ray
	$(BIN)/pytest -m slow

floors: $(VENV)/.dev ## check the performance ratios; wants a machine with nothing else to do
	$(BIN)/pytest -m floor

test-lowest: $(VENV)-lowest/.test ## run the tests with the oldest versions that pyproject.toml allows
	$(VENV)-lowest/bin/python .ci/tests.py $(VENV)-lowest -n auto --dist worksteal -W default # old versions of others warn of one another

lint: $(VENV)/.dev ## ruff, and the rules of who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell docs llama_bedrock agents retrievers *.md

format: $(VENV)/.dev ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

docs: $(VENV)/.dev ## build the documentation into site/, and check its links
	$(BIN)/python .ci/build_docs.py

notebooks: $(VENV)/.dev ## write the notebooks of docs/ to build/notebooks
	$(BIN)/python .ci/build_docs.py notebooks build/notebooks

bench: $(VENV)/.dev ## run the benchmarks; results go to benchmarks/results
	$(BIN)/python benchmarks/run_all.py

pictures: $(VENV)/.dev ## take the pictures of docs/images anew, from the running program; wants a Chromium
	$(BIN)/python ui/pictures.py

release-check: $(BIN)/python ## all that a release needs but the upload: dist/ holds what was checked
	$(BIN)/python .ci/release.py whole

clean: ## remove what the other targets made
	rm -rf $(VENV) $(VENV)-lowest build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "llama-bedrock needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras: an interrupted install leaves none, so the next make repeats it.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo 'Installing what it takes to answer questions of documents into $(VENV), once …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local]'
	@$(COMPILE)
	@touch $@

$(VENV)/.ui: pyproject.toml | $(BIN)/python
	@echo 'Installing what it takes for the page into $(VENV), once …'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,agents,ui]'
	@$(COMPILE)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(COMPILE)
	@touch $@ $(VENV)/.demo $(VENV)/.ui

$(VENV)-lowest/.pins: pyproject.toml .ci/lowest.py
	$(OLDEST) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python .ci/lowest.py local aws agents mcp ui vision qdrant > $(VENV)-lowest/pins.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check -r $(VENV)-lowest/pins.txt
	@touch $@

$(VENV)-lowest/.test: $(VENV)-lowest/.pins
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
