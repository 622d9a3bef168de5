PYTHON ?= python3
BIN := .venv/bin
TORCH ?= torch==2.13.0

.PHONY: install demo test test-slow check clean

install: .venv/installed

# torch first and pinned: what comes after must not pull another build of it.
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/python recipes/quickstart/make_models.py
	$(BIN)/mergekit-cycleqd recipes/quickstart.yaml

test: install
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: install
	$(BIN)/pytest -m 'slow and not gpu and not network'

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv runs recipes/quickstart/models
