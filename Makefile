# Every target is a line or two over Python, which can be typed as it is where there is no make (README.md, for Windows).
#   make lab TORCH=cpu                spares Linux without a GPU the gigabytes of CUDA
#   make lab PYTHON=python3.13        any Python from 3.11.5 on
#   make lab ARGS="--profile tiny"    what follows the command
PYTHON ?= python3
TORCH ?=
ARGS ?=

BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
SETUP := $(PYTHON) scripts/setup.py $(if $(strip $(TORCH)),--torch $(strip $(TORCH)))

.PHONY: help setup lab jupyter pages notebooks benchmark benchmark-accuracy benchmark-growth benchmark-memory benchmark-gpu reference test lint format clean

help: ## show these lines
	@echo 'make TARGET [TORCH=cpu] [PYTHON=python3.13] [ARGS="..."]'
	@sed -n 's/^\([a-z-]*\):.*## /  \1: /p' Makefile

setup: ## make .venv with labkit and JupyterLab, fetch the movie reviews
	@$(SETUP)

lab: setup ## the main job: fetch weights, fine-tune on the movie reviews, print the table, write the report page
	@$(BIN)/python -m labkit fetch
	@$(BIN)/python -m labkit lab $(ARGS)
	@echo 'The course: make jupyter'

jupyter: setup ## open your own copy of the course, my-course, in JupyterLab
	@$(BIN)/python -m labkit course open my-course $(ARGS)

pages: ## run the solutions and publish them as web pages, build/pages
	@$(SETUP) instructor
	@$(BIN)/python -m labkit course pages build/pages $(ARGS)

notebooks: ## build the notebooks from their masters, solutions/NN_name.py
	@$(SETUP) instructor
	@$(BIN)/python -m labkit course build $(ARGS)

benchmark: ## training and evaluation speed beside the Trainer, Accelerate and the pipeline: benchmarks/RESULTS.md
	@$(SETUP) benchmark
	@$(BIN)/python -m labkit fetch
	@$(BIN)/python benchmarks/speed.py $(ARGS)

benchmark-accuracy: ## accuracy beside the Trainer's over five seeds: benchmarks/ACCURACY.md
	@$(SETUP) benchmark
	@$(BIN)/python -m labkit fetch
	@$(BIN)/python benchmarks/accuracy.py $(ARGS)

benchmark-growth: ## how speed and memory grow with examples, length, micro-batch and model: benchmarks/GROWTH.md
	@$(SETUP) benchmark
	@$(BIN)/python -m labkit fetch
	@$(BIN)/python benchmarks/growth.py $(ARGS)

benchmark-memory: ## what training takes in memory, and what each way to lower it costs: benchmarks/MEMORY.md
	@$(SETUP) benchmark
	@$(BIN)/python benchmarks/memory.py $(ARGS)

benchmark-gpu: ## training and evaluation speed on a GPU: benchmarks/gpu/SPEED.md
	@$(SETUP) benchmark
	@$(BIN)/python -m labkit fetch
	@$(BIN)/python benchmarks/gpu.py $(ARGS)

reference: ## the long experiments whose results the lessons show: reference/README.md
	@$(SETUP)
	@$(BIN)/python -m labkit fetch
	@$(BIN)/python reference/overfitting.py
	@test -d runs/minilm/model || $(BIN)/python -m labkit train --output runs/minilm
	@$(BIN)/python reference/explanations.py --model runs/minilm/model
	@$(BIN)/python reference/cross_validation.py

test: ## what CI runs: style, types, every notebook, doctests, tests
	@$(SETUP) test instructor
	@$(BIN)/python scripts/check.py $(ARGS)

lint: ## style and types alone
	@$(SETUP) test instructor
	@$(BIN)/python scripts/check.py --lint

format: ## bring the code into the form that the style check wants
	@$(SETUP) test instructor
	@$(BIN)/python -m ruff check --fix-only --quiet .
	@$(BIN)/python -m ruff format .

clean: ## remove .venv and what the tools left; runs and fetched data stay
	@$(PYTHON) scripts/clean.py
