# The only front door for people: everything needs nothing but Python >= 3.11 and make, and sets up what it needs itself.

PYTHON ?= python3
CONFIG ?= config/development.toml
BENCH ?= runtime
SOAK ?= soak
ARGS ?=
RUN := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo stop serve test check lint soak bench clean ready-demo ready-dev

help: ## list these targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: ready-demo ## load real data through a real daemon and watch it live; KEEP=1 leaves the daemon running
	@$(RUN) -m etlplus demo $(if $(KEEP),--keep) $(ARGS)

stop: ready-demo ## end the daemon that "make demo KEEP=1" left running
	@$(RUN) -m etlplus demo --stop

serve: ready-demo ## run the daemon in the foreground; CONFIG=FILE chooses its configuration
	@$(RUN) -m etlplus serve --config $(CONFIG) $(ARGS)

test: ## run all tests on every interpreter found among 3.11 and 3.13; ARGS="-k word" narrows
	@tools/everywhere $(PYTHON) -m pytest -q $(ARGS)

check: lint test ## what CI runs: lint, format, types, layers and all tests

lint: ready-dev ## ruff, formatting, pyright strict, layers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/basedpyright
	.venv/bin/lint-imports --no-logo

soak: ready-dev ## the long tests: 100,000 stories of actors, nights of the staff, chaos among nodes (SOAK=soak-chaos chooses)
	@$(RUN) -m bench $(SOAK) $(ARGS)

bench: ready-dev ## measure against named yardsticks; BENCH=NAME chooses, ARGS="--json FILE" keeps the figures
	@$(RUN) -m bench $(BENCH) $(ARGS)

clean: ## remove everything that make made
	rm -rf .venv .venv-3.* var build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

ready-demo:
	@tools/prepare .venv $(PYTHON) demo

ready-dev:
	@tools/prepare .venv $(PYTHON) dev
