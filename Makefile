# Needs python3 (3.11 or newer), pip and make. Everything is installed into .venv in this folder.
#   make demo                train the default on the built-in images and show what came out
#   make test                all tests
#   make fast                without those marked slow: most recipes, real terminals and new processes, kills,
#                            two processes, compiling, the site, and all that take more than a sixteenth of a second
#   make snapshots           rewrite tests/snapshots/messages.txt (texts that tests compare) and docs/cli.md: read the diff
#   make trackers            install all trackers into .venv/trackers, over .venv, and test with them
#   make docs                the site, into docs/_build/html
#   make wheel               wheel and sdist, into dist
#   make soak                strike small runs with 200 faults and compare each resume; can be interrupted
#   make fuzz                ten minutes of generated files for each reader
#   make check               formatting, lint, types, layers and all tests
#   TORCH_INDEX=URL          take torch from another index, for example the one with CPU-only wheels
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
MINUTES ?= 3

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Hundreds of tests start a process, which would otherwise compile gansmith anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test fast snapshots check lint docs trackers wheel bench soak fuzz clean

demo: $(VENV)/installed
	@run=$$($(BIN)/gansmith train fashion-sample --minutes $(MINUTES)) && \
	$(BIN)/gansmith sample $$run --num 80 --seed 0 --out $$run/clothes.png && \
	$(BIN)/gansmith export $$run/model --out $$run/model/generator.onnx >/dev/null && \
	echo "clothes that no one ever made: $$run/clothes.png" && \
	echo "how it went, with the film:    $$run/report.html" && \
	echo "play with the model:           $(BIN)/gansmith studio --open"

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile

fast: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

snapshots: $(VENV)/installed-dev
	$(BIN)/python scripts/write_cli_docs.py
	$(BIN)/python -m pytest -n auto --dist loadfile --write-snapshots

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

docs: $(VENV)/installed-dev
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo docs/_build/html/index.html

wheel: $(VENV)/installed-dev
	$(BIN)/python -m build --no-isolation

# Without constraints: Trackio needs an older Pillow, MLflow an older importlib-metadata.
trackers: $(VENV)/installed-dev
	$(BIN)/python -m venv $(VENV)/trackers
	$(BIN)/python -c 'import site; print(*site.getsitepackages())' > \
		$$($(VENV)/trackers/bin/python -c 'import site; print(*site.getsitepackages())')/below.pth
	$(VENV)/trackers/bin/python -m pip --disable-pip-version-check install --quiet --editable '.[trackers]'
	$(VENV)/trackers/bin/python -m pytest -n 0 tests/reporting/test_tracking.py

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/speed.py

soak: $(VENV)/installed-dev
	$(BIN)/python benchmarks/soak.py

fuzz: $(VENV)/installed-dev
	$(BIN)/python benchmarks/fuzz.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/torch: $(VENV)/bin/python constraints.txt
	@echo "installing torch and the rest into $(VENV): a few minutes, up to 6 GB (see README for less)"
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(PIP) --editable '.[studio]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torchvision
	$(PIP) --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dist docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
