# Everything runs from a fresh clone with Rust, a C linker and Python >= 3.10.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.PHONY: demo test test-rust test-python test-asan test-valgrind lint audit bench bench-quick \
	bench-convolutions bench-scaling bench-kernels bench-instructions wheel build venv clean

demo: build
	$(BIN)/pip install -q matplotlib
	$(BIN)/python examples/digits.py

test: test-rust test-python

# The Rust tests, the documentation's examples and the golden cases of the Rust face.
test-rust:
	cargo test --workspace --exclude tengen-python
	TENGEN_ISA=avx2 cargo test -q -p tengen-core --test laws
	TENGEN_ISA=portable cargo test -q -p tengen-core --test laws

# The Python tests, the documentation's examples, the golden cases of the Python face and the
# crash tests.
test-python: build
	$(BIN)/python -m pytest -q

# The kernels' tests under AddressSanitizer, all instruction sets of the machine included.
test-asan:
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
		cargo test -p tengen-kernels --lib --tests --target $(HOST)

# The kernels' tests under valgrind, which hides AVX-512: AVX2 and portable paths.
test-valgrind:
	CARGO_TARGET_$(HOST_VARIABLE)_RUNNER="valgrind -q --error-exitcode=1 --fair-sched=yes" \
		cargo test -p tengen-kernels --lib -- --test-threads=1

HOST = $(shell rustc -vV | sed -n 's/^host: //p')
HOST_VARIABLE = $(shell echo $(HOST) | tr a-z- A-Z_)

lint: venv
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --exclude tengen-python --no-deps
	$(BIN)/ruff check .
	$(BIN)/python tools/check_arrows.py

# Licences, bans and sources of all dependencies; advisories where the network has them.
audit:
	cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny check licenses bans sources
	cargo deny check advisories || echo "advisories: the database could not be fetched"

# Tengen beside PyTorch, which gets an environment of its own unless TORCH_PYTHON is an interpreter
# that has it, beside MegEngine 1.13 where MEGENGINE_PYTHON is one that has that, and with CANDLE=1
# beside candle, which is fetched and built for it.
ifndef TORCH_PYTHON
TORCH_PYTHON := $(CURDIR)/.venv-torch/bin/python
TORCH_READY := .venv-torch/ready
endif
ifdef CANDLE
LIBRARY := $(if $(filter Darwin,$(shell uname)),dylib,so)
COMPARE_CANDLE := target/candle/release/libcompare_candle.$(LIBRARY)
endif
export TORCH_PYTHON MEGENGINE_PYTHON COMPARE_CANDLE

bench: build $(TORCH_READY) $(COMPARE_CANDLE)
	$(BIN)/python -m benches.compare

bench-quick: build $(TORCH_READY) $(COMPARE_CANDLE)
	$(BIN)/python -m benches.compare --quick

# Random convolutions beside PyTorch: every one that is far behind. `make bench-convolutions SEED=2`.
bench-convolutions: build $(TORCH_READY)
	$(BIN)/python -m benches.convolutions $(if $(SEED),--seed $(SEED))

# How time and memory grow with size and threads; the tables go to docs/performance.md.
bench-scaling: build
	$(BIN)/python -m benches.scaling --update

# Every kernel by itself, with Criterion: `make bench-kernels FILTER=gemm`.
bench-kernels:
	cargo bench -p tengen-kernels $(if $(FILTER),-- '$(FILTER)')

# Instructions of small operators, by valgrind, held to benches/instructions/baseline.json.
bench-instructions:
	$(PYTHON) -m benches.instructions

# For this machine's processor: candle's own loops are wider for it, and convolutions, exp and GELU
# take about a seventh less time.
target/candle/release/libcompare_candle.%: $(wildcard benches/candle/Cargo.*) benches/candle/src/lib.rs
	RUSTFLAGS="-C target-cpu=native" cargo build --release --locked \
		--manifest-path benches/candle/Cargo.toml --target-dir target/candle

.venv-torch/ready:
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/pip install -q --upgrade pip
	.venv-torch/bin/pip install -q torch numpy
	touch $@

wheel: venv
	$(BIN)/maturin build --release --out dist

build: venv
	$(BIN)/maturin develop --release --quiet

venv: $(BIN)/maturin

$(BIN)/maturin: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q 'maturin>=1.9,<2' 'numpy>=1.21' 'tqdm>=4.60' 'pytest>=8' 'ruff>=0.9'
	touch $@

clean:
	rm -rf target dist out $(VENV)
