# make book   build the book: environment, dependencies, pages; says where to open it
# make test   library, notebooks and pages, in the same environment
# make lint   ruff and mypy
# make lab    the chapters in JupyterLab
# make lite   the chapters in the reader's browser, beside the built pages; make test-lite runs four of them there
# make pdf    the pages as one PDF, by Chromium; make epub as one EPUB
# make site   all that is published: pages, notebooks in the browser, PDF, EPUB
# make clean  remove what was built; the environment and downloaded data stay
#
# JOBS=N      how many test processes at once (2)
# PYTHON=...  which Python to build the environment with (3.11, 3.12 or 3.13; the first that is found otherwise)

VENV := .venv
BIN := $(VENV)/bin
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3 python)
RIGHT := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
JOBS ?= 2

# Whatever the pages are made from: when none of it is newer, there is nothing to do.
SOURCES := _config.yml _toc.yml \
  $(shell find book dbn_lite data -type f ! -path 'data/cache/*' ! -path 'book/lite/*' ! -path 'book/bound/*' ! -path '*/.*' ! -path '*/__pycache__/*')

.PHONY: book test lint lab lite test-lite measure-lite pdf epub site clean FORCE
.DELETE_ON_ERROR:

book: _build/book.stamp
	@echo
	@echo "The book is in _build/html: open $(CURDIR)/_build/html/index.html,"
	@echo "or serve it with: $(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000"

# The processes share the cores, so each multiplies matrices on one. Files come in the order of tests/conftest.py. The
# notebooks were run for the book; `pytest --nbval-lax --nbval-current-env book` runs them once more. Here nbval would
# only cost each process seconds to import.
test: _build/book.stamp
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -p no:nbval -n $(JOBS) --dist loadfile --no-loadscope-reorder \
	  --cov=dbn_lite --cov-report=term:skip-covered -m 'not lite' tests

lint: $(VENV)/stamp
	$(BIN)/ruff check
	$(BIN)/mypy

lab: $(VENV)/stamp
	$(BIN)/python -m jupyterlab book

lite: _build/lite.stamp

_build/lite.stamp: _build/book.stamp $(VENV)/site.stamp $(wildcard book/lite/*)
	$(BIN)/python book/lite/assemble.py
	@touch $@

# Long: a browser computes slower than the machine it runs on, and some cells take minutes.
test-lite: lite
	$(BIN)/python -m pytest tests/test_lite.py

# What the pages say beforehand of bytes and seconds, measured again: on a machine with nothing else to do.
measure-lite: lite
	$(BIN)/python tests/running.py

pdf: _build/pdf.stamp

epub: _build/epub.stamp

_build/pdf.stamp _build/epub.stamp: _build/%.stamp: _build/book.stamp $(VENV)/site.stamp $(wildcard book/bound/*)
	$(BIN)/python book/bound/bind.py $*
	@touch $@

site: lite pdf epub

clean:
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache

# Notebooks side by side, each multiplying matrices on one core.
_build/book.stamp: $(VENV)/stamp _build/execution-key $(SOURCES)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python book/prepare.py execute
	$(BIN)/python book/prepare.py gather
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	$(BIN)/python book/prepare.py finish
	@touch $@

# Asked every time, changed only when what the notebooks compute with has changed: the library, the data or a pin.
_build/execution-key: _build/digits.stamp FORCE
	@$(BIN)/python book/prepare.py key

# Once, with a network or without: `make clean book` asks again.
_build/digits.stamp: $(VENV)/stamp
	@mkdir -p _build
	$(BIN)/python book/prepare.py fetch
	@touch $@

$(VENV)/stamp: requirements.lock pyproject.toml
	@$(BIN)/python -c '$(RIGHT)' 2>/dev/null || for python in $(CANDIDATES); do \
	  if "$$python" -c '$(RIGHT)' 2>/dev/null; then exec "$$python" -m venv --clear $(VENV); fi; \
	done; \
	$(BIN)/python -c '$(RIGHT)' 2>/dev/null || { \
	  echo 'No Python 3.11, 3.12 or 3.13 with venv was found (looked for: $(CANDIDATES)).' \
	    'Install one, or name it with: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	$(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/site.stamp: $(VENV)/stamp requirements-site.lock
	$(BIN)/python -m pip install -q -r requirements-site.lock
	@touch $@

FORCE:
