# make demo and make test are all a newcomer needs; both set up what they use.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PORT   ?= 8501
FAILED := { tail -n 20 $(VENV)/install.log; echo "error: pip could not install (whole log: $(VENV)/install.log). Check the network or pip's index settings, then run make again."; exit 2; }

.PHONY: help demo app test check format bench gallery clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     build the embedded study, brain-tune Whisper tiny.en on it, open the dashboard"
	@echo "make app      open the dashboard on what is in ./cache (or \$$BRAINDASH_HOME)"
	@echo "make test     run every test"
	@echo "make check    format, lint, types, import direction"
	@echo "make format   format the code"
	@echo "make gallery  the pictures of docs/gallery.md, of a home that is there: HOME_DIR=PATH"
	@echo "make bench    side-by-side measurements against peers (long)"

# naplib asks for an older NumPy; only its sample data are read (and never its code), so it comes alone.
# The environment is made once and made again only when a requirement changes.
$(VENV)/.app: requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found. Install Python 3.11 or later (apt-get install python3 python3-venv)."; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $$($(PYTHON) --version) is too old. Install Python 3.11 or later and set PYTHON=python3.11."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "error: no virtual environment could be made. Try: apt-get install python3-venv."; exit 2; }
	@echo "Installing braindash into $(VENV) (about 2 minutes, once) ..."
	@($(BIN)/python -m pip install --disable-pip-version-check --upgrade pip && \
	  $(BIN)/python -m pip install torch==2.13.0 && \
	  $(BIN)/python -m pip install -r requirements.txt && \
	  $(BIN)/python -m pip install --no-deps -e .) > $(VENV)/install.log 2>&1 || $(FAILED)
	@touch $@

$(VENV)/.dev: $(VENV)/.app requirements-dev.txt
	@echo "Installing the test tools into $(VENV) ..."
	@($(BIN)/python -m pip install -r requirements-dev.txt && \
	  $(BIN)/python -m pip install --no-deps 'naplib==2.6.*') > $(VENV)/install.log 2>&1 || $(FAILED)
	@touch $@

demo: $(VENV)/.app
	@$(BIN)/braindash demo --open --port $(PORT)

app: $(VENV)/.app
	@$(BIN)/braindash app --port $(PORT)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.dev
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(VENV)/.dev
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	@for b in benchmarks/*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

gallery: $(VENV)/.dev
	@$(BIN)/python docs/gallery.py $(if $(HOME_DIR),--home $(HOME_DIR))

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
