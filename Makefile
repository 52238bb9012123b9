# `make help` lists the targets. Everything a fresh Debian 12 or Ubuntu 24.04 with Swift 6.3 lacks is installed by `setup`.
SHELL := /bin/bash
.DEFAULT_GOAL := help

RELEASE := --scratch-path .build-release -c release
BIN = $(shell swift build $(RELEASE) --show-bin-path)
DEMO := Sources/Shop/DemoData/cdnow-sample-orders.csv
DATA ?= shop-data
# Options for the measurements: make bench BENCH="--rounds 3 --format json"
BENCH ?=
# Some of the runs of `matrix`: make matrix MATRIX="valkey-9.1 hiredis-1.2"
MATRIX ?=
PACKAGES := libcurl4-openssl-dev libhiredis-dev liblua5.1-0-dev libpq-dev libsqlite3-dev libssl-dev libzstd-dev openssl iptables patch postgresql redis-server
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help setup build release run bench bench-demo bench-telemetry test check-metrics schemas compatible matrix failover sanitize fuzz soak scale rolling mutants lint lint-deploy dashboard containers nightly format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing: curl, hiredis, Lua, libpq, SQLite, OpenSSL, zstd, redis-server; PostgreSQL, iptables and patch for the tests
	@missing=""; for p in $(PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing" >&2; \
	  $(SUDO) apt-get -q update >/dev/null && \
	  printf '#!/bin/sh\nexit 101\n' > /tmp/freshet-policy && \
	  { [ -e /usr/sbin/policy-rc.d ] || { $(SUDO) install -m 755 /tmp/freshet-policy /usr/sbin/policy-rc.d; touch /tmp/freshet-policy-made; }; }; \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get -q install -y --no-install-recommends $$missing >/dev/null; status=$$?; \
	  [ ! -e /tmp/freshet-policy-made ] || $(SUDO) rm -f /usr/sbin/policy-rc.d /tmp/freshet-policy-made; \
	  rm -f /tmp/freshet-policy; exit $$status; \
	fi

build: setup ## Build everything for debugging
	swift build

release: setup ## Build everything for use
	swift build $(RELEASE)

run: release ## Run the shop on the demo data to the end and print the summary
	@rm -rf $(DATA)
	@$(BIN)/shop up --orders $(DEMO) --data $(DATA) --exit-when-settled

bench: setup ## Measure the client, delivery and records beside plain C on hiredis and sqlite3
	swift build $(RELEASE) --product floor-bench
	swift build $(RELEASE) --product bench
	@$(BIN)/bench client $(BENCH)
	@$(BIN)/bench delivery $(BENCH)
	@$(BIN)/bench records $(BENCH)
	@$(BIN)/bench replay $(BENCH)

bench-telemetry: setup ## Measure what metrics and traces cost: publishing and delivery with and without, in turn
	swift build $(RELEASE) --product bench
	@$(BIN)/bench delivery --with metrics $(BENCH)
	@for sampled in 0.01 1; do for work in delivery records; do \
	  $(BIN)/bench $$work --with metrics --with traces --sampled $$sampled $(BENCH) || exit 1; done; done
	@$(BIN)/bench client --work publish-16 publish-256 --with metrics $(BENCH)

bench-demo: setup ## Measure the shop on the demo data: orders a second, and what its time is spent on
	for product in bench shop order-worker customer-worker payment-worker; do \
	  swift build $(RELEASE) --product $$product || exit 1; done
	@$(BIN)/bench demo --orders $(DEMO) $(BENCH)

test: setup ## Run all tests (they start their own servers)
	swift build --build-tests
	@$$(swift build --show-bin-path)/tested-on
	swift test --skip-build --experimental-maximum-parallelization-width 8

check-metrics: PACKAGES += prometheus
check-metrics: setup ## Check the metrics with Prometheus' own promtool, which it installs
	swift build --build-tests
	swift test --skip-build --filter 'promtool|exporter'

schemas: setup ## Write the shop's schemas anew, unless what has changed breaks consumers
	swift build
	@rm -rf .build/schemas
	@bin=$$(swift build --show-bin-path); set -e; \
	$$bin/freshet schema export $$bin/*-worker $$bin/shop --title "The shop" --to .build/schemas >/dev/null; \
	$$bin/freshet schema check schemas .build/schemas; \
	cp .build/schemas/*.json schemas/

# What `compatible` compares with: make compatible BASE=main
BASE ?= HEAD~1

compatible: setup ## Check that the schemas break no consumer of another commit's
	swift build --product freshet
	@rm -rf .build/base && mkdir -p .build/base && git archive $(BASE) schemas | tar -x -C .build/base
	@$$(swift build --show-bin-path)/freshet schema check .build/base/schemas schemas

matrix: setup ## Run all tests on other servers, and with another hiredis
	@scripts/matrix.sh $(MATRIX)

failover: setup ## Run the tests that look at the clock alone, with the time they have on a machine of one's own
	swift build --build-tests
	FRESHET_STRICT_TIMING=1 swift test --skip-build --no-parallel \
	  --filter 'HiredisTests\.(FailoverTests|FaultTests)|FreshetReplayTests\.PaceTests'

sanitize: setup ## Run the client's tests under the address and the thread sanitizer
	swift build --build-tests --sanitize address --scratch-path .build-sanitize/address
	ASAN_OPTIONS=detect_leaks=0 swift test --skip-build --sanitize address \
	  --scratch-path .build-sanitize/address --filter '^HiredisTests\.' --no-parallel
	swift build --build-tests --sanitize thread --scratch-path .build-sanitize/thread -Xswiftc -DFRESHET_VISIBLE_LOCKS
	TSAN_OPTIONS="halt_on_error=0 exitcode=66" swift test --skip-build --sanitize thread \
	  --scratch-path .build-sanitize/thread -Xswiftc -DFRESHET_VISIBLE_LOCKS --filter '^HiredisTests\.' --no-parallel

# The clang beside swift: it has libFuzzer.
CLANG = $(dir $(realpath $(shell command -v swift)))clang
# How many cases `make fuzz` tries.
FUZZ ?= 1000000

fuzz: setup ## Try a million hostile replies on the reader, under libFuzzer and the address sanitizer
	@mkdir -p .build-fuzz/corpus
	$(CLANG) -g -O1 -fsanitize=fuzzer,address -fuse-ld=lld -I Sources/CHiredisShims/include Tests/Fuzzing/reader.c \
	  Sources/CHiredisShims/reader.c -lhiredis -o .build-fuzz/reader
	.build-fuzz/reader -runs=$(FUZZ) -dict=Tests/Fuzzing/reader.dict -max_len=400 -verbosity=1 -print_final_stats=1 \
	  .build-fuzz/corpus

# Options for the proofs: make soak SOAK="--seed 7"
SOAK ?=

soak: setup ## Kill, freeze and cut consumers, workers and servers for minutes, and check what must always hold
	for product in soak shop order-worker customer-worker payment-worker; do swift build $(RELEASE) --product $$product || exit; done
	$(BIN)/soak kill $(SOAK)
	$(BIN)/soak kill --vanish --events 20000 --seconds 30 $(SOAK)
	$(BIN)/soak kill --lossy --events 20000 --longest 20 $(SOAK)
	$(BIN)/soak limits $(SOAK)
	$(BIN)/soak failover --on sentinel $(SOAK)
	$(BIN)/soak failover --on cluster $(SOAK)
	$(BIN)/soak rebalance $(SOAK)
	$(BIN)/soak reclaim $(SOAK)
	$(BIN)/soak replay $(SOAK)
	$(BIN)/soak publish $(SOAK)
	$(BIN)/soak shop $(SOAK)
	$(BIN)/soak shop --store postgres $(SOAK)
	$(BIN)/soak shop --store postgres --ordering perKey $(SOAK)
	$(BIN)/soak shop --lossy --replicas 2 $(SOAK)
	$(BIN)/soak shop --lossy --replicas 2 --store postgres $(SOAK)
	$(BIN)/soak owners
	$(BIN)/soak drain $(SOAK)
	$(BIN)/soak drain --store postgres $(SOAK)

# Options for the measurement: make scale SCALE="--seed 7 --workers 1,2,4"
SCALE ?=

scale: setup ## Measure a group with 1, 2, 4 and 8 workers, and while workers are killed, drained and added (docs/scaling.svg)
	for product in soak shop order-worker customer-worker payment-worker; do swift build $(RELEASE) --product $$product || exit; done
	@$(BIN)/soak scale --svg docs/scaling.svg $(SCALE)

rolling: setup ## Change workers of version 1 for those of version 2 under load, one by one
	for product in soak freshet shop order-worker customer-worker payment-worker; do swift build $(RELEASE) --product $$product || exit; done
	@scripts/rolling.sh $(SOAK)

# Some of the mutants: make mutants MUTANTS="retention-held no-ownership-check"
MUTANTS ?=

mutants: setup ## Break delivery, records and retention on purpose, one place at a time: a proof must name each broken promise
	@scripts/mutants.sh $(MUTANTS)

lint: ## Check the format and the house rules
	swift format lint --strict --recursive --parallel Package.swift Sources Tests

lint-deploy: ## Check the Dockerfile, compose files, Kubernetes manifests, alert rules with their tests, and the dashboard
	@scripts/lint-deploy.sh

dashboard: ## Write the Grafana dashboard and the Prometheus operator's rules anew from what they are made of
	python3 docker/grafana/dashboard.py > docker/grafana/freshet.json
	scripts/prometheus-rule.sh

# Some parts of `containers`: make containers CONTAINERS="images scale"
CONTAINERS ?=

containers: ## Build the images and run the shop from them with podman: sizes, start-up, orders, scaling, failover, drain (root)
	@scripts/containers.sh $(CONTAINERS)

nightly: test lint-deploy containers soak mutants ## What takes too long for each commit: everything, from real images and for minutes

format: ## Format the sources
	swift format --in-place --recursive --parallel Package.swift Sources Tests

clean: ## Remove what was built and the demo's data
	rm -rf .build .build-release .build-containers .build-deploy .build-matrix .build-sanitize .build-fuzz .build-mutants .build-rolling $(DATA)
