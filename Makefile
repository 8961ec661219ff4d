# Two commands are enough: `make demo` and `make test`. The rest is for people who work on the sandbox.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo serve stop test test-all lint docs bench bench-peers cluster audit-privacy faults load clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/python -m demo.walk

serve: $(VENV)/.demo
	$(BIN)/python -m demo.serving start

stop: $(VENV)/.demo
	$(BIN)/python -m demo.serving stop

# Everything that must hold on main: style, types, import contracts, generated documents, tests.
test: $(VENV)/.test lint
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow"

test-all: $(VENV)/.test lint
	$(BIN)/python -m pytest -q -n auto --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Rewrite what is generated: ARCHITECTURE.md's map, docs/promises.md, the golden OpenAPI.
docs: $(VENV)/.test
	$(BIN)/python -m tests.generate

audit-privacy: $(VENV)/.test
	$(BIN)/python -m pytest -q -n auto --dist worksteal --timeout 3600 tests/privacy

# A thousand kills under sixteen clients, half on SQLite and half on PostgreSQL: about an hour and a half.
faults: $(VENV)/.test
	$(BIN)/python -m pytest -q -n auto --dist loadfile tests/faults
	$(BIN)/python -m tests.faults.storm.run --kills 1000

load: .venv-load/.done $(VENV)/.test
	$(BIN)/python -m tests.load.run

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks.run

# The Ray executor on a local cluster of two nodes, in an environment of its own (860 MB).
cluster: $(VENV)/.test
	$(BIN)/python -m pytest -q tests/contract/executors/test_on_ray.py

# The same questions to other libraries, each in an environment of its own; hours with 100 million rows.
bench-peers: $(VENV)/.test
	$(BIN)/python -m benchmarks.peers

clean:
	rm -rf $(VENV) .venv-load .venv-tlog .venv-ray .demo .bench .bench-peers .load

$(VENV)/bin/uv: requirements/uv.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	touch $@

# The environments are one folder: `test` holds all that `demo` holds.
$(VENV)/.demo: requirements/demo.txt requirements/build.txt pyproject.toml $(VENV)/bin/uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/demo.txt -r requirements/build.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.test: requirements/test.txt requirements/build.txt pyproject.toml $(VENV)/bin/uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/test.txt -r requirements/build.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	touch $@ $(VENV)/.demo

.venv-load/.done: requirements/load.txt $(VENV)/bin/uv
	$(BIN)/uv venv --quiet --clear .venv-load
	VIRTUAL_ENV=.venv-load $(BIN)/uv pip install --quiet --require-hashes -r requirements/load.txt
	touch $@
