# The project's verbs. `make setup` needs Python >= 3.11 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup check test compiled test-compiled demo bench soak-load lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## make .venv with the pinned dependencies and the `lb` command

$(STAMP): requirements/dev.txt requirements/build.txt requirements/compile.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lb needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt -r requirements/build.txt -r requirements/compile.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

check: setup ## lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup ## the whole test suite, by several processes since much of it waits
	$(BIN)/python -m pytest -n 4 --dist worksteal --durations 10 --maxfail 25

# The modules that every request runs through, as C (setup.py); what is found here comes before what is in the checkout.
COMPILED := build/compiled
RUN_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(COMPILED):$(CURDIR)

compiled: $(COMPILED)/.installed ## the balancer as the image has it, in build/compiled (needs a C compiler, takes minutes)

$(COMPILED)/.installed: $(STAMP) setup.py $(shell find lb -type f -not -name '*.pyc')
	rm -rf build
	LB_COMPILE=1 $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target $(COMPILED) .
	@touch $@

test-compiled: compiled ## the whole test suite against it (ARGS=paths for a part)
	$(RUN_COMPILED) $(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

demo: setup ## three throttled simulated endpoints, the balancer and real SDK traffic
	$(BIN)/lb demo

bench: compiled ## what a request, an event and an idle stream cost, beside nginx, Envoy and LLM gateways (ARGS=--help)
	$(RUN_COMPILED) $(BIN)/python -m bench $(ARGS)

soak-load: compiled ## ten minutes at 80 % of one core with faults: memory, tasks and open files stay flat (ARGS=--help)
	$(RUN_COMPILED) $(BIN)/python -m bench.soak $(ARGS)

lock: ## pin the dependencies again, with hashes and without naming an index (needs `uv`)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml --group dev -o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements/dev.txt pyproject.toml --extra telemetry --extra audit --extra redis -o requirements/extras.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate requirements/build.in -o requirements/build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements/dev.txt requirements/compile.in -o requirements/compile.txt

clean: ## remove what the other verbs made
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

VENV_INFRA := .venv-infra
STAMP_INFRA := $(VENV_INFRA)/.installed

.PHONY: check-infra image-check

check-infra: $(STAMP_INFRA) ## azure.yaml, Bicep, Terraform, Kubernetes, Compose, Dockerfile and workflows
	PATH="$(CURDIR)/$(VENV_INFRA)/bin:$$PATH" $(VENV_INFRA)/bin/python -m pytest -c infra/pytest.ini infra/checks
	@if command -v kubectl >/dev/null; then kubectl kustomize infra/kubernetes/aks >/dev/null && echo "kustomize: rendered"; \
	else echo "kustomize: not rendered, there is no kubectl"; fi

$(STAMP_INFRA): requirements/infra.txt
	test -x $(VENV_INFRA)/bin/python || $(PYTHON) -m venv $(VENV_INFRA)
	$(VENV_INFRA)/bin/python -m pip install --quiet --require-hashes -r requirements/infra.txt
	@touch $@

image-check: setup ## build the image and run it as the platform does (installs buildah and podman where it may)
	infra/image/check.sh

.PHONY: soak exam-state exam-sockets exam-bodies test-node

soak: setup ## 60,000 requests through every kind of fault: no error, no leak (about four minutes)
	$(BIN)/python tests/e2e/soak.py

exam-bodies: setup ## uploads and downloads of hundreds of megabytes: memory stays flat, every byte arrives (ARGS=--help)
	$(BIN)/python tests/e2e/exam_bodies.py $(ARGS)

exam-state: setup ## responses, files, assistants and the like, 200 times each through three backends and through restarts
	$(BIN)/python tests/e2e/exam_state.py $(ARGS)

exam-sockets: setup ## a thousand idle WebSockets: memory of each, CPU of a frame (ARGS=--help)
	$(BIN)/python -m bench.sockets $(ARGS)

test-node: setup ## the official JavaScript SDK against the balancer (needs Node.js >= 20 and npm)
	cd tests/node && npm install --no-package-lock --no-audit --no-fund && npm test

.PHONY: check-metrics

check-metrics: setup ## dashboard and alert rules against a real Prometheus (installs it where it may)
	infra/prometheus/check.sh

.PHONY: test-page screenshots

test-page: setup ## the operators' page in headless Chromium, while endpoints fail (installs Chromium where it may)
	tests/browser/run.sh -m pytest tests/browser/drive_page.py

screenshots: setup ## docs/images, made of the page during a demo
	tests/browser/run.sh tests/browser/screenshots.py docs/images

.PHONY: exam-audit

exam-audit: setup ## the audit's blobs in Azurite, Microsoft's emulator (needs Node.js >= 20 and npm)
	cd tests/azurite && npm install --no-package-lock --no-audit --no-fund && ../../$(BIN)/python exam.py
