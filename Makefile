# Everything a person or a CI needs. Only Python 3.11+ and make are required; the rest is fetched from package registries.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
INSTANCE ?= default
KIND ?= runs
RUNS ?= 5

.PHONY: help page setup run up down status check test test-faults test-browser test-compose fmt gen lock chaos bench docker.env doctor release clean

help: ## What there is
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv comes from the same lock as everything else, checked by its hashes; it then installs the rest in parallel.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || { echo "Making .venv"; $(PYTHON) -m venv .venv; }
	@awk '/^uv==/ {on=1} on {print} on && !/\\$$/ {exit}' requirements.lock > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@echo "Installing the locked packages"
	@VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	@VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Node comes from a wheel of the lock too. Setting up needs what builds the page (78 packages), checking also what checks it.
frontend/node_modules/.build: frontend/package-lock.json | .venv/.ready
	@echo "Installing the page's locked packages"
	@$(BIN)/python -m local.npm ci --omit=dev --silent
	@touch $@

frontend/node_modules/.check: frontend/package-lock.json | .venv/.ready
	@echo "Installing what checks the page"
	@$(BIN)/python -m local.npm ci --silent
	@touch frontend/node_modules/.build $@

# The same with any Node from 20.19 on: `cd frontend && npm ci --omit=dev && npm run build`. Besides frontend/, it reads
# gateway/schema.graphql and examples/sales.csv; the gateway serves what it leaves in frontend/dist.
PAGE_SOURCES := $(shell find frontend/src frontend/index.html frontend/vite.config.ts frontend/package.json -type f)
frontend/dist/index.html: $(PAGE_SOURCES) gateway/schema.graphql examples/sales.csv | frontend/node_modules/.build
	@echo "Building the page"
	@$(BIN)/python -m local.npm run --silent build -- --logLevel warn

page: frontend/dist/index.html ## Build the page into frontend/dist

setup: .venv/.ready page ## Fetch and prepare everything, start nothing
	@$(BIN)/python -m local setup

run: .venv/.ready page ## The whole stack in the foreground, a sample loaded; Ctrl-C stops it
	@$(BIN)/python -m local run --instance $(INSTANCE)

up: .venv/.ready page ## The same in the background; returns when all is healthy
	@$(BIN)/python -m local up --instance $(INSTANCE)

down: .venv/.ready ## Stop what `make up` started; data is kept
	@$(BIN)/python -m local down --instance $(INSTANCE)

status: .venv/.ready ## What runs, its memory and its health
	@$(BIN)/python -m local status --instance $(INSTANCE)

test: .venv/.ready page frontend/node_modules/.check ## All rings on real parts (at most 20 minutes)
	@$(BIN)/python -m tests.rings unit contract integration e2e chaos browser/test_first_minute.py

test-faults: .venv/.ready page ## Druid itself is killed, paused, filled and emptied while files come in (some 9 minutes)
	@$(BIN)/python -m tests.rings faults

test-browser: .venv/.ready page frontend/node_modules/.check ## The page in a real Chromium, on the whole stack
	@BROWSER_REQUIRED=1 $(BIN)/python -m tests.rings browser

test-compose: .venv/.ready ## Build, start, load, kill and remove the containers; needs a Docker engine
	@tests/compose/run.sh

check: .venv/.ready frontend/node_modules/.check ## Format, lint, types, contracts, imports, one line of migrations, generated code
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

fmt: .venv/.ready ## Put code and protos into their form
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .
	$(BIN)/buf format --write --exclude-path protos/buf

gen: .venv/.ready frontend/node_modules/.check ## Generate the Python of the protos, the GraphQL schema file and the derived pages
	$(BIN)/python protos/generate.py
	$(BIN)/python -m gateway.graphql.schema
	$(BIN)/python docs/generate.py
	$(BIN)/python -m local.npm run --silent gen

lock: ## Resolve the dependencies of pyproject.toml again (free of registry addresses, so that any mirror serves it)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras \
		--custom-compile-command "make lock" pyproject.toml --output-file requirements.lock

chaos: .venv/.ready ## Break everything while files come in: RUNS=n SEED=s SHORT=1; or KIND=calls, KIND=cells
	@$(BIN)/python -m tests.chaos $(KIND) $(if $(filter runs,$(KIND)),--runs $(RUNS) $(if $(SEED),--seed $(SEED)) $(if $(SHORT),--short))

bench: .venv/.ready ## The measurements of bench/, in their short form
	$(BIN)/python -m bench memory --pairs 3
	$(BIN)/python -m bench ingest --pairs 1
	$(BIN)/python -m bench false_done --loads 100

docker.env: ## Secrets and settings of the containers, made once
	@$(PYTHON) -m deploy.env

doctor: .venv/.ready ## What is wrong with a deployment, and what to do
	@$(BIN)/python -m deploy.doctor

release: .venv/.ready ## The wheel of the client, and what is in it and in each image (CycloneDX), in dist/
	@$(BIN)/python -m deploy.release

clean: ## Forget the local stack with all its data
	@if test -x $(BIN)/python; then $(BIN)/python -m local down; $(BIN)/python -m local down --instance test; fi
	rm -rf .local
