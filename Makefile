# Requires Python 3.11+ and make; everything else is downloaded from package registries.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
INSTANCE ?= default
KIND ?= runs
RUNS ?= 5

.PHONY: help page setup run up down status check test test-faults test-browser test-compose fmt gen lock chaos bench docker.env doctor release clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip installs uv from the lock file, with its hashes; uv installs the rest in parallel.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is required; choose one with PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || { echo "Creating .venv"; $(PYTHON) -m venv .venv; }
	@awk '/^uv==/ {on=1} on {print} on && !/\\$$/ {exit}' requirements.lock > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@echo "Installing the locked packages"
	@VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	@VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Node also comes from a wheel in the lock file. The build needs fewer packages than the checks.
frontend/node_modules/.build: frontend/package-lock.json | .venv/.ready
	@echo "Installing the packages that build the page"
	@$(BIN)/python -m local.npm ci --omit=dev --silent
	@touch $@

frontend/node_modules/.check: frontend/package-lock.json | .venv/.ready
	@echo "Installing the packages that check the page"
	@$(BIN)/python -m local.npm ci --silent
	@touch frontend/node_modules/.build $@

# Without make, with Node 20.19 or newer: `cd frontend && npm ci --omit=dev && npm run build`. The build
# also reads gateway/schema.graphql and examples/sales.csv. The gateway serves frontend/dist.
PAGE_SOURCES := $(shell find frontend/src frontend/index.html frontend/vite.config.ts frontend/package.json -type f)
frontend/dist/index.html: $(PAGE_SOURCES) gateway/schema.graphql examples/sales.csv | frontend/node_modules/.build
	@echo "Building the page"
	@$(BIN)/python -m local.npm run --silent build -- --logLevel warn

page: frontend/dist/index.html ## Build the page into frontend/dist

setup: .venv/.ready page ## Download and prepare everything; start nothing
	@$(BIN)/python -m local setup

run: .venv/.ready page ## Run the whole stack in the foreground and load a sample; Ctrl-C stops it
	@$(BIN)/python -m local run --instance $(INSTANCE)

up: .venv/.ready page ## Start the stack in the background; return when it is healthy
	@$(BIN)/python -m local up --instance $(INSTANCE)

down: .venv/.ready ## Stop the stack; keep its data
	@$(BIN)/python -m local down --instance $(INSTANCE)

status: .venv/.ready ## Show the processes, their memory and health
	@$(BIN)/python -m local status --instance $(INSTANCE)

test: .venv/.ready page frontend/node_modules/.check ## Run the test rings on a real stack (up to 20 minutes)
	@$(BIN)/python -m tests.rings unit contract integration e2e chaos browser/test_first_minute.py

test-faults: .venv/.ready page ## Kill, pause, fill and empty Druid during uploads (about 9 minutes)
	@$(BIN)/python -m tests.rings faults

test-browser: .venv/.ready page frontend/node_modules/.check ## Test the page in Chromium on the whole stack
	@BROWSER_REQUIRED=1 $(BIN)/python -m tests.rings browser

test-compose: .venv/.ready ## Test the container deployment; needs a Docker engine
	@tests/compose/run.sh

check: .venv/.ready frontend/node_modules/.check ## Check format, lint, types, imports, protos, migrations and generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy services gateway local client/sluice_client bench tests examples protos/generate.py docs/generate.py deploy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code --exclude-path protos/buf
	$(BIN)/buf breaking --against protos/released.binpb
	$(BIN)/python -c "from alembic.script import ScriptDirectory; ScriptDirectory('services/status/migrations').get_current_head()"
	$(BIN)/python protos/generate.py --check
	$(BIN)/python -m gateway.graphql.schema --check
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m local.npm run --silent check

fmt: .venv/.ready ## Format code and protos
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .
	$(BIN)/buf format --write --exclude-path protos/buf

gen: .venv/.ready frontend/node_modules/.check ## Regenerate the protobuf code, the GraphQL schema and types, and the reference docs
	$(BIN)/python protos/generate.py
	$(BIN)/python -m gateway.graphql.schema
	$(BIN)/python docs/generate.py
	$(BIN)/python -m local.npm run --silent gen

# The lock file has no registry addresses, so that any mirror works (ADR 0005).
lock: ## Resolve the dependencies of pyproject.toml into requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras \
		--custom-compile-command "make lock" pyproject.toml --output-file requirements.lock

chaos: .venv/.ready ## Inject faults during uploads: RUNS=n SEED=s SHORT=1; or KIND=calls, KIND=cells
	@$(BIN)/python -m tests.chaos $(KIND) $(if $(filter runs,$(KIND)),--runs $(RUNS) $(if $(SEED),--seed $(SEED)) $(if $(SHORT),--short))

bench: .venv/.ready ## Run short versions of the main benchmarks
	$(BIN)/python -m bench memory --pairs 3
	$(BIN)/python -m bench ingest --pairs 1
	$(BIN)/python -m bench false_done --loads 100

docker.env: ## Create the secrets and settings of the containers, once
	@$(PYTHON) -m deploy.env

doctor: .venv/.ready ## Diagnose a container deployment
	@$(BIN)/python -m deploy.doctor

release: .venv/.ready ## Build the client's wheel and the bills of materials (CycloneDX) in dist/
	@$(BIN)/python -m deploy.release

clean: ## Delete the local stack with all its data
	@if test -x $(BIN)/python; then $(BIN)/python -m local down; $(BIN)/python -m local down --instance test; fi
	rm -rf .local
