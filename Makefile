# Each target does all of its own set-up: a fresh clone needs only Python 3.11 or newer.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed

EXTRA_TESTS := tests/answering tests/importing tests/predicting tests/test_imports.py tests/test_planning.py \
	tests/test_shapes.py tests/test_values.py tests/stages/test_gradcam_torch.py

.PHONY: help demo test test-all test-extras lint types docs readme bench load audit clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## install, draw faces, train, explain; ends with a report to open
	@chmod 700 artifacts
	$(BIN)/facelime demo

test: $(STAMP) ## install, then the tests that take minutes in all
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not long"

test-all: $(STAMP) ## every test, the long ones too
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-extras: $(STAMP) ## the tests that need PyTorch, ONNX, OpenVINO or TFLite; installs them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,onnx,openvino,tflite,torch]'
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(EXTRA_TESTS)

lint: $(STAMP) ## format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP) ## types
	$(BIN)/mypy

docs: $(STAMP) ## write docs/commands.md and the tables of choices anew from the program
	$(BIN)/python docs/reference.py

readme: $(STAMP) docs ## the documents above, and the picture of a report in the README, which takes chromium
	$(BIN)/python -m docs.report_picture

bench: $(STAMP) ## time predict, start-up and explain against the ceiling and every peer; an hour on an idle machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[openvino,onnx]"
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

load: $(STAMP) ## measure memory, files and time of every stage up to 20,000 pictures; an hour on an idle machine
	$(BIN)/python benchmarks/load.py $(LOAD_ARGS)

audit: $(STAMP) ## look for known vulnerabilities in the versions of constraints.txt, where their data can be reached
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[audit]"
	$(BIN)/python tests/audit.py

clean: ## remove the virtual environment and caches; the store stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
