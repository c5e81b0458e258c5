# Everything that a newcomer types, and everything that CI does. `make help` lists it.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo build wheel test torture soak fuzz bench lint deny skeleton skeleton-check

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "make %-15s %s\n", $$1, $$2 }'

demo: build ## Build, record a real program, draw its flame graph
	@scripts/need record
	@scripts/demo $(TARGET)/release/pyrec

build: ## Build target/release/pyrec
	@scripts/need build
	$(CARGO) build --release --locked --bin pyrec

wheel: ## Build target/wheels/pyrec-….whl, which pip installs
	@scripts/need build wheel
	scripts/wheel $(TARGET) release $(TARGET)/wheels

# The first run is the command without `record`: of the whole workspace, so that no dependency is built anew. While it
# is being compiled the Pythons for the second one are made.
test: ## Run every test
	@scripts/need build record test
	scripts/pythons & $(CARGO) test --workspace --locked --no-default-features --bin pyrec && wait
	$(CARGO) test --workspace --locked --no-fail-fast

# Ten minutes on two cores: what becomes of a recording, and of a report, when the worst happens.
TORTURE := crash killed loss long every_report
SOAK := cpython diff spark visits

torture: ## Run ten minutes of kills, full disks, long recordings and hostile traces
	@scripts/need build record test
	scripts/pythons
	$(CARGO) test --workspace --locked --no-fail-fast $(TORTURE:%=--test %) -- --ignored --nocapture
	PROPTEST_CASES=100000 $(CARGO) test --workspace --locked --lib -- any_stream:: any_events::

soak: ## Run what takes longer (CPython's own tests, attaching again and again, Spark, a busy machine)
	@scripts/need build record test soak
	scripts/pythons
	$(CARGO) test --workspace --locked --no-fail-fast $(SOAK:%=--test %) -- --ignored --nocapture

fuzz: ## Feed what strangers could send to whatever reads it, for FUZZ_SECONDS a target
	@scripts/need build
	scripts/fuzz

bench: build ## Print what recording and reading cost, as ratios
	@scripts/need record test
	python3 bench/run.py
	python3 bench/analyze.py

lint: deny ## Check format, lints, documentation and licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --locked --all-targets -- -D warnings
	$(CARGO) clippy --workspace --locked --no-default-features --bins -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --locked --no-deps --document-private-items --quiet

deny: # Licences, duplicates and sources of the dependencies, where cargo-deny is installed
	@if $(CARGO) deny --version >/dev/null 2>&1; \
	then $(CARGO) deny --locked check licenses bans sources; \
	else echo "skipped: cargo-deny is not installed (cargo install cargo-deny)"; fi

# The BPF program is compiled by nobody who only builds: what comes of it is committed. A check of the whole workspace
# runs the build script that does it, with the dependencies that `make lint` has checked already.
skeleton: ## Compile the BPF program anew, after a change of recorder/src/bpf
	@scripts/need build skeleton
	$(CARGO) check --workspace --locked --features pyrec-recorder/bpf-skeleton

skeleton-check: skeleton # Whether the committed one is what Debian's clang makes
	git diff --exit-code --stat -- recorder/src/bpf
