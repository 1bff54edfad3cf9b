# `make run` serves the sample app, `make test` runs every test; both build .venv first. `make coverage` runs
# every test, too, and says what they leave out: it takes twice as long.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

# Servers that tests start would compile Skitai anew each time: that takes longer than the rest of a start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test coverage lint format bench clean docs/config.md

run: $(VENV)/.sample
	$(BIN)/twist skitai

# Two for each core: most tests wait for sockets and processes.
TEST_PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count() * 2)')

TESTS := $(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --dist=loadfile

test: $(VENV)/.test
	$(TESTS)

coverage: $(VENV)/.test
	$(TESTS) --cov --cov-report=term

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# wrk comes from the system's packages (Debian: apt-get install wrk); the peers get an environment of their own.
bench: $(VENV)/.test benchmarks/.venv/.installed
	$(BIN)/python -m benchmarks --peers-python benchmarks/.venv/bin/python

# The reference of all keys; a test says when it is due.
docs/config.md: $(VENV)/.test
	$(BIN)/python -m skitai.command.keys > $@

clean:
	rm -rf $(VENV) .venv-3.* benchmarks/.venv dist build .pytest_cache .mypy_cache .ruff_cache .coverage*

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.sample: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[sample]'
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

benchmarks/.venv/.installed: benchmarks/requirements.txt
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	touch $@
