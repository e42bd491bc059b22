# `make run` shows the project at work; `make test` checks it. Both set up what they need.

# The first Python that is new enough. Looked up when used: setting up the machine may install it.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
JOBS ?= 3

VENV := .venv
BIN := $(VENV)/bin
# What an installed package is made of that editing a .py file does not change.
PACKAGING := pyproject.toml setup.py pgbgw/_core.pyx $(wildcard pgbgw/core/*) $(wildcard c_templates/static/*.h)
# cython-lint looks for its helper on the path.
WITH_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: help venv dev machine majors run lint format test fuzz mutants test-all bench bench-client clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

venv: $(VENV)/installed  ## make .venv with the package in it

dev: $(VENV)/installed-dev  ## the same, with what the checks need

machine:  ## install compilers and servers for the tests, where missing
	PYTHON="$(PYTHON)" scripts/setup-test-machine.sh test

majors: $(BIN)/python  ## put PostgreSQL 16 and 17 for the tests into a cache, where missing
	PYTHON="$(BIN)/python" scripts/setup-majors.sh

run: $(VENV)/installed  ## run examples/my_worker.py on an embedded PostgreSQL and give it jobs
	$(BIN)/pgbgw run examples/my_worker.py --detach
	$(BIN)/python examples/demo.py

lint: $(VENV)/installed-dev  ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest pgbgw._core
	$(WITH_VENV) cython-lint pgbgw pgbgw/core/*.pxi

format: $(VENV)/installed-dev  ## put the Python into ruff's layout
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

test: machine lint  ## lint, and run the tests
	scripts/run-tests.sh $(JOBS) -m "not slow"

fuzz: machine $(VENV)/installed-dev  ## fuzz the compiled core: TARGET=decoder chooses, SECONDS=60 for each
	$(BIN)/python -m tests.fuzz $(TARGET) $(if $(SECONDS),--seconds $(SECONDS))

mutants: machine $(VENV)/installed-dev  ## break the templates on purpose; each fault must be noticed
	$(BIN)/python -m tests.mutants $(if $(WRITE),--write) $(ONLY)

test-all: machine lint majors  ## the same with the slow tests and more examples of each property
	scripts/run-tests.sh $(JOBS) --hypothesis-profile=thorough

bench: $(VENV)/installed-bench  ## compare speeds: BENCH=drain,wake chooses, QUICK=1 FULL=1 ROUNDS=5 OUT=folder
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(OUT),--out $(OUT)) $(BENCH)

bench-client:  ## compare the client in Python, with the options of bench
	$(MAKE) bench BENCH=decode,parse,encode,stream,load,claim,leases,consume

clean:  ## remove what these targets made; a running cluster is left alone
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis pgbgw/_core*.so
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# The environment itself is made once; its packages follow the packaging.
$(BIN)/python:
	PYTHON="$(PYTHON)" scripts/setup-test-machine.sh venv
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed: $(PACKAGING) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(PACKAGING) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test,dev]'
	touch $@ $(VENV)/installed

$(VENV)/installed-bench: $(PACKAGING) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@ $(VENV)/installed
