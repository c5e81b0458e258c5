# The entry points for users, developers and CI. `make help` lists them.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo build wheel test torture soak fuzz bench lint lint-rust lint-python deny skeleton skeleton-check

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "make %-15s %s\n", $$1, $$2 }'

demo: build ## Build, record a real program, draw its flame graph
	@scripts/need record
	@scripts/demo $(TARGET)/release/pyrec

build: ## Build target/release/pyrec
	@scripts/need build
	$(CARGO) build --release --locked --bin pyrec

wheel: ## Build target/wheels/pyrec_recorder-….whl for pip
	@scripts/need build wheel
	scripts/wheel $(TARGET) release $(TARGET)/wheels

# The first run tests the command without `record`. It selects the whole workspace, so that both runs share their
# dependencies. scripts/pythons prepares the interpreters for the second run while the first one compiles.
test: ## Run every test
	@scripts/need build record test
	scripts/pythons & $(CARGO) test --workspace --locked --no-default-features --bin pyrec && wait
	$(CARGO) test --workspace --locked --no-fail-fast

# About ten minutes on two cores.
TORTURE := crash_recovery abrupt_exit loss long_recordings hostile_traces
SOAK := cpython diff spark attach_detach

torture: ## Run ten minutes of kills, full disks, long recordings and hostile traces
	@scripts/need build record test
	scripts/pythons
	$(CARGO) test --workspace --locked --no-fail-fast $(TORTURE:%=--test %) -- --ignored --nocapture
	PROPTEST_CASES=100000 $(CARGO) test --workspace --locked --lib -- any_stream:: arbitrary_events::

soak: ## Run the long tests (CPython's own test suite, repeated attaching, Spark, a busy machine)
	@scripts/need build record test soak
	scripts/pythons
	$(CARGO) test --workspace --locked --no-fail-fast $(SOAK:%=--test %) -- --ignored --nocapture

fuzz: ## Fuzz every reader of untrusted input, FUZZ_SECONDS for each target
	@scripts/need build
	scripts/fuzz

bench: build ## Measure the cost of recording and reading, as ratios
	@scripts/need record test
	python3 bench/run.py
	python3 bench/analyze.py

lint: lint-python lint-rust deny ## Check format, lints, types, documentation and licences

lint-rust:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --locked --all-targets -- -D warnings
	$(CARGO) clippy --workspace --locked --no-default-features --bins -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --locked --no-deps --document-private-items --quiet

lint-python: # The Python package, benchmarks and scripts
	@scripts/need wheel
	scripts/lint-python $(TARGET)

deny: # Licences, duplicate versions and sources of the dependencies, if cargo-deny is installed
	@if $(CARGO) deny --version >/dev/null 2>&1; \
	then $(CARGO) deny --locked check licenses bans sources; \
	elif [ -n "$$PYREC_REQUIRE" ]; then echo "cargo-deny is not installed (cargo install cargo-deny)" >&2; exit 1; \
	else echo "skipped: cargo-deny is not installed (cargo install cargo-deny)"; fi

# The compiled BPF program is committed, so that a build needs no clang. Checking the whole workspace runs the build
# script that compiles it, with the dependencies that `make lint` has already checked.
skeleton: ## Compile the BPF program, after a change of recorder/src/bpf
	@scripts/need build skeleton
	$(CARGO) check --workspace --locked --features pyrec-recorder/bpf-skeleton

skeleton-check: skeleton # Fails if the committed program differs from what Debian's clang 14 produces
	git diff --exit-code --stat -- recorder/src/bpf
