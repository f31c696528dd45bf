# Every target is a short name for one script or one cargo command; `make help` lists them.
# `dev`, `test` and `demo` set up a fresh Debian 12 by themselves.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(PATH):$(HOME)/.cargo/bin

SEED ?= 1
FILES ?= 2000
NODES ?= 3
TASKS ?= 10000
REPEAT ?= 1
OUTAGE ?= 8
KILLS ?= 10
SCENARIO ?= default
DEV ?=

# The tests find etcd on PATH; this puts a recent enough one first.
with_etcd = etcd=$$(scripts/get-etcd) && export PATH="$$etcd:$$PATH"

.PHONY: help dev setup setup-dev test verify fix demo sim chaos trials crash bench up down smoke clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' Makefile
	@echo "  variables: SEED, FILES, NODES for demo and trials, as in: make demo SEED=7 FILES=3000"
	@echo "             SEED, SCENARIO for chaos, as in: make chaos SCENARIO=long"
	@echo "             REPEAT, OUTAGE for trials, as in: make trials REPEAT=50 OUTAGE=60"
	@echo "             TASKS, KILLS for crash; DEV for dev, as in: make dev DEV='--nodes 1 --data-dir state'"

dev: ## Three nodes and an etcd in one process, to try it: prints where, a token, what to type; Ctrl-C stops it
	@scripts/setup --build
	@cargo build --locked -p tenure --bin tenure
	@exec "$${CARGO_TARGET_DIR:-target}/debug/tenure" dev $(DEV)

setup: ## Install what building and testing needs, where it is missing
	@scripts/setup

setup-dev: ## Also what verify uses: cargo-deny, shellcheck
	@scripts/setup --dev

test: setup ## Run all tests and print their count
	@$(with_etcd) && cargo nextest run --workspace --locked && cargo test --doc --workspace --locked --quiet

verify: ## Check format, lints, dependencies and scripts; changes nothing
	@scripts/verify

fix: ## Rewrite what format and lints can rewrite
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

demo: setup ## Three nodes hash real files while two of them are killed; prints a verdict
	@$(with_etcd) && bin=$$(scripts/release) && "$$bin/tenure-chaos" demo --tenure "$$bin/tenure" --etcd "$$etcd" \
		--files $(FILES) --nodes $(NODES) --seed $(SEED) --work .demo

sim: setup ## Whole nodes in simulated time: seeds 0..1000 (SEEDS=0..10000), or one again (SEED=n)
	@scripts/sim

chaos: setup ## 90 s of kills, pauses, cuts and trouble of etcd on a cluster under work; prints a verdict, writes a report
	@$(with_etcd) && bin=$$(scripts/release) && "$$bin/tenure-chaos" run --tenure "$$bin/tenure" --etcd "$$etcd" \
		--scenario $(SCENARIO) --seed $(SEED) --work .chaos

trials: demo ## The demo, then limits, schedules and failover, each measured while nodes are killed; prints a verdict on each
	@$(with_etcd) && bin=$$(scripts/release) && "$$bin/tenure-chaos" limits --tenure "$$bin/tenure" --etcd "$$etcd" \
		--seed $(SEED) --work .demo
	@$(with_etcd) && bin=$$(scripts/release) && "$$bin/tenure-chaos" schedules --tenure "$$bin/tenure" --etcd "$$etcd" \
		--seed $(SEED) --work .demo
	@$(with_etcd) && bin=$$(scripts/release) && "$$bin/tenure-chaos" failover --tenure "$$bin/tenure" --etcd "$$etcd" \
		--seed $(SEED) --work .demo --repeat $(REPEAT) --outage $(OUTAGE)

crash: setup ## One node with its own etcd is killed ten times while 10,000 tasks are submitted; prints a verdict
	@bin=$$(scripts/release) && "$$bin/tenure-chaos" crash --tenure "$$bin/tenure" --tasks $(TASKS) --kills $(KILLS) --work .demo

bench: setup ## Measure throughput, latency and memory; prints a table
	@$(with_etcd) && bin=$$(scripts/release) && export TENURE_BIN="$$bin/tenure" && scripts/bench

up: ## Start the compose cluster: images where needed, a token, three nodes on ports 8701 to 8703
	@scripts/up

down: ## Stop the compose cluster; its volumes stay
	@scripts/down

smoke: ## Try the compose cluster for real: kill a leader, lose nothing
	@scripts/compose-smoke

clean: ## Remove what the build and the scripts made, but no volumes
	cargo clean
	rm -rf .demo .chaos .bench .local
