# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
# ROS 2 is the installation that is sourced, or comes as wheels: see requirements/setup_env.py.
PYTHON_3 := $(or $(shell command -v python3),$(PYTHON),python3)
IN_VENV := . .venv/environment.sh && .venv/bin/python -m
export PYTHON TORCH

.PHONY: help setup demo test test-lowest test-oldest test-vllm lint bench build clean

help:
	@echo "make setup    .venv with ROS 2, torch and this package  [PYTHON=python3.12]"
	@echo "              [TORCH=<a .whl file, a version, or the URL of an index>]"
	@echo "make demo     a node, a camera and a question over DDS  [IMAGE=photo.jpg FX=560]"
	@echo "make test     everything that needs no GPU              [ARGS='-k camera']"
	@echo "make test-lowest  the core, with the lowest versions of requirements/  [PYTHON=python3.10]"
	@echo "make test-oldest  loading and engines, with the oldest transformers of requirements/"
	@echo "make test-vllm    the engine remote, against real vLLM on the CPU; installs it (3.5 GB)"
	@echo "make lint     ruff, its formatter and mypy"
	@echo "make bench    how long the steps take on this machine"
	@echo "make build    colcon build of both packages into install/"
	@echo "make clean    removes what these made, .venv too"

setup:
	@$(PYTHON_3) -B requirements/setup_env.py

demo: setup
	@$(IN_VENV) depthlm_ros demo $(if $(IMAGE),--image "$(IMAGE)") $(if $(FX),--fx "$(FX)") $(ARGS)

test: setup
	@$(IN_VENV) pytest test -m "not gpu and not slow" -n 2 --dist loadfile $(ARGS)

test-lowest:
	@bash .ci/lowest

test-oldest: setup
	@bash .ci/oldest $(ARGS)

test-vllm: setup
	@bash .ci/vllm
	@$(IN_VENV) pytest test/engines/remote -m vllm $(ARGS)

lint: setup
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check .
	@$(IN_VENV) mypy

bench: setup
	@$(IN_VENV) depthlm_ros bench

build: setup
	@$(IN_VENV) colcon build --cmake-args "-DPython3_EXECUTABLE=$(CURDIR)/.venv/bin/python"

clean:
	rm -rf .venv .venv-vllm build install log .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
