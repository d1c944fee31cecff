# make help lists the targets. Needs make and Python 3.11, 3.12 or 3.13; everything else is installed
# into .venv, whose stamp files tell which set is there: .runtime (to train) or .dev (to work on the code).
# Name an interpreter with: make venv PYTHON=/path/to/python3
# The CNTK engine has an environment of its own in .venv-cntk, made from a Python 3.6 on PATH, in pyenv or in
# conda; where there is none, everything but CNTK works.

BIN := .venv/bin
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help python venv cntk train train-cntk generated test lint types tests cntk-for-tests fuzz clean

help: ## list the targets
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

# Shell code that sets $python to a supported interpreter with venv, or ends in one clear sentence.
# It runs each candidate: that a command exists does not mean that it works or is of the right version.
find_python = \
	python=; bare=; \
	if [ -n "$$PYTHON" ]; then set -- "$$PYTHON"; else set -- python3.13 python3.12 python3.11 python3 python; fi; \
	for candidate in "$$@"; do \
		"$$candidate" -c '$(SUPPORTED)' >/dev/null 2>&1 || continue; \
		if "$$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then python=$$candidate; break; fi; \
		bare=$${bare:-$$candidate}; \
	done; \
	if [ -z "$$python" ] && [ -n "$$bare" ]; then \
		echo "$$bare has no venv module; install it (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; \
	elif [ -z "$$python" ]; then \
		echo "no Python 3.11, 3.12 or 3.13 found (tried: $$*); install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi
export PYTHON
export NEUROMATIC_CNTK := $(CURDIR)/.venv-cntk

# Installs $(EXTRAS). An install that did not finish leaves .unfinished, and the next one starts afresh.
define install
	@if [ -e .venv/.unfinished ] || ! $(BIN)/python -c '$(SUPPORTED)' 2>/dev/null; then \
		$(find_python); \
		echo "creating .venv with $$python"; \
		rm -rf .venv && mkdir .venv && touch .venv/.unfinished && "$$python" -m venv .venv; \
	fi
	@rm -f .venv/.runtime .venv/.dev
	@touch .venv/.unfinished
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt setuptools wheel
	$(BIN)/python -m pip install --disable-pip-version-check --no-build-isolation -c constraints.txt -e '.[$(EXTRAS)]'
	@rm .venv/.unfinished
endef

.venv/.runtime: EXTRAS = cpu
.venv/.runtime: pyproject.toml constraints.txt
	$(install)
	@touch $@

.venv/.dev: EXTRAS = cpu,dev,keras
.venv/.dev: pyproject.toml constraints.txt
	$(install)
	@touch .venv/.runtime $@

python: ## check that a Python to build .venv with is there
	@$(find_python)

venv: .venv/.dev ## install everything that development needs into .venv

# Has no stamp: what is there is tested, which takes a second, and made anew only if it does not work or fit.
cntk: .venv/.runtime ## install the CNTK engine into .venv-cntk, or test it
	$(BIN)/neuromatic engines install cntk

# Trains with an engine ($1), writes a file ($2), evaluates it in onnxruntime.
define train
	$(BIN)/neuromatic train models/digits.py:build --engine $1 --data models/data/digits-train.npz \
		--val models/data/digits-test.npz --epochs 30 --batch-size 64 --seed 0 -o $2
	$(BIN)/neuromatic evaluate $2 --data models/data/digits-test.npz
endef

train: .venv/.runtime ## train models/digits.py, write digits.onnx, evaluate it
	$(call train,tensorflow,digits.onnx)

train-cntk: .venv/.runtime cntk ## the same with CNTK: digits-cntk.onnx
	$(call train,cntk,digits-cntk.onnx)

generated: .venv/.dev ## write anew what is made from the code: the fluent methods and the pages
	$(BIN)/python -m neuromatic.builder.generate
	$(BIN)/python -m tests.conformance.differentiable
	$(BIN)/python -m neuromatic.converters.support
	$(BIN)/python -m neuromatic.converters.catalogue
	$(BIN)/python -m tests.catalogue.walk
	$(BIN)/python -m neuromatic.models.cards
	$(BIN)/python -m tests.conformance.page
	$(BIN)/python -m tests.test_architecture

test: lint types tests ## everything that has to pass

lint: .venv/.dev ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.dev ## mypy (strict) and pyright
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

# Exit status 3 says that this machine has no Python 3.6: reason enough to skip, but not where CI is to tell.
cntk-for-tests: .venv/.dev
	@$(BIN)/neuromatic engines install cntk || { \
		status=$$?; \
		if [ $$status != 3 ] || [ "$$CI" = true ]; then exit $$status; fi; \
		echo "THE TESTS OF THE CNTK ENGINE WILL BE SKIPPED, for the reason above" >&2; \
	}

# What computes otherwise where TensorFlow has no oneDNN, as on processors without AVX-512.
WITHOUT_ONEDNN := $(addprefix tests/conformance/test_,windows_tensorflow.py operators_tensorflow.py \
		gradients_tensorflow.py) \
	$(addprefix tests/catalogue/test_,convolution_layers.py pooling_layers.py image_layers.py) \
	$(addprefix tests/neuromatic/layers/test_,convolution.py pooling.py) \
	tests/neuromatic/training/test_residual_net.py tests/models/test_zoo.py

tests: .venv/.dev cntk-for-tests ## pytest, doctests included; then again without oneDNN what depends on it
	$(BIN)/python -m pytest -n 2
	TF_ENABLE_ONEDNN_OPTS=0 $(BIN)/python -m pytest -n 2 $(WITHOUT_ONEDNN)

CASES ?= 100000
SEED ?= $(shell date +%s)

fuzz: .venv/.dev ## damage 100,000 files and do everything with them (CASES= and SEED= choose others)
	$(BIN)/python -m tests.hostile.fuzz --cases $(CASES) --seed $(SEED)

clean: ## remove what was built, trained and cached (to remove the installation: rm -r .venv .venv-cntk)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage \
		digits.onnx digits-cntk.onnx
	find neuromatic converters cli models tests -name __pycache__ -prune -exec rm -rf {} +
