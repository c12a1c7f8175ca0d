# Every target first sets up .venv if needed; `make clean` removes it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := tracing dashboards demo_pipeline tests benchmarks examples hatch_build.py

.PHONY: help demo test lint fmt types unit compatibility compatibility-oldest compatibility-newest \
  docs bench figures dist requirements clean

help:
	@echo "make demo    set up and run the demo pipeline once, then show one order's trace"
	@echo "make test    set up and run everything CI runs: lint, format, types, tests, other versions"
	@echo "make lint    lint and check the formatting        make fmt    format and fix"
	@echo "make types   check the types (mypy, strict)       make unit   run only the tests"
	@echo "make compatibility  a part of the tests with the oldest dependencies, and on a newer Python"
	@echo "make docs    build the documentation, as pages in build/docs"
	@echo "make bench   measure the cost per message, compared with the official instrumentation"
	@echo "make figures measure it for docs/cost.md and README.md"
	@echo "make dist    build the distributions, in dist     make requirements    pin anew; needs uv"
	@echo "make clean   remove the virtual environment and all caches"

$(READY): requirements.txt pyproject.toml dashboards/pyproject.toml demo_pipeline/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  -e . -e dashboards -e demo_pipeline
	@touch $@

demo: $(READY)
	$(BIN)/python -m demo_pipeline run

test: lint types unit compatibility

lint: $(READY)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/codespell README.md CHANGELOG.md docs $(SOURCES)

fmt: $(READY)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

types: $(READY)
	$(BIN)/mypy

# Tests mostly wait for brokers, so a few processes run them in parallel.
WORKERS ?= 3

unit: $(READY)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

# NEWER is found by itself.
compatibility: compatibility-oldest compatibility-newest

compatibility-oldest:
	.ci/compatibility oldest $(PYTHON)

compatibility-newest:
	.ci/compatibility newest $(NEWER)

# Without the theme's notice about its successor; `pyproject.toml` has it.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# For example: make bench BENCH="--rows encoded,consume --rounds 9"
bench: $(READY)
	$(BIN)/python -m benchmarks.overhead $(BENCH)

# Writes the figures in docs/cost.md and README.md anew. Run it on a quiet machine.
figures: $(READY)
	$(BIN)/python -m benchmarks.overhead --output benchmarks/results/overhead.json
	$(BIN)/python -m benchmarks.cost_table

# One sdist, of all three distributions, and their wheels.
dist: $(READY)
	rm -rf dist
	$(BIN)/python -m hatchling build -t sdist -t wheel -d $(CURDIR)/dist
	cd dashboards && $(abspath $(BIN))/python -m hatchling build -t wheel -d $(CURDIR)/dist
	cd demo_pipeline && $(abspath $(BIN))/python -m hatchling build -t wheel -d $(CURDIR)/dist

DISTRIBUTIONS := pipeline-tracing pipeline-tracing-dashboards pipeline-tracing-demo

COMPILE = $(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
  --no-header --no-annotate

# Resolves the pins again. The files name no package index, so they work with any.
requirements:
	$(COMPILE) $(foreach each,$(DISTRIBUTIONS),--no-emit-package $(each)) \
	  --group dev -o requirements.txt requirements.in
	$(COMPILE) --constraint requirements.txt --all-extras --group unit \
	  -o tests/compatibility/newest.txt pyproject.toml
	$(COMPILE) --resolution lowest-direct --all-extras --group unit \
	  -o tests/compatibility/oldest.txt pyproject.toml

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
