# Thin: each target names what it does; the work is in scripts/ and xtask/.
# `make demo` and `make test` set the machine up first (scripts/setup.sh).

SHELL := /usr/bin/env bash
READY := scripts/setup.sh && . .portcullis/env.sh &&
PROFILE ?= ci

.PHONY: help setup demo test conformance oracle score bench bench-catalog builtins instructions bounds live lint docs
help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

setup: ## make this machine ready: compiler, libclang, PostgreSQL, drivers
	@scripts/setup.sh

demo: ## agents good and bad at the door, in a minute
	@$(READY) scripts/demo.sh

test: ## every test, black box included
	@$(READY) scripts/test.sh $(PROFILE)

conformance: ## PostgreSQL's own suites, direct and through the door
	@$(READY) scripts/conformance.sh

bench: ## direct, byte copier, PgBouncer and the door side by side
	@$(READY) scripts/bench.sh

bench-catalog: ## loading a catalog of 10,000 relations, and what catalog_mode strict costs
	@$(READY) scripts/bench/catalog.sh

builtins: ## the catalogs that are built in, made anew from servers of 14 to 18
	@$(READY) scripts/builtins.sh

lint: ## formatting, clippy, documentation, direction of dependencies, words
	@$(READY) scripts/lint.sh $(PROFILE)

docs: ## the documentation of the crates
	@$(READY) cargo doc --workspace --no-deps --document-private-items

oracle: ## 100,000 random statements, and the corpora: PostgreSQL's privilege checks against ours
	@$(READY) ORACLE_ROUNDS=$${ORACLE_ROUNDS:-100000} ORACLE_CORPORA=$${ORACLE_CORPORA:-100000} cargo test --profile ci --package portcullis --test oracle -- --nocapture

instructions: ## what judging one statement costs, counted by callgrind
	@$(READY) scripts/bench/instructions.sh

bounds: ## statements of 256 KiB, as bad as can be: time and memory of each
	@$(READY) BOUNDS_MILLISECONDS=100 cargo test --release --package portcullis-sql --test bounds -- --nocapture

live: ## the attacks of the corpora, through the door to a real server
	@$(READY) scripts/live.sh

score: ## the corpora of attacks and honest statements, judged with policies/eval
	@$(READY) scripts/score.sh
