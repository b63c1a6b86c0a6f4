# The everyday entry points; the same here and in continuous integration.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
# make up PORT=8010 GRPC_PORT=8011 CONTROL_PORT=8012
PORT_FLAGS := $(if $(PORT),--port $(PORT)) $(if $(GRPC_PORT),--grpc-port $(GRPC_PORT)) \
	$(if $(CONTROL_PORT),--control-port $(CONTROL_PORT))

.PHONY: install up down test test-all check format proto bench bench-graph bench-peers bench-resilience

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("AI Mass needs Python 3.11 or newer; this is " + sys.version) if sys.version_info < (3, 11) else None'
	@echo "Installing into .venv (some minutes the first time)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "python cannot make a venv; on Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --progress-bar on --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(INSTALLED)

up: $(INSTALLED)
	@$(BIN)/aimass up --example deployments/digits $(PORT_FLAGS)

down: $(INSTALLED)
	@$(BIN)/aimass down

test: $(INSTALLED)
	$(BIN)/pytest -m "not slow" --durations=25

test-all: $(INSTALLED)
	$(BIN)/pytest

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/test_house_style.py

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(INSTALLED)
	$(BIN)/python -m grpc_tools.protoc -I aimass/gateway/grpc --descriptor_set_out=aimass/gateway/grpc/inference.binpb \
		inference.proto

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.run

bench-graph: $(INSTALLED)
	for question in fanout planner batching overload grpc handles many neighbours; do \
		$(BIN)/python -m benchmarks.bench_$$question || exit 1; done

bench-peers: $(INSTALLED)
	$(BIN)/python -m benchmarks.bench_peers

bench-resilience: $(INSTALLED)
	$(BIN)/python -m benchmarks.bench_resilience
