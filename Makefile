# make run · make test · make check; everything lives in .venv, which is made on first use
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# uv links files from its cache and takes seconds where pip takes minutes; it is used where it is installed. Told to, it
# compiles them as pip does: else the first start compiles 1,200 modules while somebody waits.
INSTALL := $(shell command -v uv >/dev/null 2>&1 && echo "uv pip install --quiet --compile-bytecode --python $(BIN)/python" || echo "$(BIN)/python -m pip install --quiet --disable-pip-version-check")
PORT ?= 8501
# one test process per core; a file stays in one of them, since its tests may share a server
WORKERS := -n auto --dist loadfile

.PHONY: run test test-fast lint check starter bench soak clean

run: $(VENV)/.run
	$(BIN)/streamlit run app.py --server.port $(PORT)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(WORKERS)

test-fast: $(VENV)/.test
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test-fast

# trains the runs that ship; DEAM's need EARSHOT_DATA
starter: $(VENV)/.run
	$(BIN)/python -m starter.make

bench: $(VENV)/.run
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

# the long campaigns: an hour and more
soak: $(VENV)/.test
	$(BIN)/python -m tests.soak.killer --rounds 204
	$(BIN)/python -m tests.soak.killer --rounds 24 --trainer instrunet
	$(BIN)/python -m tests.soak.fuzz_audio --mutants 2000
	$(BIN)/python -m tests.soak.long_clip
	$(BIN)/python -m tests.soak.long_clip --seconds 1700 --kind wav
	$(BIN)/python -m tests.soak.sweeps --runs 1000 --apart 40

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit('Earshot needs Python 3.11 or newer.' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(VENV)/bin/python
	$(INSTALL) -r requirements.txt
	touch $@

$(VENV)/.test: requirements.txt requirements-test.txt | $(VENV)/bin/python
	$(INSTALL) -r requirements-test.txt
	touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV)
